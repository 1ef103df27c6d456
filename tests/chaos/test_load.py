"""Many who want the same: everybody gets a share, and who waits costs nothing."""

from __future__ import annotations

import collections
import multiprocessing
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.wait import FIRST_BLOCK
from tests.chaos.invariants import blocked, nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")

PROCESSES = 8
TURNS_EACH = 1000
IN_ORDER = 0.75  # 0.98 on a quiet machine, 0.96 on a full one, 0.4 for those who try now and then

WAITERS = 100
PROCESSES_IDLE = 4
IDLE_SECONDS = sample(10, 4)
# For each waiter and second. Somebody who polls ten times a second costs ten commands, and as many
# turns at least. The checks of four processes and a pop in 20 s come to 0.4 commands and 0.3 turns.
COMMANDS = 3.0  # of looks at the object, those of their scripts included
TURNS = 3.0


class Order:
    """Who had the turn, one after the other: written by who has it, in memory that all share."""

    def __init__(self) -> None:
        self._count = FORK.RawValue("l")
        self._who = FORK.RawArray("b", 1_000_000)
        self.ready = FORK.RawValue("l")
        """How many have begun: those can have a turn."""

    def note(self, number: int) -> None:
        self._who[self._count.value] = number
        self._count.value += 1

    @property
    def turns(self) -> int:
        return int(self._count.value)

    def between(self) -> list[int]:
        """Return for each turn how many turns one of the others had at most since the last turn of
        the same process: none if it had two in a row, many if it was passed over.
        """
        found: list[int] = []
        since: dict[int, collections.Counter[int]] = {}
        for number in self._who[: self._count.value]:
            if number in since:
                found.append(max(since[number].values(), default=0))
            for other, turns in since.items():
                if other != number:
                    turns[number] += 1
            since[number] = collections.Counter()
        assert len(since) == PROCESSES, "somebody had no turn"
        return found


def take_turns(number: int, lock: Any, order: Order, start: StopSignal, end: StopSignal) -> None:
    with lock:
        order.ready.value += 1
    start.wait(10 * PATIENCE)
    while not end.is_set():
        with lock:
            order.note(number)


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_everybody_gets_a_turn(kind: str, fresh_server: Server) -> None:
    """In their order: between two turns of one each of the others has one. Who had no core comes
    late, and misses some.
    """
    start, end, order = StopSignal(), StopSignal(), Order()
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        lock = getattr(m, kind)()
        with ProcessGroup(PROCESSES, take_turns, lock, order, start, end) as group:
            wait_until(lambda: order.ready.value == PROCESSES)
            start.set()
            wait_until(lambda: order.turns >= TURNS_EACH * PROCESSES)
            end.set()
            group.finish()
        turns = order.between()
        in_order = sum(each in (1, 2) for each in turns)
        assert in_order >= IN_ORDER * len(turns), collections.Counter(turns)
    start.close()
    end.close()
    nothing_left(fresh_server)


def switches(pid: int) -> int:
    """How often the threads of a process went to sleep, or were taken off a core, so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(
        int(count)
        for task in tasks
        for count in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())
    )


def wait_in_threads(number: int, threads: int, wait: Callable[[], object]) -> None:
    own = [threading.Thread(target=wait) for _ in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc with switches")
def test_waiting_costs_nothing_for_each_waiter(fresh_server: Server) -> None:
    """Neither commands nor a turn on a core. Both are counted: how long they take, or whether one
    gets a core, is the machine's. One thread of each process looks at the object now and then.
    """
    stop = StopSignal()
    with RedisManager(fresh_server.url) as m:
        lock = m.Lock()

        def wait() -> None:
            with lock:
                pass

        lock.acquire()
        with ProcessGroup(
            PROCESSES_IDLE, wait_in_threads, WAITERS // PROCESSES_IDLE, wait
        ) as group:
            wait_until(lambda: blocked(fresh_server) == WAITERS, PATIENCE)
            stop.wait(FIRST_BLOCK)  # the first pops are short
            wait_until(lambda: blocked(fresh_server) == WAITERS, PATIENCE)
            before, began = fresh_server.calls(), time.monotonic()
            turns = sum(map(switches, group.pids))
            stop.wait(IDLE_SECONDS)
            turns = sum(map(switches, group.pids)) - turns
            executed, took = fresh_server.calls() - before, time.monotonic() - began
            assert executed.total() <= COMMANDS * WAITERS * took, executed
            assert turns <= TURNS * WAITERS * took
            lock.release()
            group.finish()
    stop.close()
    nothing_left(fresh_server)
