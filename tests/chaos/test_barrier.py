"""Barriers of which parties are killed when they have arrived, and in the middle of the action."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from threading import BrokenBarrierError
from typing import Any

import pytest

from multihost import RedisManager
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import EventLog, seconds
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import FORK, ProcessGroup, StopSignal, together
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.procs import run_all
from tests.support.server import Server
from tests.support.waiting import PATIENCE

GROUPS = sample(12, 4)
PARTIES = 5
KILLS = sample(17, 6)  # at least, in each group
IN_ACTION = 2  # episodes at least, in each group with an action
BOUND = 2.0  # seconds until the others hear that a party is dead
ROUNDS = sample(2000, 200)


def work(number: int, barrier: Any, url: str, name: str) -> None:
    """Come to the barrier when told to, and tell how that ended."""
    with EventLog(url, name) as log:
        while log.next_order(number) == "come":
            try:
                barrier.wait()
            except BrokenBarrierError:
                log.append("broken")
            else:
                log.append("passed")


def act(url: str, name: str) -> None:
    """The action: it lasts until we say so."""
    with EventLog(url, name) as log:
        log.append("acting")
        log.next_order("action")


class Torment:
    """A barrier, its parties, and us, who send some of them there and kill some of those."""

    def __init__(self, barrier: Any, server: Server, name: str) -> None:
        self.barrier = barrier
        self.server = server
        self.name = name
        self.chance = random.Random()
        self.stop = StopSignal()
        self.gaps: list[Gap] = []
        self.in_action = 0

    def __call__(self) -> Torment:
        with (
            EventLog(self.server.url, self.name) as self.log,
            ProcessGroup(PARTIES, work, self.barrier, self.server.url, self.name) as self.group,
        ):
            wanted = IN_ACTION if "action" in self.name else 0
            while self.group.kills < KILLS or self.in_action < wanted:
                self.everybody_passes()
                missing = self.group.kills >= KILLS
                if wanted and (missing or self.chance.random() < 0.5):
                    self.killed_in_action()
                else:
                    self.killed_on_arrival()
            self.everybody_passes()
            self.send_orders(range(PARTIES), "end")
            self.group.finish()
            self.kills = self.group.kills
        self.stop.close()
        return self

    # episodes; each leaves the barrier as new and all parties waiting for orders

    def everybody_passes(self) -> None:
        self.log.send_order("action", "go on")
        begin = self.begin("round")
        self.send_orders(range(PARTIES), "come")
        self.expect("passed", set(self.group.pids), begin)
        self.log.clear_orders("action")

    def killed_on_arrival(self) -> None:
        """One comes later, so that those who die have not passed."""
        late, *others = self.chance.sample(range(PARTIES), PARTIES)
        numbers = others[: self.chance.choice([1, 2, 3, 3])]
        self.send_orders(others, "come")
        self.stop.wait(self.chance.choice([0.002, 0.01]) * self.chance.random())
        pids = self.group.pids
        killed, victims = self.kill(numbers)
        were_there = self.had_arrived(victims)
        self.group.replace(numbers)
        if were_there:
            self.expect("broken", {pids[n] for n in others} - victims, killed)
            begin = self.begin("too late")
            self.send_orders([late], "come")
            self.expect("broken", {pids[late]}, begin)
            self.barrier.reset()
        else:
            # They died before they came; the others wait for those who replace them.
            self.log.send_order("action", "go on")
            begin = self.begin("round")
            self.send_orders([late, *numbers], "come")
            self.expect("passed", set(self.group.pids), begin)
            self.log.clear_orders("action")

    def killed_in_action(self) -> None:
        begin = self.begin("round")
        self.send_orders(range(PARTIES), "come")
        (acting,) = self.expect("acting", None, begin)
        self.stop.wait(self.chance.choice([0, 0.01]) * self.chance.random())
        pids = self.group.pids
        numbers = {pids.index(acting), *self.chance.sample(range(PARTIES), 1)}
        killed, victims = self.kill(numbers)
        self.in_action += 1
        self.expect("broken", set(pids) - victims, killed)
        self.group.replace(numbers)
        self.barrier.reset()

    def begin(self, what: str) -> str:
        self.watch = Watch(self.server.pid, self.group.pids)
        return self.log.append(what)

    def send_orders(self, numbers: Iterable[int], order: str) -> None:
        for number in numbers:
            self.log.send_order(number, order)

    def kill(self, numbers: Iterable[int]) -> tuple[str, set[int]]:
        pids = self.group.pids
        self.watch = Watch(self.server.pid, pids)
        killed = self.log.append_many([("kill", pids[number]) for number in numbers])[-1]
        victims = self.group.kill(numbers)
        for number in numbers:
            self.log.clear_orders(number)
        return killed, victims

    def had_arrived(self, victims: set[int]) -> bool:
        """Whether one of the dead is counted as arrived, or was, and they have found out."""
        keys = self.barrier._handle.keys
        # What the dead have sent is in the server by now, and after this it is executed.
        self.log.raw.pipeline(("PING",))
        found = self.server.command("HGETALL", keys.data)
        there = dict(zip(found[::2], found[1::2], strict=True))
        if there[b"s"] == b"broken":
            return True
        arrived = [f for f, since in there.items() if f[:2] == b"q:" and since == there[b"g"]]
        names = {field[2:].partition(b".")[0] for field in arrived}
        found = [self.server.command("HGET", keys.sessions + b":" + name, "p") for name in names]
        # Who has no record any more is dead, too.
        return any(process is None or int(process.split()[0]) in victims for process in found)

    def expect(self, what: str, wanted: set[int] | None, since: str) -> set[int]:
        """That all of them, or somebody, and nobody else says so, soon."""
        said: set[int] = set()
        last = since
        pids = self.group.pids
        while not said or (wanted is not None and said != wanted):
            entries = self.log.wait(last, PATIENCE)
            assert entries, f"{self.name}: not {what} within {PATIENCE} s: {wanted} but {said}"
            for entry in entries:
                last = entry.id
                if entry.what in ("passed", "broken", "acting") and entry.pid in (
                    wanted or {entry.pid}
                ):
                    assert entry.what == what or (entry.what, what) == ("acting", "passed")
                    if entry.what == what:
                        said.add(entry.pid)
        self.gaps.append(Gap(seconds(last) - seconds(since), self.watch.withheld(pids)))
        return said


@pytest.mark.timeout(300)
def test_a_barrier_breaks_when_a_party_is_killed(fresh_server: Server) -> None:
    url = fresh_server.url
    with RedisManager(url, lease=LONG_LEASE) as m:
        torments = [Torment(m.Barrier(PARTIES), fresh_server, f"{n}") for n in range(GROUPS // 2)]
        for n in range(GROUPS // 2):
            name = f"with an action {n}"
            barrier = m.Barrier(name, PARTIES, functools.partial(act, url, name))
            torments.append(Torment(barrier, fresh_server, name))
        together(lambda n: torments[n](), GROUPS)
        assert sum(torment.kills for torment in torments) >= KILLS * GROUPS
        assert sum(torment.in_action for torment in torments) >= IN_ACTION * GROUPS // 2
        check_prompt([gap for torment in torments for gap in torment.gaps], BOUND)
        assert all(map(m.delete, m.names()))
    nothing_left(fresh_server)


def rounds(barrier: Any, url: str, parties: int) -> list[int]:
    places = []
    with EventLog(url, "") as log:
        for n in range(ROUNDS):
            log.raw.call("INCR", f"arrived {n}")
            places.append(barrier.wait())
            assert log.raw.call("GET", f"arrived {n}") == b"%d" % parties
    return places


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parties", [2, 5])
def test_thousands_of_rounds(parties: int, fresh_server: Server) -> None:
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        barrier = m.Barrier(parties)
        args = [(barrier, fresh_server.url, parties)] * parties
        places = run_all(FORK, rounds, args)
        for of_one_round in zip(*places, strict=True):
            assert sorted(of_one_round) == list(range(parties))
    nothing_left(fresh_server)
