"""Condition, Event and Barrier."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from threading import BrokenBarrierError
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from multihost.errors import LinkError, MultihostError
from multihost.proxies.base import NativeProxy, Token, _name
from multihost.proxies.lock import AcquirerProxy, LockProxy, RLockProxy, seconds_to_wait
from multihost.wire.identity import escape, unescape
from multihost.wire.ops import barrier as barrier_ops
from multihost.wire.ops import condition as condition_ops
from multihost.wire.ops import event as event_ops
from multihost.wire.session import Handle

__all__ = [
    "BarrierProxy",
    "BarrierStatistics",
    "ConditionProxy",
    "EventProxy",
    "RendezvousStatistics",
    "lock_of_condition",
]

T = TypeVar("T")

ALL_WAITERS = 1 << 48


class RendezvousStatistics(NamedTuple):
    """What the server knows of a condition or an event: who waits (None: it does not count them),
    and whether it is locked or set.
    """

    typeid: str
    name: str | None
    waiters: int | None
    state: bool


class BarrierStatistics(NamedTuple):
    """What the server knows of a barrier."""

    typeid: str
    name: str | None
    parties: int
    waiters: int
    broken: bool


def lock_of_condition(lock: LockProxy | RLockProxy | None) -> tuple[str, bytes]:
    """How a condition remembers its lock: in its parameters, and as a reference that keeps it."""
    if lock is None:
        return "", b""
    ident = lock._token.ident
    reference = b"@%b;" % ident.encode() if lock.name is None else b""
    return f"{lock._typeid} {escape(ident, ' ')}", reference


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

    _typeid = "Condition"
    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        super().__init__(handle, token, manager)
        typeid, _, ident = token.parameters.partition(" ")
        cls = LockProxy if typeid == "Lock" else RLockProxy
        if ident:
            ident = unescape(ident, " ")
            handle = handle.session.handle(ident)
        self._lock = cls(handle, Token(cls._typeid, ident or token.ident, "", token.origin))

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
        if kind is None or self._lock._hold() is not None:
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
        if not self._lock._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        timeout = seconds_to_wait(timeout)
        handle = self._handle
        try:
            generation = condition_ops.enqueue(handle)
            count = self._lock._release_save()
        except BaseException as error:
            if not isinstance(error, LinkError):  # then it is on its way
                condition_ops.cancel(handle)
            raise
        try:
            notified = condition_ops.wait_for_notification(handle, generation, timeout)
        except BaseException as error:
            if not isinstance(error, MultihostError):  # a signal, perhaps before it began
                condition_ops.cancel(handle)
            raise
        finally:
            self._lock._acquire_restore(count)
        if notified:
            condition_ops.confirm_reacquired(handle)
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
        if not self._lock._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if n > 0:
            condition_ops.notify(self._handle, operator.index(n))

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(ALL_WAITERS)

    def statistics(self) -> RendezvousStatistics:  # type: ignore[override]
        """Who waits for a notification, and whether the lock is held. 2 round trips."""
        return RendezvousStatistics(
            self._typeid, _name(self), condition_ops.waiting_count(self._handle), self.locked()
        )

    def _show(self) -> str:
        return f"<Condition({self._lock!s}, {condition_ops.waiting_count(self._handle)})>"


class EventProxy(NativeProxy):
    """A flag that processes on many hosts can wait for.

    >>> stop = manager.Event("stop")
    >>> stop.wait(timeout=10)

    **Cost**: one round trip a call; ``wait()`` two and the wait, if it is not set.
    **If the holder dies**: nothing holds an event.
    **Differs from multiprocessing**: nothing.
    """

    _typeid = "Event"
    _exposed_ = ("is_set", "set", "clear", "wait")

    def is_set(self) -> bool:
        """Whether the event is set. 1 round trip."""
        return event_ops.is_set(self._handle)

    def set(self) -> None:
        """Set the event and wake all who wait. 1 round trip."""
        event_ops.put(self._handle)

    def clear(self) -> None:
        """Reset the event. 1 round trip."""
        event_ops.clear(self._handle)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, up to ``timeout`` seconds (None: for ever); whether it was.

        It was also if it was cleared at once. Raises ObjectGone, LinkLost.
        """
        return event_ops.wait_until_set(self._handle, seconds_to_wait(timeout))

    def statistics(self) -> RendezvousStatistics:  # type: ignore[override]
        """Whether the event is set. 1 round trip."""
        return RendezvousStatistics(self._typeid, _name(self), None, self.is_set())

    def _show(self) -> str:
        return f"<Event {self._token.ident}: {'set' if self.is_set() else 'unset'}>"


class BarrierProxy(NativeProxy):
    """A point where a number of threads of many hosts wait for each other.

    >>> start = manager.Barrier("start", 8, timeout=60)
    >>> start.wait()
    0

    **Cost**: one round trip to arrive, one and the wait to pass.
    **If the holder dies**: an arrived party that dies breaks the barrier for all.
    **Differs from multiprocessing**: ``action`` runs in the process of the last one to arrive, not
    in a server; a dead party does not block the others.
    """

    _typeid = "Barrier"
    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others, up to ``timeout`` seconds (None: as long as the barrier says); which
        one this was to arrive, 0 ... parties - 1.

        Raises BrokenBarrierError if the barrier is or gets broken, which it is for all if one waits
        too long; what the action raises, in the party that runs it; ObjectGone, LinkLost.
        """
        handle = self._handle
        if timeout is None:
            default = self._token.parameters.split(" ")[1]
            timeout = None if default == "None" else float(default)
        timeout = seconds_to_wait(timeout)
        arrival = barrier_ops.arrive(handle)
        if arrival is None:
            raise BrokenBarrierError
        if arrival.role == b"wait":
            passed = barrier_ops.wait_for_others(handle, arrival, timeout)
        elif arrival.role == b"act":
            try:
                handle.codec.load(arrival.action)()
            except BaseException:
                barrier_ops.abort(handle, arrival)
                raise
            passed = barrier_ops.finish_action(handle, arrival)
        else:
            passed = True
        if not passed:
            raise BrokenBarrierError
        return arrival.position

    def abort(self) -> None:
        """Break the barrier for all who wait and who come. 1 round trip."""
        barrier_ops.abort(self._handle)

    def reset(self) -> None:
        """Make the barrier as new; those who wait get BrokenBarrierError. 1 round trip."""
        barrier_ops.abort(self._handle, reset=True)

    @property
    def parties(self) -> int:
        """How many wait for each other. No round trip."""
        return int(self._token.parameters.split(" ")[0])

    @property
    def n_waiting(self) -> int:
        """How many wait now. 1 round trip."""
        return barrier_ops.state(self._handle)[0]

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken. 1 round trip."""
        return barrier_ops.state(self._handle)[1]

    def statistics(self) -> BarrierStatistics:  # type: ignore[override]
        """How many wait, and whether it is broken. 1 round trip."""
        waiting, broken = barrier_ops.state(self._handle)
        return BarrierStatistics(self._typeid, _name(self), self.parties, waiting, broken)

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        if methodname == "__getattribute__":
            return getattr(self, *args)
        return super()._callmethod(methodname, args, kwds)

    def _show(self) -> str:
        waiting, broken = barrier_ops.state(self._handle)
        state = "broken" if broken else f"waiters={waiting}/{self.parties}"
        return f"<Barrier {self._token.ident}: {state}>"
