"""Many clients at once, and many proxies."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest

from multihost import RedisManager
from multihost.pool import Pool
from tests.chaos.invariants import connected, nothing_left
from tests.chaos.killers import FORK, ProcessGroup, together
from tests.chaos.sizes import LONG_LEASE, sample
from tests.hosted.hosted_classes import Our, Remote
from tests.pool import work
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

PROCESSES, CLIENTS = 8, sample(25, 13)
ROUNDS = sample(3, 1)

NATIVE, NAMED, HOSTED = sample(8_000, 1_600), sample(1_000, 200), sample(1_000, 200)
SHORT_MS = 60_000  # what times to live are cut to, until they are renewed
BYTES = 20_000  # that a proxy may take here, with all that belongs to it


# Clients


def be_client(number: int, url: str) -> None:
    """One of many with a manager of its own."""
    with Remote(url, lease=LONG_LEASE, timeout=PATIENCE) as m:
        total, turn = m.dict("total"), m.Lock("turn")
        queue, counter = m.Queue("queue"), m.Counter("counter")  # type: ignore[attr-defined]
        with Pool(0, manager=m, name="pool") as pool:
            m.Barrier(PROCESSES * CLIENTS, name="all").wait(PATIENCE)
            assert len(connected_here(m)) >= PROCESSES * CLIENTS
            for _ in range(ROUNDS):
                total.increment("calls")
                with turn:
                    total["guarded"] += 1
                queue.put(number)
                assert 0 <= queue.get(timeout=PATIENCE) < PROCESSES * CLIENTS
                assert counter.add() > 0
            numbers = range(number, number + 4)
            assert pool.map_async(work.double, numbers, 1).get(PATIENCE) == [2 * n for n in numbers]


def connected_here(m: RedisManager) -> list[bytes]:
    return [
        line
        for line in m.runtime.session.link.execute_raw(b"CLIENT", b"LIST").splitlines()  # type: ignore[union-attr]
        if b"name=multihost" in line
    ]


def be_process(number: int, url: str) -> None:
    together(lambda n: be_client(number * CLIENTS + n, url), CLIENTS)


def test_hundreds_of_clients_at_once(fresh_server: Server) -> None:
    url = fresh_server.url
    clients = PROCESSES * CLIENTS
    with Our(url, ctx=FORK, lease=LONG_LEASE) as m:
        total = m.dict("total", guarded=0)
        counter = m.Counter(name="counter")  # type: ignore[attr-defined]
        with (
            Pool(2, manager=m, name="pool", context=FORK),
            ProcessGroup(PROCESSES, be_process, url) as group,
        ):
            group.finish(2 * PATIENCE)
            assert total.copy() == {"guarded": ROUNDS * clients, "calls": ROUNDS * clients}
            assert counter.add(0) == ROUNDS * clients
            assert m.Queue("queue").qsize() == 0
        for name in m.names():
            assert m.delete(name)
    nothing_left(fresh_server, LONG_LEASE)


# Proxies


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def usable(proxies: dict[str, list[Any]]) -> None:
    """Use each of them."""
    for n, shared in enumerate(proxies["native"]):
        if n % 4 == 0:
            assert shared.get() == n
        elif n % 4 == 1:
            assert shared["n"] == n
        elif n % 4 == 2:
            assert shared[0] == n
        else:
            assert not shared.locked()
    for n, shared in enumerate(proxies["named"]):
        assert shared["n"] == n
    for n, shared in enumerate(proxies["hosted"]):
        assert shared.add(0) == n


@pytest.mark.timeout(300)
def test_thousands_of_proxies_live(fresh_server: Server) -> None:
    url = fresh_server.url
    with Our(url, ctx=FORK, lease=LONG_LEASE) as m:
        before = resident()
        make = (
            lambda n: m.Value("i", n),
            lambda n: m.dict(n=n),
            lambda n: m.list([n]),
            lambda n: m.Lock(),
        )
        proxies: dict[str, list[Any]] = {
            "native": [make[n % 4](n) for n in range(NATIVE)],
            "named": [m.dict(f"named {n}", n=n) for n in range(NAMED)],
            "hosted": [m.Counter(n) for n in range(HOSTED)],  # type: ignore[attr-defined]
        }
        assert resident() - before < BYTES * (NATIVE + NAMED + HOSTED)
        objects = fresh_server.keys("*}:u:*")
        usable(proxies)
        # All of them are renewed.
        fresh_server.commands(*(("PEXPIRE", key, SHORT_MS) for key in objects))
        m.runtime.session.references.renew()  # type: ignore[union-attr]
        left = fresh_server.commands(*(("PTTL", key) for key in objects))
        assert min(left) > SHORT_MS
        usable(proxies)
        assert {*fresh_server.keys("*}:u:*")} == {*objects}
        for shared in proxies["named"]:
            shared.delete()
        del shared
        proxies.clear()
        gc.collect()
        wait_until(lambda: not fresh_server.keys("*}:u:*"))
    nothing_left(fresh_server)
    assert not connected(fresh_server)
