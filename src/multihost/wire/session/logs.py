"""The log of the thread that keeps a session alive.

A handler may wait, even for what that thread has to do: so another thread calls the handlers, one
in the process. It begins with a message, and ends with the last that waits. Messages that find too
many before them are dropped, and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from multihost.patching import on_patch
from multihost.wire.redaction import as_logged

__all__ = ["MOST_WAITING", "log"]

logger: logging.Logger = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Messages that wait for a handler."""


class _Writer:
    """The messages that wait, and the thread that hands them to their handlers."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finalizer may come in between, and log
        self._waiting: deque[Callable[[], object]] = deque()
        self._dropped = 0
        self._is_running = False

    def add(self, message: Callable[[], object]) -> None:
        """Have it called, behind those that wait. No round trip, and no wait for a handler."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._dropped += 1
                return
            self._waiting.append(message)
            self._ensure_thread()

    def _ensure_thread(self) -> None:
        if not self._is_running:
            with contextlib.suppress(RuntimeError):  # the interpreter ends, and starts no threads
                threading.Thread(target=self._run, name="multihost-log", daemon=True).start()
                self._is_running = True

    def _run(self) -> None:
        try:
            while (message := self._next()) is not None:
                message()
        except BaseException:  # of a handler; another thread goes on with the rest
            with self._lock:
                self._is_running = False
                if self._waiting:
                    self._ensure_thread()
            raise

    def _next(self) -> Callable[[], object] | None:
        """Return what is to be called next; None if nothing is: the thread ends."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text = "%d messages were dropped, since handlers of the log did not return"
                return lambda: logger.warning(text, dropped)
            self._is_running = False
            return None


def log(
    logger: logging.Logger,
    level: int,
    text: str,
    *args: object,
    exc_info: BaseException | None = None,
) -> None:
    """Log from another thread, behind what was logged before."""
    if logger.isEnabledFor(level):
        error = None if exc_info is None else as_logged(exc_info)
        _writer.add(lambda: logger.log(level, text, *args, exc_info=error))


_writer = _Writer()


def _begin_anew() -> None:
    """In a forked child, and when threads become greenlets."""
    global _writer
    _writer = _Writer()


os.register_at_fork(after_in_child=_begin_anew)
on_patch(_begin_anew)
