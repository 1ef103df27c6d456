"""Objects that contain each other, tied and untied by processes that are killed at any moment.

Leases are short here, so that what the killed ones held does lapse, and what a collector takes for
unreachable is swept while others go on. A process that the machine keeps from its renewals for as
long may find gone what only it held; what a name leads to is there whatever happens.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.managers import DictProxy
from multihost.wire.session import session
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.chaos.sizes import sample
from tests.lifetimes.keys import collect, ident, is_kept, let_go_long_ago, unnamed_idents
from tests.support.server import Server
from tests.support.waiting import wait_until

ROUNDS = sample(30, 1)
KILLS = sample(350, 15)  # in each round
WORKERS = 3
LEASE = 1.5
NAMES = "abc"


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the processes that are forked: no reserve of a minute."""
    monkeypatch.setattr(session, "RESERVE", 0.0)


def work(number: int, url: str, stop: StopSignal) -> None:
    """Make, store, move, remove, delete; forget what turns out to be gone."""
    chance = random.Random(os.getpid())
    m = RedisManager(url, lease=LEASE)
    hands: list[Any] = []
    while not stop.is_set():
        try:
            turn(m, chance, hands)
        except ObjectGone:
            hands.clear()
        del hands[:-20]
        if number == 0 and chance.random() < 0.05:
            m.runtime.session.collector.collect()


def turn(m: RedisManager, chance: random.Random, hands: list[Any]) -> None:
    name, key = chance.choice(NAMES), chance.randrange(6)
    one = chance.choice(hands) if hands else m.dict()
    match chance.randrange(9):
        case 0 | 1:
            hands.append(m.dict(leaf=m.list([key])))
        case 2 | 3:
            m.dict(name)[key] = one
        case 4:
            one[chance.choice("xyz")] = chance.choice(hands) if hands else one
        case 5:
            if (found := m.dict(name).pop(key, None)) is not None:
                hands.append(found)
        case 6:
            # Moved: what leaves one name is stored under another.
            if (found := m.dict(name).get(key)) is not None:
                m.dict(chance.choice(NAMES))[key] = found
                m.dict(name).pop(key, None)
        case 7:
            one.pop(chance.choice("xyz"), None)
        case 8 if chance.random() < 0.1:
            m.delete(name)


def reached(m: RedisManager) -> Iterator[str]:
    """All that names lead to. Raises ObjectGone if some of it is gone."""
    seen: set[str] = set()
    waiting: list[Any] = [m.dict(name) for name in NAMES if name in m.names()]
    while waiting:
        proxy = waiting.pop()
        for each in proxy.values() if isinstance(proxy, DictProxy) else proxy[:]:
            if hasattr(each, "_token") and ident(each) not in seen:
                seen.add(ident(each))
                yield ident(each)
                waiting.append(each)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_a_name_leads_to_is_never_lost(
    fresh_server: Server, short_leases: None, number: int
) -> None:
    chance = random.Random()
    stop = StopSignal()
    url = fresh_server.url
    with ProcessGroup(WORKERS, work, url, stop) as group:
        while group.kills < KILLS:
            stop.wait(chance.random() * 0.3)
            victims = chance.sample(range(WORKERS), chance.choice([1, 1, 2]))
            group.kill(victims)
            group.replace(victims)
        stop.set()
        group.finish()
    stop.close()
    with RedisManager(url, lease=600.0) as m:
        found = list(reached(m))
        gc.collect()
        wait_until(lambda: not m.runtime.session.references._live)
        assert is_kept(fresh_server, *found)
        let_go_long_ago(fresh_server)
        collect(fresh_server)
        assert is_kept(fresh_server, *found)
        # Everything else goes: what was kept is gone now, and what has a lease within that.
        wait_until(lambda: set(unnamed_idents(fresh_server)) == set(found))
