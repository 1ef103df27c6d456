"""What the machine withheld: a promise of seconds is one for processes that get a core when they
want one, and there may be more of them than cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Gap", "Watch", "check_prompt", "waits", "withheld_since"]


MUCH = 4.0


class Gap(NamedTuple):
    """How long something took, and how much of that was withheld at most, in seconds."""

    took: float
    withheld: float


def check_prompt(gaps: Iterable[Gap], bound: float) -> None:
    """Half of them not much later than the bound, but for what the machine withheld.

    One of them may be as late as the machine likes, which can have everything stand still; that it
    came at all shows that nobody found out by a lease alone, which lasts longer than any test is
    patient.
    """
    took = sorted(gap.took - gap.withheld for gap in gaps)
    assert took[len(took) // 2] <= MUCH * bound, took


class Watch:
    """Started when something is to happen soon; it depends on the server, on this thread, and on
    two others: one that finds out, and one that gets its turn.
    """

    def __init__(self, server: int, pids: Iterable[int]) -> None:
        self._server = server
        self._before = {pid: _kept_waiting(f"{pid}/task") for pid in (server, *pids)}
        self._thread = f"{os.getpid()}/task/{threading.get_native_id()}"
        self._own = _kept(self._thread)

    def withheld(self, pids: Iterable[int]) -> float:
        """How many seconds these have waited for a core since then, at most."""
        others = sorted(map(self._waited, pids))[-2:]
        return self._waited(self._server) + sum(others) + _kept(self._thread) - self._own

    def _waited(self, pid: int) -> float:
        return max(0.0, _kept_waiting(f"{pid}/task") - self._before.get(pid, 0.0))


def waits(pid: int) -> dict[str, float]:
    """How many seconds each thread of a process has waited for a core so far."""
    try:
        return {task.name: _kept(f"{pid}/task/{task.name}") for task in _tasks(pid)}
    except OSError:
        return {}  # it has just ended, or this is no Linux


def withheld_since(before: dict[str, float], pid: int) -> float:
    """How many seconds the threads that there are have waited for a core since then, together."""
    return sum(waited - before.get(task, 0.0) for task, waited in waits(pid).items())


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _kept_waiting(tasks: str) -> float:
    try:
        return sum(_kept(f"{tasks}/{task.name}") for task in Path("/proc", tasks).iterdir())
    except OSError:
        return 0.0  # it has just ended, or this is no Linux


def _kept(task: str) -> float:
    """How long a thread could have run, and was not let."""
    try:
        return int(Path("/proc", task, "schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0
