"""Receiving items: one or many, now or as soon as there are some."""

from __future__ import annotations

import time

from multihost.wire.link import confirm_element
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery, InFlightList
from multihost.wire.ops.queue.receive_list import EMPTY, receive_available, receive_from_list
from multihost.wire.ops.queue.receive_sorted import receive_from_sorted_set
from multihost.wire.ops.queue.settings import PRIORITY
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import Outage, start_watching, stop_watching

__all__ = ["receive", "receive_one", "take_prefetched"]

_recover = Script("queue/recover")

MOST_RECOVERED = 256  # items of a doubtful list in one round: the script moves them one by one


def receive_one(
    handle: Handle, consumer: Consumer, hand: Hand, blocking: bool, seconds: float | None
) -> Delivery | None:
    """Receive one item, a prefetched one if there is any; None if there was none in time. It is in
    the hand of the call, and not acknowledged.

    1 round trip, and the wait; none for a prefetched item. Raises ShutDown, ObjectGone.
    """
    if consumer.is_fifo_without_prefetch:
        if not (consumer.doubtful or (consumer.last_get_blocked and blocking)):
            found = receive_available(handle, consumer, hand)
            if found is EMPTY and not blocking:
                handle.session.janitor.watch_briefly(handle.keys, reap_script)
                return None
            if found is not None and found is not EMPTY:
                if not handle.link.replicas or confirm_element(handle.link, found.in_flight.key):
                    return found
                consumer.abandon(hand)
    elif prefetched := take_prefetched(consumer, hand, 1):
        return prefetched[0]
    items = receive(handle, consumer, hand, 1 + consumer.prefetch, blocking, seconds)
    if len(items) > 1:
        hand.prefetched = items
        hand.in_flight = None
        # In one bytecode: what is not in the hand any more was prefetched.
        consumer.prefetched.extend(map(items.pop, [1] * (len(items) - 1)))
    return items[0] if items else None


def take_prefetched(consumer: Consumer, hand: Hand, count: int) -> list[Delivery]:
    """Return up to ``count`` items that were prefetched. No round trip."""
    if not consumer.prefetched:
        return []
    consumer.take_prefetched(hand, count)
    hand.prefetched = [item for item in hand.prefetched if _is_owned(consumer, item)]
    return hand.prefetched


def _is_owned(consumer: Consumer, item: Delivery) -> bool:
    in_flight, expirations = item.in_flight, item.in_flight.expirations
    return consumer.is_unexpired(expirations) or consumer.still_owns(in_flight, expirations)


def receive(
    handle: Handle,
    consumer: Consumer,
    hand: Hand,
    count: int,
    blocking: bool,
    seconds: float | None,
) -> list[Delivery]:
    """Receive up to ``count`` items, at least one if there is one in time.

    They are in the hand of the call, and not acknowledged. 1 round trip, and the wait. Raises
    ShutDown, ObjectGone.
    """
    membership = consumer.membership
    deadline = None if seconds is None else time.monotonic() + seconds
    may_block = blocking = blocking and (seconds is None or seconds > 0)
    by_priority = consumer.settings.order == PRIORITY
    receive_from_queue = receive_from_sorted_set if by_priority else receive_from_list
    outage: Outage | None = None
    has_waited = False
    try:
        if blocking:
            start_watching(consumer.handle, reap_script)
        while True:
            handle.session.ensure_registered(handle.keys)
            expirations = membership.expirations
            try:
                # First of all what an interrupted call left, or one whose connection broke.
                is_left = consumer.doubtful or hand.doubtful
                receive_round = _recover_items if is_left else receive_from_queue
                items = receive_round(handle, consumer, hand, count, may_block, deadline)
            except ReplyError as error:
                consumer.doubt(hand)
                outage = outage or Outage(handle.link, has_waited)
                if not outage.back_off(error):
                    raise to_exception(error, "queue/get", handle.keys.ident) from None
                if error.has_moved:
                    handle.link.disconnect_current()
                continue
            in_flight = hand.in_flight
            if items:
                assert in_flight is not None
                if _is_delivered(handle, consumer, in_flight, expirations):
                    return in_flight.deliveries(items)
                consumer.abandon(hand)
                items = None
            is_over = deadline is not None and time.monotonic() >= deadline
            if items is None:  # that there was none only the server can say
                may_block = may_block and not is_over
            elif not items:
                if is_over or not blocking:
                    handle.session.janitor.watch_briefly(handle.keys, reap_script)
                    return []
                consumer.last_get_blocked = has_waited = True
                outage = None
    finally:
        if blocking:
            stop_watching(consumer.handle)


def _is_delivered(
    handle: Handle, consumer: Consumer, in_flight: InFlightList, expirations: int
) -> bool:
    """Return whether what was received is there still, and replicas have it, if they have to."""
    return (consumer.is_unexpired(expirations) or consumer.still_owns(in_flight, expirations)) and (
        not handle.link.replicas or confirm_element(handle.link, in_flight.key)
    )


def _recover_items(
    handle: Handle,
    consumer: Consumer,
    hand: Hand,
    count: int,
    blocking: bool,  # noqa: ARG001 - this and the next are for other rounds
    deadline: float | None,  # noqa: ARG001
) -> list[bytes] | None:
    """Receive what is in a doubtful list; None if that is not known, or it contains nothing. 1
    round trip.
    """
    link = handle.link
    doubtful = consumer.take_doubtful(hand)
    if doubtful is None:  # another thread was first
        return None
    in_flight = consumer.take_list(hand)
    disconnects = link.disconnects
    in_flight.is_late = True
    left, *items = _recover.run_idempotent(
        handle, in_flight.name, doubtful.name, b"%d" % min(count, MOST_RECOVERED)
    )
    in_flight.is_late = False
    if left and not items:  # an end-of-queue marker
        doubtful.is_late = True
    if not left or not items:
        hand.doubtful = hand.doubtful[1:]
        consumer.recycle_doubtful(doubtful)
    consumer.put_back_doubtful(hand)
    if link.disconnects != disconnects:
        consumer.doubt(hand)  # it may have been executed twice, or late
        return None
    if not items:
        consumer.let_go(hand)
    return items or None
