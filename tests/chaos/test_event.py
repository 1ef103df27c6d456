"""Events of which those who wait are killed: the others are woken, and nobody misses a pulse."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire import wait
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import EventLog, seconds
from tests.chaos.invariants import connected, nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

WAITERS = 10
KILLS = sample(200, 25)
BOUND = 2.0


def work(number: int, event: Any, url: str) -> None:
    """Wait for the event when told to."""
    with EventLog(url, "event") as log:
        while log.next_order(number) == "wait":
            assert event.wait()
            log.append("woken")


def all_wait(server: Server) -> None:
    """Wait until each was seen in its wait: in short slices they are not all blocked at a time."""
    seen: set[str] = set()

    def have_been_seen() -> bool:
        seen.update(row["id"] for row in connected(server) if "b" in row["flags"])
        return len(seen) >= WAITERS

    wait_until(have_been_seen)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("slices", [None, 0.02], ids=["", "in short slices"])
def test_who_lives_is_woken(
    slices: float | None, fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if slices:  # then many a pulse comes between two of them
        monkeypatch.setattr(wait, "MAX_BLOCK", slices)
        monkeypatch.setattr(wait, "FIRST_BLOCK", slices)
    chance = random.Random()
    stop = StopSignal()

    with (
        RedisManager(fresh_server.url, lease=LONG_LEASE) as m,
        EventLog(fresh_server.url, "event") as log,
    ):
        event = m.Event("named" if slices else None)
        gaps = []
        with ProcessGroup(WAITERS, work, event, fresh_server.url) as group:
            while group.kills < KILLS:
                for number in range(WAITERS):
                    log.send_order(number, "wait")
                all_wait(fresh_server)
                pids = group.pids
                numbers = chance.sample(range(WAITERS), chance.randrange(1, 6))
                victims = {pids[number] for number in numbers}
                # A pulse: as short as can be, or with victims in the middle of it.
                steps: list[Callable[[], object]] = [event.set, event.clear]
                steps.insert(chance.randrange(3), lambda: group.kill(numbers))
                steps.insert(chance.randrange(4), lambda: stop.wait(chance.random() * 0.002))
                watch = Watch(fresh_server.pid, pids)
                last = begin = log.append("pulse")
                for step in steps:
                    step()
                assert not event.is_set()
                living = set(pids) - victims
                while living:
                    entries = log.wait(last, PATIENCE)
                    assert entries, f"{living} of {pids} were not woken within {PATIENCE} s"
                    for entry in entries:
                        last = entry.id
                        assert entry.what == "woken"
                        living.discard(entry.pid)
                gaps.append(Gap(seconds(last) - seconds(begin), watch.withheld(pids)))
                group.replace(numbers)
            event.set()
            for number in range(WAITERS):
                log.send_order(number, "wait")
                log.send_order(number, "end")
            group.finish()
        assert event.is_set()
        check_prompt(gaps, BOUND)
        assert all(map(m.delete, m.names()))
    stop.close()
    nothing_left(fresh_server)
