"""What a consumer tells a server that may have gone back.

What the server has in a list that this process has finished with was acknowledged. It is once more,
unless the list ever had items that went back to the queue. So the number of unfinished items is
right by itself where they stay in flight until ``task_done()``; for other queues those calls are
counted. See :mod:`multihost.wire.session.settling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multihost.wire.link import Reply
from multihost.wire.ops.keeping import without_flag
from multihost.wire.replies import OK

if TYPE_CHECKING:
    from multihost.wire.ops.queue.consumer import Consumer

__all__ = ["settle_args", "settled"]


def settle_args(consumer: Consumer) -> list[bytes]:
    """Return the arguments of ``queue/settle``. Lists that this process has finished with are not
    used any more.
    """
    # At the same run of the server requests may be under way, so that items may have come to them
    # meanwhile: then what is in them goes back.
    run = consumer.run_of_server()
    is_new_run, consumer.run = run != consumer.run, run
    idle, consumer.free_lists = consumer.free_lists, {}
    kept = _kept(consumer)
    for in_flight in [each for lists in idle.values() for each in lists]:
        number = in_flight.number
        kept.pop(number, None)
        is_present = consumer.lists.pop(number, None) is in_flight
        if is_present and is_new_run and consumer.acknowledges and not in_flight.is_undecided:
            kept[number] = 0
    calls = consumer.done_calls
    is_counted = calls.name == consumer.hold.id != b""
    received = [count - calls.before for count in calls.received] if is_counted else []
    args = [
        consumer.hold.id,
        b"%d" % consumer.registered_count,
        b"%d" % consumer.list_count,
        calls.created,
        b"%d" % (calls.total - calls.before if is_counted else 0),
        b",".join([b"%d" % count for count in received]),
    ]
    for number, count in kept.items():
        args += (b"%d" % number, b"%d" % count)
    return args


def _kept(consumer: Consumer) -> dict[int, int]:
    """Return how many items of each list in use are not done; -1 if a request may be under way, or
    they are about to be acknowledged. Without those of which some may have gone back.
    """
    unfinished = consumer.unfinished.lists() if consumer.acknowledges else frozenset()
    return {
        number: in_flight.unacked if in_flight in unfinished else -1
        for number, in_flight in list(consumer.lists.items())
        if not in_flight.is_undecided
    }


def settled(consumer: Consumer, reply: Reply) -> int:
    """Take note of the reply; return how many items are lost that are not done."""
    if reply is None:
        return 0
    code, lost = reply
    calls = consumer.done_calls
    if not consumer.settings.max_deliveries:
        calls.forgiven = max(consumer.received_count - calls.total, 0)
    if code != OK:
        handle = consumer.handle
        handle.session.heartbeat.call_soon(lambda: without_flag(handle, code))
    return int(lost)
