"""What workers have done, counted in memory that they share with who started them."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

__all__ = ["Progress", "Tally"]

FIELDS = 4


class Progress(NamedTuple):
    """How many tasks were begun, returned, and raised an exception; those of workers that were
    killed count as begun only.
    """

    begun: int
    done: int
    failed: int


class Tally:
    """Four numbers for each of some workers, of which only that one writes them.

    A worker that follows another one counts on.
    """

    def __init__(self, workers: int) -> None:
        self._numbers: Any = RawArray("q", FIELDS * max(workers, 1))

    def ready(self, slot: int) -> None:
        """The worker can begin."""
        self._numbers[FIELDS * slot] += 1

    def begun(self, slot: int) -> None:
        """A task begins."""
        self._numbers[FIELDS * slot + 1] += 1

    def ended(self, slot: int, ok: bool) -> None:
        """A task has returned, or raised."""
        self._numbers[FIELDS * slot + (2 if ok else 3)] += 1

    def readiness(self, slot: int) -> int:
        """How many workers of this slot were ready so far."""
        return int(self._numbers[FIELDS * slot])

    def progress(self) -> Progress:
        """All workers together."""
        numbers = list(self._numbers)
        return Progress(*(sum(numbers[field::FIELDS]) for field in (1, 2, 3)))
