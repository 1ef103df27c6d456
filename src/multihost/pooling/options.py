"""The options of a pool, which managers, pools and executors take as arguments."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from multihost.pooling.messages import pickler_of

__all__ = ["PoolOptions", "cpu_count"]


class PoolOptions(NamedTuple):
    """The arguments of :class:`multihost.pool.Pool`, without those that name its server."""

    processes: int | None = None
    initializer: Callable[..., object] | None = None
    initargs: Iterable[Any] = ()
    maxtasksperchild: int | None = None
    context: Any = None
    name: str | None = None
    attempts: int = 1
    pickler: str = "pickle"

    @property
    def size(self) -> int:
        """The number of workers that the pool starts."""
        return cpu_count() if self.processes is None else self.processes

    @property
    def setup(self) -> tuple[Callable[..., object] | None, tuple[Any, ...], int | None]:
        """The settings that all workers of a named pool share."""
        return self.initializer, tuple(self.initargs), self.maxtasksperchild

    def check(self) -> None:
        """Raise ValueError, TypeError or ImportError for options that no pool can have."""
        operator.index(self.size)
        if self.size < 0 or (self.size == 0 and self.name is None):
            raise ValueError("Number of processes must be at least 1")
        maxtasks: object = self.maxtasksperchild
        if maxtasks is not None and (not isinstance(maxtasks, int) or maxtasks <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if self.initializer is not None and not callable(self.initializer):
            raise TypeError("initializer must be a callable")
        if operator.index(self.attempts) < 1:
            raise ValueError(f"attempts is at least 1, not {self.attempts}")
        pickler_of(self.pickler)


def cpu_count() -> int:
    """Return how many processors this process may use, as multiprocessing counts them."""
    count: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1
