"""Objects that contain each other, tied and untied by processes to which everything happens.

Leases are short here, so that what the killed ones held does lapse, and what a collector takes for
unreachable is swept while others go on. Whatever the machine does to them: nothing is swept that a
name leads to, a process holds, or a container let go just now, and no name ever leads to something
with a lease; the server itself says so. If no process was kept from its renewals for too long,
and the server forgot nothing, then nobody meets anything that is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import queue
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.managers import DictProxy
from multihost.wire.collect import Collector, collector
from tests.chaos.audit import audit, guard_sweeps, swept_though_reached
from tests.chaos.graphs import (
    LEASE,
    NAMES,
    QUEUE,
    TTL,
    Beats,
    another_collector,
    short_leases,
    work,
)
from tests.chaos.journal import Journal
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.chaos.relay import Relay
from tests.chaos.sizes import sample
from tests.lifetimes.keys import ident, keys_of, let_go_long_ago, unnamed_idents
from tests.support.leaks import ownerless_keys
from tests.support.procs import ProcessFailed, send_signal
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

KILLS = sample(350, 10)  # in each round
PAUSE = sample(collector.PAUSE, 1)
WORKERS = 5
AUDITS = 0.3  # of the times when somebody is killed


@dataclasses.dataclass(frozen=True)
class Way:
    """What happens beside kills: how often, for each of them."""

    name: str
    cuts: float = 0.0
    stops: float = 0.0
    restarts: float = 0.0
    steps_back: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether everybody lives until it is killed, and nothing is forgotten."""
        return not self.stops and not self.steps_back


WAYS = [
    Way("kills"),
    Way("cuts", cuts=0.5),
    Way("stops", stops=0.04, cuts=0.1),
    Way("restarts", restarts=0.02, cuts=0.2),
    Way("back", steps_back=0.02),
    Way("everything", cuts=0.3, stops=0.03, restarts=0.01),
]
SOME = [Way("cuts", cuts=0.5), Way("everything", cuts=0.3, stops=0.3, restarts=0.3)]
ROUNDS = sample([(way, number) for number in range(5) for way in WAYS], [(way, 0) for way in SOME])
CUTS = ("now", "request", "half a request", "reply", "half a reply", "late")


class Torment:
    """One round: a server, a relay before it, and processes that die."""

    def __init__(self, way: Way, server: Server, directory: Path) -> None:
        self._way, self._server = way, server
        self._chance = random.Random()
        self._stop = StopSignal()
        self.beats = Beats(WORKERS)
        self.journal = Journal(str(directory / "journal"))
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds = 0.0  # until all was gone that no name leads to
        self._stopped: dict[int, tuple[float, int]] = {}  # by number: until when, and its pid
        self._relay = Relay(server.socket, f"{server.directory}/relay", repr(way))
        self._url = server.url.replace(server.socket, self._relay.path)

    def run(self) -> None:
        try:
            with ProcessGroup(
                WORKERS, work, self._url, self._stop, self.beats, self.journal
            ) as group:
                while group.kills < KILLS:
                    self._stop.wait(self._chance.random() * 0.3)
                    self._kill(group)
                    self._act(group)
                    if self._chance.random() < AUDITS:
                        self._look()
                self._look()
                self._resume(group, float("inf"))
                self._stop.set()
                self._finish(group)
                self.counts["kills"] = group.kills
        finally:
            self._stop.close()
            self.counts["cuts"] += self._relay.cuts
            self._relay.close()

    def _finish(self, group: ProcessGroup) -> None:
        try:
            group.finish(5 * PATIENCE)
        except ProcessFailed:
            for pid in group.pids:  # those that hang say where
                send_signal(pid, signal.SIGUSR1)
            raise

    def _kill(self, group: ProcessGroup) -> None:
        victims = self._chance.sample(range(WORKERS), self._chance.choice([1, 2, 2, 3]))
        group.kill(victims)
        for number in victims:
            self.beats.look(number)
            self.beats.forget(number)
            self._stopped.pop(number, None)
        group.replace(victims)

    def _act(self, group: ProcessGroup) -> None:
        way, chance = self._way, self._chance
        self._resume(group, time.monotonic())
        if chance.random() < way.cuts:
            self._relay.break_some(chance.choices(CUTS, k=3))
        if chance.random() < way.stops:
            number = chance.randrange(WORKERS)
            group.suspend([number])
            until = time.monotonic() + chance.choice([0.3, 1.0, 2.5]) * TTL
            self._stopped[number] = (until, group.pids[number])
            self.counts["suspensions"] += 1
        if chance.random() < way.restarts:
            self._server.restart(empty=False)
            self.counts["restarts"] += 1
        if chance.random() < way.steps_back:
            self._server.command("SAVE")
            self._stop.wait(chance.random())
            self.wrong += swept_though_reached(self._server)
            self._server.go_back()
            self.counts["steps back"] += 1

    def _resume(self, group: ProcessGroup, now: float) -> None:
        for number, (until, pid) in list(self._stopped.items()):
            if until <= now:
                del self._stopped[number]
                assert group.pids[number] == pid
                send_signal(pid, signal.SIGCONT)

    def _look(self) -> None:
        found = audit(self._server)
        self.counts["audits"] += 1
        self.counts["most reached"] = max(self.counts["most reached"], len(found.whole))
        self.wrong += [f"{each} has a lease, and a name leads to it" for each in found.leased]

    def is_over(self, server: Server) -> None:
        """Everybody has gone: what names lead to is there, and soon nothing else."""
        ended = time.monotonic()
        met = [f"a living process met\n{each.text}" for each in self.journal.read()]
        self.journal.close()
        with RedisManager(server.url, lease=LEASE) as m:
            whole, _, missing = audit(server)
            try:
                assert set(read_all(m)) <= whole
            except ObjectGone as error:
                met.append(f"behind a name: {error}")
            gc.collect()
            holds = m.list()  # else it would have nothing to renew, and no turn
            wait_until(lambda: [*m.runtime.session.references._live] == [ident(holds)])
            # Nobody does anything for it: this process lives, and has its turn.
            self._await(server, {ident(holds)})
            self.seconds = time.monotonic() - ended
            for name in m.names():
                m.delete(name)
            holds.delete()
            let_go_long_ago(server)
            # Lists of dead consumers are no reason to collect; now and then it is done without one.
            # The turn of this process may come meanwhile.
            wait_until(lambda: another_collector(m).collect().finished)
            self.wrong += [f"{each} is left" for each in unnamed_idents(server)]
            self.wrong += ownerless_keys(server)
        self.wrong += [f"{each} was swept" for each in swept_though_reached(server)]
        met += [f"{each} is missing" for each in missing]
        self.counts["met something gone"] = len(met)
        if self._way.is_exact and self.beats.longest < TTL:
            self.wrong += met

    def _await(self, server: Server, held: set[str]) -> None:
        """Wait until only that is left, and what a name leads to."""

        def left() -> set[str]:
            return set(data_of_unnamed(server)) - audit(server).whole - held

        try:
            wait_until(lambda: not left(), PATIENCE + promised(self.beats.collection))
        except AssertionError:
            self.wrong += [f"{each} does not go: {all_about(server, each)}" for each in left()]

    def __str__(self) -> str:
        beats, counts = self.beats, dict(self.counts)
        return (
            f"{self._way.name}: {counts}; longest without a renewal {beats.longest:.1f} s, "
            f"longest collection {beats.collection:.2f} s; all else was gone in "
            f"{self.seconds:.1f} s, promised {promised(beats.collection):.1f}; "
            f"{len(self.wrong)} violations"
        )


def promised(collection: float) -> float:
    """Within how many seconds everything else is gone, if nobody dies on the way."""
    return TTL + max(LEASE / 3, PAUSE * collection) + LEASE / 3 + 2 * collection


def read_all(m: RedisManager) -> Iterator[str]:
    """All that names lead to, as anybody reads it; and take what is in the queue."""
    waiting: list[Any] = [m.dict(name) for name in NAMES if name in m.names()]
    with contextlib.suppress(queue.Empty):
        while QUEUE in m.names():
            waiting.append(m.Queue(QUEUE).get_nowait())
    seen: set[str] = set()
    while waiting:
        container = waiting.pop()
        if hasattr(container, "put"):
            container.qsize()
            continue
        mapping = isinstance(container, (dict, DictProxy))
        for each in container.values() if mapping else container[:]:
            if isinstance(each, dict):
                waiting.append(each)
            elif hasattr(each, "_token") and ident(each) not in seen:
                seen.add(ident(each))
                yield ident(each)
                waiting.append(each)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("way", "number"), ROUNDS, ids=[f"{way.name}-{number}" for way, number in ROUNDS]
)
def test_nothing_is_lost_and_nothing_is_left(
    start_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: Way,
    number: int,
) -> None:
    short_leases(monkeypatch)
    guard_sweeps(monkeypatch)
    monkeypatch.setattr(collector, "PAUSE", PAUSE)
    # What it has answered it has written, unless the machine goes down.
    server = start_server(appendonly="no" if way.steps_back else "yes", appendfsync="no")
    torment = Torment(way, server, tmp_path)
    monkeypatch.setattr(Collector, "_collect", torment.beats.timed(Collector._collect))
    torment.run()
    torment.is_over(server)
    print(torment)
    assert torment.wrong == []


def all_about(server: Server, name: str) -> dict[str, Any]:
    """What the server has of an object, for whoever reads a failure."""
    found: dict[str, Any] = {
        key.decode(): server.command("PTTL", key) for key in keys_of(server, name)
    }
    partition = min(found).partition("}:")[0] + "}:"
    found |= {
        key: server.command("ZSCORE", partition + key, name) for key in ("kept", "held", "cut")
    }
    containers = [key for key in server.keys("*:contains") if server.command("HEXISTS", key, name)]
    return found | {
        "epoch": server.command("HGETALL", partition + "epoch"),
        "containers": containers,
        "turn": server.command("PTTL", "{multihost:00}:collector"),
        "now": server.command("TIME"),
    }


def data_of_unnamed(server: Server) -> list[str]:
    """The unnamed objects that are there."""
    keys = [key.partition(b"}:")[2].decode() for key in server.keys("*}:u:*")]
    return [key for key in keys if key.count(":") == 1]
