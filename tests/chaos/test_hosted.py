"""Processes with objects in their memory that are killed while everybody calls."""

from __future__ import annotations

import collections
import random
import time
from typing import Any

from multihost import HostLost
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import FORK, ProcessGroup, StopSignal, together
from tests.chaos.sizes import LONG_LEASE
from tests.chaos.till import Remote, Serving
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

HOSTS = 2
PROCESSES, THREADS = 3, 4
KILLS = 5


def be_host(_: int, url: str) -> None:
    Serving(url, lease=LONG_LEASE).get_server().serve_forever()


def call_on(
    m: Remote, end: StopSignal, began: Any, all_lost: Any
) -> tuple[list[tuple[int, int]], int, float]:
    """Call until stopped; what was counted, how many calls were lost, how long one took."""
    counted, lost, longest = [], 0, 0.0
    till: Any = None
    while not end.wait(0.05 if till is None and lost else 0):
        begin = time.monotonic()
        try:
            if till is None:
                till = m.Till(name="till")  # type: ignore[attr-defined]
            counted.append(till.add())
            if len(counted) == 1:
                began.release()
        except HostLost:
            lost += 1
            with all_lost.get_lock():
                all_lost.value += 1
            till = None  # as the error says: ask for the name again
        longest = max(longest, time.monotonic() - begin)
    return counted, lost, longest


def be_caller(_: int, url: str, end: StopSignal, told: Any, began: Any, lost: Any) -> None:
    with Remote(url, lease=LONG_LEASE) as m:
        for result in together(lambda _: call_on(m, end, began, lost), THREADS):
            told.put(result)


def test_each_call_ends_in_time_whoever_is_killed(fresh_server: Server) -> None:
    url = fresh_server.url
    chance, end, told = random.Random(), StopSignal(), FORK.SimpleQueue()
    began, lost = FORK.Semaphore(0), FORK.Value("i", 0)
    with ProcessGroup(HOSTS, be_host, url) as hosts, Remote(url, lease=LONG_LEASE) as m:
        ours: list[tuple[int, int]] = []
        refused = [0]

        def serving() -> int:
            """Who has the name now."""
            try:
                ours.append(m.Till(name="till").add())  # type: ignore[attr-defined]
            except HostLost:
                refused[0] += 1
                return 0
            return ours[-1][0]

        with ProcessGroup(PROCESSES, be_caller, url, end, told, began, lost) as callers:
            for _ in range(PROCESSES * THREADS):
                assert began.acquire(timeout=PATIENCE)
            victims = set()
            while hosts.kills < KILLS or not lost.value:
                pid = wait_until(lambda: {serving()} & {*hosts.pids}, PATIENCE, "taken over").pop()
                end.wait(chance.uniform(0.0, 0.3))
                number = hosts.pids.index(pid)
                victims |= hosts.kill([number])
                if chance.random() < 0.5:  # the other one takes over, or whoever is first
                    hosts.replace([number])
                else:
                    wait_until(serving, PATIENCE, "the other one took over")
                    hosts.replace([number])
            last = wait_until(lambda: {serving()} & {*hosts.pids}, PATIENCE).pop()
            end.wait(0.2)
            end.set()
            results = [told.get() for _ in range(PROCESSES * THREADS)]
            callers.finish()
        assert m.delete("till")
    end.close()
    told.close()
    counted = [*ours, *(each for result in results for each in result[0])]
    assert len({*counted}) == len(counted)  # no answer came twice
    assert sum(result[1] for result in results) == lost.value > 0
    assert max(result[2] for result in results) <= PATIENCE, "nobody found out by a lease"
    # What was counted and not told to anybody was said to be lost.
    highest: collections.Counter[int] = collections.Counter()
    for pid, number in counted:
        highest[pid] = max(highest[pid], number)
    untold = sum(highest.values()) - len(counted)
    assert 0 <= untold <= refused[0] + sum(result[1] for result in results)
    assert {*highest} <= victims | {last}
    assert last in highest
    nothing_left(fresh_server, LONG_LEASE)
