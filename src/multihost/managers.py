"""Managers: the counterpart of :mod:`multiprocessing.managers`."""

from __future__ import annotations

import array
import queue
import threading
from collections.abc import Callable, Iterable
from multiprocessing import managers as stdlib
from multiprocessing.managers import Namespace, RemoteError
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from multihost.basemanager import DEFAULT_NAMESPACE, LEASE, TIMEOUT, BaseManager
from multihost.factories.containers import ContainerFactories
from multihost.factories.queues import QueueFactories
from multihost.factories.synchronisation import SynchronisationFactories
from multihost.proxies.acquirer import AcquirerProxy
from multihost.proxies.array import ArrayProxy
from multihost.proxies.barrier import BarrierProxy, BarrierStatistics
from multihost.proxies.base import (
    AutoProxy,
    BaseProxy,
    IteratorProxy,
    MakeProxyType,
    Statistics,
    Token,
)
from multihost.proxies.condition import ConditionProxy, ConditionStatistics
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
from multihost.wire.address import PRIVATE
from multihost.wire.link import check_url
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

T = TypeVar("T")


def _native(factory: Any, proxytype: type[BaseProxy]) -> tuple[Any, Any, Any, Any]:
    return factory, proxytype._exposed_, None, proxytype


class SyncManager(  # type: ignore[misc]
    ContainerFactories, SynchronisationFactories, QueueFactories, stdlib.SyncManager
):
    """A manager with the shared types, as :class:`multiprocessing.managers.SyncManager`.

    A leading ``str`` is the name where the standard library has no meaning for one (``dict``,
    ``Namespace``, ``Queue``, ...); in ``list("abc")`` and ``set("abc")`` it is data. ``name=``
    works wherever keywords are not data. A named object is created by the first call with its name
    and is the same for all clients; later calls ignore the initial content.
    """

    # For each type: the one of the standard library, and our proxy.
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
        """Return a pool of worker processes: ``Pool(4)``, ``Pool(0, name="render")``; see
        :class:`multihost.pool.Pool`. 2 round trips, and the start of the processes.

        The pool object belongs to this process. It can be pickled; unpickled in another process it
        is another client of the same pool.
        """
        from multihost.pooling.managed import managed_pool
        from multihost.pooling.options import PoolOptions

        return managed_pool(
            self,
            PoolOptions(
                processes,
                initializer,
                initargs,
                maxtasksperchild,
                context,
                name,
                attempts,
                pickler,
            ),
        )


class RedisManager(SyncManager):
    """A :class:`SyncManager` that takes a URL and is connected at once.

    >>> results = RedisManager("redis://host:6379/0").dict("results")

    A master that Sentinels watch is ``redis+sentinel://host:26379,host:26379/SERVICE``, a cluster
    ``redis+cluster://host:6379,host:6379``, with some of its servers.

    ``RedisManager()`` uses the URL in ``MULTIHOST_URL``, and raises ValueError if there is none:
    programs that are to meet would each be alone. ``embedded://`` in the place of a URL is a
    private server, as that of ``Manager()``. ``client=`` takes a ``redis.Redis``, a
    ``redis.RedisCluster`` or a ``fakeredis.FakeRedis`` instead of a URL; only its settings are
    used, it may be closed. A leading ``str`` is the name for every type but ``Value`` and
    ``Array``, whose first argument is a type code.

    ``replicas=2``, or ``"all"``: what a call changes, puts, takes or acquires has reached so many
    replicas before the call returns (``WAIT``, in the same write). Where it has not within the
    ``timeout``, or the call's own, a hold and an item are given back, and
    :class:`~multihost.NotReplicated` is raised; of other calls it says that they were executed, and
    may not last. ``"all"`` is the largest number that the master was seen with by this process, and
    at least 1: a replica that is away fails calls. Releases and reads do not wait. **Cost**: the
    round trip from the server to its replicas.
    """

    _name_first = True

    if TYPE_CHECKING:  # a leading str is the name here, and data in the base class

        @overload  # type: ignore[override]
        def list(self, name: str = ..., /) -> ListProxy[Any]: ...
        @overload
        def list(self, name: str, values: Iterable[T], /) -> ListProxy[T]: ...
        @overload
        def list(self, *, name: str | None) -> ListProxy[Any]: ...
        @overload
        def list(self, values: Iterable[T], /, *, name: str | None = None) -> ListProxy[T]: ...
        def list(self, *args: Any, **kwds: Any) -> ListProxy[Any]: ...

        @overload  # type: ignore[override]
        def set(self, name: str = ..., /) -> SetProxy[Any]: ...
        @overload
        def set(self, name: str, members: Iterable[T], /) -> SetProxy[T]: ...
        @overload
        def set(self, *, name: str | None) -> SetProxy[Any]: ...
        @overload
        def set(self, members: Iterable[T], /, *, name: str | None = None) -> SetProxy[T]: ...
        def set(self, *args: Any, **kwds: Any) -> SetProxy[Any]: ...

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
        grace: float | None = None,
        replicas: int | Literal["all"] = 0,
    ) -> None:
        if url is not None and client is not None:
            raise TypeError("RedisManager takes a URL or a client, not both")
        if url is None and client is None:
            url = registry.configured_url()
            if not url:
                raise ValueError(
                    "no server: pass its URL (redis://host:6379/0), or set "
                    f"{registry.URL_VARIABLE}; a private server, which no other program meets, is "
                    f"that of Manager(), and has the URL {PRIVATE}"
                )
        if url not in (None, PRIVATE):
            check_url(url)
        super().__init__(
            url,
            authkey,
            serializer,
            namespace=namespace,
            lease=lease,
            timeout=timeout,
            grace=grace,
            replicas=replicas,
        )
        if url == PRIVATE:
            self.start()
        elif url is not None:
            self.connect()
        else:
            self.runtime.open_like(client, authkey)
