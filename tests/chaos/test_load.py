"""Many who want the same: everybody gets a share, and who waits costs nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.wait import FIRST_BLOCK
from tests.chaos.history import EventLog
from tests.chaos.invariants import blocked, nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.support.server import Server
from tests.support.waiting import wait_until

PROCESSES = 8
SECONDS = 10.0
SHARE = 0.8  # of what the luckiest gets, for the unluckiest

WAITERS = 100
PROCESSES_IDLE = 4
IDLE_SECONDS = 10.0
# For each waiter and second. Somebody who polls ten times a second costs ten commands, and as many
# turns at least. The checks of four processes and a pop in 20 s come to 0.4 commands and 0.3 turns.
COMMANDS = 1.0
TURNS = 3.0
PATIENCE = 30.0


def take_turns(number: int, lock: Any, url: str, start: StopSignal, end: StopSignal) -> None:
    with EventLog(url, "load") as log:
        lock.acquire()
        lock.release()
        log.append("ready")
        start.wait(PATIENCE)
        turns = 0
        while not end.is_set():
            lock.acquire()
            turns += 1
            lock.release()
        log.append("turns", turns)


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_everybody_gets_a_share(kind: str, fresh_server: Server) -> None:
    url = fresh_server.url
    start, end = StopSignal(), StopSignal()
    with RedisManager(url) as m, EventLog(url, "load") as log:
        lock = getattr(m, kind)()
        with ProcessGroup(PROCESSES, take_turns, lock, url, start, end) as group:
            wait_until(lambda: len(log.read()) == PROCESSES, PATIENCE)
            start.set()
            end.wait(SECONDS)
            end.set()
            group.finish()
        turns = sorted(entry.token for entry in log.read() if entry.what == "turns")
        assert len(turns) == PROCESSES
        assert turns[0] >= SHARE * turns[-1], turns
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
