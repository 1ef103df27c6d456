"""Worker processes of this machine: started, watched, and replaced when they end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import util
from multiprocessing.process import BaseProcess
from typing import Any

from multihost.errors import MultihostError
from multihost.pooling import signals
from multihost.pooling.loop import UNPREPARED, Orders, work
from multihost.wire.ops import pool as ops

__all__ = ["Crew"]

PATIENCE = 3  # how often in a row each worker may end before it is ready


class Crew:
    """So many processes that follow the same orders."""

    def __init__(self, context: Any, size: int, orders: Orders) -> None:
        self.context = context
        self.size = size
        self.orders = orders
        self.processes: list[BaseProcess] = []
        self.trouble: str | None = None  # why it is of no use to start more
        self._slots: dict[int, int] = {}  # by pid
        self._ready: dict[int, int] = {}  # how many of a slot were ready when the last one started
        self._failed = 0
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Start processes until there are enough."""
        with self._lock:
            self._fill()

    def _fill(self) -> None:
        taken = {self._slots[process.pid] for process in self.processes if process.pid}
        free = [slot for slot in range(self.size) if slot not in taken]
        for slot in free[: self.size - len(self.processes)]:
            self._ready[slot] = self.orders.tally.readiness(slot)
            process = self.context.Process(target=work, args=(self.orders, slot))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            with signals.held_back(self.orders.patient):
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
                self._judge(process, slot)
                self.orders.tally.dead(slot)
                if process.exitcode and process.exitcode < 0:
                    self._bury(slot)
            yield process

    def _bury(self, slot: int) -> None:
        """Others would find out in a second that it was killed."""
        try:
            ops.bury(self.orders.ticket.handle(), self.orders.tally.session(slot))
        except MultihostError as error:
            util.debug("others are not told of a dead worker: %s", error)

    def _judge(self, process: BaseProcess, slot: int) -> None:
        if process.exitcode == UNPREPARED:
            self.trouble = "the initializer raised an exception in a worker, which has printed it"
        elif self.orders.tally.readiness(slot) > self._ready[slot]:
            self._failed = 0
        else:
            self._failed += 1
            if self._failed >= PATIENCE * self.size:
                self.trouble = (
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
