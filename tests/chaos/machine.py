"""What the machine withheld: a promise of seconds is one for processes that get a core when they
want one, and there may be more of them than cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Gap", "Watch", "check_each", "check_prompt"]


class Gap(NamedTuple):
    """How long something took, and how much of that was withheld at most, in seconds."""

    took: float
    withheld: float


def check_prompt(gaps: Iterable[Gap], bound: float) -> None:
    """All within the bound; nine of ten without an excuse, which is generous on a full machine."""
    gaps = sorted(gaps)
    assert gaps[len(gaps) * 9 // 10].took <= bound, gaps[-len(gaps) // 10 - 1 :]
    check_each(gaps, bound)


def check_each(gaps: Iterable[Gap], bound: float) -> None:
    """All within the bound, but for what the machine withheld."""
    late = [gap for gap in gaps if gap.took - gap.withheld > bound]
    assert not late, late


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
