"""The pool that users have: the one of multiprocessing, with its tasks on a server."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import util
from multiprocessing.pool import AsyncResult, Pool
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from multihost.patching import on_patch
from multihost.pooling import stdlib
from multihost.pooling.client import Client, chunks_for
from multihost.pooling.counters import TaskCounters
from multihost.pooling.handlers import (
    Notifier,
    PoolParts,
    ResultCache,
    start_threads,
    terminate,
)
from multihost.pooling.messages import pickler_of
from multihost.pooling.options import PoolOptions
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference, ident_of, session_of
from multihost.pooling.stdlib import CLOSE, INIT, RUN, TERMINATE
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import WorkerConfig
from multihost.runtime import RuntimeOwner
from multihost.weak import WeakMembers
from multihost.wire.identity import label
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import PoolStatistics
from multihost.wire.session import Session
from multihost.wire.values.signing import Purpose

__all__ = ["SharedPool"]

T = TypeVar("T")


class SharedPool(Pool):
    """A pool of a manager: see :class:`multihost.pool.Pool`, which makes its own manager.

    With ``owns_manager`` it shuts the manager down at its end.
    """

    has_daemons = True  # which may not start processes themselves
    initializer_logger: str | None = None  # for what the initializer raises; None: to stderr
    _state = INIT
    _change_notifier: Any = None  # also of one whose constructor has raised, for __del__

    def __init__(
        self, manager: RuntimeOwner, options: PoolOptions, *, owns_manager: bool = False
    ) -> None:
        options.check()
        name, size, setup = options.name, options.size, options.setup
        session = session_of(manager)
        reference = PoolReference(
            session, session.references.new_ident() if name is None else ident_of(name)
        )
        handle = reference.handle()
        ops.create(handle)
        if name is None:
            session.references.add_created(handle.keys)
            session.references.incref(handle.keys)
        else:
            _publish_setup(session, reference.ident, setup)
        self._context = options.context or multiprocessing.get_context()
        self._pid = os.getpid()
        self._open(
            reference,
            size,
            pickler_of(options.pickler),
            options.attempts,
            manager if owns_manager else None,
        )
        self._initializer, self._initargs, self._maxtasksperchild = setup
        initializer, initargs, maxtasks = setup
        self._supervisor.config = self._supervisor.config._replace(
            initializer=initializer,
            initargs=initargs,
            maxtasks=maxtasks,
            initializer_logger=self.initializer_logger,
            reads_setup=name is not None,
            client=self._client.ident,
            graceful_sigterm=name is not None,
        )
        self._manager = manager
        self._start()

    # starting

    def _open(
        self,
        reference: PoolReference,
        size: int,
        pickler: str,
        attempts: int,
        manager: RuntimeOwner | None = None,
    ) -> None:
        """Make what a client has, and start nothing yet."""
        self._reference = reference
        self._initializer, self._initargs, self._maxtasksperchild = None, (), None
        self._ctx = self._context
        self._processes = size
        self._change_notifier = notifier = Notifier()
        self._cache = ResultCache()
        self._taskqueue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._client = Client(reference, self._cache, pickler, attempts, notifier.on_idle)
        watch = ParentWatch()
        config = WorkerConfig(reference, watch, TaskCounters(size))
        is_daemon = self.has_daemons and reference.name is None
        self._supervisor = WorkerSupervisor(self._context, size, config, is_daemon=is_daemon)
        self._pool = self._supervisor.processes
        self._parts = PoolParts(
            self._client,
            self._supervisor,
            self._cache,
            self._taskqueue,
            threading.Event(),
            notifier,
            watch,
            [],
            manager,
        )

    def _start(self) -> None:
        """Start workers and threads."""
        parts = self._parts
        try:
            self._supervisor.ensure_workers()
        except Exception:
            self._supervisor.terminate()
            self._supervisor.join()
            self._client.close()
            parts.close()
            raise
        start_threads(parts)
        _started.add(self)
        self._worker_handler, self._task_handler, self._result_handler, _ = parts.threads
        self._terminate = util.Finalize(self, terminate, args=(parts,), exitpriority=15)
        self._state = RUN

    def _attach(self, reference: PoolReference, pickler: str, attempts: int) -> None:
        """Become another client of a pool that exists, without workers."""
        self._context = multiprocessing.get_context()
        self._pid = os.getpid()
        self._open(reference, 0, pickler, attempts)
        self._start()

    def _check_running(self) -> None:
        if self._pid != os.getpid():
            with _attaching:  # threads of a forked child may come at the same time
                if self._pid != os.getpid():
                    self._after_fork()
        super()._check_running()  # type: ignore[misc]
        if self._client.failure is not None:
            raise self._client.failure

    def _after_fork(self) -> None:
        """In a forked child: become another client of the same pool, without workers."""
        state, client = self._state, self._client
        self._parts.close()  # the copies of the parent's pipes
        self._open(self._reference, 0, client.pickler, client.attempts)
        if state == RUN:
            self._start()
        self._pid = os.getpid()

    # tasks

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """Run ``func(*args, **kwds)`` in a worker; return its
        :class:`~multiprocessing.pool.AsyncResult`. 1 round trip.
        """
        self._check_running()
        return self.send_task(func, args, kwds, callback, error_callback, batched=False)

    # The members without docstrings are for the executor, not for users.

    def check_running(self) -> None:
        self._check_running()

    @property
    def failure(self) -> BaseException | None:
        return self._client.failure

    @property
    def processes(self) -> list[BaseProcess]:
        return list(self._supervisor.processes)

    def waits(self, job: int, *, take: bool) -> bool:
        # Whether no worker has begun a task; ``take`` it back, so that none will.
        return self._client.waits(job, take=take)

    def fail(self, error: BaseException) -> None:
        # Fail all tasks, and start no more workers.
        self._client.fail(error)
        self._parts.notifier.wake()

    def send_task(
        self,
        func: Callable[..., T],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        *,
        batched: bool,
    ) -> AsyncResult[T]:
        # As apply_async, also while the pool closes; with `batched` soon, together with others.
        result: AsyncResult[T] = stdlib.ApplyResult(self, callback, error_callback)
        send = self._client.post if batched else self._client.submit
        send((stdlib.job_of(result), 0, func, args, kwds))
        return result

    def worker_count(self) -> int:
        # How many workers there are; of a named pool, on all hosts. In a forked child they are
        # those of its parent.
        if self._processes and self._reference.name is None:
            return self._processes
        return max(len(self.statistics().workers), self._processes, 1)

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Any,
        mapper: Callable[..., Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        self._check_running()
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        if chunksize is None:
            chunksize = chunks_for(len(iterable), self.worker_count()) if iterable else 0
        return super()._map_async(  # type: ignore[misc]
            func, iterable, mapper, chunksize, callback, error_callback
        )

    def _guarded_task_generation(
        self, job: int, func: Callable[..., Any], iterable: Iterable[Any]
    ) -> Iterator[Any]:
        """Yield the tasks of a map; what the iterable raises is the result of the next one."""
        index = -1
        try:
            for index, item in enumerate(iterable):
                yield job, index, func, (item,), {}
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - also what ends a program: others wait here
            yield job, index + 1, stdlib.reraise, (error,), {}

    def _repopulate_pool(self) -> None:
        self._supervisor.ensure_workers()

    # beyond the standard library

    @property
    def name(self) -> str | None:
        """The name of the pool, None if it has none. No round trip."""
        return self._reference.name

    def statistics(self) -> PoolStatistics:
        """Return what the server has of the pool: its tasks, and workers on all hosts. 3 round
        trips, O(workers).
        """
        return ops.statistics(self._reference.handle())

    def delete(self) -> None:
        """Delete a named pool for all clients, with its waiting tasks; its workers end or wait for
        the next pool of that name. 2 round trips.

        Results of tasks that were not done raise ObjectGone, about a second later.
        """
        object_ops.delete(self._reference.handle())

    # ending

    def close(self) -> None:
        """Accept no more tasks. Workers end when those that were accepted are done."""
        if self._pid == os.getpid():
            self._parts.notifier.state = CLOSE
        super().close()

    def terminate(self) -> None:
        """End immediately: drop the tasks of this client, and end its workers."""
        if self._pid == os.getpid():
            super().terminate()
        else:
            self._state = TERMINATE

    def join(self) -> None:
        """Wait for the end, after :meth:`close` or :meth:`terminate`."""
        if self._pid == os.getpid():
            super().join()
            self._terminate()  # there may be a manager to shut down
        elif self._state == RUN:
            raise ValueError("Pool is still running")

    @property
    def runs_here(self) -> bool:
        """Whether it has threads in this process."""
        return self._pid == os.getpid() and any(each.is_alive() for each in self._parts.threads)

    def __repr__(self) -> str:
        reference: PoolReference | None = getattr(self, "_reference", None)
        if reference is None:  # its constructor has raised
            return object.__repr__(self)
        name = "" if reference.name is None else f" {reference.name!r}"
        cls, size = type(self), len(getattr(self, "_pool", ()))
        return f"<{cls.__module__}.{cls.__qualname__}{name} state={self._state} pool_size={size}>"

    def __reduce__(self) -> Any:
        # The exception and the words of multiprocessing's pool.
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


def _publish_setup(session: Session, ident: str, setup: tuple[Any, ...]) -> None:
    """Store how the workers of a named pool are set up, or check that it is stored alike."""
    handle = session.handle(ident)
    codec = ops.codec_of(handle, Purpose.SETUP)
    packed = codec.pickle(setup)
    if codec.is_linked(packed):
        raise ValueError(
            "the initargs of a named pool may hold named objects only: it outlives unnamed ones"
        )
    found = ops.get_or_set_settings(handle, packed)
    if found != packed and setup != (None, (), None):
        raise ValueError(
            f"the pool {label(ident)!r} was made with another initializer, other initargs or "
            "another maxtasksperchild: attach with the same, or without, or delete it first"
        )


_attaching = threading.Lock()
_started: WeakMembers[SharedPool] = WeakMembers()


def _new_lock() -> None:
    global _attaching
    _attaching = threading.Lock()


def _before_patch() -> None:
    for each in _started:
        if each.runs_here:
            raise RuntimeError(
                f"{each!r} was started before gevent patched the standard library: its threads "
                "cannot become greenlets; call monkey.patch_all() first, and start pools and "
                "executors then"
            )


on_patch(_new_lock, _before_patch)
os.register_at_fork(after_in_child=_new_lock)
