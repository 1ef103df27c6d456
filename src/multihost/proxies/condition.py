"""Condition."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TypeVar

from multihost.errors import LinkError, MultihostError
from multihost.proxies.acquirer import AcquirerProxy, seconds_to_wait
from multihost.proxies.base import Token, token_of
from multihost.proxies.lock import LockProxy, RLockProxy, hold_of_lock, hold_of_rlock
from multihost.proxies.native import NativeProxy
from multihost.wire.identity import escape, unescape
from multihost.wire.ops import condition as ops
from multihost.wire.session import Handle

__all__ = ["ConditionProxy", "ConditionStatistics", "lock_of_condition"]

T = TypeVar("T")

ALL_WAITERS = 1 << 48


class ConditionStatistics(NamedTuple):
    """State of a condition: the number of waiters for a notification, and whether it is locked."""

    typeid: str
    name: str | None
    waiters: int
    is_locked: bool


def lock_of_condition(lock: LockProxy | RLockProxy | None) -> tuple[str, bytes]:
    """Return what a condition stores of its lock: its parameters, and the reference that keeps an
    unnamed lock alive.
    """
    if lock is None:
        return "", b""
    typeid, ident, *_ = token_of(lock)
    reference = b"@%b;" % ident.encode() if lock.name is None else b""
    return f"{typeid} {escape(ident, ' ')}", reference


class _PlainLock:
    """The lock of a condition that is a Lock: what ``wait()`` does with it."""

    def __init__(self, handle: Handle, lock: LockProxy | RLockProxy) -> None:
        self.handle = handle
        self.lock = lock

    def is_held(self) -> bool:
        """Return whether this process holds the lock."""
        return hold_of_lock(self.handle) is not None

    def is_owned(self) -> bool:
        """Return whether ``wait()`` and ``notify()`` are allowed."""
        return self.is_held() or self.lock.locked()  # as in threading: whoever holds it

    def release_all(self) -> int:
        """Release the lock, and return how often it was acquired."""
        self.lock.release()
        return 1

    def reacquire(self, count: int) -> None:  # noqa: ARG002 - it is 1
        """Undo ``release_all()``."""
        self.lock.acquire()


class _ReentrantLock(_PlainLock):
    """The same for an RLock."""

    def is_held(self) -> bool:
        return hold_of_rlock(self.handle) is not None

    def is_owned(self) -> bool:
        return self.is_held()

    def release_all(self) -> int:
        hold = hold_of_rlock(self.handle)
        if hold is None:
            raise RuntimeError("cannot release un-acquired lock")
        count, hold.count = hold.count, 1
        self.lock.release()
        return count

    def reacquire(self, count: int) -> None:
        self.lock.acquire()
        hold = hold_of_rlock(self.handle)
        assert hold is not None
        hold.count = count


class ConditionProxy(NativeProxy, AcquirerProxy):
    """A condition variable that processes on many hosts share.

    >>> ready = manager.Condition()
    >>> with ready:
    ...     ready.wait_for(lambda: len(results) == 10, timeout=60)

    Its lock is an RLock of its own, or a Lock or RLock that was given, with which the condition is
    locked, too.

    **Cost**: ``wait()`` five round trips and the wait, ``notify()`` one.
    **If the holder dies**: as with its lock. A killed waiter takes no notification along: another
    one gets it, at once if it was waiting, about a second later if the dead one had been notified
    and did not have the lock again.
    **Differs from multiprocessing**: works with an RLock that was given; a dead holder blocks
    nobody.
    """

    _typeid_ = "Condition"
    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        super().__init__(handle, token, manager)
        typeid, _, ident = token.parameters.partition(" ")
        if ident:
            ident = unescape(ident, " ")
            handle = handle.session.handle(ident)
        lock_token = Token(typeid or "RLock", ident or token.ident, "", token.origin)
        self._lock: LockProxy | RLockProxy
        if typeid == "Lock":
            self._lock = LockProxy(handle, lock_token)
            self._ownership = _PlainLock(handle, self._lock)
        else:
            self._lock = RLockProxy(handle, lock_token)
            self._ownership = _ReentrantLock(handle, self._lock)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A wait that failed could not take the lock again: what it raised says why.
        if kind is None or self._ownership.is_held():
            self.release()

    def locked(self) -> bool:
        """Whether the lock is held. 1 round trip."""
        return self._lock.locked()

    @property
    def fencing_token(self) -> int:
        """The fencing token of the lock."""
        return self._lock.fencing_token

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait for a notification up to ``timeout`` seconds (None: for ever), and
        acquire it again; whether there was one.

        Raises RuntimeError if the lock is not held, LeaseLost if it was lost, ObjectGone, LinkLost.
        """
        if not self._ownership.is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        timeout = seconds_to_wait(timeout)
        handle = self._handle
        try:
            generation = ops.enqueue(handle)
            count = self._ownership.release_all()
        except BaseException as error:
            if not isinstance(error, LinkError):  # then it is on its way
                ops.cancel(handle)
            raise
        try:
            notified = ops.wait_for_notification(handle, generation, timeout)
        except BaseException as error:
            if not isinstance(error, MultihostError):  # a signal, perhaps before it began
                ops.cancel(handle)
            raise
        finally:
            self._ownership.reacquire(count)
        if notified:
            ops.confirm_reacquired(handle)
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until ``predicate()``, which is called here, is true; its last result."""
        result = predicate()
        end = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake up to ``n`` of those who wait, the oldest first. Raises RuntimeError if the lock is
        not held.
        """
        if not self._ownership.is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if n > 0:
            ops.notify(self._handle, operator.index(n))

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(ALL_WAITERS)

    def statistics(self) -> ConditionStatistics:  # type: ignore[override]
        """Who waits for a notification, and whether the lock is held. 2 round trips."""
        return ConditionStatistics(
            self._typeid_, self._name, ops.waiting_count(self._handle), self.locked()
        )

    def _show(self) -> str:
        return f"<Condition({self._lock!s}, {ops.waiting_count(self._handle)})>"
