"""Workers of a named pool: what ``multihost worker URL --pool NAME`` runs.

>>> from multihost.pooling.worker import serve
>>> serve("redis://host:6379/0", "render", processes=4)  # until SIGTERM or Ctrl-C
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple

from multihost.errors import WorkerLost
from multihost.managers import RedisManager
from multihost.pooling.counters import Progress, TaskCounters
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference, ident_of, session_of
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import POOL_DELETED, WorkerConfig
from multihost.wire.identity import label
from multihost.wire.ops import pool as ops

__all__ = ["WorkerEvent", "Progress", "Workers", "serve"]

START_INTERVAL = 0.1  # seconds between two events of progress, at least


class WorkerEvent(NamedTuple):
    """Something that the caller of :func:`serve` may want to log or to show.

    ``kind`` is ``"started"``, ``"ended"`` or ``"lost"`` (it was killed, or crashed) for a worker
    with its ``pid`` and, when it has ended, its ``exitcode``; ``"progress"`` when tasks began or
    ended; ``"stopping"`` when no more are taken. ``progress`` counts the tasks of all workers.
    """

    kind: Literal["started", "ended", "lost", "progress", "stopping"]
    progress: Progress
    pid: int | None = None
    exitcode: int | None = None


class _ProgressPipe:
    """A pipe that workers write to when something has happened, unless nobody has heard of the last
    time.
    """

    def __init__(self) -> None:
        self.out, self._in = multiprocessing.Pipe(duplex=False)
        os.set_blocking(self._in.fileno(), False)

    def __getstate__(self) -> Any:
        return self._in

    def __setstate__(self, in_: Any) -> None:
        self._in = in_

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # it is full of rings, or nobody listens any more
            os.write(self._in.fileno(), b".")

    def drain(self) -> None:
        os.read(self.out.fileno(), 1 << 16)

    def close(self) -> None:
        self.out.close()
        self._in.close()


class Workers:
    """Worker processes of a named pool, which are replaced when they die.

    ``manager`` is a manager or a URL. ``on_event`` is called with an :class:`Event`, in the thread
    of :meth:`run`. The pool's record says how workers begin (initializer) and after how many tasks
    they are replaced. The pool need not exist yet. If it is deleted, workers wait for the next one
    of that name; with ``until_deleted`` they end.
    """

    def __init__(
        self,
        manager: Any,
        name: str,
        processes: int | None = None,
        *,
        context: Any = None,
        on_event: Callable[[WorkerEvent], object] | None = None,
        until_deleted: bool = False,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        self._own = isinstance(manager, str)
        self.manager: RedisManager | Any = RedisManager(manager) if self._own else manager
        self._session = session_of(self.manager)
        self._ident = ident_of(name)
        self._on_event = on_event
        self._until_deleted = until_deleted
        size = processes or getattr(os, "process_cpu_count", os.cpu_count)() or 1
        self._parent_watch = ParentWatch()
        self._counters = TaskCounters(size)
        self._progress_pipe = None if on_event is None else _ProgressPipe()
        orders = WorkerConfig(
            PoolReference(self._session, self._ident),
            self._parent_watch,
            self._counters,
            self._progress_pipe,
            reads_settings=True,
            graceful_sigterm=True,
            ignore_sigint=True,
        )
        self._supervisor = WorkerSupervisor(
            context or multiprocessing.get_context("spawn"), size, orders
        )
        self._out, self._in = multiprocessing.Pipe(duplex=False)
        self._reported = Progress(0, 0, 0, 0)
        self._is_stopping = False

    @property
    def progress(self) -> Progress:
        """What all workers have done so far. No round trip."""
        return self._counters.progress()

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [process.pid for process in self._supervisor.processes if process.pid]

    def stop(self) -> None:
        """Take no more tasks, finish those that have begun, and return from :meth:`run`. Any thread
        may call it, and a signal handler; a second time ends the workers at once.
        """
        self._in.send_bytes(b".")

    def run(self) -> Progress:
        """Keep the workers alive until they are told to stop; what they have done.

        Raises WorkerLost if workers end before they are ready, for example because the initializer
        raises; LinkError if the server is lost.
        """
        try:
            self._create()
            self._ensure_workers()
            while self._supervisor.processes or not self._is_stopping:
                self._wait()
                self._emit("progress")
            return self.progress
        finally:
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
        """For one thing to happen, or a while after the last progress."""
        bell = [] if self._progress_pipe is None else [self._progress_pipe.out]
        ready = wait([*self._supervisor.sentinels, self._out, *bell])
        if self._out in ready:
            self._stop()
        if bell and bell[0] in ready and len(ready) == 1:
            wait(
                [*self._supervisor.sentinels, self._out], START_INTERVAL
            )  # more rings than anybody wants to hear
        if bell and bell[0] in ready:
            self._progress_pipe.drain()  # type: ignore[union-attr]
        ended = list(self._supervisor.reap())
        for process in ended:
            kind = "ended" if self._is_orderly(process) else "lost"
            self._emit(kind, process.pid, process.exitcode)
        if ended and not self._is_stopping:
            self._replace(ended)

    def _is_orderly(self, process: BaseProcess) -> bool:
        """Whether it ended as it should; one that is told to stop while it starts just stops."""
        asked = self._is_stopping and process.exitcode == -signal.SIGTERM
        return asked or process.exitcode in (0, POOL_DELETED)

    def _replace(self, ended: list[BaseProcess]) -> None:
        if any(process.exitcode == POOL_DELETED for process in ended):
            if self._until_deleted:
                self._stop()
                return
            self._create()
        if self._supervisor.failure is not None:
            raise WorkerLost(f"no worker for {label(self._ident)!r}: {self._supervisor.failure}")
        self._ensure_workers()

    def _stop(self) -> None:
        if self._out.poll():
            self._out.recv_bytes()
        if self._is_stopping:
            self._supervisor.kill()
        else:
            self._supervisor.terminate()
        self._is_stopping = True
        self._emit("stopping")

    def _emit(self, kind: Any, pid: int | None = None, exitcode: int | None = None) -> None:
        progress = self.progress
        if self._on_event is None or (kind == "progress" and progress == self._reported):
            return
        self._reported = progress
        self._on_event(WorkerEvent(kind, progress, pid, exitcode))

    def _end(self) -> None:
        self._supervisor.kill()
        self._supervisor.join()
        self._parent_watch.discard()
        if self._progress_pipe is not None:
            self._progress_pipe.close()
        for end in (self._out, self._in):
            end.close()
        if self._own:
            self.manager.shutdown()


def serve(
    manager: Any,
    name: str,
    processes: int | None = None,
    *,
    context: Any = None,
    on_event: Callable[[WorkerEvent], object] | None = None,
    until_deleted: bool = False,
) -> Progress:
    """Run workers for a named pool until SIGTERM or Ctrl-C; what they have done.

    The first signal lets them finish what they have begun, the second one ends them at once.
    Outside of the main thread signals are not handled: use :class:`Workers` there. Arguments as
    there.
    """
    workers = Workers(
        manager, name, processes, context=context, on_event=on_event, until_deleted=until_deleted
    )
    with _signals(workers):
        return workers.run()


@contextlib.contextmanager
def _signals(workers: Workers) -> Iterator[None]:
    """Signals stop the workers."""
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
