"""Processes that tie and untie objects in every way, and what their leases were like meanwhile."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import queue
import random
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

from multihost import LinkError, ObjectGone, RedisManager
from multihost.wire.collect import Collector
from multihost.wire.session import session
from multihost.wire.session.references import References
from tests.chaos.journal import Journal
from tests.chaos.killers import StopSignal
from tests.chaos.lives import open_manager
from tests.chaos.sizes import sample

__all__ = ["LEASE", "NAMES", "QUEUE", "TTL", "Beats", "another_collector", "short_leases", "work"]

LEASE = sample(3.0, 1.5)
TTL = LEASE + LEASE / 3
"""Seconds for which what nobody renews is there; no reserve of a minute, see `short_leases`."""
NAMES = "abc"
QUEUE = "q"
SERVER_SECONDS = 300.0  # for which a call waits: whatever the machine does meanwhile
PAUSE = 0.01  # seconds between two turns, at most
HANDS = 8  # proxies that a process has at most


def short_leases(monkeypatch: object) -> None:
    """In this process, and in those that it forks."""
    monkeypatch.setattr(session, "RESERVE", 0.0)  # type: ignore[attr-defined]


class Beats:
    """When each process has renewed what it holds, for its parent to see: one that was killed tells
    nothing any more.
    """

    def __init__(self, size: int) -> None:
        self._last = multiprocessing.RawArray("d", size)
        self._longest = multiprocessing.RawArray("d", 2)

    def start(self, number: int) -> None:
        """In the process: begin, and note each renewal from now on."""
        self._last[number] = time.monotonic()
        renew = References.renew

        def noting(references: References) -> bool:
            begun = time.monotonic()
            found = renew(references)
            self.look(number)
            self._last[number] = begun
            return found

        References.renew = noting  # type: ignore[method-assign]

    def timed(self, collect: Callable[[Collector], None]) -> Callable[[Collector], None]:
        """A collection that notes how long it took, also if it did not come to its end: it holds up
        the next one all the same.
        """

        def noting(collector: Collector) -> None:
            begun = time.monotonic()
            try:
                collect(collector)
            finally:
                self._longest[1] = max(self._longest[1], time.monotonic() - begun)

        return noting

    def look(self, number: int) -> None:
        """In any process: note for how long that one has not renewed what it holds."""
        if self._last[number]:
            self._longest[0] = max(self._longest[0], time.monotonic() - self._last[number])

    def forget(self, number: int) -> None:
        """That process is dead; another one takes its number."""
        self._last[number] = 0.0

    @property
    def longest(self) -> float:
        """The longest time, in seconds, for which a process did not renew what it held."""
        return float(self._longest[0])

    @property
    def collection(self) -> float:
        """How many seconds a collection took, at most."""
        return float(self._longest[1])


def work(number: int, url: str, stop: StopSignal, beats: Beats, journal: Journal) -> None:
    """Do anything until ``stop``; forget what turns out to be gone, and note that."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    chance = random.Random(os.getpid())
    beats.start(number)
    graph = Graph(open_manager(url, lease=LEASE, timeout=SERVER_SECONDS), chance)
    while not stop.wait(chance.random() * PAUSE):  # others have to run, too
        try:
            graph.turn()
        except ObjectGone as error:
            # Names are deleted by others at any moment; what has none is not.
            if not any(f"{name!r}" in str(error) for name in NAMES + QUEUE):
                journal.note("gone", text=traceback.format_exc())
            graph.hands.clear()
        except BaseException:
            faulthandler.dump_traceback()  # of what the other threads are at
            raise
        beats.look(number)
        if number < 2 and chance.random() < 0.05:  # beside the one whose turn it is
            another_collector(graph.m).collect()


def another_collector(m: RedisManager) -> Collector:
    """As of another process: that of this one may be at work."""
    its = m.runtime.session
    return Collector(its.link, its.namespace, its.lease, its.ttl_ms)


class Graph:
    """What one process has in its hands, and does with it."""

    def __init__(self, m: RedisManager, chance: random.Random) -> None:
        self.m, self._chance = m, chance
        self.hands: list[Any] = []
        self._turns: list[Callable[[], object]] = [
            self._chain,
            self._circle,
            self._diamond,
            self._store,
            self._store,
            self._tie,
            self._take,
            self._move,
            self._untie,
            self._untie,
            self._delete,
            self._send,
            self._receive,
            self._store_queue,
        ]

    def turn(self) -> None:
        """Do one thing."""
        self._chance.choice(self._turns)()
        del self.hands[:-HANDS]

    @property
    def _name(self) -> Any:
        return self.m.dict(self._chance.choice(NAMES))

    @property
    def _key(self) -> int:
        return self._chance.randrange(6)

    @property
    def _one(self) -> Any:
        """Return a dict: most of what is in the hands."""
        return self._chance.choice(self.hands) if self.hands else self.m.dict()

    def _chain(self) -> None:
        self.hands.append(self.m.dict(x=self.m.dict(y=self.m.list([self._key]))))

    def _circle(self) -> None:
        one, two = self.m.dict(), self.m.dict()
        one["x"], two["x"] = two, one
        self.hands.append(one)

    def _diamond(self) -> None:
        leaf = self.m.list([self.m.dict()])
        self.hands.append(self.m.dict(x=self.m.dict(z=leaf), y=self.m.dict(z=leaf)))

    def _store(self) -> None:
        self._name[self._key] = self._one

    def _tie(self) -> None:
        self._one[self._chance.choice("xyz")] = self._one

    def _untie(self) -> None:
        self._one.pop(self._chance.choice("xyz"), None)

    def _take(self) -> None:
        self._keep(self._name.pop(self._key, None))

    def _move(self) -> None:
        """What leaves one name is stored under another."""
        source, key = self._name, self._key
        if (found := source.get(key)) is not None:
            self._name[key] = found
            source.pop(key, None)

    def _delete(self) -> None:
        if self._chance.random() < 0.4:
            self.m.delete(self._chance.choice(NAMES + QUEUE if self._key == 0 else NAMES))

    def _send(self) -> None:
        self.m.Queue(QUEUE).put([self._one, {"deep": self._one}])

    def _receive(self) -> None:
        """Out of a queue with a name, or of one that somebody has stored."""
        source = self.m.Queue(QUEUE)
        if self._chance.random() < 0.5:
            found = self._name.get("queue")
            source = source if found is None else found
        try:
            item = source.get(timeout=self._chance.choice([0.001, 0.05]))
        except (queue.Empty, LinkError):  # no outage is as short as this wait
            return
        self._keep(item[0])
        self._keep(item[1]["deep"])

    def _store_queue(self) -> None:
        """A queue without a name, with something in it."""
        made = self.m.Queue(redeliver=self._chance.random() < 0.5)
        made.put([self._one, {"deep": self._one}])
        self._name["queue"] = made
        made.put([self._one, {"deep": self._one}])

    def _keep(self, found: Any) -> None:
        if found is not None and not hasattr(found, "put"):
            self.hands.append(found)
