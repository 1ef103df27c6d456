"""Lock and RLock."""

from __future__ import annotations

from typing import NamedTuple

from multihost.proxies.acquirer import AcquirerProxy, checked_timeout
from multihost.proxies.native import NativeProxy
from multihost.wire.link import bounded
from multihost.wire.ops import lock as ops
from multihost.wire.session import Handle, Hold
from multihost.wire.subject import describe

__all__ = [
    "Holder",
    "LockProxy",
    "LockStatistics",
    "RLockProxy",
    "hold_of_lock",
    "hold_of_rlock",
]


class Holder(NamedTuple):
    """The holder of a lock.

    ``thread`` is the name of the thread, ``since`` the server's time in seconds since the epoch, as
    :func:`time.time`. ``host`` and ``pid`` are None for a dead holder whose lock is not yet
    reaped.
    """

    host: str | None
    pid: int | None
    thread: str
    since: float
    fencing_token: int


class LockStatistics(NamedTuple):
    """State of a lock. ``waiters`` are the threads that have waited for a moment, ``age`` is the
    time since it was acquired, in seconds.
    """

    typeid: str
    name: str | None
    holder: Holder | None
    waiters: int
    age: float | None


def hold_of_lock(handle: Handle) -> Hold | None:
    """Return the hold that this process has of a Lock."""
    return handle.session.holds.get(handle.keys.ident)


def hold_of_rlock(handle: Handle) -> Hold | None:
    """Return the hold that this thread has of an RLock."""
    session = handle.session
    return session.holds.get((handle.keys.ident, session.identity.key))


class _LockBase(NativeProxy, AcquirerProxy):
    """The common part of Lock and RLock."""

    _exposed_ = ("acquire", "release", "locked", "__enter__", "__exit__")

    def locked(self) -> bool:
        """Return whether the lock is held. 1 round trip."""
        return ops.is_locked(self._handle)

    @property
    def fencing_token(self) -> int:
        """A number that increases with every acquisition, for resources outside the server.

        A resource that stores the largest token and refuses smaller ones is protected from a
        process that was suspended and still believes that it holds the lock. No round trip. Raises
        RuntimeError if this thread (for a Lock: this process) does not hold the lock, LeaseLost if
        it lost it.
        """
        hold = self._hold()
        if hold is None:
            raise RuntimeError(f"{describe('', self._token.ident)}: acquire the lock first")
        hold.refresh()
        if hold.lost:
            raise hold.lease_lost("fencing_token")
        return hold.fence

    def holder(self) -> Holder | None:
        """Return the holder of the lock, None if it is free. 4 round trips, O(processes that use
        it).
        """
        found = ops.holder(self._handle)
        if found is None:
            return None
        id_, record, fence = found
        assert id_.since is not None, "a hold has its time"
        return Holder(
            host=record and record.hostname,
            pid=record and record.pid,
            thread=id_.thread,
            since=id_.since,
            fencing_token=fence,
        )

    def statistics(self) -> LockStatistics:  # type: ignore[override]
        """Return holder, number of waiters and age of the hold. 5 round trips, O(processes that use
        it).
        """
        holder = self.holder()
        now = self._handle.session.registration.now()
        return LockStatistics(
            typeid=self._typeid_,
            name=self._name,
            holder=holder,
            waiters=ops.waiters(self._handle),
            age=None if holder is None else max(0.0, now - holder.since),
        )

    # The two types differ in whose a hold is: the process's, or a thread's. So the next four are
    # abstract: each type has its own, and this class is never instantiated.

    def _hold(self) -> Hold | None:
        raise NotImplementedError

    # What conditions call: ours, and those of threading.

    def _is_owned(self) -> bool:
        raise NotImplementedError

    def _release_save(self) -> int:
        """Release the lock completely, and return how often it was acquired."""
        raise NotImplementedError

    def _acquire_restore(self, count: int) -> None:
        raise NotImplementedError

    def _show(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {self._typeid_} {self._label}>"


# Each acquire() has the rest of this itself: behind the return of a function that had it a signal
# handler could raise, when the lock is handed over and nobody has it yet.
def _take(grant: ops.LockGrant, blocking: bool, timeout: float | None) -> bool:
    if blocking and timeout is None:
        return grant.take()
    with bounded(grant.handle.link, blocking, timeout):
        return grant.take(blocking, timeout)


class LockProxy(_LockBase):
    """A lock that processes on many hosts share.

    >>> lock = manager.Lock("report")
    >>> with lock:
    ...     token = lock.fencing_token

    Waiters acquire it in the order of their arrival. Any process may release it, as with
    :class:`threading.Lock`.

    **Cost**: one round trip for ``acquire()`` of a free lock and for ``release()``; two and the
    wait for one that is held. Nothing while it is held.
    **If the holder dies** the lock is released: immediately if its process exits normally; if it
    was killed, within a second if a process of its host waits, else ``grace=`` (5 seconds) after
    its connections ended; one lease after its host was disconnected or suspended. A process that
    lost the lock in this way gets :class:`~multihost.LeaseLost` from ``release()`` and
    ``fencing_token``.
    **Differs from multiprocessing**: a dead holder does not block the waiters; ``locked()`` works
    on every Python.
    """

    _typeid_ = "Lock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock within ``timeout`` seconds (None or -1: no limit), and return whether it
        was acquired. 1 round trip; 2 and the wait if it is held.

        Raises ValueError for another negative timeout, or one without blocking, OverflowError for
        one that is too large, ObjectGone, LinkLost.
        """
        if timeout is not None:
            timeout = checked_timeout(blocking, timeout)
            blocking = blocking and timeout != 0
        handle = self._handle
        grant = ops.LockGrant(handle, handle.keys.ident)
        try:
            acquired = _take(grant, blocking, timeout)
            grant.handed = True  # the last thing, see Grant
            return acquired
        except BaseException:
            grant.leave()
            raise

    def release(self) -> None:
        """Release the lock, whichever process holds it. 1 round trip.

        Raises RuntimeError if it is not held, LeaseLost if this process lost it, ObjectGone.
        """
        handle = self._handle
        hold = handle.session.holds.get(handle.keys.ident)
        if hold is not None and ops.release(hold, handle.keys.ident):
            return
        if not ops.force_release(handle):
            raise RuntimeError("release unlocked lock")

    def _hold(self) -> Hold | None:
        return hold_of_lock(self._handle)

    def _is_owned(self) -> bool:
        # As with a condition of threading: by whichever process or thread.
        return self._hold() is not None or self.locked()

    def _release_save(self) -> int:
        self.release()
        return 1

    def _acquire_restore(self, count: int) -> None:  # noqa: ARG002 - it is 1
        self.acquire()


class RLockProxy(_LockBase):
    """A reentrant lock that processes on many hosts share; a thread owns it, through any proxy.

    >>> lock = manager.RLock()
    >>> with lock, lock:
    ...     pass

    **Cost**: as :class:`LockProxy`; no round trip for a reentrant acquisition and its release.
    **If the holder dies**: as :class:`LockProxy`.
    **Differs from multiprocessing**: as :class:`LockProxy`.
    """

    _typeid_ = "RLock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the lock as :meth:`LockProxy.acquire`, without a round trip if this thread owns
        it. Raises also LeaseLost, if this thread owned the lock and lost it.
        """
        if timeout is not None:
            timeout = checked_timeout(blocking, timeout)
            blocking = blocking and timeout != 0
        handle = self._handle
        session = handle.session
        key = handle.keys.ident, session.identity.key
        hold = session.holds.get(key)
        if hold is None:
            grant = ops.LockGrant(handle, key)
            try:
                acquired = _take(grant, blocking, timeout)
                grant.handed = True  # the last thing, see Grant
                return acquired
            except BaseException:
                grant.leave()
                raise
        if hold.lost:
            raise hold.lease_lost("lock/acquire")
        hold.count += 1
        return True

    def release(self) -> None:
        """Undo one ``acquire()``; the last one releases the lock, in 1 round trip.

        Raises RuntimeError if this thread does not own it, LeaseLost if it lost it.
        """
        session = self._handle.session
        key = self._handle.keys.ident, session.identity.key
        hold = session.holds.get(key)
        if hold is None:
            raise RuntimeError("cannot release un-acquired lock")
        if hold.count == 1:
            if not ops.release(hold, key):
                raise hold.lease_lost("lock/release")
            return
        hold.count -= 1
        if hold.lost:
            raise hold.lease_lost("lock/release")

    def _hold(self) -> Hold | None:
        return hold_of_rlock(self._handle)

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
