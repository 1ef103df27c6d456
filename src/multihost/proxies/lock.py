"""Lock and RLock."""

from __future__ import annotations

from typing import NamedTuple

from multihost.proxies.acquirer import AcquirerProxy, checked_timeout
from multihost.proxies.native import NativeProxy
from multihost.wire.identity import unpack
from multihost.wire.ops import lock as ops
from multihost.wire.session import Handle, Hold
from multihost.wire.session.registration import SessionInfo

__all__ = [
    "Holder",
    "LockProxy",
    "LockStatistics",
    "RLockProxy",
    "hold_of_lock",
    "hold_of_rlock",
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


def hold_of_lock(handle: Handle) -> Hold | None:
    """Return the hold that this process has of a Lock."""
    return handle.session.holds.get(handle.keys.ident)


def hold_of_rlock(handle: Handle) -> Hold | None:
    """Return the hold that this thread has of an RLock."""
    session = handle.session
    return session.holds.get((handle.keys.ident, session.identity.waiter_id))


class _LockBase(NativeProxy, AcquirerProxy):
    """What Lock and RLock have in common."""

    _exposed_ = ("acquire", "release", "locked", "__enter__", "__exit__")

    def locked(self) -> bool:
        """Whether somebody holds the lock. 1 round trip."""
        return ops.is_locked(self._handle)

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
        found = ops.holder(self._handle)
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
            typeid=self._typeid_,
            name=self._name,
            holder=holder,
            waiters=ops.waiters(self._handle),
            age=None if holder is None else max(0.0, now - holder.since),
        )

    def _hold(self) -> Hold | None:
        raise NotImplementedError

    def _show(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {self._typeid_} {self._token.ident}>"


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

    _typeid_ = "Lock"

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take the lock, within ``timeout`` seconds (None or -1: for ever); whether it was taken.

        Raises ValueError for another negative timeout, or one without blocking, OverflowError for
        one that is too large, ObjectGone, LinkLost.
        """
        if timeout is not None:
            timeout = checked_timeout(blocking, timeout)
            blocking = blocking and timeout != 0
        handle = self._handle
        return ops.acquire(handle, handle.keys.ident, blocking, timeout) is not None

    def release(self) -> None:
        """Give the lock up, whoever holds it. Raises RuntimeError if nobody does, LeaseLost if this
        process lost it, ObjectGone.
        """
        handle = self._handle
        hold = handle.session.holds.get(handle.keys.ident)
        if hold is not None and ops.release(hold, handle.keys.ident):
            return
        if not ops.force_release(handle):
            raise RuntimeError("release unlocked lock")

    def _hold(self) -> Hold | None:
        return hold_of_lock(self._handle)


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

    _typeid_ = "RLock"

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
            return ops.acquire(handle, key, blocking, timeout) is not None
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
            if not ops.release(hold, key):
                raise hold.lease_lost("lock/release")
            return
        hold.count -= 1
        if hold.lost:
            raise hold.lease_lost("lock/release")

    def _hold(self) -> Hold | None:
        return hold_of_rlock(self._handle)
