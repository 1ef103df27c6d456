"""What a process takes does not grow with what it has done: memory, threads, descriptors, keys."""

from __future__ import annotations

import gc
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihost import RedisManager
from tests.chaos.sizes import sample
from tests.lifetimes.keys import collect, let_go_long_ago, unnamed
from tests.support.server import Server
from tests.support.waiting import wait_until

ROUNDS = sample(2000, 12)
OBJECTS = 100  # in each round
ROOM = 12 * 1024 * 1024  # bytes: what fragments, caches and threads take

Turn = Callable[[RedisManager], None]


def give_away(m: RedisManager) -> None:
    """A producer: what it puts is taken by others, and its proxies are dropped."""
    named, plain = m.Queue("soaked"), m.Queue()
    for number in range(OBJECTS // 2):
        named.put(m.list([number]))
        plain.put([m.dict(n=number)])
    for _ in range(OBJECTS // 2):
        assert len(named.get()) == 1
        assert plain.get()[0]["n"] >= 0
    named.delete()


def nest(m: RedisManager) -> None:
    """Circles and chains, in a name and out of it again."""
    d = m.dict("soaked")
    for number in range(OBJECTS // 4):
        one, two = m.dict(n=number), m.list()
        one["two"], d[number % 3] = two, one
        two.append(one)
        d[number % 3] = m.list([two, m.list([number])])
    d.clear()


def use_threads(m: RedisManager) -> None:
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threads = [threading.Thread(target=lambda: found.put(m.list([1])[:])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.qsize() == 4


def use_locks(m: RedisManager) -> None:
    for _ in range(OBJECTS // 10):
        with m.Lock(), m.Semaphore(2):
            pass


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("turn", [give_away, nest, use_threads, use_locks])
def test_a_process_takes_no_more_than_at_first(fresh_server: Server, turn: Turn) -> None:
    server = fresh_server
    with RedisManager(server.url, lease=600.0) as m:

        def run(rounds: int) -> tuple[int, int, int, int]:
            for _ in range(rounds):
                turn(m)
            gc.collect()
            wait_until(lambda: not m.runtime.session.references._live)
            # A lease passes: what is left has one, or goes.
            for key in unnamed(server):
                server.command("PEXPIRE", key, 1) if server.command("PTTL", key) > 0 else None
            let_go_long_ago(server)
            collect(server)
            wait_until(lambda: not unnamed(server))
            return (
                resident(),
                threading.active_count(),
                len(os.listdir("/proc/self/fd")),
                len(server.keys()),
            )

        first = run(max(ROUNDS // 10, 3))
        last = run(ROUNDS)
        assert last[0] < first[0] + ROOM
        assert last[1:3] <= first[1:3]
        # But for the records of requests, one for each partition and connection.
        assert last[3] <= first[3] + 3 * 64
