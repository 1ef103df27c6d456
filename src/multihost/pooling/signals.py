"""Signals that worker processes handle, while those are started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["HANDLED", "blocked", "unblock"]

HANDLED = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def blocked(handled: bool) -> Iterator[None]:
    """Block the signals while a child is started that has handlers for them.

    A forked child inherits the handlers of its parent: they would take a signal for one to the
    parent, and the child would never end. ``handled`` is False for children without handlers.
    """
    if not handled:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Unblock the signals in a child that has installed its handlers: pending ones arrive."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
