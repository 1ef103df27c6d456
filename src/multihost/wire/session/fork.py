"""Keeping sessions consistent when a thread of the process forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["ForkAware", "track"]


class ForkAware(Protocol):
    """What has locks, threads or connections that a forked child cannot share."""

    def before_fork(self) -> None:
        """Acquire every lock, so that none is held by a thread that the child does not have."""

    def after_fork_in_parent(self) -> None:
        """Release the locks."""

    def after_fork_in_child(self) -> None:
        """Replace what must not be shared with the parent."""


_tracked: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_forking: list[ForkAware] = []
_one_fork = threading.Lock()  # threads that fork take turns: _forking is of one of them


def track(each: ForkAware) -> None:
    """Call the methods of an object at each fork, for as long as it lives."""
    _tracked.add(each)


def _before_fork() -> None:
    _one_fork.acquire()
    _forking[:] = _tracked  # one that is made or collected meanwhile would not match its release
    for each in _forking:
        each.before_fork()


def _after_fork_in_parent() -> None:
    for each in _forking:
        each.after_fork_in_parent()
    _forking.clear()
    _one_fork.release()


def _after_fork_in_child() -> None:
    tracked = list(_forking)
    _forking.clear()
    # The child has this one thread, which holds the lock and may fork again.
    _one_fork.release()
    for each in tracked:
        each.after_fork_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
