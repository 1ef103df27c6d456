"""Worker processes on this host: started, and replaced when they end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.process import BaseProcess
from typing import Any

from multihost.errors import MultihostError
from multihost.pooling import signals
from multihost.pooling.worker_loop import INITIALIZER_FAILED, WorkerConfig, work
from multihost.wire.ops import pool as ops

__all__ = ["WorkerSupervisor"]

MAX_EARLY_EXITS = 3  # in a row, for each worker: it ended before it was ready


class WorkerSupervisor:
    """A number of worker processes with the same config."""

    def __init__(
        self, context: Any, size: int, config: WorkerConfig, *, is_daemon: bool = False
    ) -> None:
        self.context = context
        self.size = size
        self.config = config
        self.is_daemon = is_daemon  # workers may not start processes, as those of multiprocessing
        self.processes: list[BaseProcess] = []
        self.failure: str | None = None  # why no more are started
        self._slots: dict[int, int] = {}  # in use, by pid
        self._ready: dict[int, int] = {}  # readiness of a slot when its last one started
        self._early_exits = 0
        self._lock = threading.Lock()

    def ensure_workers(self) -> None:
        """Start processes until there are enough."""
        with self._lock:
            self._ensure_workers()

    def _ensure_workers(self) -> None:
        taken = {self._slots[process.pid] for process in self.processes if process.pid}
        free = [slot for slot in range(self.size) if slot not in taken]
        for slot in free[: self.size - len(self.processes)]:
            self._ready[slot] = self.config.counters.readiness(slot)
            process = self.context.Process(target=work, args=(self.config, slot))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = self.is_daemon
            with signals.blocked(self.config.graceful_sigterm):
                process.start()
            self._slots[process.pid] = slot
            self.processes.append(process)
            util.debug("added worker")

    def reap(self) -> Iterator[BaseProcess]:
        """Yield the processes that have ended, and forget them."""
        for process in list(self.processes):
            if process.exitcode is None:
                continue
            process.join()
            self.processes.remove(process)
            slot = self._slots.pop(process.pid, None) if process.pid else None
            if slot is not None:
                self._record_exit(process, slot)
                self.config.counters.dead(slot)
                if process.exitcode and process.exitcode < 0:
                    self._report_dead_worker(slot)
            yield process

    def _report_dead_worker(self, slot: int) -> None:
        """Requeue the task of a killed worker now: clients would do it a second later."""
        try:
            ops.reap_worker(self.config.reference.handle(), self.config.counters.session(slot))
        except MultihostError as error:
            util.debug("cannot requeue the task of a dead worker: %s", error)

    def _record_exit(self, process: BaseProcess, slot: int) -> None:
        if process.exitcode == INITIALIZER_FAILED:
            self.failure = "the initializer raised an exception in a worker, which has printed it"
        elif self.config.counters.readiness(slot) > self._ready[slot]:
            self._early_exits = 0
        else:
            self._early_exits += 1
            if self._early_exits >= MAX_EARLY_EXITS * self.size:
                self.failure = (
                    f"workers end before they are ready, the last one with exit code "
                    f"{process.exitcode}"
                )

    @property
    def sentinels(self) -> list[Any]:
        """What ``multiprocessing.connection.wait`` returns when a process has ended."""
        return [process.sentinel for process in self.processes]

    def terminate(self) -> None:
        """Send SIGTERM to all: with ``graceful_sigterm`` they finish the tasks they have begun."""
        for process in list(self.processes):
            if process.exitcode is None:
                process.terminate()

    def kill(self) -> None:
        """Kill all."""
        for process in list(self.processes):
            if process.exitcode is None:
                process.kill()

    def end(self) -> None:
        """Kill all, and start no more."""
        with self._lock:
            self.size = 0
        self.kill()

    def join(self) -> None:
        """Wait until all have ended."""
        for process in list(self.processes):
            process.join()
