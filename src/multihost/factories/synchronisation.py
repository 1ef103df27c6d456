"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event and Barrier."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar, overload

from multihost.basemanager import BaseManager
from multihost.factories.arguments import leading_name, name_and
from multihost.proxies.barrier import BarrierProxy
from multihost.proxies.base import handle_of
from multihost.proxies.condition import ConditionProxy, lock_of_condition
from multihost.proxies.event import EventProxy
from multihost.proxies.lock import LockProxy, RLockProxy
from multihost.proxies.semaphore import BoundedSemaphoreProxy, SemaphoreProxy
from multihost.wire.ops import barrier as barrier_ops
from multihost.wire.ops import condition as condition_ops
from multihost.wire.ops import event as event_ops
from multihost.wire.ops import lock as lock_ops
from multihost.wire.ops import semaphore as semaphore_ops

__all__ = ["SynchronisationFactories"]

AnySemaphore = TypeVar("AnySemaphore", bound=SemaphoreProxy)


class SynchronisationFactories(BaseManager):
    """A manager of locks and of everything else that processes wait for."""

    def Lock(self, name: str | None = None) -> LockProxy:
        """Return a shared lock: ``Lock()``, ``Lock("name")``. 1 round trip."""
        return self._create_object(LockProxy, name, lambda handle: lock_ops.create(handle, "Lock"))

    def RLock(self, name: str | None = None) -> RLockProxy:
        """Return a shared reentrant lock: ``RLock()``, ``RLock("name")``. 1 round trip."""
        return self._create_object(
            RLockProxy, name, lambda handle: lock_ops.create(handle, "RLock")
        )

    def Semaphore(
        self,
        name_or_value: str | int | None = None,
        /,
        value: int | None = None,
        *,
        name: str | None = None,
    ) -> SemaphoreProxy:
        """Return a shared semaphore: ``Semaphore(2)``, ``Semaphore("name", 2)``. 1 round trip."""
        return self._semaphore(SemaphoreProxy, *name_and("value", name_or_value, value, name))

    def BoundedSemaphore(
        self,
        name_or_value: str | int | None = None,
        /,
        value: int | None = None,
        *,
        name: str | None = None,
    ) -> BoundedSemaphoreProxy:
        """Return a shared semaphore that never has more permits than its initial value:
        ``BoundedSemaphore(2)``, ``BoundedSemaphore("name", 2)``. 1 round trip.
        """
        return self._semaphore(
            BoundedSemaphoreProxy, *name_and("value", name_or_value, value, name)
        )

    def Condition(
        self,
        name_or_lock: str | LockProxy | RLockProxy | None = None,
        /,
        lock: LockProxy | RLockProxy | None = None,
        *,
        name: str | None = None,
    ) -> ConditionProxy:
        """Return a shared condition: ``Condition()``, ``Condition(lock)``, ``Condition("name",
        lock)``. 1 round trip.
        """
        name, lock = name_and("lock", name_or_lock, lock, name)
        if lock is not None and not isinstance(lock, (LockProxy, RLockProxy)):
            raise TypeError(
                f"Condition() takes the proxy of a Lock or an RLock, not {type(lock).__name__}"
            )
        if lock is not None and handle_of(lock).session is not self.runtime.session:
            raise ValueError("a condition and its lock are of one manager")
        which, reference = lock_of_condition(lock)
        return self._create_object(
            ConditionProxy,
            name,
            lambda handle: condition_ops.create(handle, which, reference),
            which,
        )

    def Event(self, name: str | None = None) -> EventProxy:
        """Return a shared event: ``Event()``, ``Event("name")``. 1 round trip."""
        return self._create_object(EventProxy, name, event_ops.create)

    @overload
    def Barrier(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
    ) -> BarrierProxy: ...
    @overload
    def Barrier(
        self,
        name: str,
        /,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> BarrierProxy: ...
    def Barrier(
        self,
        *args: Any,
        parties: int | None = None,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        name: str | None = None,
    ) -> BarrierProxy:
        """Return a shared barrier: ``Barrier(8)``, ``Barrier("name", 8, action, timeout)``. 1 round
        trip.

        The last party to arrive calls ``action()``, which must be picklable.
        """
        name, args = leading_name(args, True, name)
        if len(args) > 3 or bool(args) is (parties is not None):
            raise TypeError("Barrier() takes a name, parties, action and timeout")
        count = operator.index(args[0] if args else parties)  # type: ignore[arg-type]
        action = args[1] if len(args) > 1 else action
        timeout = args[2] if len(args) > 2 else timeout
        if count < 1:
            raise ValueError("parties must be > 0")
        if action is not None and not callable(action):
            raise TypeError(f"the action of a barrier is a callable, not {action!r}")
        timeout = None if timeout is None else float(timeout)
        return self._create_object(
            BarrierProxy,
            name,
            lambda handle: barrier_ops.create(
                handle, count, timeout, barrier_ops.packed_action(handle, action)
            ),
            f"{count} {timeout}",
        )

    def _semaphore(
        self, proxytype: type[AnySemaphore], name: str | None, value: int | None
    ) -> AnySemaphore:
        initial = 1 if value is None else operator.index(value)
        if initial < 0:
            raise ValueError("semaphore initial value must be >= 0")
        return self._create_object(
            proxytype,
            name,
            lambda handle: semaphore_ops.create(
                handle, proxytype._typeid_, initial, value is not None
            ),
        )
