"""The pool that users hold: the one of multiprocessing, whose tasks go to a server."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool as stdlib
import operator
import os
import queue
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import util
from typing import Any, TypeVar

from multihost.pooling.client import Client, chunks_for
from multihost.pooling.counters import TaskCounters
from multihost.pooling.handlers import (
    CLOSE,
    INIT,
    RUN,
    TERMINATE,
    Cache,
    Notifier,
    PoolParts,
    start_threads,
    terminate,
)
from multihost.pooling.messages import pickler_of
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference, ident_of, session_of
from multihost.pooling.statistics import PoolStatistics, statistics
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import WorkerConfig
from multihost.wire.identity import label, new_unnamed
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.session import Session

__all__ = ["SharedPool"]

_private: Any = stdlib  # with what its stub does not have
T = TypeVar("T")


class SharedPool(stdlib.Pool):
    """A pool of a manager: see :class:`multihost.pool.Pool`, which makes its own manager."""

    _state = INIT
    _change_notifier: Any = None  # also of one that was refused, for __del__

    def __init__(
        self,
        manager: Any,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        name: str | None = None,
        attempts: int = 1,
        pickler: str = "pickle",
        shut_down: bool = False,
    ) -> None:
        size = _checked_size(processes, name, maxtasksperchild, initializer)
        if operator.index(attempts) < 1:
            raise ValueError(f"attempts is at least 1, not {attempts}")
        letter = pickler_of(pickler)
        session = session_of(manager)
        ident = new_unnamed() if name is None else ident_of(name)
        handle = session.handle(ident)
        ops.create(handle)
        if name is None:
            session.created(handle.keys)
            session.incref(handle.keys)
        else:
            _publish_settings(session, ident, (initializer, tuple(initargs), maxtasksperchild))
        self._context = context or multiprocessing.get_context()
        self._open(
            PoolReference(session, ident), size, letter, attempts, manager if shut_down else None
        )
        self._supervisor.config = self._supervisor.config._replace(
            initializer=initializer,
            initargs=tuple(initargs),
            maxtasks=maxtasksperchild,
            reads_settings=name is not None,
            client=self._client.ident,
            graceful_sigterm=name is not None,
        )
        self._manager = manager
        self._start()

    # beginning

    def _open(
        self, reference: PoolReference, size: int, letter: str, attempts: int, manager: Any = None
    ) -> None:
        """Make everything that a client has."""
        self._pid = os.getpid()
        self._reference = reference
        self._ctx = self._context
        self._processes = size
        self._change_notifier = notifier = Notifier()
        self._cache = cache = Cache(notifier)
        self._taskqueue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._client = Client(reference, cache, letter, attempts)
        lifeline = ParentWatch()
        self._supervisor = WorkerSupervisor(
            self._context, size, WorkerConfig(reference, lifeline, TaskCounters(size))
        )
        self._pool = self._supervisor.processes
        self._parts = PoolParts(
            self._client, self._supervisor, cache, self._taskqueue, notifier, lifeline, [], manager
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
            raise
        start_threads(parts)
        self._worker_handler, self._task_handler, self._result_handler, _ = parts.threads
        self._terminate = util.Finalize(self, terminate, args=(parts,), exitpriority=15)
        self._state = RUN

    def _check_running(self) -> None:
        if self._pid != os.getpid():
            self._attach()
        super()._check_running()  # type: ignore[misc]
        if self._client.failure is not None:
            raise self._client.failure

    def _attach(self) -> None:
        """In a forked child: become another client of the same pool, without workers."""
        state = self._state
        client = self._client
        self._open(self._reference, 0, client.letter, client.attempts)
        if state == RUN:
            self._start()

    # tasks

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> stdlib.AsyncResult[T]:
        """``func(*args, **kwds)`` in a worker; an :class:`~multiprocessing.pool.AsyncResult`.

        1 round trip.
        """
        self._check_running()
        return self._apply_batched(func, args, kwds, callback, error_callback, batched=False)

    def _apply_batched(
        self,
        func: Callable[..., T],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        *,
        batched: bool,
    ) -> stdlib.AsyncResult[T]:
        """The same, also while the pool closes; with ``soon`` together with others."""
        created = _private.ApplyResult(self, callback, error_callback)
        send = self._client.post if batched else self._client.submit
        send((created._job, 0, func, args, kwds))
        result: stdlib.AsyncResult[T] = created
        return result

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
            chunksize = chunks_for(len(iterable), self._workers()) if iterable else 0
        return super()._map_async(  # type: ignore[misc]
            func, iterable, mapper, chunksize, callback, error_callback
        )

    def _workers(self) -> int:
        """How many workers there are; of a named pool, on all hosts."""
        if self._reference.name is None:
            return self._processes
        return max(len(self.statistics().workers), self._processes, 1)

    def _repopulate_pool(self) -> None:
        self._supervisor.ensure_workers()

    # more than the standard library

    @property
    def name(self) -> str | None:
        """The name of the pool, None if it has none. No round trip."""
        return self._reference.name

    def statistics(self) -> PoolStatistics:
        """What the server knows: tasks, and workers on all hosts. 3 round trips, O(workers)."""
        return statistics(self._reference.session, self._reference.ident)

    def delete(self) -> None:
        """Delete a named pool for everyone, with the tasks that wait; its workers are told.

        2 round trips. Who waits for results of tasks that were not done gets ObjectGone, about as
        soon as who waits for a killed worker.
        """
        object_ops.delete(self._reference.handle())

    # the end

    def close(self) -> None:
        """Take no more tasks. Workers end when those that were given are done."""
        if self._pid == os.getpid():
            self._parts.notifier.state = CLOSE
        super().close()

    def terminate(self) -> None:
        """End at once: tasks of this client are forgotten, and its workers end."""
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

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


def _checked_size(
    processes: int | None, name: str | None, maxtasks: object, initializer: object
) -> int:
    """The number of local processes."""
    if processes is None:
        count = getattr(os, "process_cpu_count", os.cpu_count)
        processes = count() or 1
    if processes < 0 or (processes == 0 and name is None):
        raise ValueError("Number of processes must be at least 1")
    if maxtasks is not None and (not isinstance(maxtasks, int) or maxtasks <= 0):
        raise ValueError("maxtasksperchild must be a positive int or None")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    return processes


def _publish_settings(session: Session, ident: str, wanted: tuple[Any, ...]) -> None:
    """Tell the workers of a named pool how to begin, or find that they were told the same."""
    codec = session.codec
    packed = codec.pickle(wanted)
    if codec.is_linked(packed):
        raise ValueError(
            "the initargs of a named pool may hold named objects only: it outlives unnamed ones"
        )
    found = ops.get_or_set_settings(session.handle(ident), packed)
    if found != packed and wanted != (None, (), None):
        raise ValueError(
            f"the pool {label(ident)!r} was made with another initializer, other initargs or "
            "another maxtasksperchild: attach with the same, or without, or delete it first"
        )
