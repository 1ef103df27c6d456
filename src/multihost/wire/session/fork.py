"""Keeping sessions consistent when a thread of the process forks, or when gevent makes greenlets of
its threads (:mod:`multihost.patching`).
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import multihost.pipes  # noqa: F401 - its hooks come first
from multihost.patching import is_patched, on_patch
from multihost.weak import WeakMembers

__all__ = ["ForkAware", "join", "start_after_fork", "track"]

# CPython warns the parent of a fork that it has threads. These versions count them only after the
# hooks below have run, so that one which a hook had ended and started again would count.
COUNTS_AFTER_HOOKS = (3, 12) <= sys.version_info < (3, 14, 1)


class ForkAware(Protocol):
    """What has locks, threads or connections that a forked child cannot share."""

    def before_fork(self) -> None:
        """Acquire every lock, so that none is held by a thread that the child does not have."""

    def after_fork_in_parent(self) -> None:
        """Release the locks."""

    def after_fork_in_child(self) -> None:
        """Replace what must not be shared with the parent."""

    def before_patch(self) -> None:
        """End threads: they cannot become greenlets."""

    def after_patch(self) -> None:
        """Replace what was made for threads."""


_tracked: WeakMembers[ForkAware] = WeakMembers()
_forking: list[ForkAware] = []
_one_fork = threading.Lock()  # threads that fork take turns: _forking is of one of them


def track(each: ForkAware) -> None:
    """Call the methods of an object at each fork, for as long as it lives."""
    _tracked.add(each)


# -- ending threads before a fork, and starting them again in the parent


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait for the end of a thread for so many seconds, until the kernel does not count it any
    more: before 3.13 Python says a moment earlier that it has ended.
    """
    deadline = time.monotonic() + seconds
    thread.join(seconds)
    if sys.version_info < (3, 13) and not thread.is_alive():
        counted = f"/proc/self/task/{thread.native_id}"
        while os.path.exists(counted) and time.monotonic() < deadline:
            os.sched_yield()


_starting: list[Callable[[], object]] = []


def start_after_fork(start: Callable[[], object]) -> None:
    """In a hook after a fork: call ``start()``, which starts a thread, when the hooks have released
    their locks, and in the parent when the thread does not count as one that was there at the fork.
    """
    _starting.append(start)


def _start_soon(starts: list[Callable[[], object]]) -> None:
    counts = COUNTS_AFTER_HOOKS and not is_patched()  # a greenlet is no thread that counts
    if counts and threading.current_thread() is threading.main_thread():
        _pending.extend(starts)
        if _call_soon(_start_pending):
            return
        _pending.clear()
    for start in starts:
        start()


_pending: list[Callable[[], object]] = []  # of the main thread


def _start_pending() -> None:
    while _pending:
        _pending.pop(0)()


def _call_soon(function: Callable[[], object]) -> bool:
    """Have the main thread call a function before it goes on with the program: when ``os.fork()``
    has returned. Return False if that is not possible.
    """
    try:
        import ctypes  # few programs have it, and only they fork at such a version
    except ImportError:
        return False
    return bool(ctypes.pythonapi.Py_AddPendingCall(_as_pending_call(function), None) == 0)


@functools.cache
def _as_pending_call(function: Callable[[], object]) -> Any:
    """Return a function of C that calls ``function``. It stays: C does not count references."""
    import ctypes

    def call(_: object) -> int:
        function()
        return 0

    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(call)


# -- the hooks


def _before_fork() -> None:
    _one_fork.acquire()
    _forking[:] = _tracked  # one that is made or collected meanwhile would not match its release
    for each in _forking:
        each.before_fork()


def _after_fork_in_parent() -> None:
    for each in _forking:
        each.after_fork_in_parent()
    _forking.clear()
    starts = list(_starting)
    _starting.clear()
    _one_fork.release()
    if starts:
        _start_soon(starts)


def _after_fork_in_child() -> None:
    tracked = list(_forking)
    _forking.clear()
    # The child has this one thread, which holds the lock and may fork again.
    _one_fork.release()
    for each in tracked:
        each.after_fork_in_child()
    if not _start_later:
        _start_all()


def _start_all() -> None:
    starts = list(_starting)
    _starting.clear()
    for start in starts:
        start()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


# -- threads become greenlets

_start_later = False  # gevent has hooks that come between, and find no thread in a child


def _before_patch() -> None:
    for each in _tracked:
        each.before_patch()


def _after_patch() -> None:
    global _one_fork, _start_later
    _one_fork = threading.Lock()
    for each in _tracked:
        each.after_patch()
    _start_all()
    if not _start_later:
        _start_later = True
        os.register_at_fork(after_in_child=_start_all)


on_patch(_after_patch, _before_patch)
