"""What becomes of items that were received: the queue forgets them, or gets them back."""

from __future__ import annotations

import itertools
import operator
import time
from collections.abc import Sequence

from multihost.wire.ops.ownership import without_flag
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.in_flight import Delivery, InFlightList
from multihost.wire.ops.queue.items import WITH_PROXIES
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["acknowledge", "acknowledge_one", "give_back"]

_ack_linked = Script("queue/ack_linked")
_give_back = Script("queue/give_back")


def acknowledge(handle: Handle, consumer: Consumer, items: Sequence[Delivery]) -> None:
    """Acknowledge items that this thread has received. No round trip, one for each in-flight list
    if they contain proxies.
    """
    for in_flight, group in itertools.groupby(items, operator.attrgetter("in_flight")):
        values = [item.value for item in group]
        if consumer.settings.max_deliveries:  # then task_done() does it
            for _ in values:
                consumer.unfinished.add(in_flight)
        elif any(value[0] in WITH_PROXIES for value in values):
            _acknowledge_linked(handle, consumer, in_flight, len(values))
        else:
            consumer.decrement(in_flight, len(values))
            consumer.acks.mark_received(in_flight, time.monotonic())


def acknowledge_one(handle: Handle, consumer: Consumer, item: Delivery) -> None:
    """Acknowledge one item, as nearly every call does."""
    in_flight = item.in_flight
    if consumer.settings.max_deliveries or in_flight.unacked > 1 or item.value[0] in WITH_PROXIES:
        acknowledge(handle, consumer, (item,))
    else:
        in_flight.unacked = 0
        consumer.acks.mark_received(in_flight, time.monotonic())


def _acknowledge_linked(
    handle: Handle, consumer: Consumer, in_flight: InFlightList, count: int
) -> None:
    """Acknowledge items with proxies: the queue does not own any more what they refer to."""
    is_empty = consumer.decrement(in_flight, count)
    try:
        answer = _ack_linked.run_once(handle, in_flight.name, b"%d" % in_flight.unacked)
        without_flag(handle, answer)
    except BaseException:
        # Without the script what they refer to lives too long, but no item is delivered again.
        consumer.acks.mark_received(in_flight, 0.0)
        raise
    if is_empty:
        consumer.recycle(in_flight)


def give_back(
    handle: Handle, consumer: Consumer, items: Sequence[Delivery], *, dead: bool = False
) -> None:
    """Give items back that were received and that the caller does not get: to where they were, as
    not delivered, or to the ``dead`` letters, where they count as done. 1 round trip for each
    in-flight list.
    """
    for in_flight, group in itertools.groupby(items, operator.attrgetter("in_flight")):
        values = [item.value for item in group]
        # If the outcome stays unknown they count as in flight, until this process exits.
        _give_back.run_once(handle, in_flight.name, b"%d" % dead, *values)
        is_empty = consumer.decrement(in_flight, len(values))
        if not consumer.settings.max_deliveries:
            consumer.acks.mark_received(in_flight, time.monotonic())
        elif is_empty:
            consumer.recycle(in_flight)
