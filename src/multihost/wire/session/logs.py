"""The log of the thread that keeps a session alive."""

from __future__ import annotations

import contextlib
import logging
import threading

__all__ = ["log"]


def log(
    logger: logging.Logger,
    level: int,
    text: str,
    *args: object,
    exc_info: BaseException | None = None,
) -> None:
    """Log from another thread: a handler may wait, even for what the session thread has to do."""
    if not logger.isEnabledFor(level):
        return
    with contextlib.suppress(RuntimeError):  # the interpreter ends, and starts no threads
        threading.Thread(
            target=logger.log,
            args=(level, text, *args),
            kwargs={"exc_info": exc_info},
            name="multihost-log",
            daemon=True,
        ).start()
