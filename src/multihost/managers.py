"""Managers: the counterpart of :mod:`multiprocessing.managers`."""

from __future__ import annotations

import array
import operator
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import ProcessError, current_process, util
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from multihost.embedded import EmbeddedServer
from multihost.errors import ManagerClosed
from multihost.proxies.base import BaseProxy, Statistics, Token, value_of
from multihost.proxies.locks import (
    BoundedSemaphoreProxy,
    Holder,
    LockProxy,
    LockStatistics,
    RLockProxy,
    SemaphoreProxy,
    SemaphoreStatistics,
)
from multihost.proxies.mapping import DictProxy
from multihost.proxies.queues import (
    JoinableQueueProxy,
    LifoQueueProxy,
    PriorityQueueProxy,
    QueueProxy,
    QueueStatistics,
    SimpleQueueProxy,
)
from multihost.proxies.rendezvous import (
    BarrierProxy,
    BarrierStatistics,
    ConditionProxy,
    EventProxy,
    RendezvousStatistics,
    lock_of_condition,
)
from multihost.proxies.sequence import ListProxy
from multihost.proxies.sets import SetProxy
from multihost.proxies.values import ArrayProxy, NamespaceProxy, Packing, ValueProxy
from multihost.wire import directory
from multihost.wire.address import Address, Credentials, parse
from multihost.wire.codec import Codec, Serializer
from multihost.wire.keys import check_name, check_namespace, names
from multihost.wire.link import Link, from_client
from multihost.wire.ops import array as array_ops
from multihost.wire.ops import barrier as barrier_ops
from multihost.wire.ops import condition as condition_ops
from multihost.wire.ops import dict as dict_ops
from multihost.wire.ops import event as event_ops
from multihost.wire.ops import list as list_ops
from multihost.wire.ops import lock as lock_ops
from multihost.wire.ops import namespace as namespace_ops
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import queue as queue_ops
from multihost.wire.ops import semaphore as semaphore_ops
from multihost.wire.ops import set as set_ops
from multihost.wire.ops import value as value_ops
from multihost.wire.ops.taking import Terms
from multihost.wire.session import Handle, Session

if TYPE_CHECKING:
    from multihost.pooling.managed import ManagedPool

__all__ = [
    "ArrayProxy",
    "BarrierProxy",
    "BarrierStatistics",
    "BaseManager",
    "BaseProxy",
    "BoundedSemaphoreProxy",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "Holder",
    "JoinableQueueProxy",
    "LifoQueueProxy",
    "ListProxy",
    "LockProxy",
    "LockStatistics",
    "NamespaceProxy",
    "PriorityQueueProxy",
    "QueueProxy",
    "QueueStatistics",
    "RLockProxy",
    "RedisManager",
    "RendezvousStatistics",
    "SemaphoreProxy",
    "SemaphoreStatistics",
    "SetProxy",
    "SimpleQueueProxy",
    "Statistics",
    "SyncManager",
    "Token",
    "ValueProxy",
]

DEFAULT_NAMESPACE = "multihost"
LEASE = 30.0
TIMEOUT = 10.0

AnyProxy = TypeVar("AnyProxy", bound=BaseProxy)
AnySemaphore = TypeVar("AnySemaphore", bound=SemaphoreProxy)
AnyQueue = TypeVar("AnyQueue", bound=QueueProxy[Any])


class BaseManager:
    """A way to shared objects: states, connection and names, without any type.

    ``address`` is a URL; without one ``start()`` runs a private server. ``authkey`` protects a
    private server, and signs the values on another one. ``lease`` (seconds) is how long unnamed
    objects outlive a killed holder, ``timeout`` (seconds) how long one answer of the server may
    take.
    """

    def __init__(
        self,
        address: str | None = None,
        authkey: bytes | None = None,
        serializer: Literal["pickle", "json"] | Serializer = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
        namespace: str = DEFAULT_NAMESPACE,
        lease: float = LEASE,
        timeout: float = TIMEOUT,
    ) -> None:
        if lease <= 0 or timeout <= 0:
            raise ValueError(
                f"lease and timeout are positive numbers of seconds, not {lease!r} and {timeout!r}"
            )
        directory.serializer_of(serializer)  # refuses a bad one
        self._credentials = Credentials()
        self._parsed: Address | None = None
        if address is not None:
            self._parsed, self._credentials = parse(address)
        self._authkey = bytes(authkey) if authkey is not None else None
        self._serializer = serializer
        self._namespace = check_namespace(namespace)
        self._lease = lease
        self._timeout = timeout
        self._server: EmbeddedServer | None = None
        self._session: Session | None = None
        self._state: Literal["initial", "started", "shut down"] = "initial"
        del ctx, shutdown_timeout  # there is no server process to make or to wait for

    # states

    def start(
        self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        """Start a private server, or connect to the one of the address. 40 ms, or one round trip.

        The server listens on a socket that only this user can open, writes nothing to disk, and
        ends with this process, however that ends. ``initializer(*initargs)`` is called in this
        process.
        """
        self._check_new()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if self._parsed is not None:
            self.connect()
        else:
            authkey = self._authkey or bytes(current_process().authkey)
            self._server = EmbeddedServer(lambda url: directory.embedded(url, authkey)[1].password)
            address, self._credentials = directory.embedded(self._server.address, authkey)
            try:
                self._open(Link(address, self._credentials, timeout=self._timeout, patience=0.0))
            except BaseException:
                self._server.stop()
                raise
        if initializer is not None:
            initializer(*initargs)

    def connect(self) -> None:
        """Connect to the server of the address. 2 round trips, once for each manager.

        Raises LinkError if it cannot be reached, AccessDenied if it refuses the password or lacks a
        permission, and ServerUnfit if it is too old or may evict data.
        """
        self._check_new()
        if self._parsed is None:
            raise ValueError("connect() needs the address of a server: give a URL, or use start()")
        if self._authkey is not None:
            self._credentials = Credentials(
                self._credentials.username,
                self._credentials.password,
                self._authkey,
                self._credentials.secret_options,
            )
        self._open(Link(self._parsed, self._credentials, timeout=self._timeout))

    def _open(self, link: Link) -> None:
        try:
            link.connect(names(self._namespace, 0))
        except BaseException:
            link.abandon()
            raise
        codec = Codec(self._credentials.authkey, directory.serializer_of(self._serializer))
        session = Session(link, self._namespace, codec, self._lease)
        session.origin = directory.Origin(
            str(link.address),
            self._namespace,
            self._lease,
            self._timeout,
            codec.ident,
            self._serializer,
        )
        self._session = session
        self._state = "started"
        directory.enter(self._session, self._credentials)
        self._pid = os.getpid()
        self._finalizer = util.Finalize(
            self, _finish, (self._session, self._server, self._pid, True), exitpriority=0
        )

    def _check_new(self) -> None:
        if self._state == "started":
            raise ProcessError("Already started server")
        if self._state == "shut down":
            raise ProcessError("Manager has shut down")

    def shutdown(self) -> None:
        """Delete what this manager made without a name, and end its private server. A second time
        does nothing.

        Proxies of this process raise :class:`~multihost.ManagerClosed` from then on. Named objects
        stay, unless they were on the private server.
        """
        if self._state == "started":
            self._state = "shut down"
            self._finalizer.cancel()  # in a forked child it would do nothing
            _finish(self._session, self._server, self._pid, False)

    def join(self, timeout: float | None = None) -> None:
        """Nothing to wait for: the private server ends within ``shutdown()``."""

    @property
    def address(self) -> str | None:
        """The URL of the server, without user name and password; None before ``start()`` if none
        was given.
        """
        if self._session is not None:
            return str(self._session.link.address)
        return None if self._parsed is None else str(self._parsed)

    def __enter__(self) -> Self:
        if self._state == "initial":
            self.start()
        if self._state != "started":
            raise ProcessError("Manager has shut down")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a manager cannot be pickled: pass its proxies, or create one in the other process"
        )

    # objects

    def names(self) -> list[str]:
        """The names of all named objects, sorted. 1 round trip, O(names)."""
        return sorted(object_ops.names(self._open_session()))

    def delete(self, name: str) -> bool:
        """Delete the object of that name; whether there was one. 1 round trip. Its proxies raise
        ObjectGone.
        """
        return object_ops.delete(self._open_session().handle("n:" + check_name(name)))

    def _open_session(self) -> Session:
        if self._state == "shut down":
            raise ManagerClosed("the manager has shut down: create another one")
        assert self._session is not None, "server not yet started"
        return self._session

    def _create_object(
        self,
        proxytype: type[AnyProxy],
        name: str | None,
        create: Callable[[Handle], bool | str | None],
        detail: str = "",
    ) -> AnyProxy:
        """Create the object or attach to it, and return a proxy.

        ``create`` may tell the parameters of an object that was there.
        """
        session = self._open_session()
        ident = "u:" + secrets.token_urlsafe(16) if name is None else "n:" + check_name(name)
        handle = session.handle(ident)
        there = create(handle)
        if isinstance(there, str):
            detail = there
        if name is None:
            session.made(handle.keys)
        return proxytype(handle, Token(proxytype._typeid, ident, detail, session.origin), self)


def _finish(
    session: Session | None, server: EmbeddedServer | None, pid: int, forgotten: bool
) -> None:
    """End a manager: in its own process for everyone, in a forked child only there.

    One that was forgotten, at the end of the process or before, was not told to delete what other
    processes may hold.
    """
    assert session is not None
    directory.leave(session)
    if server is None and forgotten:
        session.leave()
    elif server is None:
        session.close()
    else:
        session.abandon()
        if os.getpid() == pid:
            server.stop()


class SyncManager(BaseManager):
    """A manager with the shared types, as :class:`multiprocessing.managers.SyncManager`.

    A leading ``str`` is a name where the standard library has no meaning for one (``dict``,
    ``Namespace``); ``list("abc")`` and ``set("abc")`` take it as data. ``name=`` works wherever
    keywords are not data. A named object is created by the first who asks for it and is the same
    for everyone; its initial content counts only then.
    """

    _name_first = False

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
        if lock is not None and lock._handle.session is not self._open_session():
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
        terms = Terms(0, "f", 0)
        return self._create_object(
            SimpleQueueProxy,
            name,
            lambda handle: queue_ops.create(handle, "SimpleQueue", terms, (True, True)),
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
        from multihost.pooling.managed import ManagedPool, refusable

        return refusable(
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
        terms = Terms(most, proxytype._order, (times or -1) if redeliver else 0)
        explicit = maxsize is not None, redeliver is not None
        return self._create_object(
            proxytype,
            name,
            lambda handle: queue_ops.create(handle, proxytype._typeid, terms, explicit),
            f"{terms.most} {terms.again}",
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
                handle, proxytype._typeid, initial, value is not None
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
            url = os.environ.get(directory.URL_VARIABLE) or None
        super().__init__(
            url, authkey, serializer, namespace=namespace, lease=lease, timeout=timeout
        )
        if client is None:
            self.start()
            return
        address, opener = from_client(client)
        if authkey is not None:
            self._credentials = Credentials(authkey=bytes(authkey))
        self._open(Link(address, self._credentials, timeout=timeout, opener=opener))
