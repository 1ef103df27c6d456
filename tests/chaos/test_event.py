"""Events of which those who wait are killed: the others are woken, and nobody misses a pulse."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire import wait
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import Journal, seconds
from tests.chaos.invariants import blocked, nothing_left
from tests.chaos.killers import Crew, Whistle
from tests.support.server import Server
from tests.support.waiting import wait_until

WAITERS = 10
KILLS = 200
BOUND = 2.0
PATIENCE = 40.0


def work(number: int, event: Any, url: str) -> None:
    """Wait for the event when told to."""
    with Journal(url, "event") as journal:
        while journal.order(number) == "wait":
            assert event.wait()
            journal.note("woken")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("slices", [None, 0.02], ids=["", "in short slices"])
def test_who_lives_is_woken(
    slices: float | None, fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if slices:  # then many a pulse comes between two of them
        monkeypatch.setattr(wait, "MAX_BLOCK", slices)
        monkeypatch.setattr(wait, "FIRST_BLOCK", slices)
    chance = random.Random()
    whistle = Whistle()

    with RedisManager(fresh_server.url) as m, Journal(fresh_server.url, "event") as journal:
        event = m.Event("named" if slices else None)
        gaps = []
        with Crew(WAITERS, work, event, fresh_server.url) as crew:
            while crew.kills < KILLS:
                for number in range(WAITERS):
                    journal.give_order(number, "wait")
                wait_until(lambda: blocked(fresh_server) == WAITERS, PATIENCE)
                pids = crew.pids
                numbers = chance.sample(range(WAITERS), chance.randrange(1, 6))
                victims = {pids[number] for number in numbers}
                # A pulse: as short as can be, or with victims in the middle of it.
                steps: list[Callable[[], object]] = [event.set, event.clear]
                steps.insert(chance.randrange(3), lambda: crew.kill(numbers))
                steps.insert(chance.randrange(4), lambda: whistle.blown(chance.random() * 0.002))
                watch = Watch(fresh_server.pid, pids)
                last = begin = journal.note("pulse")
                for step in steps:
                    step()
                assert not event.is_set()
                living = set(pids) - victims
                while living:
                    entries = journal.wait(last, PATIENCE)
                    assert entries, f"{living} of {pids} were not woken within {PATIENCE} s"
                    for entry in entries:
                        last = entry.id
                        assert entry.what == "woken"
                        living.discard(entry.pid)
                gaps.append(Gap(seconds(last) - seconds(begin), watch.withheld(pids)))
                crew.replace(numbers)
            event.set()
            for number in range(WAITERS):
                journal.give_order(number, "wait")
                journal.give_order(number, "end")
            crew.finish()
        assert event.is_set()
        check_prompt(gaps, BOUND)
        assert all(map(m.delete, m.names()))
    whistle.close()
    nothing_left(fresh_server)
