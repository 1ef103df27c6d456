"""Pipes, and which of their ends forked children keep.

The lowest module that has hooks for forks: they come first, and have released their lock when those
of others start threads, in which a finalizer may take it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import Final

__all__ = ["close_in_children", "close_pipe", "fork_lock", "move_up", "open_pipe"]

FIRST_FD: Final = 10  # the shell of a private server gets numbers below it

# Descriptors that no forked child may keep: with one of them a child would block a server. The lock
# keeps a fork out while such a descriptor exists and is not yet in the set; it is reentrant for a
# signal handler that forks.
_owner_only: set[int] = set()
fork_lock: Final = threading.RLock()


def _close_after_fork() -> None:
    while _owner_only:
        os.close(_owner_only.pop())
    fork_lock.release()


os.register_at_fork(
    before=fork_lock.acquire,
    after_in_parent=fork_lock.release,
    after_in_child=_close_after_fork,
)


def close_in_children(*fds: int) -> None:
    """Have forked children close these descriptors. The caller has the fork lock."""
    _owner_only.update(fds)


def close_pipe(fd: int) -> None:
    """Close an end of a pipe, and forget what children would do with it. Takes the fork lock."""
    with fork_lock:
        _owner_only.discard(fd)
        os.close(fd)


def move_up(fd: int) -> int:
    """Return another descriptor for the same, above the numbers that the shell gets; close this
    one.
    """
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    finally:
        os.close(fd)


def open_pipe(fds: list[int]) -> tuple[int, int]:
    """Open a pipe and append its ends to ``fds``; both above the numbers that the shell gets."""
    lows = os.pipe()
    try:
        for low in lows:
            fds.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_FD))  # noqa: PERF401 - one by one
    finally:
        for low in lows:
            os.close(low)
    return fds[-2], fds[-1]
