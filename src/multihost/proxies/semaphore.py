"""Semaphore and BoundedSemaphore."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from multihost.proxies.acquirer import AcquirerProxy, seconds_to_wait
from multihost.proxies.native import NativeProxy
from multihost.wire.link import bounded
from multihost.wire.ops import semaphore as ops
from multihost.wire.subject import describe

__all__ = ["BoundedSemaphoreProxy", "SemaphoreProxy", "SemaphoreStatistics"]


class SemaphoreStatistics(NamedTuple):
    """State of a semaphore. ``holders`` has the number of permits of each process."""

    typeid: str
    name: str | None
    permits: int
    holders: dict[tuple[str | None, int | None], int]
    waiters: int


class SemaphoreProxy(NativeProxy, AcquirerProxy):
    """A number of permits that processes on many hosts share.

    >>> gpu = manager.Semaphore("gpu", 2)
    >>> with gpu:
    ...     pass

    Waiters acquire a permit in the order of their arrival.

    **Cost**: one round trip for ``acquire()`` of a free permit and for ``release()``; two and the
    wait if none is free. Nothing while permits are held.
    **If the holder dies**: the permits of a killed process are released as a :class:`LockProxy` is,
    but never more than the initial value. Those of a process that exits normally stay acquired,
    because programs also use semaphores as signals.
    **Differs from multiprocessing**: the permits of a killed holder are not lost; has
    ``release(n)`` and ``locked()``.
    """

    _typeid_ = "Semaphore"
    _exposed_ = ("acquire", "release", "locked", "__enter__", "__exit__")
    _bounded: ClassVar = False

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire a permit within ``timeout`` seconds (None: no limit), and return whether one was
        acquired. 1 round trip; 2 and the wait if none is free.

        A timeout of zero or less tries once. Raises ValueError for a timeout without blocking,
        OverflowError for one that is too large, ObjectGone, LinkLost.
        """
        if timeout is not None:
            if not blocking:
                raise ValueError("can't specify timeout for non-blocking acquire")
            timeout = seconds_to_wait(timeout)
            blocking = timeout != 0
        handle, account, grant = self._handle, self._account(), ops.Grant()
        try:
            if blocking and timeout is None:
                acquired = ops.acquire(handle, account, grant)
            else:
                with bounded(handle.link, bool(blocking), timeout):
                    acquired = ops.acquire(handle, account, grant, bool(blocking), timeout)
            # The last thing, see Grant.
            grant.handed = True
            return acquired
        except BaseException:
            ops.leave(handle, account, grant)
            raise

    def release(self, n: int = 1) -> None:
        """Release ``n`` permits, or add new ones. 1 round trip.

        Raises ValueError for n < 1, LeaseLost if this process lost its permits, ObjectGone.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        if not ops.release(self._handle, self._account(), n):
            raise ValueError("Semaphore released too many times")

    def locked(self) -> bool:
        """Return whether no permit is free. 1 round trip."""
        return ops.free_permits(self._handle) <= 0

    @property
    def fencing_token(self) -> int:
        """The fencing token of the permit that this process acquired last; it increases with every
        acquisition. No round trip. Raises RuntimeError without a permit, LeaseLost.
        """
        account = self._account()
        if not account.count:
            raise RuntimeError(f"{describe('', self._token.ident)}: acquire a permit first")
        account.refresh()
        if account.lost:
            raise account.lease_lost("fencing_token")
        return account.fence

    def statistics(self) -> SemaphoreStatistics:  # type: ignore[override]
        """Return the number of free permits, and the holders of the others. 2 round trips."""
        free, waiters, accounts = ops.state(self._handle)
        holders: dict[tuple[str | None, int | None], int] = {}
        for record, count in accounts:
            who = record and record.hostname, record and record.pid
            holders[who] = holders.get(who, 0) + count
        return SemaphoreStatistics(self._typeid_, self._name, free, holders, waiters)

    def _account(self) -> ops.HeldPermits:
        return ops.held_permits(self._handle, self._bounded)

    def _show(self) -> str:
        return f"<{self._typeid_} {self._label}: value={self._permits()}>"

    def _permits(self) -> str:
        return str(ops.free_permits(self._handle))


class BoundedSemaphoreProxy(SemaphoreProxy):
    """A :class:`SemaphoreProxy` that never has more permits than its initial value.

    >>> pool = manager.BoundedSemaphore("connections", 5)

    **Cost**: as :class:`SemaphoreProxy`.
    **If the holder dies**: its permits are released, also if its process exits normally.
    **Differs from multiprocessing**: the permits of a dead holder are not lost.
    """

    _typeid_ = "BoundedSemaphore"
    _bounded = True

    def _permits(self) -> str:
        free, initial = ops.free_and_initial(self._handle)
        return f"{free}/{initial}"
