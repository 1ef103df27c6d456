"""Receiving from a sorted set: a script moves the items, and wake-up tokens wake the waiters."""

from __future__ import annotations

import time

from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.in_flight import InFlightList
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import SessionLapsed, token_pop, wait

__all__ = ["receive_from_sorted_set"]

_pop_sorted = Script("queue/pop_sorted")
_enqueue_getter = Script("queue/enqueue_getter")
_cancel_getter = Script("queue/cancel_getter")


def receive_from_sorted_set(
    handle: Handle, consumer: Consumer, count: int, blocking: bool, deadline: float | None
) -> tuple[list[bytes] | None, InFlightList]:
    """Receive up to ``count`` items, as :func:`..receive_list.receive_from_list` does."""
    link = handle.link
    in_flight = consumer.new_list()
    connection = in_flight.connection
    disconnects, channel = link.disconnects, connection.channel
    args = (in_flight.name, b"%d" % count)
    items: list[bytes] | None
    try:
        items = _receive_available(handle, consumer, in_flight, count)
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
        consumer.quarantine(in_flight)
        return None, in_flight
    except BaseException:
        consumer.quarantine(in_flight)
        raise
    if link.disconnects != disconnects or (
        channel is not None and connection.channel is not channel
    ):
        # An attempt may have arrived late, or twice: it is unknown what is in the list.
        consumer.quarantine(in_flight)
        in_flight.requeue()
        return None, in_flight
    if not items:
        consumer.recycle(in_flight)
    return items or [], in_flight


def _receive_available(
    handle: Handle, consumer: Consumer, in_flight: InFlightList, count: int
) -> list[bytes] | None:
    """Return items that are there, None if there are none; acknowledge the previous ones. 1 round
    trip.
    """
    link = handle.link
    connection = link.checkout()
    args = (in_flight.name, b"%d" % count, b"")
    previous = consumer.acks.pop_last(connection)
    requests = [] if previous is None else [previous.ack_command]
    requests.append(_pop_sorted.pack_request(handle, connection, args)[0])
    try:
        replies = link.exchange_many(connection, b"".join(requests), len(requests))
    except BaseException:
        if previous is not None:
            consumer.acks.mark_received(previous, 0.0)
        raise
    if previous is not None:
        consumer.recycle(previous)
    popped = replies[-1]
    if type(popped) is ReplyError:
        if popped.passes:
            raise popped
        # Of the queue, or the server does not know the script.
        popped = _pop_sorted.run_idempotent(handle, *args)
    items: list[bytes] | None = popped
    return items
