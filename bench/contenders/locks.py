"""Contenders of the section on locks: the managers, and the locks of two Redis packages.

Each has a server of its own, so that the CPU time of a server has one cause.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Protocol

from bench.contenders import import_multihost, managers
from bench.server import Server, run_server

__all__ = ["Locker", "Offer", "Open", "enter_lockers", "offers"]

#: Opens one end of a lock. Every process and every thread opens its own.
Open = Callable[[], Any]

#: Connections that one process may need at once: threads, and locks that renew themselves.
MANY = 10_000


class Locker(Protocol):
    """What the section asks of everybody. An end of a lock has ``acquire()`` and ``release()``."""

    #: The process in which the locks are, and the server that it is, if there is one.
    pid: int
    server: Server | None
    #: Seconds between two looks of who waits; 0 if waiters are woken.
    nap: float
    #: Whether there is a reentrant lock.
    reenters: bool

    def lock(self, name: str | None = None) -> Open:
        """Make a lock."""

    def rlock(self) -> Open:
        """Make a reentrant lock."""


#: Starts a contender, for the length of a with block.
Offer = Callable[[], contextlib.AbstractContextManager[Locker]]


def offers(*, variants: bool, lease: int | None = None) -> dict[str, Offer]:
    """Tell who can be started.

    ``variants`` are multihost over TCP, and a redis-py that is told to look more often. A ``lease``
    in seconds is for those that can have one, and brings in the python-redis-lock that has.
    """
    # First, as in ``enter_all``: its server is a fork of this process.
    found: dict[str, Offer] = {"stdlib": stdlib}
    if reason := import_multihost():
        print(f"  multihost left out, it cannot be imported: {reason}", file=sys.stderr)
    else:
        found["multihost"] = partial(multihost, lease=lease)
        if variants:
            found["multihost-tcp"] = partial(multihost, lease=lease, tcp=True)
    found["redis-py"] = redis_py
    if variants:
        found["redis-py-1ms"] = partial(redis_py, 0.001)
    try:
        import redis_lock  # noqa: F401 - whether it is there
    except ImportError as error:
        print(f"  python-redis-lock left out: {error}", file=sys.stderr)
    else:
        found["redis-lock"] = python_redis_lock
        if lease is not None:
            found["redis-lock-renewed"] = partial(python_redis_lock, lease)
    return found


@contextlib.contextmanager
def enter_lockers(offered: dict[str, Offer]) -> Iterator[dict[str, Locker]]:
    """Start contenders, and end everything that was started."""
    with contextlib.ExitStack() as stack:
        yield {who: stack.enter_context(start()) for who, start in offered.items()}


@contextlib.contextmanager
def stdlib() -> Iterator[Locker]:
    """Start the standard library's manager."""
    with managers.stdlib() as contender:
        yield ManagerLocker(contender.manager)


@contextlib.contextmanager
def multihost(*, lease: int | None, tcp: bool = False) -> Iterator[Locker]:
    """Connect a manager of multihost."""
    from multihost import RedisManager

    options: dict[str, Any] = {} if lease is None else {"lease": lease}
    with run_server(tcp=tcp) as server, RedisManager(server.url, **options) as manager:
        yield ManagerLocker(manager, server)


@contextlib.contextmanager
def redis_py(sleep: float | None = None) -> Iterator[Locker]:
    """Start a server for redis-py."""
    with run_server() as server:
        yield RedisPyLocker(server, sleep)


@contextlib.contextmanager
def python_redis_lock(expire: int | None = None) -> Iterator[Locker]:
    """Start a server for python-redis-lock."""
    with run_server() as server:
        yield RedisLockLocker(server, expire)


class ManagerLocker:
    """The locks of a manager."""

    nap = 0.0
    reenters = True

    def __init__(self, manager: Any, server: Server | None = None) -> None:
        self.manager = manager
        self.server = server
        self.pid: int = server.pid if server else manager._process.pid

    def lock(self, name: str | None = None) -> Open:
        """Make a lock, with a name if names exist."""
        lock = self.manager.Lock(name) if name and self.server else self.manager.Lock()
        return lambda: lock

    def rlock(self) -> Open:
        """Make a reentrant lock."""
        rlock = self.manager.RLock()
        return lambda: rlock


class ServerLocker:
    """A package that has a lock, and leaves the connections to redis-py."""

    nap = 0.0
    reenters = False
    options: ClassVar[dict[str, Any]]

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pid = server.pid
        self.serial = itertools.count()
        self._client: tuple[int, Any] = (0, None)

    def client(self) -> Any:
        """Return the client of this process."""
        import redis

        if self._client[0] != os.getpid():
            client = redis.Redis(unix_socket_path=self.server.path, **self.options)
            self._client = os.getpid(), client
        return self._client[1]

    def rlock(self) -> Open:
        """Neither package has one."""
        raise NotImplementedError


class RedisPyLocker(ServerLocker):
    """``redis.lock.Lock`` as it comes; or one that looks more often while it waits.

    Without a ``timeout``, as here and by default, a killed holder keeps it for ever.
    """

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, server: Server, sleep: float | None = None) -> None:
        super().__init__(server)
        self.settings = {} if sleep is None else {"sleep": sleep}
        self.nap = 0.1 if sleep is None else sleep

    def lock(self, name: str | None = None) -> Open:
        """Choose a name."""
        name = name or f"lock:{self.nap}:{next(self.serial)}"
        return lambda: self.client().lock(name, **self.settings)


class RedisLockLocker(ServerLocker):
    """``redis_lock.Lock`` as it comes: killed holders keep it for ever; or with renewal."""

    # redis-py ends any read after 5 seconds, and a blocking pop with it; and 100 connections in a
    # process are its limit.
    options: ClassVar[dict[str, Any]] = {"socket_timeout": None, "max_connections": MANY}

    def __init__(self, server: Server, expire: int | None = None) -> None:
        super().__init__(server)
        self.settings = {} if expire is None else {"expire": expire, "auto_renewal": True}

    def lock(self, name: str | None = None) -> Open:
        """Choose a name."""
        import redis_lock

        name = name or f"lock:{next(self.serial)}"
        return lambda: redis_lock.Lock(self.client(), name, **self.settings)
