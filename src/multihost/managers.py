"""Managers: the counterpart of :mod:`multiprocessing.managers`."""

from __future__ import annotations

import array
import operator
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.managers import Namespace, RemoteError
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from multihost.basemanager import DEFAULT_NAMESPACE, LEASE, TIMEOUT, BaseManager
from multihost.proxies.acquirer import AcquirerProxy
from multihost.proxies.array import ArrayProxy, Packing
from multihost.proxies.barrier import BarrierProxy, BarrierStatistics
from multihost.proxies.base import (
    AutoProxy,
    BaseProxy,
    IteratorProxy,
    MakeProxyType,
    Statistics,
    Token,
    handle_of,
    value_of,
)
from multihost.proxies.condition import ConditionProxy, ConditionStatistics, lock_of_condition
from multihost.proxies.dict import DictProxy
from multihost.proxies.event import EventProxy, EventStatistics
from multihost.proxies.list import ListProxy
from multihost.proxies.lock import Holder, LockProxy, LockStatistics, RLockProxy
from multihost.proxies.namespace import NamespaceProxy
from multihost.proxies.queue import (
    JoinableQueueProxy,
    LifoQueueProxy,
    PriorityQueueProxy,
    QueueProxy,
    QueueStatistics,
    SimpleQueueProxy,
)
from multihost.proxies.semaphore import (
    BoundedSemaphoreProxy,
    SemaphoreProxy,
    SemaphoreStatistics,
)
from multihost.proxies.set import SetProxy
from multihost.proxies.value import ValueProxy
from multihost.serving.process import Server
from multihost.wire.address import parse
from multihost.wire.ops import array as array_ops
from multihost.wire.ops import barrier as barrier_ops
from multihost.wire.ops import condition as condition_ops
from multihost.wire.ops import dict as dict_ops
from multihost.wire.ops import event as event_ops
from multihost.wire.ops import list as list_ops
from multihost.wire.ops import lock as lock_ops
from multihost.wire.ops import namespace as namespace_ops
from multihost.wire.ops import semaphore as semaphore_ops
from multihost.wire.ops import set as set_ops
from multihost.wire.ops import value as value_ops
from multihost.wire.ops.queue import admin as queue_admin
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from multihost.wire.session import registry
from multihost.wire.values.codec import Serializer

if TYPE_CHECKING:
    from multihost.pooling.managed import ManagedPool

__all__ = [
    "AcquirerProxy",
    "ArrayProxy",
    "AutoProxy",
    "BarrierProxy",
    "BarrierStatistics",
    "BaseManager",
    "BaseProxy",
    "BoundedSemaphoreProxy",
    "ConditionProxy",
    "ConditionStatistics",
    "DictProxy",
    "EventProxy",
    "EventStatistics",
    "Holder",
    "IteratorProxy",
    "JoinableQueueProxy",
    "LifoQueueProxy",
    "ListProxy",
    "LockProxy",
    "LockStatistics",
    "MakeProxyType",
    "NamespaceProxy",
    "PriorityQueueProxy",
    "QueueProxy",
    "QueueStatistics",
    "RLockProxy",
    "RedisManager",
    "RemoteError",
    "SemaphoreProxy",
    "SemaphoreStatistics",
    "Server",
    "SetProxy",
    "SimpleQueueProxy",
    "Statistics",
    "SyncManager",
    "Token",
    "ValueProxy",
]

AnySemaphore = TypeVar("AnySemaphore", bound=SemaphoreProxy)
AnyQueue = TypeVar("AnyQueue", bound=QueueProxy[Any])


def _native(factory: Any, proxytype: type[BaseProxy]) -> tuple[Any, Any, Any, Any]:
    return factory, proxytype._exposed_, None, proxytype


class SyncManager(BaseManager):
    """A manager with the shared types, as :class:`multiprocessing.managers.SyncManager`.

    A leading ``str`` is a name where the standard library has no meaning for one (``dict``,
    ``Namespace``); ``list("abc")`` and ``set("abc")`` take it as data. ``name=`` works wherever
    keywords are not data. A named object is created by the first who asks for it and is the same
    for everyone; its initial content counts only then.
    """

    # What each type is in the standard library, and the proxy of it here.
    _registry: ClassVar[dict[str, Any]] = {
        "Queue": _native(queue.Queue, QueueProxy),
        "JoinableQueue": _native(queue.Queue, JoinableQueueProxy),
        "LifoQueue": _native(queue.LifoQueue, LifoQueueProxy),
        "PriorityQueue": _native(queue.PriorityQueue, PriorityQueueProxy),
        "SimpleQueue": _native(queue.SimpleQueue, SimpleQueueProxy),
        "Event": _native(threading.Event, EventProxy),
        "Lock": _native(threading.Lock, LockProxy),
        "RLock": _native(threading.RLock, RLockProxy),
        "Semaphore": _native(threading.Semaphore, SemaphoreProxy),
        "BoundedSemaphore": _native(threading.BoundedSemaphore, BoundedSemaphoreProxy),
        "Condition": _native(threading.Condition, ConditionProxy),
        "Barrier": _native(threading.Barrier, BarrierProxy),
        "list": _native(list, ListProxy),
        "dict": _native(dict, DictProxy),
        "set": _native(set, SetProxy),
        "Value": _native(None, ValueProxy),
        "Array": _native(array.array, ArrayProxy),
        "Namespace": _native(Namespace, NamespaceProxy),
    }
    _native_types = frozenset(_registry)

    @overload
    def dict(self, /, **kwds: Any) -> DictProxy[str, Any]: ...
    @overload
    def dict(
        self, source: Mapping[Any, Any] | Iterable[tuple[Any, Any]], /, **kwds: Any
    ) -> DictProxy[Any, Any]: ...
    @overload
    def dict(
        self, name: str, source: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (), /, **kwds: Any
    ) -> DictProxy[Any, Any]: ...
    def dict(self, /, *args: Any, **kwds: Any) -> DictProxy[Any, Any]:
        """A shared dict: ``dict()``, ``dict({...})``, ``dict("name")``, ``dict("name", {...})``. 1
        round trip.
        """
        name, args = _leading_name(args, True)
        entries: dict[Any, Any] = dict(*map(value_of, args), **kwds)
        return self._create_object(
            DictProxy,
            name,
            lambda handle: dict_ops.create(handle, dict_ops.Entries(handle, entries)),
        )

    def list(self, *args: Any, name: str | None = None) -> ListProxy[Any]:
        """A shared list: ``list()``, ``list([..])``, ``list([..], name="name")``. 1 round trip."""
        name, args = _leading_name(args, self._name_first, name)
        values: Sequence[Any] = list(*map(value_of, args))
        return self._create_object(
            ListProxy, name, lambda handle: list_ops.create(handle, handle.codec.dump_many(values))
        )

    def set(self, *args: Any, name: str | None = None) -> SetProxy[Any]:
        """A shared set: ``set()``, ``set([...])``, ``set([...], name="name")``. 1 round trip."""
        name, args = _leading_name(args, self._name_first, name)
        members = dict.fromkeys(*map(value_of, args)) if len(args) == 1 else set(*args)
        return self._create_object(SetProxy, name, lambda handle: set_ops.create(handle, members))

    def Namespace(self, /, *args: Any, **kwds: Any) -> NamespaceProxy:
        """A shared namespace: ``Namespace(x=1)``, ``Namespace("name", x=1)``. 1 round trip."""
        name, args = _leading_name(args, True)
        if args:
            raise TypeError(f"Namespace() takes keywords and a name, not {type(args[0]).__name__}")
        return self._create_object(
            NamespaceProxy,
            name,
            lambda handle: namespace_ops.create(
                handle, list(kwds), handle.codec.dump_many(list(kwds.values()))
            ),
        )

    def Value(
        self,
        typecode: str,
        value: Any,
        lock: bool = True,  # noqa: ARG002 - taken and ignored, as there
        *,
        name: str | None = None,
    ) -> ValueProxy[Any]:
        """A shared value: ``Value("i", 0)``. The type code is only shown; ``lock`` is ignored. 1
        round trip.
        """
        return self._create_object(
            ValueProxy,
            name,
            lambda handle: value_ops.create(handle, typecode, handle.codec.dump(value)),
            typecode,
        )

    def Array(
        self,
        typecode: str,
        sequence: Iterable[Any],
        lock: bool = True,  # noqa: ARG002 - taken and ignored, as there
        *,
        name: str | None = None,
    ) -> ArrayProxy[Any]:
        """A shared ``array.array``: ``Array("i", [1, 2])``. ``lock`` is ignored. 1 round trip."""
        items = array.array(typecode, value_of(sequence))
        return self._create_object(
            ArrayProxy,
            name,
            lambda handle: array_ops.create(handle, typecode, Packing(typecode).pack(items)),
            typecode,
        )

    def Lock(self, name: str | None = None) -> LockProxy:
        """A shared lock: ``Lock()``, ``Lock("name")``. 1 round trip."""
        return self._create_object(LockProxy, name, lambda handle: lock_ops.create(handle, "Lock"))

    def RLock(self, name: str | None = None) -> RLockProxy:
        """A shared reentrant lock: ``RLock()``, ``RLock("name")``. 1 round trip."""
        return self._create_object(
            RLockProxy, name, lambda handle: lock_ops.create(handle, "RLock")
        )

    def Semaphore(self, *args: Any, **kwds: Any) -> SemaphoreProxy:
        """Shared permits: ``Semaphore(2)``, ``Semaphore("name", 2)``. 1 round trip."""
        return self._semaphore(SemaphoreProxy, *_named("value", args, kwds))

    def BoundedSemaphore(self, *args: Any, **kwds: Any) -> BoundedSemaphoreProxy:
        """Shared permits, never more than at first: ``BoundedSemaphore(2)``,
        ``BoundedSemaphore("name", 2)``. 1 round trip.
        """
        return self._semaphore(BoundedSemaphoreProxy, *_named("value", args, kwds))

    def Condition(self, *args: Any, **kwds: Any) -> ConditionProxy:
        """A shared condition: ``Condition()``, ``Condition(lock)``, ``Condition("name", lock)``. 1
        round trip.
        """
        name, lock = _named("lock", args, kwds)
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
        """A shared event: ``Event()``, ``Event("name")``. 1 round trip."""
        return self._create_object(EventProxy, name, event_ops.create)

    def Barrier(
        self,
        *args: Any,
        parties: int | None = None,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        name: str | None = None,
    ) -> BarrierProxy:
        """A shared barrier: ``Barrier(8)``, ``Barrier("name", 8, action, timeout)``. 1 round trip.

        The last one to arrive calls ``action()``, which must be picklable.
        """
        name, args = _leading_name(args, True, name)
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
                handle, count, timeout, b"" if action is None else handle.codec.dump(action)
            ),
            f"{count} {timeout}",
        )

    def Queue(self, *args: Any, **kwds: Any) -> QueueProxy[Any]:
        """A shared queue: ``Queue()``, ``Queue(100)``, ``Queue("name", 100)``. 1 round trip.

        ``redeliver=True`` delivers an item again whose consumer died before ``task_done()``, with
        ``max_deliveries=n`` at most n times: then it becomes a dead letter.
        """
        return self._queue(QueueProxy, args, kwds)

    def JoinableQueue(self, *args: Any, **kwds: Any) -> JoinableQueueProxy[Any]:
        """The same as :meth:`Queue`, as in the standard library. 1 round trip."""
        return self._queue(JoinableQueueProxy, args, kwds)

    def LifoQueue(self, *args: Any, **kwds: Any) -> LifoQueueProxy[Any]:
        """A :meth:`Queue` that returns what was put last. 1 round trip."""
        return self._queue(LifoQueueProxy, args, kwds)

    def PriorityQueue(self, *args: Any, **kwds: Any) -> PriorityQueueProxy[Any]:
        """A :meth:`Queue` that returns the smallest item. 1 round trip."""
        return self._queue(PriorityQueueProxy, args, kwds)

    def SimpleQueue(self, name: str | None = None) -> SimpleQueueProxy[Any]:
        """A shared queue without a size: ``SimpleQueue()``, ``SimpleQueue("name")``. 1 round
        trip.
        """
        terms = QueueSettings(0, FIFO, 0)
        return self._create_object(
            SimpleQueueProxy,
            name,
            lambda handle: queue_admin.create(handle, "SimpleQueue", terms, (True, True)),
            "0 0",
        )

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        name: str | None = None,
        attempts: int = 1,
        pickler: str = "pickle",
    ) -> ManagedPool:
        """A pool of worker processes: ``Pool(4)``, ``Pool(0, name="render")``; see
        :class:`multihost.pool.Pool`. 2 round trips, and the start of the processes.

        It lives in this process, and can be pickled: where it arrives it is another client.
        """
        from multihost.pooling.managed import ManagedPool, raise_as_stdlib

        return raise_as_stdlib(
            ManagedPool,
            self,
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context,
            name=name,
            attempts=attempts,
            pickler=pickler,
        )

    def _queue(self, proxytype: type[AnyQueue], args: tuple[Any, ...], kwds: Any) -> AnyQueue:
        redeliver: bool | None = kwds.pop("redeliver", None)
        times: int | None = kwds.pop("max_deliveries", None)
        name, maxsize = _named("maxsize", args, kwds)
        if times is not None and (operator.index(times) < 1 or not redeliver):
            raise ValueError(
                f"max_deliveries is at least 1, and for a queue with redeliver=True: not {times}"
            )
        most = 0 if maxsize is None else max(operator.index(maxsize), 0)
        terms = QueueSettings(most, proxytype._order_, (times or -1) if redeliver else 0)
        explicit = maxsize is not None, redeliver is not None
        return self._create_object(
            proxytype,
            name,
            lambda handle: queue_admin.create(handle, proxytype._typeid_, terms, explicit),
            f"{terms.maxsize} {terms.max_deliveries}",
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


def _named(parameter: str, args: tuple[Any, ...], kwds: dict[str, Any]) -> tuple[str | None, Any]:
    """A name and one parameter, each by place or by keyword."""
    name, args = _leading_name(args, True, kwds.pop("name", None))
    value = kwds.pop(parameter, None)
    if kwds or len(args) > 1 or (args and value is not None):
        raise TypeError(f"takes a name and {parameter}, not {[*args, *kwds]}")
    return name, args[0] if args else value


def _leading_name(
    args: tuple[Any, ...], first_is_name: bool, name: str | None = None
) -> tuple[str | None, tuple[Any, ...]]:
    """Take a leading str as the name, where it is one."""
    if first_is_name and name is None and args and isinstance(args[0], str):
        return args[0], args[1:]
    return name, args


class RedisManager(SyncManager):
    """A :class:`SyncManager` that takes a URL and is connected at once.

    >>> results = RedisManager("redis://host:6379/0").dict("results")

    ``RedisManager()`` uses ``MULTIHOST_URL``, else a private server. ``client=`` takes a
    ``redis.Redis`` or a ``fakeredis.FakeRedis`` instead of a URL; only its settings are used, it
    may be closed. A leading ``str`` is the name for every type but ``Value`` and ``Array``, whose
    first argument is a type code.
    """

    _name_first = True

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        namespace: str = DEFAULT_NAMESPACE,
        authkey: bytes | None = None,
        serializer: Literal["pickle", "json"] | Serializer = "pickle",
        lease: float = LEASE,
        timeout: float = TIMEOUT,
    ) -> None:
        if url is not None and client is not None:
            raise TypeError("RedisManager takes a URL or a client, not both")
        if url is None and client is None:
            url = os.environ.get(registry.URL_VARIABLE) or None
        if url is not None:
            parse(url)  # refuses what is none
        super().__init__(
            url, authkey, serializer, namespace=namespace, lease=lease, timeout=timeout
        )
        if url is not None:
            self.connect()
        elif client is None:
            self.start()
        else:
            self.runtime.open_like(client, authkey)
