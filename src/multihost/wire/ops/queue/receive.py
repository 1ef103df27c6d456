"""Receiving items: one or many, now or as soon as there are some."""

from __future__ import annotations

import threading
import time

from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.ops.queue.receive_list import EMPTY, receive_available, receive_from_list
from multihost.wire.ops.queue.receive_sorted import receive_from_sorted_set
from multihost.wire.ops.queue.settings import PRIORITY
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.session import Handle
from multihost.wire.wait import Outage, start_watching

__all__ = ["receive", "receive_one", "take_prefetched"]

# Seconds; a call that returns sooner did not wait for its item.
IMMEDIATE = 0.0002


def receive_one(
    handle: Handle, consumer: Consumer, blocking: bool, seconds: float | None
) -> Delivery | None:
    """Receive one item, a prefetched one if there is any; None if there was none in time. It is not
    acknowledged.

    1 round trip, and the wait; none for a prefetched item. Raises ShutDown, ObjectGone.
    """
    if consumer.is_fifo_without_prefetch:
        if not (consumer.last_get_blocked and blocking):
            found = receive_available(handle, consumer)
            if found is EMPTY and not blocking:
                handle.session.janitor.watch_briefly(handle.keys, reap_script)
                return None
            if found is not None and found is not EMPTY:
                return found
    elif prefetched := take_prefetched(consumer, 1):
        return prefetched[0]
    begun = time.monotonic()
    items = receive(handle, consumer, 1 + consumer.prefetch, blocking, seconds)
    consumer.last_get_blocked = time.monotonic() - begun > IMMEDIATE
    consumer.prefetched.extend(items[1:])
    return items[0] if items else None


def take_prefetched(consumer: Consumer, count: int) -> list[Delivery]:
    """Return up to ``count`` items that were prefetched. No round trip."""
    items: list[Delivery] = []
    while consumer.prefetched and len(items) < count:
        try:
            item = consumer.prefetched.popleft()
        except IndexError:  # another thread was first
            break
        in_flight, expirations = item.in_flight, item.in_flight.expirations
        if consumer.is_unexpired(expirations) or consumer.still_owns(in_flight, expirations):
            items.append(item)
    return items


def receive(
    handle: Handle, consumer: Consumer, count: int, blocking: bool, seconds: float | None
) -> list[Delivery]:
    """Receive up to ``count`` items, at least one if there is one in time.

    They are not acknowledged. 1 round trip, and the wait. Raises ShutDown, ObjectGone.
    """
    registration = handle.session.registration
    deadline = None if seconds is None else time.monotonic() + seconds
    blocking = blocking and (seconds is None or seconds > 0)
    by_priority = consumer.settings.order == PRIORITY
    receive_round = receive_from_sorted_set if by_priority else receive_from_list
    watched = start_watching(handle, reap_script) if blocking else None
    outage: Outage | None = None
    has_waited = False
    try:
        while True:
            handle.session.ensure_registered(handle.keys)
            expirations = registration.expirations
            try:
                items, in_flight = receive_round(handle, consumer, count, blocking, deadline)
            except ReplyError as error:
                outage = outage or Outage(handle.link, has_waited)
                if not outage.back_off(error):
                    raise to_exception(error, "queue/get", handle.keys.ident) from None
                if error.has_moved:
                    handle.link.disconnect_current()
                continue
            if items:
                if consumer.is_unexpired(expirations) or consumer.still_owns(
                    in_flight, expirations
                ):
                    return in_flight.deliveries(items)
            elif (items is not None and not blocking) or (
                deadline is not None and time.monotonic() >= deadline
            ):
                handle.session.janitor.watch_briefly(handle.keys, reap_script)
                return []
            else:
                consumer.last_get_blocked = has_waited = True
                outage = None
    finally:
        if watched is not None:
            watched.waiters.discard(threading.get_ident())
