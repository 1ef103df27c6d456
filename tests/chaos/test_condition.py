"""Conditions whose waiters are killed before, while and after they are notified."""

from __future__ import annotations

import random
from typing import Any

import pytest

from multihost import RedisManager
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import BEGINNING, Entry, EventLog, is_after, seconds
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal, together
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

GROUPS = sample(12, 6)
WAITERS = 5
KILLS = sample(17, 5)  # at least, in each group
BOUND = 2.0  # seconds until a notification has woken somebody who lives


def work(number: int, condition: Any, url: str, stop: StopSignal) -> None:
    """Wait for a notification again and again; every line is written with the lock."""
    with EventLog(url, str(condition._token.ident)) as log:
        with condition:
            while not stop.is_set():
                log.append("wait")
                assert condition.wait()
                log.append("woken")


class Torment:
    """One condition, those who wait for it, and us, who notify and kill them."""

    def __init__(self, condition: Any, server: Server) -> None:
        self.condition = condition
        self.server = server
        self.chance = random.Random()
        self.stop = StopSignal()
        self.waiting: list[int] = []  # in the order in which they began
        self.killed: set[int] = set()
        self.last = BEGINNING
        self.gaps: list[Gap] = []
        self.returned = 0  # how many victims had the lock again

    def __call__(self) -> Torment:
        work_args = self.condition, self.server.url, self.stop
        with (
            EventLog(self.server.url, str(self.condition._token.ident)) as self.log,
            ProcessGroup(WAITERS, work, *work_args) as self.group,
        ):
            while self.group.kills < KILLS:
                self.await_waiters()
                self.episode()
            self.await_waiters()
            self.stop.set()
            with self.condition:
                self.condition.notify_all()
            self.group.finish()
            self.kills = self.group.kills
        self.stop.close()
        return self

    def await_waiters(self) -> None:
        """Until all wait; who was woken meanwhile."""
        while sorted(self.waiting) != sorted(self.group.pids):
            assert self.read(), f"not all were waiting within {PATIENCE} s"

    def read(self) -> list[Entry]:
        entries = self.log.wait(self.last, PATIENCE)
        for entry in entries:
            self.last = entry.id
            if entry.what == "kill":
                self.killed.add(entry.pid)
            elif entry.what == "wait":
                self.waiting.append(entry.pid)
            elif entry.what == "woken" and entry.pid in self.waiting:
                self.waiting.remove(entry.pid)
        self.waiting = [pid for pid in self.waiting if pid not in self.killed]
        return entries

    def episode(self) -> None:
        """Notify one or all, and kill some before, after, or while the lock is still held."""
        everybody = self.chance.random() < 0.2
        when = self.chance.choice(["before", "with the lock", "after"])
        numbers = self.chance.sample(range(WAITERS), self.chance.choice([1, 2, 3]))
        pids = self.group.pids
        oldest = pids.index(self.waiting[0])
        if self.chance.random() < 0.5 and oldest not in numbers:
            numbers[0] = oldest
        victims = {pids[number] for number in numbers}
        if when == "before":
            self.kill(numbers, 0.0)
        watch = Watch(self.server.pid, pids)
        with self.condition:
            notified = self.log.append("notify")
            self.condition.notify(WAITERS if everybody else 1)
            if when == "with the lock":
                self.kill(numbers, 0.005)
        has_returned = False
        if when == "after":
            self.stop.wait(self.chance.random() * 0.004)
            self.group.suspend(numbers)
            has_returned = self.has_returned(victims, notified)
            self.kill(numbers, 0.0)
        self.group.replace(numbers)
        if everybody:
            self.expect(notified, set(pids) - victims, WAITERS, watch)
            self.settle()
        elif has_returned:
            self.returned += 1
            self.settle()  # it may be killed before the server knows that it has returned
        else:
            self.expect(notified, None, 1, watch)

    def kill(self, numbers: list[int], within: float) -> None:
        self.stop.wait(self.chance.random() * within)
        pids = self.group.pids
        self.log.append_many([("kill", pids[number]) for number in numbers])
        self.group.kill(numbers)

    def has_returned(self, suspended: set[int], notified: str) -> bool:
        """Whether one of them is behind the wait, with the lock: that was the one."""
        self.server.command("PING")  # what they had sent has been carried out then
        data = self.condition._lock._handle.keys
        held = self.server.keys(data.data.decode() + ":held:*")
        if not held:
            return False
        holder = held[0].rpartition(b":")[2].partition(b".")[0]
        session = self.server.command("HGET", data.sessions + b":" + holder, "p")
        woken = {e.pid for e in self.log.read(notified) if e.what == "woken"}
        return int(session.split()[0]) in suspended - woken

    def settle(self) -> None:
        """Until the dead are forgotten: what notified them passes on to who is there."""
        data = self.condition._handle.keys.data

        def forgotten() -> bool:
            kinds = [field[:2] for field in self.server.command("HKEYS", data)]
            return kinds.count(b"z:") == WAITERS and not {b"n:", b"y:"} & set(kinds)

        wait_until(forgotten, PATIENCE)

    def expect(self, notified: str, wanted: set[int] | None, most: int, watch: Watch) -> None:
        """That all of them are woken, or somebody; and nobody without a notification."""
        woken: set[int] = set()
        since = seconds(notified)
        while not (woken if wanted is None else woken >= wanted):
            entries = self.read()
            assert entries, f"nobody was woken within {PATIENCE} s"
            for entry in entries:
                if is_after(entry.id, notified):
                    if entry.what == "kill":
                        since = entry.at
                    elif entry.what == "woken":
                        woken.add(entry.pid)
                        gap = Gap(entry.at - since, watch.withheld(self.group.pids))
                        self.gaps.append(gap)
        assert len(woken) <= most


@pytest.mark.timeout(300)
def test_no_notification_dies_with_a_waiter(fresh_server: Server) -> None:
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        conditions = [
            m.Condition(),
            m.Condition("named"),
            m.Condition(m.Lock()),
            m.Condition(m.RLock()),
            m.Condition("of a lock", m.Lock("lock")),
            *(m.Condition() for _ in range(GROUPS - 5)),
        ]
        torments = together(lambda n: Torment(conditions[n], fresh_server)(), GROUPS)
        assert sum(torment.kills for torment in torments) >= KILLS * GROUPS
        check_prompt([gap for torment in torments for gap in torment.gaps], BOUND)
        assert all(map(m.delete, m.names()))
    nothing_left(fresh_server)
