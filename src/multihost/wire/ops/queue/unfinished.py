"""Items that were received and wait for ``task_done()``."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections import deque
from collections.abc import Iterable

from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import InFlightList

__all__ = ["DoneCalls", "UnfinishedItem", "UnfinishedItems"]

MOST_CALLS = 1000  # of which is remembered when they were made

UnfinishedItem = tuple[InFlightList, Hand]
"""The in-flight list of an item, and the call that received it."""


class UnfinishedItems:
    """The items that are not done, by the thread that received them."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: dict[int, list[UnfinishedItem]] = {}  # oldest first

    def expect(self, lists: Iterable[InFlightList], hand: Hand) -> None:
        """This thread receives an item of each list, once the call has returned."""
        mine = self._items.setdefault(threading.get_ident(), [])
        mine.extend([(in_flight, hand) for in_flight in lists])

    def lists(self) -> frozenset[InFlightList]:
        """Return the lists of all of them."""
        return frozenset(
            in_flight for items in list(self._items.values()) for in_flight, _ in list(items)
        )

    def forget(self, hand: Hand) -> None:
        """The call of this thread did not return."""
        mine = self._items.get(threading.get_ident(), [])
        for item in [item for item in mine if item[1] is hand]:
            mine.remove(item)

    def take_oldest(self, taken: list[UnfinishedItem]) -> None:
        """Move the oldest item to ``taken``: of this thread if it has one, else of any thread."""
        mine = self._items.get(threading.get_ident(), [])
        for items in (mine, *list(self._items.values())):
            while not taken:
                index = next((i for i, (_, hand) in enumerate(items) if hand.handed < math.inf), -1)
                if index < 0:
                    break
                # In one bytecode: a signal handler may raise.
                with contextlib.suppress(IndexError):  # another thread was first
                    taken.extend(map(items.pop, (index,)))

    def put_back(self, taken: list[UnfinishedItem]) -> None:
        """Undo :meth:`take_oldest`: nothing was sent to the server."""
        self._items.setdefault(threading.get_ident(), [])[:0] = taken


class DoneCalls:
    """The calls of ``task_done()`` for items that are not delivered again, whatever they were."""

    __slots__ = ("before", "created", "forgiven", "name", "numbers", "received", "total")

    def __init__(self) -> None:
        self.name: bytes = b""  # of the session, under which the server counts them
        self.created: bytes = b""  # when that queue was, as the server says
        self.before: int = 0  # how many there were under other names
        self.total: int = 0
        # For the last ones, how many items had been received before.
        self.received: deque[int] = deque(maxlen=MOST_CALLS)
        self.forgiven: int = 0  # how many may be too many: the server went back
        self.numbers: itertools.count[int] = itertools.count(1)  # atomic, as += is not

    def begin(self, name: bytes, created: bytes) -> None:
        """The server counts under another name from now on, or it is another queue."""
        self.name, self.created, self.before = name, created, self.total
        self.received.clear()

    def forgive(self) -> bool:
        """Return whether one call too many is no error: the item was delivered to others, too."""
        self.forgiven, is_forgiven = max(self.forgiven - 1, 0), self.forgiven > 0
        return is_forgiven
