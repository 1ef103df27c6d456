"""Lock, RLock, Semaphore and BoundedSemaphore."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import ClassVar, NamedTuple

from multihost.proxies.base import BaseProxy, NativeProxy, _name
from multihost.wire.identity import unpack
from multihost.wire.ops import lock as lock_ops
from multihost.wire.ops import semaphore as semaphore_ops
from multihost.wire.session import Hold
from multihost.wire.session.registration import SessionInfo

__all__ = [
    "AcquirerProxy",
    "BoundedSemaphoreProxy",
    "Holder",
    "LockProxy",
    "LockStatistics",
    "RLockProxy",
    "SemaphoreProxy",
    "SemaphoreStatistics",
]


class Holder(NamedTuple):
    """Who holds a lock.

    ``thread`` is the name of the thread, ``since`` the server's time in seconds since the epoch, as
    :func:`time.time`. ``host`` and ``pid`` are None for a holder that is dead and not yet
    forgotten.
    """

    host: str | None
    pid: int | None
    thread: str
    since: float
    fencing_token: int


class LockStatistics(NamedTuple):
    """What the server knows of a lock. ``age`` is how long it has been held, in seconds."""

    typeid: str
    name: str | None
    holder: Holder | None
    waiters: int
    age: float | None


class SemaphoreStatistics(NamedTuple):
    """What the server knows of a semaphore. ``holders`` tells how many permits each process has."""

    typeid: str
    name: str | None
    permits: int
    holders: dict[tuple[str | None, int | None], int]
    waiters: int


def checked_timeout(blocking: bool, timeout: float | None) -> float | None:
    """The timeout in seconds, None for ever. Raises what a lock of ``threading`` raises."""
    if timeout is None:
        return None
    lock = threading.Lock()
    lock.acquire(blocking, timeout)
    return None if timeout == -1 else timeout


def seconds_to_wait(timeout: float | None) -> float | None:
    """The same for what ``threading`` builds on a lock: a negative timeout is as good as zero."""
    if timeout is None:
        return None
    return checked_timeout(True, timeout) if timeout > 0 else 0.0


class AcquirerProxy(BaseProxy):
    """What can be acquired and released, also by ``with``; by itself an object in a process."""

    _exposed_: ClassVar[tuple[str, ...]] = ("acquire", "release")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it; whether that was possible."""
        args = (blocking,) if timeout is None else (blocking, timeout)
        return self._callmethod("acquire", args)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Give it back."""
        self._callmethod("release")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class _LockBase(NativeProxy, AcquirerProxy):
    """What Lock and RLock have in common."""

    _exposed_ = ("acquire", "release", "locked", "__enter__", "__exit__")

    def locked(self) -> bool:
        """Whether somebody holds the lock. 1 round trip."""
        return lock_ops.is_locked(self._handle)

    @property
    def fencing_token(self) -> int:
        """A number that is larger in every later hold, for what lies outside the server.

        A resource that remembers the largest token and refuses smaller ones is safe from a holder
        that was paused and took itself for the holder still. No round trip. Raises RuntimeError if
        this thread (for a Lock: this process) does not hold the lock, LeaseLost if it lost it.
        """
        hold = self._hold()
        if hold is None:
            raise RuntimeError("only who holds the lock has a fencing token")
        if hold.lost:
            raise hold.lease_lost("fencing_token")
        return hold.fence

    def holder(self) -> Holder | None:
        """Who holds the lock, for those who wait; None if nobody does. 2 round trips."""
        found = lock_ops.holder(self._handle)
        if found is None:
            return None
        id_, packed, fence = found
        _, _, thread, since = unpack(id_)
        assert since is not None, "a hold has its time"
        note = SessionInfo.unpack(packed) if packed else None
        return Holder(
            host=note and note.host,
            pid=note and note.pid,
            thread=thread,
            since=since,
            fencing_token=fence,
        )

    def statistics(self) -> LockStatistics:  # type: ignore[override]
        """Holder, number of waiters and age of the hold. 3 round trips."""
        holder = self.holder()
        now = self._handle.session.registration.now()
        return LockStatistics(
            typeid=self._typeid,
            name=_name(self),
            holder=holder,
            waiters=lock_ops.waiters(self._handle),
            age=None if holder is None else max(0.0, now - holder.since),
        )

    def _hold(self) -> Hold | None:
        raise NotImplementedError

    # What a condition needs.

    def _is_owned(self) -> bool:
        raise NotImplementedError

    def _release_save(self) -> int:
        """Give the lock up, however often it is held; how often that was."""
        raise NotImplementedError

    def _acquire_restore(self, count: int) -> None:
        raise NotImplementedError

    def _show(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {self._typeid} {self._token.ident}>"


class LockProxy(_LockBase):
    """A lock that processes on many hosts share.

    >>> lock = manager.Lock("report")
    >>> with lock:
    ...     token = lock.fencing_token

    Whoever waits gets it in the order of arrival. Any process may release it, as with
    :class:`threading.Lock`.

    **Cost**: one round trip for ``acquire()`` of a free lock and for ``release()``; two and the
    wait if it is held. Nothing while it is held.
    **If the holder dies** the lock is free again: at once if its process ends in order, about a
    second after it was killed if somebody waits, one lease after its host was cut off or paused. A
    holder that lost it in this way gets :class:`~multihost.LeaseLost` from ``release()`` and
    ``fencing_token``.
    **Differs from multiprocessing**: a dead holder blocks nobody; ``locked()`` works on every
    Python.
    """

    _typeid = "Lock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take the lock, within ``timeout`` seconds (None or -1: for ever); whether it was taken.

        Raises ValueError for another negative timeout, or one without blocking, OverflowError for
        one that is too large, ObjectGone, LinkLost.
        """
        if timeout is not None:
            timeout = checked_timeout(blocking, timeout)
            blocking = blocking and timeout != 0
        handle = self._handle
        return lock_ops.acquire(handle, handle.keys.ident, blocking, timeout) is not None

    def release(self) -> None:
        """Give the lock up, whoever holds it. Raises RuntimeError if nobody does, LeaseLost if this
        process lost it, ObjectGone.
        """
        handle = self._handle
        hold = handle.session.holds.get(handle.keys.ident)
        if hold is not None and lock_ops.release(hold, handle.keys.ident):
            return
        if not lock_ops.force_release(handle):
            raise RuntimeError("release unlocked lock")

    def _hold(self) -> Hold | None:
        return self._handle.session.holds.get(self._handle.keys.ident)

    def _is_owned(self) -> bool:
        # As with a condition of threading: a lock that anybody holds will do.
        return self._hold() is not None or self.locked()

    def _release_save(self) -> int:
        self.release()
        return 1

    def _acquire_restore(self, count: int) -> None:  # noqa: ARG002 - it is 1
        self.acquire()


class RLockProxy(_LockBase):
    """A reentrant lock that processes on many hosts share; a thread owns it, across all its
    proxies.

    >>> lock = manager.RLock()
    >>> with lock, lock:
    ...     pass

    **Cost**: as :class:`LockProxy`; no round trip to acquire and release it again.
    **If the holder dies**: as :class:`LockProxy`.
    **Differs from multiprocessing**: a dead holder blocks nobody; ``locked()`` works on every
    Python.
    """

    _typeid = "RLock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """As :meth:`LockProxy.acquire`. At once if this thread owns the lock; LeaseLost if it lost
        it meanwhile.
        """
        if timeout is not None:
            timeout = checked_timeout(blocking, timeout)
            blocking = blocking and timeout != 0
        handle = self._handle
        session = handle.session
        key = handle.keys.ident, session.identity.waiter_id
        hold = session.holds.get(key)
        if hold is None:
            return lock_ops.acquire(handle, key, blocking, timeout) is not None
        if hold.lost:
            raise hold.lease_lost("lock/acquire")
        hold.count += 1
        return True

    def release(self) -> None:
        """Undo one ``acquire()``; the last one gives the lock up. Raises RuntimeError if this
        thread does not own it, LeaseLost if it was lost meanwhile.
        """
        session = self._handle.session
        key = self._handle.keys.ident, session.identity.waiter_id
        hold = session.holds.get(key)
        if hold is None:
            raise RuntimeError("cannot release un-acquired lock")
        if hold.count == 1:
            if not lock_ops.release(hold, key):
                raise hold.lease_lost("lock/release")
            return
        hold.count -= 1
        if hold.lost:
            raise hold.lease_lost("lock/release")

    def _hold(self) -> Hold | None:
        session = self._handle.session
        return session.holds.get((self._handle.keys.ident, session.identity.waiter_id))

    def _is_owned(self) -> bool:
        return self._hold() is not None

    def _release_save(self) -> int:
        hold = self._hold()
        if hold is None:
            raise RuntimeError("cannot release un-acquired lock")
        count, hold.count = hold.count, 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self.acquire()
        hold = self._hold()
        assert hold is not None
        hold.count = count


class SemaphoreProxy(NativeProxy, AcquirerProxy):
    """A number of permits that processes on many hosts share.

    >>> gpu = manager.Semaphore("gpu", 2)
    >>> with gpu:
    ...     pass

    Whoever waits gets a permit in the order of arrival.

    **Cost**: one round trip for ``acquire()`` of a free permit and for ``release()``; two and the
    wait if none is free. Nothing while permits are held.
    **If the holder dies**: the permits of a killed process come back as a :class:`LockProxy` does,
    but never more than the initial value; those of one that ends in order stay taken, for programs
    use semaphores as signals.
    **Differs from multiprocessing**: a killed holder takes no permit along; ``release(n)`` and
    ``locked()`` exist.
    """

    _typeid = "Semaphore"
    _exposed_ = ("acquire", "release", "locked", "__enter__", "__exit__")
    _bounded: ClassVar = False

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, within ``timeout`` seconds (None: for ever); whether there was one.

        A timeout of zero and less tries once. Raises ValueError for a timeout without blocking,
        OverflowError for one that is too large, ObjectGone, LinkLost.
        """
        if timeout is not None:
            if not blocking:
                raise ValueError("can't specify timeout for non-blocking acquire")
            timeout = seconds_to_wait(timeout)
            blocking = timeout != 0
        return semaphore_ops.acquire(self._handle, self._account(), bool(blocking), timeout)

    def release(self, n: int = 1) -> None:
        """Give ``n`` permits back, or add new ones. Raises ValueError for n < 1, LeaseLost if this
        process lost those that it had, ObjectGone.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        if not semaphore_ops.release(self._handle, self._account(), n):
            raise ValueError("Semaphore released too many times")

    def locked(self) -> bool:
        """Whether no permit is free. 1 round trip."""
        return semaphore_ops.free_permits(self._handle) <= 0

    @property
    def fencing_token(self) -> int:
        """The number of the permit that this process took last: larger for every later one. No
        round trip. Raises RuntimeError without a permit, LeaseLost.
        """
        account = self._account()
        if not account.count:
            raise RuntimeError("only who holds a permit has a fencing token")
        if account.lost:
            raise account.lease_lost("fencing_token")
        return account.fence

    def statistics(self) -> SemaphoreStatistics:  # type: ignore[override]
        """Free permits, and who has the others. 2 round trips."""
        free, waiters, accounts = semaphore_ops.state(self._handle)
        holders: dict[tuple[str | None, int | None], int] = {}
        for packed, count in accounts:
            note = SessionInfo.unpack(packed) if packed else None
            who = note and note.host, note and note.pid
            holders[who] = holders.get(who, 0) + count
        return SemaphoreStatistics(self._typeid, _name(self), free, holders, waiters)

    def _account(self) -> semaphore_ops.HeldPermits:
        return semaphore_ops.held_permits(self._handle, self._bounded)

    def _show(self) -> str:
        return f"<{self._typeid} {self._token.ident}: value={self._value()}>"

    def _value(self) -> str:
        return str(semaphore_ops.free_permits(self._handle))


class BoundedSemaphoreProxy(SemaphoreProxy):
    """A :class:`SemaphoreProxy` that refuses to have more permits than it began with.

    >>> pool = manager.BoundedSemaphore("connections", 5)

    **Cost**: as :class:`SemaphoreProxy`.
    **If the holder dies**: its permits come back, also if its process ends in order.
    **Differs from multiprocessing**: a dead holder takes no permit along.
    """

    _typeid = "BoundedSemaphore"
    _bounded = True

    def _value(self) -> str:
        free, initial = semaphore_ops.free_and_initial(self._handle)
        return f"{free}/{initial}"
