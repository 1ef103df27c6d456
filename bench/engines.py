"""One server beside a cluster of three masters: ``python -m bench.engines [--rounds N]``.

Of each call of :mod:`bench.hot_calls` that needs no other process: the time, both taking turns; the
bytecodes that the calling thread executes; and the commands that the servers execute. Then how many
calls a second several processes make on many objects. The cluster's nodes share this machine: with
fewer processors than servers and clients, more masters are no faster here.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.hot_calls import HotCall, containers, locks, queues, signals, values
from bench.opcodes import count
from bench.processes import run, team, work
from bench.report import print_table
from multihost import RedisManager
from tests.support.cluster import Cluster
from tests.support.server import Server

__all__ = ["Engine", "main"]

CALLS = 100  # of one round
OBJECTS = 64  # one in each partition, nearly
PROCESSES = 8
SHARED = 8_000  # calls of all processes in one round


@dataclass
class Engine:
    """Where the data is, and what was measured there."""

    name: str
    url: str
    commands: Callable[[], int]
    """How many commands its servers have executed."""
    calls: dict[str, HotCall] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    bytecodes: dict[str, int] = field(default_factory=dict)
    executed: dict[str, float] = field(default_factory=dict)
    throughput: list[float] = field(default_factory=list)

    def prepare(self, manager: Any) -> None:
        """Make the objects, and count what does not depend on the clock."""
        offered = (part(manager) for part in (containers, values, locks, signals, queues))
        self.calls = {hot.name: hot for hot in itertools.chain.from_iterable(offered)}
        for name, hot in self.calls.items():
            self.seconds[name] = []
            self.bytecodes[name] = count(hot).bytecodes
            self.executed[name] = self._executed(hot)

    def _executed(self, hot: HotCall) -> float:
        """Count the commands of one call, without those of others: the least of some."""
        found = []
        for _ in range(5):
            hot.before()
            before = self.commands()
            hot.call()
            found.append(self.commands() - before)
            hot.after()
        return min(found)

    def time(self, name: str) -> None:
        """Measure one round of a call."""
        hot, spent = self.calls[name], 0.0
        for _ in range(CALLS):
            hot.before()
            begun = time.perf_counter()
            hot.call()
            spent += time.perf_counter() - begun
            hot.after()
        self.seconds[name].append(spent / CALLS)


def open_dicts(url: str) -> Callable[[int], object]:
    """Return a call that reads or writes one of many dicts."""
    manager = RedisManager(url)
    dicts = [manager.dict(f"bench {number}") for number in range(OBJECTS)]
    choose = random.Random().randrange

    def call(index: int) -> object:
        d = dicts[choose(OBJECTS)]
        if index % 2:
            return d.get("a")
        d["a"] = index
        return None

    return call


@contextlib.contextmanager
def engines() -> Iterator[list[Engine]]:
    """Start both."""
    with Server(tcp=True) as server, Cluster(3) as cluster:
        yield [
            Engine("one server", server.tcp_url, lambda: _commands([server])),
            Engine("3 masters", cluster.url, lambda: _commands(cluster.masters)),
        ]


def _commands(servers: list[Server]) -> int:
    """Count what they have executed for clients, without what we ask."""
    ours = ("info", "cluster", "client")
    return sum(
        sum(n for name, n in server.calls().items() if not name.startswith(ours))
        for server in servers
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with engines() as both, contextlib.ExitStack() as stack:
        teams = {
            engine.name: stack.enter_context(
                team([partial(work, partial(open_dicts, engine.url))] * PROCESSES)
            )
            for engine in both
        }
        for engine in both:
            run(teams[engine.name], PROCESSES)
        for _, engine in itertools.product(range(max(rounds // 4, 3)), both):
            engine.throughput.append(1 / run(teams[engine.name], SHARED))
        for engine in both:
            engine.prepare(stack.enter_context(RedisManager(engine.url)))
        gc.collect()
        for name in both[0].calls:
            for _ in range(rounds):
                for engine in random.sample(both, len(both)):
                    engine.time(name)
    report(*both)


def report(one: Engine, many: Engine) -> None:
    """Print both tables."""
    lines = []
    for name in one.calls:
        times = [statistics.median(each.seconds[name]) * 1e6 for each in (one, many)]
        codes = [each.bytecodes[name] for each in (one, many)]
        commands = [each.executed[name] for each in (one, many)]
        lines.append(
            [
                name,
                f"{times[0]:.1f}",
                f"{times[1] / times[0]:.2f}",
                f"{codes[0]}",
                f"{codes[1] / codes[0]:.2f}",
                f"{commands[0]:g} / {commands[1]:g}",
            ]
        )
    header = ["", "one, \N{MICRO SIGN}s", f"{many.name}", "one, bytecodes", many.name, "commands"]
    print_table(f"{many.name} beside one server", header, lines)
    rows = [[each.name, f"{statistics.median(each.throughput):,.0f}"] for each in (one, many)]
    print_table(f"{PROCESSES} processes, get and set", ["", "calls a second"], rows)


if __name__ == "__main__":
    main()
