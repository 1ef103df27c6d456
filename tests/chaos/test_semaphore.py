"""Semaphores of which those who have a permit, or wait for one, are killed at any moment."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from multihost import RedisManager
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import BEGINNING, Entry, EventLog, seconds
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal, together
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE

GROUPS = sample(12, 4)
WORKERS = 6
PERMITS = 3
KILLS = sample(17, 6)  # at least, in each group
HOLDERS = 5  # among them at least; who has a permit in the moment of the signal is chance
MOST = 10 * KILLS
BOUND = 2.0  # seconds until the permit of a killed process is free


def work(number: int, semaphore: Any, url: str, stop: StopSignal) -> None:
    """Take a permit again and again."""
    chance = random.Random(os.getpid())
    with EventLog(url, str(semaphore._token.ident)) as log:
        while not stop.is_set():
            if number == 0:
                took = semaphore.acquire(timeout=chance.random() * 0.05)
            else:
                took = semaphore.acquire()
            if not took:
                continue
            token = semaphore.fencing_token
            log.append("enter", token)
            stop.wait(0.02 + chance.random() * 0.04)
            log.append("leave", token)
            semaphore.release()


def torment(semaphore: Any, server: Server) -> tuple[int, list[Entry], list[Gap]]:
    """Kill who uses a semaphore, often one who has a permit: how many were killed, what they did,
    and how long each time it took until as many had a permit as may.
    """
    chance = random.Random()
    stop = StopSignal()
    url = server.url
    with (
        EventLog(url, str(semaphore._token.ident)) as log,
        ProcessGroup(WORKERS, work, semaphore, url, stop) as group,
    ):
        gaps = []
        last, inside = full(log, BEGINNING, set())
        while not (aimed := group.kills >= KILLS) or (
            group.kills < MOST and check_so_many_at_a_time(log.read()) < HOLDERS
        ):
            if not aimed:
                stop.wait(chance.choice([0, 0.04, 0.08]) * chance.random())
            pids = group.pids
            # Those who stay are enough to take all permits.
            numbers = {*chance.sample(range(WORKERS), chance.choice([1, 2, WORKERS - PERMITS]))}
            if aimed or chance.random() < 0.3:
                numbers.pop()
                numbers.add(pids.index(chance.choice(sorted(inside))))
            victims = {pids[number] for number in numbers}
            last = killed = log.append_many([("kill", pid) for pid in victims])[-1]
            watch = Watch(server.pid, pids)
            group.kill(numbers)
            group.replace(numbers)
            last, inside = full(log, last, victims)
            gaps.append(Gap(seconds(last) - seconds(killed), watch.withheld(group.pids)))
        stop.set()
        group.finish()
        entries = log.read()
    stop.close()
    return group.kills, entries, gaps


def full(log: EventLog, last: str, victims: set[int]) -> tuple[str, set[int]]:
    """Wait until all permits are with living processes: the id of that line, and who has them."""
    inside: set[int] = set()
    while entries := log.wait(last, PATIENCE):
        for entry in entries:
            if entry.what == "enter" and entry.pid not in victims:
                inside.add(entry.pid)
            elif entry.what == "leave":
                inside.discard(entry.pid)
            if len(inside) == PERMITS:
                return entry.id, inside
        last = entries[-1].id
    raise AssertionError(f"the permits were not free within {PATIENCE} s")


def check_so_many_at_a_time(entries: Sequence[Entry]) -> int:
    """Never more inside than there are permits, and no token twice; how many were killed inside."""
    inside: dict[int, int] = {}
    killed: set[int] = set()
    tokens = set()
    most = in_there = 0
    for entry in entries:
        if entry.what == "kill":
            killed.add(entry.pid)
            in_there += inside.pop(entry.pid, 0) > 0
        elif entry.what == "enter":
            assert entry.token not in tokens, entry
            tokens.add(entry.token)
            if entry.pid not in killed:
                inside[entry.pid] = entry.token
            most = max(most, len(inside))
            assert len(inside) <= PERMITS, (inside, entry)
        else:
            assert inside.pop(entry.pid, entry.token) == entry.token
    assert most == PERMITS
    return in_there


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_permits_come_back_whoever_is_killed(kind: str, fresh_server: Server) -> None:
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        make = getattr(m, kind)
        semaphores = [make(f"s {n}", PERMITS) if n % 2 else make(PERMITS) for n in range(GROUPS)]
        outcomes = together(lambda n: torment(semaphores[n], fresh_server), GROUPS)
        kills = holders = 0
        for killed, entries, _ in outcomes:
            kills += killed
            holders += check_so_many_at_a_time(entries)
        check_prompt([gap for _, _, gaps in outcomes for gap in gaps], BOUND)
        assert kills >= KILLS * GROUPS
        assert holders >= HOLDERS * GROUPS
        # All have gone in order or were killed: every permit can be had, and not one more.
        for semaphore in semaphores:
            for _ in range(PERMITS):
                assert semaphore.acquire(timeout=PATIENCE)
            assert not semaphore.acquire(blocking=False)
            semaphore.release(PERMITS)
            statistics = semaphore.statistics()
            assert (statistics.permits, statistics.holders) == (PERMITS, {})
        assert all(map(m.delete, m.names()))
    nothing_left(fresh_server)
