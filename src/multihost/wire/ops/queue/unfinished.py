"""Items that were received and wait for ``task_done()``."""

from __future__ import annotations

import threading
from collections import deque

from multihost.wire.ops.queue.in_flight import InFlightList

__all__ = ["UnfinishedItems"]


class UnfinishedItems:
    """The in-flight lists of items that are not done, by the thread that received them."""

    __slots__ = ("_lists", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists: dict[int, deque[InFlightList]] = {}  # one entry an item, oldest first

    def add(self, in_flight: InFlightList) -> None:
        """This thread received an item of the list."""
        with self._lock:
            self._lists.setdefault(threading.get_ident(), deque()).append(in_flight)

    def pop_oldest(self) -> InFlightList | None:
        """Return the list of the oldest item: of this thread if it has one, else of any thread.
        None if all items are done.
        """
        me = threading.get_ident()
        with self._lock:
            thread = me if me in self._lists else next(iter(self._lists), None)
            if thread is None:
                return None
            in_flight = self._lists[thread].popleft()
            if not self._lists[thread]:
                del self._lists[thread]
            return in_flight

    def undo_pop(self, in_flight: InFlightList) -> None:
        """Undo :meth:`pop_oldest`: it is unknown whether the server knows that the item is done."""
        with self._lock:
            self._lists.setdefault(threading.get_ident(), deque()).appendleft(in_flight)
