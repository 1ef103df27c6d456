"""``task_done()`` and ``join()``: how many items are unfinished."""

from __future__ import annotations

import functools

from multihost.wire.completion import run_to_completion
from multihost.wire.ops.keeping import without_flag
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.unfinished import UnfinishedItem
from multihost.wire.replies import NOT_HELD, OK
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import broadcast_pop, wait

__all__ = ["done", "join"]

_done = Script("queue/done")
_enqueue_joiner = Script("queue/enqueue_joiner")
_check_joined = Script("queue/check_joined")


def done(handle: Handle, consumer: Consumer) -> bool:
    """Count an item as done; where items are delivered again, the oldest that this thread received,
    else the oldest of this process. Return False if there is none. 1 round trip.

    Raises LeaseLost if others declared this process dead meanwhile and requeued the item.
    """
    if not consumer.settings.max_deliveries:
        name = consumer.hold.id if consumer.registered_count else b""
        received = consumer.received_count
        reply = _done.run_once(handle, b"", name)
        if reply is None:
            return consumer.done_calls.forgive()
        calls, created = consumer.done_calls, reply.removeprefix(OK)
        if (name, created) != (calls.name, calls.created):
            calls.begin(name, created)
        calls.received.append(received)
        calls.total = next(calls.numbers)
        return True
    taken: list[UnfinishedItem] = []
    try:
        consumer.unfinished.take_oldest(taken)
        if not taken:
            return False
        answer: bytes = run_to_completion(
            handle, (_done, (taken[0][0].name, b"")), functools.partial(consumer.settle, taken)
        )
    except BaseException:
        consumer.unfinished.put_back(taken)
        raise
    if answer == NOT_HELD:
        raise consumer.hold.lease_lost("queue/task_done")
    without_flag(handle, answer)
    return True


def join(handle: Handle) -> None:
    """Wait until no item is unfinished. 1 round trip and the wait."""
    handle.session.ensure_registered(handle.keys)
    wait(
        handle,
        None,
        (_enqueue_joiner, ()),
        broadcast_pop(handle.keys.tokens + b":join"),
        (_check_joined, ()),
        reap=reap_script,
        by_name=False,
    )
