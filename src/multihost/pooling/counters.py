"""What workers have done, told in memory that they share with who started them."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

__all__ = ["Progress", "TaskCounters"]

FIELDS = 7


class Progress(NamedTuple):
    """How many tasks were begun, returned, raised an exception, and were cut off because their
    worker was killed. A chunk of a map is one task.
    """

    begun: int
    done: int
    failed: int
    lost: int

    @property
    def running(self) -> int:
        """How many run now."""
        return self.begun - self.done - self.failed - self.lost


class TaskCounters:
    """Some numbers for each of some workers, of which only that one writes them, and who started
    it when it is dead.

    A worker that follows another one counts on.
    """

    def __init__(self, workers: int) -> None:
        self._numbers: Any = RawArray("q", FIELDS * max(workers, 1))

    def attach(self, slot: int, session: bytes) -> None:
        """The worker begins, with a session of this name: 16 bytes."""
        name = int.from_bytes(session[:8], "big"), int.from_bytes(session[8:], "big")
        self._numbers[FIELDS * slot + 5 : FIELDS * slot + 7] = name

    def session(self, slot: int) -> bytes:
        """The session of the last worker of this slot."""
        name = self._numbers[FIELDS * slot + 5 : FIELDS * slot + 7]
        return b"".join(int(part).to_bytes(8, "big") for part in name)

    def ready(self, slot: int) -> None:
        """The worker can take tasks."""
        self._numbers[FIELDS * slot] += 1

    def begun(self, slot: int) -> None:
        """A task begins."""
        self._numbers[FIELDS * slot + 1] += 1

    def ended(self, slot: int, ok: bool) -> None:
        """A task has returned, or raised."""
        self._numbers[FIELDS * slot + (2 if ok else 3)] += 1

    def dead(self, slot: int) -> None:
        """The worker has ended, perhaps in the middle of a task."""
        begun, *ended = self._numbers[FIELDS * slot + 1 : FIELDS * slot + 5]
        self._numbers[FIELDS * slot + 4] += begun - sum(ended)

    def readiness(self, slot: int) -> int:
        """How many workers of this slot were ready so far."""
        return int(self._numbers[FIELDS * slot])

    def progress(self) -> Progress:
        """All workers together."""
        numbers = list(self._numbers)
        return Progress(*(sum(numbers[field::FIELDS]) for field in range(1, 5)))
