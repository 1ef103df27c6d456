"""A ``concurrent.futures.Executor`` whose workers may be on other hosts."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as AbstractExecutor
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, ParamSpec, TypeVar

from multihost.pool import Pool, PoolStatistics
from multihost.pooling.at_exit import check_not_exiting, finish_at_exit

__all__ = ["Executor"]

P = ParamSpec("P")
T = TypeVar("T")

SENT_PER_WORKER = 4  # tasks; those that are not sent can be cancelled
COUNT_TTL = 1.0  # seconds for which the number of workers on all hosts is cached


class _Pool(Pool):
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

    **Cost**: ``submit`` 1 round trip, or less where many tasks are submitted and sent in batches.
    **If a worker dies** the future of its task has a :class:`~multihost.WorkerLost`, or the task is
    run again: ``attempts``. Other futures, and the executor, are not affected.
    **At the end of the program** submitted tasks are run first, as with concurrent.futures, and no
    more are accepted; Ctrl-C ends that.
    **Differs from concurrent.futures**: the executor does not break when a worker dies. A future is
    running as soon as its task is sent, up to four for each worker.
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
        if max_workers is not None and (max_workers < 0 or (max_workers == 0 and name is None)):
            raise ValueError("max_workers must be greater than 0")
        self._pool = _Pool(
            max_workers,
            initializer,
            initargs,
            max_tasks_per_child,
            mp_context,
            manager=manager,
            url=url,
            name=name,
            attempts=attempts,
            pickler=pickler,
        )
        self._is_shut_down = False
        self._reset()
        finish_at_exit(self, Executor._reset)

    def _reset(self) -> None:
        """Set up what a forked child must not share with its parent."""
        self._lock = threading.RLock()
        self._pending: deque[tuple[Future[Any], Callable[..., Any], Any, Any]] = deque()
        self._sent = 0
        self._worker_count = 0, 0.0  # of workers, and the end of the time for which it is cached

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker, and return its future. 1 round trip or less.

        Raises RuntimeError after ``shutdown()``.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            check_not_exiting()
            self._pool.check_running()
            self._pending.append((future, fn, args, kwargs))
            self._send()
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **kwds: Any,
    ) -> Iterator[T]:
        """Return an iterator of the results of ``fn``, in order, as :meth:`Executor.map
        <concurrent.futures.Executor.map>`. ``chunksize`` calls are one task.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **kwds)
        chunks = super().map(
            functools.partial(_run_chunk, fn),
            _chunks(zip(*iterables, strict=False), chunksize),
            timeout=timeout,
            **kwds,
        )
        return _flat(chunks)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks. Submitted ones are run, unless ``cancel_futures`` cancels those
        that were not sent.
        """
        with self._lock:
            self._is_shut_down = True
            if cancel_futures:
                while self._pending:
                    self._pending.popleft()[0].cancel()
            self._close_if_done()
        if wait:
            with self._lock:
                left = [entry[0] for entry in self._pending]
            wait_for(left)
            self._pool.close()
            self._pool.join()

    def statistics(self) -> PoolStatistics:
        """Return the state of the pool. 3 round trips, O(workers)."""
        return self._pool.statistics()

    def _send(self) -> None:
        """Send as many tasks as the workers will soon run. The caller has the lock."""
        while self._pending and self._sent < SENT_PER_WORKER * self._workers():
            future, fn, args, kwargs = self._pending.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._sent += 1
            self._pool.send_task(
                fn,
                args,
                kwargs,
                functools.partial(self._done, future.set_result),
                functools.partial(self._done, future.set_exception),
                batched=bool(self._sent > 1),
            )

    def _workers(self) -> int:
        number, until = self._worker_count
        now = time.monotonic()
        if now >= until:
            number = self._pool.worker_count()
            self._worker_count = number, now + COUNT_TTL
        return number

    def _done(self, set_outcome: Callable[[Any], None], outcome: Any) -> None:
        set_outcome(outcome)
        with self._lock:
            self._sent -= 1
            self._send()
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._is_shut_down and not self._pending and not self._sent:
            self._pool.close()


def _run_chunk(fn: Callable[..., T], chunk: list[Any]) -> list[T]:
    return [fn(*args) for args in chunk]


def _chunks(calls: Iterable[Any], size: int) -> Iterator[list[Any]]:
    calls = iter(calls)
    while chunk := list(itertools.islice(calls, size)):
        yield chunk


def _flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
