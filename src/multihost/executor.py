"""A ``concurrent.futures.Executor`` whose workers may be on other hosts."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import operator
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as AbstractExecutor
from concurrent.futures import Future
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

from multihost import errors
from multihost.pool import Pool, PoolStatistics
from multihost.pooling.at_exit import finish_at_exit
from multihost.pooling.dispatcher import Dispatcher
from multihost.pooling.messages import run_chunk
from multihost.pooling.options import cpu_count

__all__ = ["Executor"]

P = ParamSpec("P")
T = TypeVar("T")


class _ExecutorPool(Pool):
    """The pool of an executor: as those of concurrent.futures, its workers may start processes, and
    log what their initializer raises.
    """

    has_daemons = False
    initializer_logger = "concurrent.futures"

    def __del__(self) -> None:
        """Do nothing: an executor that is collected need not be shut down."""


class Executor(AbstractExecutor):
    """A :class:`multihost.pool.Pool` with the methods of
    :class:`concurrent.futures.ProcessPoolExecutor`.

    >>> with Executor(2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024

    ``Executor(0, url="redis://...", name="render")`` has the workers of the named pool on all hosts
    and starts none. All other keywords are those of the pool.

    **Cost**: ``submit`` 1 round trip, or less where many tasks are submitted and sent in batches;
    ``cancel()`` and ``running()`` of a future at most 1.
    **If a worker dies** the future of its task has a :class:`~multihost.WorkerLost`, which is a
    :class:`~concurrent.futures.process.BrokenProcessPool`, or the task is run again: ``attempts``.
    Other futures, and the executor, are not affected.
    **At the end of the program** submitted tasks are run first, as with concurrent.futures, and no
    more are accepted; Ctrl-C ends that.
    **Differs from concurrent.futures**: the executor does not break when a worker dies, or when
    arguments or results cannot be unpickled: that is the result of one task. ``cancel()`` succeeds
    and ``running()`` is false until a worker has begun the task, on whichever host. All workers are
    started at once, with every start method.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        manager: Any = None,
        url: str | None = None,
        name: str | None = None,
        attempts: int = 1,
        pickler: str = "pickle",
    ) -> None:
        self._max_workers = _checked_workers(max_workers, is_named=name is not None)
        self._mp_context = _checked_context(mp_context, max_tasks_per_child)
        self._pool = _ExecutorPool(
            self._max_workers,
            initializer,
            initargs,
            max_tasks_per_child,
            self._mp_context,
            manager=manager,
            url=url,
            name=name,
            attempts=attempts,
            pickler=pickler,
        )
        self._tasks = Dispatcher(self._pool)
        finish_at_exit(self._tasks)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker, and return its future. 1 round trip or less.

        Raises RuntimeError after ``shutdown()``, and WorkerLost or LinkError if the pool has ended.
        """
        return self._tasks.add(fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator of the results of ``fn``, in order, as :meth:`Executor.map
        <concurrent.futures.Executor.map>`. ``chunksize`` calls are one task. With ``buffersize``,
        so many tasks are submitted ahead of the results, else all of them at once.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        if chunksize > 1:
            chunks = ((chunk,) for chunk in _chunks(calls, chunksize))
            return _flat(self._map(functools.partial(run_chunk, fn), chunks, end, buffersize))
        return self._map(fn, calls, end, buffersize)

    def _map(
        self,
        fn: Callable[..., Any],
        calls: Iterator[tuple[Any, ...]],
        end: float | None,
        buffersize: int | None,
    ) -> Iterator[Any]:
        submitted = (self.submit(fn, *args) for args in calls)
        ahead = deque(itertools.islice(submitted, buffersize))
        # Without a buffer the iterator does not refer to the executor, which may be collected.
        return _results(ahead, iter(()) if buffersize is None else submitted, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks. Submitted ones are run, unless ``cancel_futures`` cancels those
        that no worker has begun. At most 1 round trip for each that was sent.
        """
        self._tasks.close(cancel=cancel_futures)
        if wait:
            self._tasks.join()

    def terminate_workers(self) -> None:
        """End the workers of this executor with SIGTERM, and the executor: what they run, or what
        runs elsewhere, raises :class:`~multihost.WorkerLost`, and everything else is cancelled.
        """
        self._end_workers("terminate")

    def kill_workers(self) -> None:
        """As :meth:`terminate_workers`, with SIGKILL."""
        self._end_workers("kill")

    def _end_workers(self, how: str) -> None:
        processes = self._processes.values()
        self.shutdown(wait=False, cancel_futures=True)
        self._pool.fail(errors.WorkerLost(f"{how}_workers() ended the executor and its workers"))
        for process in processes:
            getattr(process, how)()

    def statistics(self) -> PoolStatistics:
        """Return the state of the pool. 3 round trips, O(workers)."""
        return self._pool.statistics()

    # Names that programs look at, as those of concurrent.futures.

    @property
    def _processes(self) -> dict[int, BaseProcess]:
        return {process.pid: process for process in self._pool.processes if process.pid}

    @property
    def _broken(self) -> str | bool:
        failure = self._pool.failure
        return False if failure is None else str(failure)

    @property
    def _shutdown_thread(self) -> bool:
        return self._tasks.is_closed


def _checked_workers(number: int | None, *, is_named: bool) -> int:
    if number is None:
        return cpu_count()
    if number < 0 or (number == 0 and not is_named):
        raise ValueError("max_workers must be greater than 0")
    return operator.index(number)


def _checked_context(context: Any, max_tasks: object) -> Any:
    """Return the context: worker processes that are replaced are not forked."""
    if max_tasks is None:
        return context or multiprocessing.get_context()
    if not isinstance(max_tasks, int):
        raise TypeError("max_tasks_per_child must be an integer")
    if max_tasks <= 0:
        raise ValueError("max_tasks_per_child must be >= 1")
    if context is None:
        return multiprocessing.get_context("spawn")
    if context.get_start_method(allow_none=False) == "fork":
        raise ValueError(
            "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; "
            "supply a different mp_context."
        )
    return context


def _results(ahead: deque[Future[T]], more: Iterator[Future[T]], end: float | None) -> Iterator[T]:
    """Yield the results of the futures ``ahead``, and for each take one ``more``."""
    try:
        while ahead:
            ahead.extend(itertools.islice(more, 1))
            yield _result_of(ahead.popleft(), end)
    finally:
        for future in ahead:
            future.cancel()


def _result_of(future: Future[T], end: float | None) -> T:
    """Return a result, and leave no reference to it; cancel what is not done in time."""
    try:
        try:
            return future.result(None if end is None else end - time.monotonic())
        finally:
            future.cancel()
    finally:
        del future  # an exception refers to this frame


def _chunks(calls: Iterable[Any], size: int) -> Iterator[list[Any]]:
    calls = iter(calls)
    while chunk := list(itertools.islice(calls, size)):
        yield chunk


def _flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
