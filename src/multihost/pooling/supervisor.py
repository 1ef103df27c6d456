"""Worker processes of this machine: started, watched, and replaced when they end."""

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

MAX_EARLY_EXITS = 3  # how often in a row each worker may end before it is ready


class WorkerSupervisor:
    """So many processes that follow the same orders."""

    def __init__(self, context: Any, size: int, orders: WorkerConfig) -> None:
        self.context = context
        self.size = size
        self.config = orders
        self.processes: list[BaseProcess] = []
        self.failure: str | None = None  # why it is of no use to start more
        self._slots: dict[int, int] = {}  # by pid
        self._ready: dict[int, int] = {}  # how many of a slot were ready when the last one started
        self._failed = 0
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
            process.daemon = True
            with signals.held_back(self.config.graceful_sigterm):
                process.start()
            self._slots[process.pid] = slot
            self.processes.append(process)
            util.debug("added worker")

    def reap(self) -> Iterator[BaseProcess]:
        """Forget those that have ended, one by one."""
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
        """Others would find out in a second that it was killed."""
        try:
            ops.reap_worker(self.config.reference.handle(), self.config.counters.session(slot))
        except MultihostError as error:
            util.debug("others are not told of a dead worker: %s", error)

    def _record_exit(self, process: BaseProcess, slot: int) -> None:
        if process.exitcode == INITIALIZER_FAILED:
            self.failure = "the initializer raised an exception in a worker, which has printed it"
        elif self.config.counters.readiness(slot) > self._ready[slot]:
            self._failed = 0
        else:
            self._failed += 1
            if self._failed >= MAX_EARLY_EXITS * self.size:
                self.failure = (
                    f"workers end before they are ready, the last one with exit code "
                    f"{process.exitcode}"
                )

    @property
    def sentinels(self) -> list[Any]:
        """What is ready when a process has ended."""
        return [process.sentinel for process in self.processes]

    def terminate(self) -> None:
        """Tell all to end: at once, or patient ones when they have finished what they began."""
        for process in self.processes:
            if process.exitcode is None:
                process.terminate()

    def kill(self) -> None:
        """End all at once."""
        for process in self.processes:
            if process.exitcode is None:
                process.kill()

    def join(self) -> None:
        """Wait until all have ended."""
        for process in list(self.processes):
            process.join()
