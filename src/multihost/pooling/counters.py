"""Counters of tasks, in memory that worker processes share with the one that started them."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

__all__ = ["Progress", "TaskCounters"]

# Fields of a slot: 0 workers that were ready, 1 to 4 tasks as in Progress, 5 and 6 a session.
FIELDS = 7
SESSION = 5


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
    """Numbers for each slot: a place for one worker at a time. Only that worker writes them, and
    the process that started it once it is dead.

    The worker that replaces another one counts on.
    """

    def __init__(self, workers: int) -> None:
        self._numbers: Any = RawArray("q", FIELDS * max(workers, 1))

    def attach(self, slot: int, session: bytes) -> None:
        """Store the session of the worker that starts: 16 bytes."""
        halves = int.from_bytes(session[:8], "big"), int.from_bytes(session[8:], "big")
        self._numbers[FIELDS * slot + SESSION : FIELDS * slot + SESSION + 2] = halves

    def session(self, slot: int) -> bytes:
        """Return the session of the last worker of this slot."""
        halves = self._numbers[FIELDS * slot + SESSION : FIELDS * slot + SESSION + 2]
        return b"".join(int(half).to_bytes(8, "big") for half in halves)

    def ready(self, slot: int) -> None:
        """Count a worker that can run tasks."""
        self._numbers[FIELDS * slot] += 1

    def begun(self, slot: int) -> None:
        """Count a task that begins."""
        self._numbers[FIELDS * slot + 1] += 1

    def ended(self, slot: int, ok: bool) -> None:
        """Count a task that has returned (``ok``) or raised."""
        self._numbers[FIELDS * slot + (2 if ok else 3)] += 1

    def dead(self, slot: int) -> None:
        """Count as lost the task that a worker had begun when it died, if any."""
        begun, *ended = self._numbers[FIELDS * slot + 1 : FIELDS * slot + 5]
        self._numbers[FIELDS * slot + 4] += begun - sum(ended)

    def readiness(self, slot: int) -> int:
        """Return how many workers of this slot were ready so far."""
        return int(self._numbers[FIELDS * slot])

    def progress(self) -> Progress:
        """Return the sums over all workers."""
        numbers = list(self._numbers)
        return Progress(*(sum(numbers[field::FIELDS]) for field in range(1, 5)))
