"""The tasks of a client that are not done, and which of them are still to be sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

__all__ = ["Number", "Outbox"]

MAX_IN_FLIGHT = 10_000  # tasks that are not done; a thread that adds more waits
MAX_IN_FLIGHT_BYTES = 64 << 20  # the same in bytes
BATCH = 256  # tasks that are sent together
BATCH_BYTES = 1 << 20

Number = tuple[int, int]  # of a task: job and index


class Outbox:
    """What was accepted and is not done. Any thread may add, one at a time sends.

    Ctrl-C may interrupt the main thread in any method. So there are only locks: conditions and
    events are written in Python, and one that is interrupted can leave its lock taken for good.
    ``on_idle()`` is called when nothing is left; it must not block.
    """

    def __init__(self, on_idle: Callable[[], object]) -> None:
        self._on_idle = on_idle
        self._lock = threading.Lock()  # guards what follows
        self._sizes: dict[Number, int] = {}  # of the tasks that are not done
        self._bytes = 0
        self._unsent: deque[tuple[Number, bytes]] = deque()
        self._waiters: deque[threading.Lock] = deque()  # of threads that wait for room
        self.is_closed: bool = False  # no more tasks are accepted

    def __contains__(self, number: Number) -> bool:
        return number in self._sizes

    @property
    def oldest(self) -> Number | None:
        """The number of the task that was added first of those that are not done."""
        with self._lock:
            return next(iter(self._sizes), None)

    @property
    def is_idle(self) -> bool:
        """True if all tasks are done."""
        return not self._sizes

    @property
    def has_unsent(self) -> bool:
        """True if tasks are to be sent."""
        return bool(self._unsent)

    @property
    def numbers(self) -> list[Number]:
        """The numbers of the tasks that are not done."""
        with self._lock:
            return list(self._sizes)

    @property
    def sent_numbers(self) -> list[Number]:
        """The numbers of the tasks that are sent and not done."""
        with self._lock:
            unsent = {number for number, _ in self._unsent}
            return [number for number in self._sizes if number not in unsent]

    def add(self, number: Number, packed: bytes, when_full: Callable[[], object]) -> bool:
        """Accept a task as soon as there is room for it; return False if none is accepted."""
        size = len(packed)
        while True:
            with self._lock:
                if self.is_closed:
                    return False
                if not self._sizes or self._has_room(size):
                    self._sizes[number] = size
                    self._bytes += size
                    self._unsent.append((number, packed))
                    return True
                room = threading.Lock()
                room.acquire()
                self._waiters.append(room)
            when_full()
            room.acquire()

    def _has_room(self, size: int) -> bool:
        return len(self._sizes) < MAX_IN_FLIGHT and self._bytes + size <= MAX_IN_FLIGHT_BYTES

    def take(self, number: Number) -> bool:
        """Count a task as done; return False if it was. If it is not sent yet it never is."""
        with self._lock:
            size = self._sizes.pop(number, None)
            if size is None:
                return False
            self._bytes -= size
            self._wake_waiters()
            if not self._sizes:
                self._bytes = 0  # also if a thread was interrupted between the two
                self._on_idle()
        return True

    def close(self) -> None:
        """Accept no more."""
        with self._lock:
            self.is_closed = True
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        while self._waiters:
            self._waiters.popleft().release()

    # for the thread that sends

    def batch(self) -> list[tuple[Number, bytes]]:
        """Return the next tasks to send. They are to be sent until :meth:`sent` is called."""
        with self._lock:
            batch: list[tuple[Number, bytes]] = []
            size = 0
            for entry in self._unsent:
                if len(batch) == BATCH or size >= BATCH_BYTES:
                    break
                if entry[0] in self._sizes:
                    batch.append(entry)
                    size += len(entry[1])
            if not batch:  # all of them were taken
                self._unsent.clear()
            return batch

    def sent(self, batch: Sequence[tuple[Number, bytes]]) -> None:
        """Do not send these any more."""
        numbers = {number for number, _ in batch}
        with self._lock:
            while self._unsent and (
                self._unsent[0][0] in numbers or self._unsent[0][0] not in self._sizes
            ):
                self._unsent.popleft()

    def is_unsent(self, number: Number) -> bool:
        """Return True for a task that is to be sent. O(tasks to send)."""
        with self._lock:
            return any(each == number for each, _ in self._unsent)
