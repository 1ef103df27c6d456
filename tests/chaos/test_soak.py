"""What a process takes does not grow with what it has done: memory, threads, descriptors, keys, and
memory of the server.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from multihost import RedisManager
from multihost.wire.session import settling
from tests.chaos.sizes import sample
from tests.lifetimes.keys import collect, let_go_long_ago, unnamed
from tests.support.server import Server
from tests.support.waiting import wait_until

SECONDS = sample(600, 0)
PARTS = sample(20, 2)  # of which the first two are to warm up
ROUNDS = sample(20, 4)  # in each part at least
OBJECTS = 100  # in each turn
ROOM = 12 * 1024 * 1024  # bytes: what fragments, caches and threads take
SERVER_ROOM = 4 * 1024 * 1024

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
    d = m.dict("nested")
    for number in range(OBJECTS // 4):
        one, two = m.dict(n=number), m.list()
        one["two"], d[number % 3] = two, one
        two.append(one)
        d[number % 3] = m.list([two, m.list([number])])
    d.clear()


def use_containers(m: RedisManager) -> None:
    """By every way in which something leaves them."""
    d, l, s, n = m.dict("d"), m.list(name="l"), m.set(name="s"), m.Namespace("n")
    for number in range(OBJECTS // 10):
        d[number], n.x = m.list(), m.dict(n=number)
        l.extend([m.list(), m.list([m.set()]), number])
        s.add(number)
    d.pop(0)
    del l[2:5]
    l[0] = 1
    d.update({1: 2, 2: m.list()})
    for each in (d, l, s):
        each.clear()
    for name in "dlsn":
        m.delete(name)


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
        condition, event = m.Condition(), m.Event()
        with m.Lock(), m.Semaphore(2), m.RLock(), condition:
            condition.notify_all()
            event.set()
            assert event.wait()
        m.Barrier(1).wait()
    m.dict("locks")["x"] = m.Lock()
    with m.dict("locks")["x"]:
        pass
    m.delete("locks")


def use_queues(m: RedisManager) -> None:
    q, sorted_, lifo = m.JoinableQueue(redeliver=True), m.PriorityQueue(), m.LifoQueue("lifo")
    for number in range(OBJECTS // 10):
        q.put([m.list([number])])
        sorted_.put((-number, number))
        lifo.put(m.list())
    for _ in range(OBJECTS // 10):
        assert q.get()[0]
        q.task_done()
        sorted_.get()
    q.join()
    m.delete("lifo")


def use_a_pool(m: RedisManager) -> None:
    with m.Pool(1) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
        assert len(pool.apply(list, (m.list([1, 2]),))) == 2


TURNS: list[Turn] = [give_away, nest, use_containers, use_threads, use_locks, use_queues]
POOLS = sample(25, 10**9)  # rounds from one with a pool to the next: it starts processes


class Figures(NamedTuple):
    """What is taken when everything was let go."""

    resident: int
    threads: int
    descriptors: int
    keys: int
    server: int


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def quiet(server: Server, m: RedisManager) -> Figures:
    """A lease passes: what is left has one, or goes."""
    gc.collect()
    wait_until(lambda: not m.runtime.session.references._live)
    for key in unnamed(server):
        server.command("PEXPIRE", key, 1) if server.command("PTTL", key) > 0 else None
    let_go_long_ago(server)
    collect(server)
    wait_until(lambda: not unnamed(server))
    return Figures(
        resident(),
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        len(server.keys()),
        int(server.info("memory")["used_memory"]),
    )


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_process_takes_no_more_than_at_first(
    fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of those that it used last it remembers so many, 3 KB each: that is soon reached.
    monkeypatch.setattr(settling, "MAX_IDLE", 100)
    begun, rounds = time.monotonic(), 0
    found: list[Figures] = []
    with RedisManager(fresh_server.url, lease=600.0) as m:
        for part in range(1, PARTS + 1):
            until, least = begun + part * SECONDS / PARTS, rounds + ROUNDS
            while time.monotonic() < until or rounds < least:
                for turn in TURNS:
                    turn(m)
                if rounds % POOLS == POOLS - 1:
                    use_a_pool(m)
                rounds += 1
            found.append(quiet(fresh_server, m))
            print(f"{time.monotonic() - begun:.0f} s, {rounds} rounds: {found[-1]}")
    first = found[min(1, PARTS - 2)]
    for last in found[2:] or found[-1:]:
        assert last.resident < first.resident + ROOM
        assert last.threads <= first.threads
        assert last.descriptors <= first.descriptors
        # But for the records of requests, one for each partition and connection.
        assert last.keys <= first.keys + 3 * 64
        assert last.server < first.server + SERVER_ROOM
