"""Queues of which producers and consumers are killed at any moment: every item is accounted for."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from queue import Empty
from typing import Any

import pytest

from multihost import RedisManager
from multihost.managers import QueueStatistics
from tests.chaos.history import Entry, EventLog
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal, together
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE

PRODUCERS, CONSUMERS = 3, 4
KILLS = sample(36, 6)  # at least, for each queue
ITEMS = sample(100, 40)  # at least, that somebody gets of each queue
LIMIT = 3

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "any size": ("Queue", {}),
    "a few": ("Queue", {"maxsize": 4}),
    "last in": ("LifoQueue", {"maxsize": 20}),
    "priority": ("PriorityQueue", {}),
    "again": ("JoinableQueue", {"redeliver": True, "maxsize": 10}),
    "again, by priority": ("PriorityQueue", {"redeliver": True}),
    "again, in batches": ("Queue", {"redeliver": True}),
    "letters": ("JoinableQueue", {"redeliver": True, "max_deliveries": LIMIT, "maxsize": 10}),
}


def numbers() -> Iterator[int]:
    """Those that no other process counts."""
    return itertools.count(os.getpid() * 1_000_000)


def produce(q: Any, log: EventLog, stop: StopSignal, chance: random.Random) -> None:
    for item in numbers():
        log.append("puts", item)
        q.put(item)
        log.append("put", item)
        if stop.wait(chance.random() * 0.03):
            return


def consume(q: Any, log: EventLog, stop: StopSignal, chance: random.Random) -> None:
    again = bool(q._settings.max_deliveries)
    while not stop.is_set():
        try:
            items = q.get_many(3, timeout=0.5) if chance.random() < 0.3 else [q.get(timeout=0.5)]
        except Empty:
            continue
        for item in items:
            log.append("got", item)
        stop.wait(chance.random() * 0.02)
        for item in items:
            if again:
                q.task_done()
            log.append("done", item)


def work(number: int, q: Any, url: str, name: str, stop: StopSignal) -> None:
    with EventLog(url, name) as log:
        act = produce if number < PRODUCERS else consume
        act(q, log, stop, random.Random(os.getpid()))


def torment(q: Any, url: str, name: str) -> tuple[int, list[Entry]]:
    """Kill producers and consumers, often several at once; how many, and what all of them did."""
    chance = random.Random()
    stop = StopSignal()
    with (
        EventLog(url, name) as log,
        ProcessGroup(PRODUCERS + CONSUMERS, work, q, url, name, stop) as group,
    ):
        last, got = "0-0", set[int]()
        while group.kills < KILLS or len(got) <= ITEMS:
            # Not before there was a life to end.
            entries = log.wait(last, PATIENCE)
            assert entries, f"{name}: nobody did anything within {PATIENCE} s"
            last = entries[-1].id
            got.update(entry.token for entry in entries if entry.what == "got")
            stop.wait(0.05 * chance.random())
            victims = {*chance.sample(range(PRODUCERS + CONSUMERS), chance.choice([1, 2, 3]))}
            pids = group.pids
            group.kill(victims)
            for victim in victims:
                log.append("killed", pid=pids[victim])
            group.replace(victims)
        stop.set()
        drain(q, log, group.have_ended)
        group.finish()
        drain(q, log, lambda: not any(q.statistics()[i] for i in LEFT))
        stop.close()
        return group.kills, log.read()


LEFT = [QueueStatistics._fields.index(each) for each in ("size", "in_flight", "waiters")]


def drain(q: Any, log: EventLog, is_over: Callable[[], bool]) -> None:
    """Get what is left, also what a killed consumer had."""
    begun = time.monotonic()
    while not is_over():
        assert time.monotonic() - begun < PATIENCE, q.statistics()
        try:
            item = q.get(timeout=0.1)
        except Empty:
            continue
        log.append("got", item)
        if q._settings.max_deliveries:
            q.task_done()
        log.append("done", item)


def check(entries: Sequence[Entry], letters: Sequence[int], again: bool) -> None:
    """Nothing is lost, and nothing delivered to two who lived."""
    told: dict[str, set[int]] = defaultdict(set)
    takers: dict[int, list[int]] = defaultdict(list)
    killed: set[int] = set()
    for entry in entries:
        told[entry.what].add(entry.token)
        if entry.what == "killed":
            killed.add(entry.pid)
        elif entry.what == "got":
            takers[entry.token].append(entry.pid)
    lost = told["put"] - told["got"] - set(letters)
    if again:
        assert not lost, "a killed consumer takes nothing along"
        for item in told["put"] - told["done"] - set(letters):
            # It was done, and whoever did it was killed before the note.
            assert killed.intersection(takers[item]), item
    else:
        # Between get() and its note a consumer can be killed; with a batch in its hands at most.
        assert len(lost) <= 3 * len(killed)
    assert told["got"] <= told["puts"], "items that nobody put"
    for item, pids in takers.items():
        assert len([pid for pid in pids if pid not in killed]) <= 1, (item, pids, killed)
        assert len(set(pids)) == len(pids) or again, (item, pids)
        if not again:
            # Who was killed in the moment of getting it may not have said so to the server.
            assert killed.issuperset(pids[:-1]), (item, pids, killed)
    assert len(takers) > ITEMS


@pytest.mark.timeout(300)
def test_every_item_is_accounted_for_whoever_is_killed(fresh_server: Server) -> None:
    url = fresh_server.url
    with RedisManager(url, lease=LONG_LEASE) as m:
        queues = {
            name: getattr(m, typeid)(name if number % 2 else None, **options)
            if number % 2
            else getattr(m, typeid)(**options)
            for number, (name, (typeid, options)) in enumerate(KINDS.items())
        }
        names = list(queues)
        outcomes = together(lambda n: torment(queues[names[n]], url, names[n]), len(names))
        assert sum(kills for kills, _ in outcomes) >= KILLS * len(KINDS)
        for name, (_, entries) in zip(names, outcomes, strict=True):
            q = queues[name]
            again = "again" in name or name == "letters"
            letters = q.dead_letters()
            check(entries, letters, again)
            state = q.statistics()
            assert (state.size, state.in_flight, state.waiters) == (0, 0, 0), (name, state)
            if again:
                assert state.unfinished == 0, (name, state)
                q.join()
            assert bool(letters) <= (name == "letters")
            q.purge_dead_letters()
        assert all(map(m.delete, m.names()))
        queues.clear()
        del q
    nothing_left(fresh_server, LONG_LEASE)
