"""The pool that users hold: the one of multiprocessing, whose tasks go to a server."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool as stdlib
import operator
import os
import queue
import threading
from collections.abc import Callable, Iterable
from multiprocessing import util
from multiprocessing.managers import RemoteError
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from multihost.errors import ManagerClosed, MultihostError, ObjectGone, WorkerLost
from multihost.pooling.client import Client, chunks_for
from multihost.pooling.crew import Crew
from multihost.pooling.lifeline import Lifeline
from multihost.pooling.loop import GONE, Orders
from multihost.pooling.messages import pickler_of
from multihost.pooling.tally import Tally
from multihost.pooling.ticket import Ticket, ident_of, session_of
from multihost.wire.keys import beside
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import Worker
from multihost.wire.session import Session

__all__ = [
    "ManagedPool",
    "PoolRefused",
    "PoolStatistics",
    "SharedPool",
    "Worker",
    "refusable",
    "statistics",
]

_stdlib: Any = stdlib
RUN, CLOSE, TERMINATE = _stdlib.RUN, _stdlib.CLOSE, _stdlib.TERMINATE


class PoolStatistics(NamedTuple):
    """What the server knows of a pool.

    ``waiting`` counts tasks that no worker has yet, ``running`` those that one has. ``workers`` are
    the processes that take tasks, each with ``host``, ``pid`` and ``running``: 0 or 1.
    """

    name: str | None
    waiting: int
    running: int
    workers: tuple[Worker, ...]


def statistics(session: Session, ident: str) -> PoolStatistics:
    """What the server knows of a pool. 3 round trips, O(workers)."""
    state = ops.state(session.handle(ident))
    return PoolStatistics(
        ident[2:] if ident.startswith("n:") else None,
        state.waiting,
        sum(worker.running for worker in state.workers),
        tuple(state.workers),
    )


class _Notifier:
    """Wakes the thread that looks after the workers."""

    def __init__(self) -> None:
        out, in_ = os.pipe()
        self.reader = Connection(out, writable=False)
        self._writer = Connection(in_, readable=False)
        self.state = RUN

    def put(self, _: object) -> None:
        if not self._writer.closed:
            self._writer.send_bytes(b".")

    def close(self) -> None:
        self._writer.close()
        self.reader.close()


class _Cache(dict[int, Any]):
    """The results that are waited for, by job. Says when the last one has come to a closed pool."""

    def __init__(self, notifier: _Notifier) -> None:
        super().__init__()
        self._notifier = notifier

    def __delitem__(self, job: int) -> None:
        super().__delitem__(job)
        if not self and self._notifier.state != RUN:
            self._notifier.put(None)


class _Parts(NamedTuple):
    """What the threads of a pool share; none of it refers to the pool."""

    client: Client
    crew: Crew
    cache: _Cache
    tasks: queue.SimpleQueue[Any]
    notifier: _Notifier
    lifeline: Lifeline
    threads: list[Any]  # that look after workers, make tasks, hear of results, send tasks
    manager: Any  # to shut down at the end, or None


class SharedPool(_stdlib.Pool):  # type: ignore[misc]
    """A pool of a manager: see :class:`multihost.pool.Pool`, which makes its own manager."""

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
        self._state = _stdlib.INIT
        self._pool: list[Any] = []
        self._change_notifier = None
        size = _checked_size(processes, name, maxtasksperchild, initializer)
        if operator.index(attempts) < 1:
            raise ValueError(f"attempts is at least 1, not {attempts}")
        letter = pickler_of(pickler)
        session = session_of(manager)
        ident = beside("u:") if name is None else ident_of(name)
        handle = session.handle(ident)
        ops.create(handle)
        if name is None:
            session.made(handle.keys)
            session.hold(handle.keys)
        else:
            _tell(session, ident, (initializer, tuple(initargs), maxtasksperchild))
        self._context = context or multiprocessing.get_context()
        self._open(Ticket(session, ident), size, letter, attempts, manager if shut_down else None)
        self._crew.orders = self._crew.orders._replace(
            initializer=initializer,
            initargs=tuple(initargs),
            maxtasks=maxtasksperchild,
            joins=name is not None,
            client=self._client.ident,
            patient=name is not None,
        )
        self._manager = manager
        self._start()

    # beginning

    def _open(
        self, ticket: Ticket, size: int, letter: str, attempts: int, manager: Any = None
    ) -> None:
        """Make everything that a client has."""
        self._pid = os.getpid()
        self._ticket = ticket
        self._ctx = self._context
        self._processes = size
        self._change_notifier = notifier = _Notifier()
        self._cache = cache = _Cache(notifier)
        self._taskqueue = queue.SimpleQueue()
        self._client = Client(ticket, cache, letter, attempts)
        lifeline = Lifeline()
        self._crew = Crew(self._context, size, Orders(ticket, lifeline, Tally(size)))
        self._pool = self._crew.processes
        self._parts = _Parts(
            self._client, self._crew, cache, self._taskqueue, notifier, lifeline, [], manager
        )

    def _start(self) -> None:
        """Start workers and threads."""
        parts = self._parts
        try:
            self._crew.fill()
        except Exception:
            self._crew.terminate()
            self._crew.join()
            self._client.close()
            raise
        for target in (_handle_workers, _handle_tasks, _handle_results, _send_tasks):
            thread: Any = threading.Thread(
                target=target, args=(parts,), name=f"multihost-pool{target.__name__}", daemon=True
            )
            thread._state = RUN
            parts.threads.append(thread)
        self._worker_handler, self._task_handler, self._result_handler, _ = parts.threads
        self._terminate = util.Finalize(self, _terminate, args=(parts,), exitpriority=15)
        self._state = RUN
        for thread in parts.threads:
            thread.start()

    def _check_running(self) -> None:
        if self._pid != os.getpid():
            self._attach()
        super()._check_running()
        if self._client.failure is not None:
            raise self._client.failure

    def _attach(self) -> None:
        """In a forked child: become another client of the same pool, without workers."""
        state = self._state
        client = self._client
        self._open(self._ticket, 0, client.letter, client.attempts)
        if state == RUN:
            self._start()

    # tasks

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] = {},  # noqa: B006 - as there; it is not changed
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """``func(*args, **kwds)`` in a worker; an :class:`AsyncResult`. 1 round trip."""
        self._check_running()
        result = _stdlib.ApplyResult(self, callback, error_callback)
        self._client.submit((result._job, 0, func, args, kwds))
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
            chunksize = chunks_for(len(iterable), self._workers()) if len(iterable) else 0
        return super()._map_async(func, iterable, mapper, chunksize, callback, error_callback)

    def _workers(self) -> int:
        """How many workers there are; of a named pool, on all hosts."""
        if self._ticket.name is None:
            return self._processes
        return max(len(self.statistics().workers), self._processes, 1)

    # more than the standard library

    @property
    def name(self) -> str | None:
        """The name of the pool, None if it has none. No round trip."""
        return self._ticket.name

    def statistics(self) -> PoolStatistics:
        """What the server knows: tasks, and workers on all hosts. 3 round trips, O(workers)."""
        return statistics(self._ticket.session, self._ticket.ident)

    def delete(self) -> None:
        """Delete a named pool for everyone, with the tasks that wait; its workers are told.

        2 round trips. Clients that wait for results of these tasks wait in vain: close them first.
        """
        object_ops.delete(self._ticket.handle())

    # the end

    def close(self) -> None:
        if self._pid == os.getpid():
            self._parts.notifier.state = CLOSE
        super().close()

    def terminate(self) -> None:
        if self._pid == os.getpid():
            super().terminate()
        else:
            self._state = TERMINATE

    def join(self) -> None:
        if self._pid == os.getpid():
            super().join()
            for thread in self._parts.threads:
                thread.join()
        elif self._state == RUN:
            raise ValueError("Pool is still running")

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


class ManagedPool(SharedPool):
    """The pool that ``manager.Pool()`` returns. As a proxy of the standard library's manager it can
    be pickled: where it arrives it is another client of the same pool.
    """

    def terminate(self) -> None:
        """As there: for every process that has an unnamed pool; of a named one for this client."""
        super().terminate()
        if self._crew.size == 0 and self.name is None:
            _delete(self._ticket)

    def __del__(self) -> None:
        """It ends with its manager at the latest, and need not be closed, as the one there."""

    def __reduce__(self) -> Any:
        client = self._client
        return _attached, (self._ticket, client.letter, client.attempts)


class PoolRefused(ValueError, RemoteError):
    """A pool that cannot be. The standard library's manager, which makes it elsewhere, raises
    RemoteError; a pool raises ValueError.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def refusable(make: Callable[..., ManagedPool], *args: Any, **kwds: Any) -> ManagedPool:
    """Make a pool for a manager; what is refused can be caught as there, too."""
    try:
        return make(*args, **kwds)
    except ValueError as error:
        if isinstance(error, MultihostError):
            raise
        raise PoolRefused(*error.args) from None


def _attached(ticket: Ticket, letter: str, attempts: int) -> ManagedPool:
    pool = ManagedPool.__new__(ManagedPool)
    pool._context = multiprocessing.get_context()
    pool._state = _stdlib.INIT
    pool._open(ticket, 0, letter, attempts)
    pool._start()
    return pool


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


def _tell(session: Session, ident: str, wanted: tuple[Any, ...]) -> None:
    """Tell the workers of a named pool how to begin, or find that they were told the same."""
    codec = session.codec
    packed = codec.pickle(wanted)
    if codec.is_linked(packed):
        raise ValueError(
            "the initargs of a named pool may hold named objects only: it outlives unnamed ones"
        )
    found = ops.record(session.handle(ident), packed)
    if found != packed and wanted != (None, (), None):
        raise ValueError(
            f"the pool {ident[2:]!r} was made with another initializer, other initargs or another "
            "maxtasksperchild: attach with the same, or without, or delete it first"
        )


# -- the threads, which do not keep the pool


def _handle_workers(parts: _Parts) -> None:
    """Replace workers that have ended, until the pool has."""
    me: Any = threading.current_thread()
    crew, notifier, client = parts.crew, parts.notifier, parts.client
    while me._state == RUN or (parts.cache and me._state != TERMINATE):
        for process in crew.reap():
            util.debug("cleaning up worker")
            if process.exitcode == GONE and client.failure is None:
                client.fail(ObjectGone("the pool was terminated or deleted by another process"))
        if client.failure is None and crew.trouble is None:
            try:
                crew.fill()
            except OSError as error:
                crew.trouble = f"no process can be started: {error}"
        if crew.trouble is not None and client.failure is None:
            client.fail(WorkerLost(f"this pool has no workers: {crew.trouble}"))
        if client.failure is not None:
            crew.terminate()
        for ready in wait([*crew.sentinels, notifier.reader]):
            if ready is notifier.reader:
                notifier.reader.recv_bytes()
    parts.tasks.put(None)
    if me._state != TERMINATE:
        _leave(parts)
        crew.join()
    util.debug("worker handler exiting")


def _leave(parts: _Parts) -> None:
    """Leave the pool to others, or delete it."""
    ticket = parts.crew.orders.ticket
    parts.client.close()
    if parts.crew.orders.patient:
        parts.crew.terminate()
    elif parts.crew.size:
        _delete(ticket)


def _delete(ticket: Ticket) -> None:
    try:
        object_ops.delete(ticket.handle())
        ticket.session.let_go(ticket.ident)
    except ManagerClosed:
        pass  # and so is the pool
    except MultihostError as error:
        util.debug("a pool expires: %s", error)


def _handle_tasks(parts: _Parts) -> None:
    """Send the tasks that maps are made of."""
    me: Any = threading.current_thread()
    client = parts.client
    for sequence, set_length in iter(parts.tasks.get, None):
        task = None
        for task in sequence:
            if me._state != RUN or not client.post(task):
                break
        else:
            client.flush()
            if set_length:
                set_length(task[1] + 1 if task else 0)
            task = sequence = set_length = None
            continue
        task = sequence = set_length = None
        break
    util.debug("task handler exiting")


def _handle_results(parts: _Parts) -> None:
    """Hear of results."""
    parts.client.listen()
    if parts.client.failure is not None:
        parts.notifier.put(None)
    util.debug("result handler exiting")


def _send_tasks(parts: _Parts) -> None:
    """Send them together while more are made."""
    parts.client.send()


def _terminate(parts: _Parts) -> None:
    """End now, whatever is under way."""
    workers, *others = parts.threads
    for thread in parts.threads:
        thread._state = TERMINATE
    parts.notifier.put(None)
    here = threading.current_thread()
    if here is not workers:
        workers.join()  # it would replace those that are terminated
    parts.crew.terminate()
    parts.client.close()
    parts.tasks.put(None)
    parts.crew.join()
    if not parts.crew.orders.patient and parts.crew.size:
        _delete(parts.crew.orders.ticket)
    for thread in others:
        if here is not thread:
            thread.join()
    parts.lifeline.discard()
    parts.notifier.close()
    if parts.manager is not None:
        parts.manager.shutdown()
