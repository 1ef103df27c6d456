"""Condition."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from multihost.errors import LinkError
from multihost.proxies import stdlib_types
from multihost.proxies.acquirer import AcquirerProxy, seconds_to_wait
from multihost.proxies.base import Token, handle_of, token_of
from multihost.proxies.lock import LockProxy, RLockProxy, hold_of_lock, hold_of_rlock
from multihost.proxies.native import NativeProxy
from multihost.wire.identity import escape, unescape
from multihost.wire.link import bounded
from multihost.wire.ops import condition as ops
from multihost.wire.session import Handle, Hold

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


class ConditionProxy(NativeProxy, AcquirerProxy, stdlib_types.ConditionProxy):
    """A condition variable that processes on many hosts share.

    >>> ready = manager.Condition()
    >>> with ready:
    ...     ready.wait_for(lambda: len(results) == 10, timeout=60)

    Its lock is an RLock of its own, or the Lock or RLock that was given; acquiring the condition
    acquires that lock.

    **Cost**: ``wait()`` five round trips and the wait, ``notify()`` one.
    **If the holder dies**: as with its lock. The notification of a killed waiter is not lost:
    another waiter gets it, immediately if the dead one was not yet notified, as soon as the lock if
    it was notified and had not acquired that again.
    **Differs from multiprocessing**: works with an RLock that was given; a dead holder does not
    block the others.
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
            self._lock, self._hold_of = LockProxy(handle, lock_token), hold_of_lock
        else:
            self._lock, self._hold_of = RLockProxy(handle, lock_token), hold_of_rlock

    def _reference(self) -> tuple[Any, ...]:
        # Whoever gets the condition gets its lock, too.
        lock = handle_of(self._lock)
        if lock.keys.ident != self._token.ident:
            lock.session.references.mark_shared(lock.keys.ident)
        return super()._reference()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock, as :meth:`LockProxy.acquire`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Release the lock, as :meth:`LockProxy.release`."""
        self._lock.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A wait() that failed did not acquire the lock again: its exception says why.
        if kind is None or self._hold_of(handle_of(self._lock)) is not None:
            self.release()

    def locked(self) -> bool:
        """Return whether the lock is held. 1 round trip."""
        return self._lock.locked()

    @property
    def fencing_token(self) -> int:
        """The fencing token of the lock."""
        return self._lock.fencing_token

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait for a notification up to ``timeout`` seconds (None: no limit),
        acquire the lock again, and return whether there was a notification. 5 round trips and the
        wait.

        Raises RuntimeError if the lock is not held, LeaseLost if it was lost, ObjectGone, LinkLost.
        """
        if not self._lock._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        timeout = seconds_to_wait(timeout)
        handle, hold = self._handle, self._hold_of(handle_of(self._lock))
        count = 1 if hold is None else hold.count
        is_confirming = False
        try:
            generation = ops.enqueue(handle)
            self._lock._release_save()
            if timeout is None:
                notified = ops.wait_for_notification(handle, generation, None)
            else:
                with bounded(handle.link, True, timeout):
                    notified = ops.wait_for_notification(handle, generation, timeout)
            self._lock._acquire_restore(count)
            if notified:
                is_confirming = True
                ops.confirm_reacquired(handle)
            return notified
        except BaseException as error:
            try:
                if not isinstance(error, LinkError):  # then it is on its way
                    ops.cancel(handle)
            finally:
                self._reacquire(hold, count)
            if is_confirming and not isinstance(error, LinkError):
                ops.notify(handle, 1)  # nobody has the notification any more
            raise

    def _reacquire(self, before: Hold | None, count: int) -> None:
        """Have the lock behind a wait that was interrupted, perhaps before it released what it had
        ``before``, or when it had acquired it again.
        """
        hold = self._hold_of(handle_of(self._lock))
        if hold is not None and (hold is before or hold.is_of_this_thread()):
            hold.count = count
        else:
            self._lock._acquire_restore(count)

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until ``predicate()``, called in this process, is true; return its last result."""
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
        """Wake up to ``n`` waiters, the oldest first. 1 round trip.

        Raises RuntimeError if the lock is not held.
        """
        if not self._lock._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if n > 0:
            ops.notify(self._handle, operator.index(n))

    def notify_all(self) -> None:
        """Wake all waiters. 1 round trip."""
        self.notify(ALL_WAITERS)

    def statistics(self) -> ConditionStatistics:  # type: ignore[override]
        """Return the number of waiters, and whether the lock is held. 2 round trips."""
        return ConditionStatistics(
            self._typeid_, self._name, ops.waiting_count(self._handle), self.locked()
        )

    def _show(self) -> str:
        return f"<Condition({self._lock!s}, {ops.waiting_count(self._handle)})>"
