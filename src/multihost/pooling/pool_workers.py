"""Workers of a named pool: what ``multihost worker URL --pool NAME`` runs.

>>> from multihost.pool import serve
>>> with RedisManager("redis://host:6379/0") as manager:
...     serve(manager, "render", processes=4)  # until SIGTERM or Ctrl-C
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import util
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple

from multihost import errors
from multihost.pooling.counters import Progress, TaskCounters
from multihost.pooling.failures import Failure, FailurePipe
from multihost.pooling.options import cpu_count
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference, ident_of, session_of
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import POOL_DELETED, WorkerConfig
from multihost.runtime import RuntimeOwner
from multihost.wire.identity import label
from multihost.wire.ops import pool as ops
from multihost.wire.session.wakeup import WakeupPipe

__all__ = ["Progress", "WorkerEvent", "Workers", "serve"]

PROGRESS_INTERVAL = 0.1  # seconds between two events of progress, at least

EventKind = Literal["started", "ended", "lost", "failed", "progress", "stopping"]


class WorkerEvent(NamedTuple):
    """An event that the caller of :func:`serve` may want to log or to show.

    ``kind`` is ``"started"``, ``"ended"`` or ``"lost"`` (it was killed, or crashed) for a worker
    with its ``pid`` and, when it has ended, its ``exitcode``; ``"failed"`` for a task that raised,
    with the ``pid`` of its worker and a ``failure``; ``"progress"`` when tasks began or ended;
    ``"stopping"`` when no more are accepted. ``progress`` counts the tasks of all workers.
    """

    kind: EventKind
    progress: Progress
    pid: int | None = None
    exitcode: int | None = None
    failure: Failure | None = None


class Workers:
    """Worker processes of the named pool of a manager, which are replaced when they die.

    ``on_event`` is called with a :class:`WorkerEvent`, in the thread of :meth:`run`. The pool has
    the initializer of the workers, and the number of tasks after which they are replaced. The pool
    need not exist yet. If it is deleted, workers wait for the next one of that name; with
    ``until_deleted`` they end.
    """

    def __init__(
        self,
        manager: RuntimeOwner,
        name: str,
        processes: int | None = None,
        *,
        context: Any = None,
        on_event: Callable[[WorkerEvent], object] | None = None,
        until_deleted: bool = False,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        self._session = session_of(manager)
        self._ident = ident_of(name)
        self._on_event = on_event
        self._until_deleted = until_deleted
        size = processes or cpu_count()
        self._parent_watch = ParentWatch()
        self._counters = TaskCounters(size)
        self._progress_pipe = None if on_event is None else WakeupPipe()  # workers wake it
        self._failures = None if on_event is None else FailurePipe()
        config = WorkerConfig(
            PoolReference(self._session, self._ident),
            self._parent_watch,
            self._counters,
            None if self._progress_pipe is None else self._progress_pipe.sender(),
            None if self._failures is None else self._failures.sender,
            reads_setup=True,
            graceful_sigterm=True,
            ignore_sigint=True,
        )
        self._supervisor = WorkerSupervisor(
            context or multiprocessing.get_context("spawn"), size, config
        )
        self._stop_pipe = WakeupPipe()
        self._stop_requests: deque[None] = deque()  # appending is atomic, for signal handlers
        self._reported = Progress(0, 0, 0, 0)
        self._is_stopping = False

    @property
    def progress(self) -> Progress:
        """The number of tasks of all workers so far. No round trip."""
        return self._counters.progress()

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [process.pid for process in self._supervisor.processes if process.pid]

    def stop(self) -> None:
        """Accept no more tasks, finish those that have begun, and return from :meth:`run`. Any
        thread and any signal handler may call it; a second call kills the workers.
        """
        self._stop_requests.append(None)
        self._stop_pipe.wake()

    def run(self) -> Progress:
        """Keep the workers running until :meth:`stop` is called; return their progress.

        Raises WorkerLost if workers end before they are ready, for example because the initializer
        raises; LinkError if the server is lost.
        """
        # They are no daemons, and a program that ends waits for such processes: not for these.
        end_workers = util.Finalize(None, self._supervisor.end, exitpriority=15)
        try:
            self._create()
            self._ensure_workers()
            while self._supervisor.processes or not self._is_stopping:
                self._wait()
                self._emit("progress")
            return self.progress
        finally:
            end_workers()
            self._end()

    def _create(self) -> None:
        ops.create(self._session.handle(self._ident))

    def _ensure_workers(self) -> None:
        before = set(self.pids)
        self._supervisor.ensure_workers()
        for pid in self.pids:
            if pid not in before:
                self._emit("started", pid)

    def _wait(self) -> None:
        """Wait for an event, and handle it. Progress is handled some time after the last one."""
        others = [*self._supervisor.sentinels, self._stop_pipe.fileno()]
        if self._progress_pipe is None:
            wait(others)
        else:
            assert self._failures is not None
            others.append(self._failures.fileno())
            progress = self._progress_pipe.fileno()
            if wait([*others, progress]) == [progress]:
                wait(others, PROGRESS_INTERVAL)
            self._progress_pipe.drain()
        self._stop_pipe.drain()
        while self._stop_requests:
            self._stop_requests.popleft()
            self._stop()
        ended = list(self._supervisor.reap())
        if self._failures is not None and self._on_event is not None:
            for failure in self._failures.read():
                event = WorkerEvent("failed", self.progress, failure.pid, failure=failure)
                self._on_event(event)
        for process in ended:
            kind: EventKind = "ended" if self._has_exited_normally(process) else "lost"
            self._emit(kind, process.pid, process.exitcode)
        if ended and not self._is_stopping:
            self._replace(ended)

    def _has_exited_normally(self, process: BaseProcess) -> bool:
        """Return False for a worker that was lost. SIGTERM may end one that is only starting."""
        was_stopped = self._is_stopping and process.exitcode == -signal.SIGTERM
        return was_stopped or process.exitcode in (0, POOL_DELETED)

    def _replace(self, ended: list[BaseProcess]) -> None:
        if any(process.exitcode == POOL_DELETED for process in ended):
            if self._until_deleted:
                self._stop()
                return
            self._create()
        if self._supervisor.failure is not None:
            pool = label(self._ident)
            raise errors.WorkerLost(f"no worker for {pool!r}: {self._supervisor.failure}")
        self._ensure_workers()

    def _stop(self) -> None:
        if self._is_stopping:
            self._supervisor.kill()
        else:
            self._supervisor.terminate()
        self._is_stopping = True
        self._emit("stopping")

    def _emit(self, kind: EventKind, pid: int | None = None, exitcode: int | None = None) -> None:
        progress = self.progress
        if self._on_event is None or (kind == "progress" and progress == self._reported):
            return
        self._reported = progress
        self._on_event(WorkerEvent(kind, progress, pid, exitcode))

    def _end(self) -> None:
        self._supervisor.join()
        self._parent_watch.discard()
        if self._progress_pipe is not None:
            self._progress_pipe.close()
        if self._failures is not None:
            self._failures.close()
        self._stop_pipe.close()


def serve(
    manager: RuntimeOwner,
    name: str,
    processes: int | None = None,
    *,
    context: Any = None,
    on_event: Callable[[WorkerEvent], object] | None = None,
    until_deleted: bool = False,
) -> Progress:
    """Run workers for a named pool until SIGTERM or Ctrl-C; return their progress.

    The first signal lets them finish the tasks that have begun, the second one kills them. In other
    threads than the main one no signals are handled. The arguments are those of :class:`Workers`.
    """
    workers = Workers(
        manager, name, processes, context=context, on_event=on_event, until_deleted=until_deleted
    )
    with _stopped_by_signals(workers):
        return workers.run()


@contextlib.contextmanager
def _stopped_by_signals(workers: Workers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: workers.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
