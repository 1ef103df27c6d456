"""Putting items aside that a consumer received and cannot use."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["put_aside"]

_put_aside = Script("queue/put_aside")


def put_aside(
    handle: Handle, consumer: Consumer, hand: Hand, deliveries: Sequence[Delivery]
) -> None:
    """Make dead letters of items in a hand, which count as done. 1 round trip for each in-flight
    list.
    """
    for in_flight, group in itertools.groupby(deliveries, operator.attrgetter("in_flight")):
        gone = list(group)
        # If the outcome stays unknown they are left, with what else is in the hand.
        _put_aside.run_once(handle, in_flight.name, *[delivery.value for delivery in gone])
        consumer.drop(hand, gone)
