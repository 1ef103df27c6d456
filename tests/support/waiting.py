"""Waiting for what sends no event: the only place in the tests where time passes in steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "wait_until"]

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a machine may be busy with other things: what takes longer does not happen."""

FIRST_STEP = 0.001
LONGEST_STEP = 0.02


def wait_until(predicate: Callable[[], T], timeout: float = PATIENCE, what: str = "") -> T:
    """Return the first true answer of ``predicate``; after ``timeout`` s fail, naming ``what``."""
    deadline = time.monotonic() + timeout
    never = threading.Event()
    step = FIRST_STEP
    while True:
        if answer := predicate():
            return answer
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            wanted = what or getattr(predicate, "__name__", repr(predicate))
            raise AssertionError(f"not within {timeout} s: {wanted}")
        never.wait(min(step, remaining))
        step = min(step * 2, LONGEST_STEP)
