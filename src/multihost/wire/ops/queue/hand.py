"""The hand of a call: what it has taken and not handed over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multihost.wire.ops.queue.in_flight import Delivery, InFlightList

__all__ = ["ANY_CALL", "Hand"]


class Hand:
    """What a ``get()`` has taken, and its caller does not have yet.

    A signal handler may raise at any bytecode. So whatever a call takes is noted here before
    anything else is done with it, by a store: between that and what removes it from where it was
    there is no call, and so no moment at which CPython looks for signals. A call that ends by an
    exception leaves what is here to the next one, or to the background thread
    (:meth:`.Consumer.leave`). One that returns stores the time in ``handed`` as the last thing
    that it does: by that the items are the caller's, and are acknowledged.
    """

    # Defaults instead of an __init__: each get() makes one.
    handed: float = math.inf
    """When the caller got what is here, by the monotonic clock."""
    in_flight: InFlightList | None = None
    """An in-flight list that nothing else refers to."""
    previous: InFlightList | None = None
    """One whose acknowledgement is under way."""
    doubtful: Sequence[InFlightList] = ()
    """Lists of which it is unknown what they contain, for their connections broke."""
    prefetched: Sequence[Delivery] = ()
    """Items that had been prefetched."""


ANY_CALL = Hand()  # one that returned long ago
ANY_CALL.handed = 0.0
