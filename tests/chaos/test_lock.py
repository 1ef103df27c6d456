"""Locks whose holders and waiters are killed at any moment."""

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

GROUPS = sample(12, 4)  # as many locks, so that nobody has to be patient for all
WORKERS = 5
KILLS = sample(17, 6)  # at least, in each group
HOLDERS = 2  # among them at least; who has the lock in the moment of the signal is chance
MOST = 10 * KILLS
BOUND = 2.0  # seconds until a killed holder's lock is free


def work(number: int, lock: Any, url: str, stop: StopSignal) -> None:
    """Take the lock again and again, in the way that is this worker's."""
    chance = random.Random(os.getpid())
    with EventLog(url, str(lock._token.ident)) as log:
        while not stop.is_set():
            if not take(lock, number, chance):
                stop.wait(chance.random() * 0.01)
                continue
            depth = 1
            while type(lock).__name__ == "RLockProxy" and chance.random() < 0.3:
                assert lock.acquire()
                depth += 1
            token = lock.fencing_token
            log.append("enter", token)
            stop.wait(chance.random() * 0.015)
            assert lock.fencing_token == token
            log.append("leave", token)
            for _ in range(depth):
                lock.release()


def take(lock: Any, number: int, chance: random.Random) -> bool:
    """One worker in each group only tries, one soon loses its patience, the others wait."""
    if number == 0:
        return bool(lock.acquire(blocking=False))
    if number == 1:
        return bool(lock.acquire(timeout=chance.random() * 0.05))
    return bool(lock.acquire())


def torment(lock: Any, server: Server) -> tuple[int, list[Entry], list[Gap]]:
    """Kill who uses a lock, at least one of them the one who has it or is next: how many were
    killed, what they did, and how long each time the lock was not to be had.
    """
    chance = random.Random()
    stop = StopSignal()
    url = server.url
    with (
        EventLog(url, str(lock._token.ident)) as log,
        ProcessGroup(WORKERS, work, lock, url, stop) as group,
    ):
        gaps = []
        last = BEGINNING
        while not (aimed := group.kills >= KILLS) or (
            group.kills < MOST and check_one_at_a_time(log.read()) < HOLDERS
        ):
            last, holder = after(log, last, set())
            if not aimed:
                stop.wait(chance.choice([0, 0.004, 0.04]) * chance.random())
            pids = group.pids
            # One of those who wait without end always stays.
            numbers = {*chance.sample(range(WORKERS), chance.choice([1, 2]))}
            if holder in pids and (aimed or chance.random() < 0.3):
                numbers.add(pids.index(holder))
            if numbers >= set(range(2, WORKERS)):
                continue
            victims = {pids[number] for number in numbers}
            last = log.append_many([("kill", pid) for pid in victims])[-1]
            watch = Watch(server.pid, group.pids)
            group.kill(numbers)
            group.replace(numbers)
            killed = last
            last, _ = after(log, last, victims)
            gaps.append(Gap(seconds(last) - seconds(killed), watch.withheld(group.pids)))
        stop.set()
        group.finish()
        entries = log.read()
    stop.close()
    return group.kills, entries, gaps


def after(log: EventLog, last: str, victims: set[int]) -> tuple[str, int]:
    """Wait until one who lives enters: the id of that, and who it is."""
    while entries := log.wait(last, PATIENCE):
        for entry in entries:
            if entry.what == "enter" and entry.pid not in victims:
                return entry.id, entry.pid
        last = entries[-1].id
    raise AssertionError(f"nobody got the lock within {PATIENCE} s")


def check_one_at_a_time(entries: Sequence[Entry]) -> int:
    """Never two holders, and rising tokens; how many were killed while they held the lock.

    One that is being killed has left when another one enters.
    """
    last = 0
    inside: Entry | None = None
    killed: set[int] = set()
    in_there = 0
    for entry in entries:
        if entry.what == "kill":
            killed.add(entry.pid)
        elif entry.what == "enter":
            assert entry.token > last, (entry, last)
            if inside is not None:
                assert inside.pid in killed, (inside, entry)
                in_there += 1
            inside, last = entry, entry.token
        else:
            assert inside is not None and inside[2:] == entry[2:], (inside, entry)
            inside = None
    return in_there


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_one_holder_at_a_time_whoever_is_killed(kind: str, fresh_server: Server) -> None:
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        locks = [getattr(m, kind)(f"lock {n}" if n % 2 else None) for n in range(GROUPS)]
        outcomes = together(lambda n: torment(locks[n], fresh_server), GROUPS)
        kills = holders = 0
        for killed, entries, _ in outcomes:
            kills += killed
            holders += check_one_at_a_time(entries)
        check_prompt([gap for _, _, gaps in outcomes for gap in gaps], BOUND)
        assert kills >= KILLS * GROUPS
        assert holders >= HOLDERS * GROUPS
        for lock in locks:
            assert lock.acquire(timeout=PATIENCE)
            lock.release()
        assert all(map(m.delete, m.names()))
    nothing_left(fresh_server)
