"""Conditions and events that Ctrl-C cannot leave locked.

Those of :mod:`threading` are written in Python: a signal handler that raises in their
``__enter__`` or ``__exit__`` leaves the lock taken for good, and the thread that is to notify
waits for ever. Here locks are taken and released by C alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

__all__ = ["InterruptibleCondition", "InterruptibleEvent"]

if TYPE_CHECKING:

    class RLock:
        """The lock that :func:`threading.RLock` returns; it has no public name."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
        def release(self) -> None: ...
        def _is_owned(self) -> bool: ...
        def __enter__(self) -> bool: ...
        def __exit__(self, *exc: object) -> None: ...

else:
    RLock = type(threading.RLock())


class _Waiters(deque[Any]):
    """Locks of the threads that wait."""

    @staticmethod
    def place() -> Any:
        """Return a lock to append, and to acquire once more: a :meth:`wake` releases it."""
        lock = threading.Lock()
        lock.acquire()
        return lock

    def leave(self, lock: Any) -> None:
        """Wait no longer. Without effect for a lock that :meth:`wake` has released."""
        with contextlib.suppress(ValueError):
            self.remove(lock)

    def wake(self, count: int) -> None:
        """Wake so many threads, or all that wait."""
        while self and count:
            try:
                lock = self.popleft()
            except IndexError:  # another thread was first
                return
            lock.release()
            count -= 1


class InterruptibleCondition(RLock):
    """As :class:`threading.Condition`, for what multiprocessing and concurrent.futures do with
    one.
    """

    def __init__(self) -> None:
        super().__init__()  # that of gevent is written in Python
        self._waiters = _Waiters()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait until notified or time is up, and take it again."""
        lock = self._waiters.place()
        try:
            self._waiters.append(lock)
            self.release()
            notified: bool = lock.acquire(True, -1 if timeout is None else max(timeout, 0))
        finally:
            if not self._is_owned():  # a signal may have come before it was released
                self.acquire()
            self._waiters.leave(lock)
        return notified

    def notify(self, n: int = 1) -> None:
        """Wake ``n`` threads. The caller has the lock."""
        self._waiters.wake(n)

    def notify_all(self) -> None:
        """Wake all threads. The caller has the lock."""
        self._waiters.wake(-1)


class InterruptibleEvent:
    """As :class:`threading.Event` that is set once."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiters = _Waiters()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        self._waiters.wake(-1)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or time is up; return whether it is set."""
        lock = self._waiters.place()
        try:
            self._waiters.append(lock)
            if not self._is_set:  # else set() may have missed this one
                lock.acquire(True, -1 if timeout is None else max(timeout, 0))
        finally:
            self._waiters.leave(lock)  # a program may wait a little, again and again
        return self._is_set
