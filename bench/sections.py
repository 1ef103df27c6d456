"""The sections of a run. Each turns contenders into samples, row by row."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.catalogue import BULK, WIDTH, Row, entries
from bench.contenders import Contender, import_multihost
from bench.locks import LockEffort
from bench.measure import Plan, Samples, rehearse, take_turns
from bench.pools import PoolEffort
from bench.queues import QueueEffort
from bench.server import run_server
from bench.socket_link import SocketLink

__all__ = ["SECTIONS", "Effort", "bulk", "memory", "singles", "sizes", "start"]

SECTIONS = (
    "singles",
    "bulk",
    "sizes",
    "processes",
    "locks",
    "queues",
    "pools",
    "hosted",
    "signed",
    "start",
    "memory",
)


@dataclass(frozen=True)
class Effort:
    """How much each section does."""

    singles: Plan
    bulk: dict[int, Plan]
    sizes: tuple[int, ...]
    sized: Plan
    processes: tuple[int, ...]
    mixed: Plan
    locks: LockEffort
    queues: QueueEffort
    hosted: Plan
    signed: Plan
    pools: PoolEffort
    starts: int
    #: The rows measured at the biggest of the sizes in ``bulk``.
    biggest: tuple[str, ...]
    #: Whether a multihost over TCP takes part.
    tcp: bool = True

    @classmethod
    def full(cls) -> Effort:
        """Take the time that steady medians need: some minutes."""
        return cls(
            singles=Plan(60, 100),
            bulk={1_000: Plan(40, 3), 10_000: Plan(20, 1), 100_000: Plan(9, 1, 150)},
            sizes=(100, 1_000, 10_000, 100_000, 1_000_000),
            sized=Plan(40, 100),
            processes=(1, 2, 4, 8),
            mixed=Plan(15, 8_000),
            locks=LockEffort.full(),
            queues=QueueEffort.full(),
            hosted=Plan(60, 100),
            signed=Plan(60, 100),
            pools=PoolEffort.full(),
            starts=7,
            biggest=BULK,
        )

    @classmethod
    def quick(cls) -> Effort:
        """Take about a minute: few rounds, and not everything."""
        return cls(
            singles=Plan(12, 40, 4),
            bulk={
                1_000: Plan(4, 2, 0.5),
                10_000: Plan(3, 1, 0.5),
                100_000: Plan(3, 1, 0.5),
            },
            sizes=(100, 100_000),
            sized=Plan(10, 50, 1),
            processes=(1, 8),
            mixed=Plan(3, 1_600, 0.7),
            locks=LockEffort.quick(),
            queues=QueueEffort.quick(),
            hosted=Plan(12, 40, 4),
            signed=Plan(12, 40, 6),
            pools=PoolEffort.quick(),
            starts=3,
            biggest=("dict copy", "dict copy, one value"),
            tcp=False,
        )

    def with_rounds(self, rounds: int) -> Effort:
        """Do exactly so many rounds of everything that is done in rounds."""

        def fixed(plan: Plan) -> Plan:
            return Plan(rounds, plan.calls)

        return replace(
            self,
            singles=fixed(self.singles),
            bulk={size: fixed(plan) for size, plan in self.bulk.items()},
            sized=fixed(self.sized),
            mixed=fixed(self.mixed),
            locks=self.locks.with_rounds(rounds),
            queues=self.queues.with_rounds(rounds),
            hosted=fixed(self.hosted),
            signed=fixed(self.signed),
            pools=self.pools.with_rounds(rounds),
            starts=rounds,
        )


def singles(contenders: dict[str, Contender], effort: Effort) -> Samples:
    """Measure one call at a time on objects of a thousand entries."""
    samples = Samples()
    rows = {who: one.singles() for who, one in contenders.items()}
    take_turns(rehearse(rows, WIDTH, samples), effort.singles)
    forget(contenders)
    return samples


def bulk(contenders: dict[str, Contender], effort: Effort) -> dict[int, Samples]:
    """Measure calls that move many entries, by their number."""
    by_size = {}
    for size, plan in effort.bulk.items():
        wanted = effort.biggest if size == max(effort.bulk) else BULK
        rows = {who: only(one.bulk(size), wanted) for who, one in contenders.items()}
        samples = by_size[size] = Samples()
        take_turns(rehearse(rows, size, samples), plan, whole=True)
        forget(contenders)
    return by_size


def only(rows: Iterator[Row], wanted: tuple[str, ...]) -> Iterator[Row]:
    """Pass the wanted rows, and prepare nothing for those behind the last of them."""
    missing = set(wanted)
    for row in rows:
        if row.name in missing:
            missing.remove(row.name)
            yield row
        if not missing:
            break


def sizes(contenders: dict[str, Contender], effort: Effort) -> dict[int, Samples]:
    """Measure the same calls on objects of different sizes, the sizes taking turns as well."""
    by_size = {size: Samples() for size in effort.sizes}
    groups = []
    for size, samples in by_size.items():
        # redis-py adds a constant to the bare socket: nothing to see here.
        rows = {who: one.sized(size) for who, one in contenders.items() if who != "redis-py"}
        groups += rehearse(rows, size, samples)
    gc.collect()
    take_turns(groups, effort.sized)
    forget(contenders)
    return by_size


def forget(contenders: dict[str, Contender]) -> None:
    """Free the memory of a section before the next one."""
    for contender in contenders.values():
        contender.forget()
    gc.collect()


START = """
import sys, time
begin = time.perf_counter()
from {module} import Manager
imported = time.perf_counter()
if __name__ == "__main__":
    with Manager() as manager:
        shared = manager.dict()
        shared["a"] = 1
        assert shared["a"] == 1
        answered = time.perf_counter()
    print(imported - begin, answered - imported)
"""


def start(effort: Effort) -> Samples:
    """Measure importing, and then ``Manager()`` until its first answer, in new interpreters."""
    modules = {"stdlib": "multiprocessing"}
    if not import_multihost():
        modules["multihost"] = "multihost"
    samples = Samples()
    for turn in range(effort.starts + 1):
        for who, module in modules.items():
            output = subprocess.run(
                [sys.executable, "-c", START.format(module=module)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
            imported, answered = map(float, output.split())
            # The first turn reads the files from the disk and writes the .pyc files.
            if turn:
                samples.add("import", who, imported)
                samples.add("Manager() to first answer", who, answered)
    return samples


def memory(count: int = 100_000) -> dict[str, float]:
    """Count the server's bytes per dict entry: 25-byte keys, values of 100 characters."""
    content = entries(count)
    used: dict[str, float] = {}
    with run_server() as server:
        before = server.used_memory()
        link = SocketLink(server.path)
        for key, value in content.items():
            link.call("HSET", "plain", key, value)
        link.close()
        used["plain hash"] = (server.used_memory() - before) / count
    if import_multihost():
        return used
    from multihost import RedisManager

    with run_server() as server, RedisManager(server.url) as manager:
        # The scripts and the object itself are paid once, not per entry.
        shared = manager.dict("bench")
        shared.update(entries(1, count))
        before = server.used_memory()
        shared.update(content)
        used["multihost"] = (server.used_memory() - before) / count
    return used
