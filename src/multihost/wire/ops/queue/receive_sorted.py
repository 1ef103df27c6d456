"""Receiving from a sorted set: a script moves the items, and wake-up tokens wake the waiters."""

from __future__ import annotations

import time
from collections.abc import Sequence

from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import SessionLapsed, token_pop, wait

__all__ = ["receive_from_sorted_set"]

_pop_sorted = Script("queue/pop_sorted")
_enqueue_getter = Script("queue/enqueue_getter")
_cancel_getter = Script("queue/cancel_getter")


def receive_from_sorted_set(
    handle: Handle,
    consumer: Consumer,
    hand: Hand,
    count: int,
    blocking: bool,
    deadline: float | None,
) -> list[bytes] | None:
    """Receive up to ``count`` items, as :func:`..receive_list.receive_from_list` does."""
    link = handle.link
    in_flight = consumer.take_list(hand)
    connection = link.peek()
    disconnects, channel = link.disconnects, connection.channel
    args = (in_flight.name, b"%d" % count)
    try:
        items = _receive_available(handle, consumer, hand, (*args, b""))
        if items is None and blocking:
            waiter = handle.session.identity.waiter_id(handle.keys.prefix)
            items = wait(
                handle,
                None if deadline is None else deadline - time.monotonic(),
                (_enqueue_getter, (waiter,)),
                token_pop(handle.keys.tokens + b":get"),
                (_pop_sorted, (*args, waiter)),
                lambda _: (_cancel_getter, (waiter,)),
                reap_script,
            )
    except SessionLapsed:
        consumer.doubt(hand)
        return None
    except BaseException:
        in_flight.is_late = True
        raise
    if link.disconnects != disconnects or (
        channel is not None and connection.channel is not channel
    ):
        # An attempt may have arrived late, or twice: it is unknown what is in the list.
        consumer.doubt(hand)
        return None
    if not items:
        consumer.let_go(hand)
    return items or []


def _receive_available(
    handle: Handle, consumer: Consumer, hand: Hand, args: Sequence[bytes]
) -> list[bytes] | None:
    """Return items that are there, None if there are none; acknowledge the previous ones. 1 round
    trip.
    """
    link = handle.link
    connection = link.checkout()
    previous = consumer.acks.take_last(connection.name, hand)
    requests = [] if previous is None else [previous.ack_command]
    requests.append(_pop_sorted.pack_idempotent(handle, args))
    replies = link.exchange_many(connection, b"".join(requests), len(requests))
    if previous is not None:
        if type(replies[0]) is ReplyError:
            consumer.acks.doubt(hand)
        else:  # as answered(), written out
            consumer.recycle(previous)
            hand.previous = None
    popped = replies[-1]
    if type(popped) is ReplyError:
        if popped.passes:
            raise popped
        # Of the queue, or the server does not know the script.
        popped = _pop_sorted.run_idempotent(handle, *args)
    items: list[bytes] | None = popped
    return items
