"""Signals of worker processes that heed them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["HEEDED", "unblock", "held_back"]

HEEDED = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def held_back(heeded: bool) -> Iterator[None]:
    """Until a child that is started here is ready for them: a forked one inherits the handlers of
    its parent, which would take a signal for one to the parent, and the child would never end.
    """
    if not heeded:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """In the child, which has handlers of its own now: what was held back arrives."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
