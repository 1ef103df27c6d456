"""What workers have done, told in memory that they share with who started them."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

__all__ = ["Progress", "Tally"]

FIELDS = 6


class Progress(NamedTuple):
    """How many tasks were begun, returned, and raised an exception; those of workers that were
    killed count as begun only. A chunk of a map is one task.
    """

    begun: int
    done: int
    failed: int


class Tally:
    """Some numbers for each of some workers, of which only that one writes them.

    A worker that follows another one counts on.
    """

    def __init__(self, workers: int) -> None:
        self._numbers: Any = RawArray("q", FIELDS * max(workers, 1))

    def enter(self, slot: int, session: bytes) -> None:
        """The worker begins, with a session of this name: 16 bytes."""
        name = int.from_bytes(session[:8], "big"), int.from_bytes(session[8:], "big")
        self._numbers[FIELDS * slot + 4 : FIELDS * slot + 6] = name

    def session(self, slot: int) -> bytes:
        """The session of the last worker of this slot."""
        name = self._numbers[FIELDS * slot + 4 : FIELDS * slot + 6]
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

    def readiness(self, slot: int) -> int:
        """How many workers of this slot were ready so far."""
        return int(self._numbers[FIELDS * slot])

    def progress(self) -> Progress:
        """All workers together."""
        numbers = list(self._numbers)
        return Progress(*(sum(numbers[field::FIELDS]) for field in (1, 2, 3)))
