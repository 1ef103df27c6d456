"""Many who want the same: everybody gets a share, and who waits costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihost import RedisManager
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
IDLE = 0.01  # of one core
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


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wait_in_threads(number: int, threads: int, wait: Callable[[], object]) -> None:
    own = [threading.Thread(target=wait) for _ in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no /proc with CPU times")
def test_waiting_costs_no_cpu(fresh_server: Server, start_server: Callable[..., Server]) -> None:
    """Beyond what a server costs that has nothing to do. One stands beside it: what else runs on
    the machine makes both of them dearer.
    """
    idle = start_server(tcp=True)
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
            pids = [fresh_server.pid, *group.pids]

            def spent() -> float:
                return sum(map(cpu_seconds, pids)) - cpu_seconds(idle.pid)

            used: list[float] = []
            # What else the machine does may make this look dearer than it is, and not cheaper.
            while len(used) < 3 and min(used, default=1.0) > IDLE:
                before = spent()
                stop.wait(IDLE_SECONDS)
                used.append((spent() - before) / IDLE_SECONDS)
            assert min(used) <= IDLE, used
            lock.release()
            group.finish()
    stop.close()
    nothing_left(fresh_server)
