"""Pools of worker processes on one or many hosts: the counterpart of
:mod:`multiprocessing.pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing.pool import (  # type: ignore[attr-defined]
    ApplyResult,
    AsyncResult,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
    MaybeEncodingError,
    RemoteTraceback,
    ThreadPool,
)
from typing import Any

from multihost.errors import WorkerLost
from multihost.managers import RedisManager
from multihost.pooling.counters import Progress
from multihost.pooling.failures import Failure
from multihost.pooling.options import PoolOptions
from multihost.pooling.pool_workers import WorkerEvent, Workers, serve
from multihost.pooling.shared_pool import SharedPool
from multihost.wire.address import PRIVATE
from multihost.wire.ops.pool import PoolStatistics, Worker
from multihost.wire.session import registry

__all__ = [
    "ApplyResult",
    "AsyncResult",
    "Failure",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "PoolStatistics",
    "Progress",
    "RemoteTraceback",
    "ThreadPool",
    "Worker",
    "WorkerEvent",
    "WorkerLost",
    "Workers",
    "serve",
]


class Pool(SharedPool):
    """Worker processes that run functions, as :class:`multiprocessing.pool.Pool`.

    >>> with Pool(4) as pool:
    ...     pool.map(abs, [-1, -2])
    [1, 2]

    Without a name it has the workers that it starts. With a name, ``Pool(0, url="redis://...",
    name="render")``, every client on every host that uses the name has the same pool, and so has
    every worker: those that clients start, and those of ``multihost worker URL --pool render``,
    which may start and end at any time. The server is the one of ``manager=`` or ``url=``, by
    default that of ``MULTIHOST_URL``. Without any of these a pool that has no name has a private
    server, and one with a name raises ValueError: nobody else could meet it.

    ``attempts=n`` runs a task up to n times if its workers die. ``pickler="cloudpickle"`` accepts
    functions without a name, such as lambdas, and whatever else that package can pickle.

    **Cost**: ``apply_async`` 1 round trip; ``map`` 1 for up to 256 chunks; a worker 1 a task.
    **If a worker dies**, its task is run again if it was started less than ``attempts`` times, else
    its result is :class:`~multihost.WorkerLost`: within a second if a client or worker of its host
    waits, else after its grace of 5 seconds. Local workers are replaced.
    **If a client dies**, its local workers end, its tasks are dropped and their results expire a
    lease and a minute later.
    **If the server is lost**, or refuses, for longer than the ``timeout`` of the manager, the tasks
    under way raise that LinkError; behind the outage the pool works again.
    **Differs from multiprocessing**: workers of a named pool run the tasks of all its clients, and
    ``terminate()`` lets them finish those of others. Tasks that several hosts can run need
    functions that all of them can import. Where the standard library hangs (a killed worker, a task
    that calls ``sys.exit()``, an initializer or a callback that raises, a result that cannot be
    unpickled), the result is an exception, of a task that raises ``SystemExit`` or
    ``KeyboardInterrupt`` that one.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        manager: Any = None,
        url: str | None = None,
        name: str | None = None,
        attempts: int = 1,
        pickler: str = "pickle",
    ) -> None:
        if manager is not None and url is not None:
            raise TypeError("Pool takes a manager or a URL, not both")
        options = PoolOptions(
            processes, initializer, initargs, maxtasksperchild, context, name, attempts, pickler
        )
        options.check()
        own = manager is None
        if own:
            if url is None and name is None and not registry.configured_url():
                url = PRIVATE
            manager = RedisManager(url)
        try:
            super().__init__(manager, options, owns_manager=own)
        except BaseException:
            if own:
                manager.shutdown()
            raise
