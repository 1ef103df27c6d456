"""The goals of the project, as numbers, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.catalogue import (
    HOSTED_CALLS,
    LOCK,
    POOL_MAP,
    QUEUE_BATCH,
    QUEUES,
    READS,
    SINGLES,
)
from bench.report import both_ways, lock_rows, print_table, queue_rows, ratio, workers

__all__ = ["GOALS", "Goal", "print_goals"]

#: A call may cost this much more on the biggest object than on the smallest and still be «flat»:
#: the memory caches of the server explain less than that, a scan very much more.
FLAT = 1.25

#: And a lock that is held may cost this much CPU time, in microseconds a second: one with a renewal
#: of its own costs a hundred and more.
NOTHING = 1.0

#: What a goal makes of one mode's sections: the number, and where it comes from.
Number = tuple[float, str]
Read = Callable[[Mapping[str, Any]], "Number | None"]


@dataclass(frozen=True)
class Goal:
    """A number that shall not be above the limit, or, with ``least``, not below it."""

    title: str
    limit: float
    modes: tuple[str, ...]
    read: Read
    least: bool = False

    def reached(self, value: float) -> bool:
        """Compare, as printed: with two decimals."""
        value = round(value, 2)
        return value >= self.limit if self.least else value <= self.limit


def worst_single(names: tuple[str, ...]) -> Read:
    """Read the slowest of some single calls."""
    return lambda sections: worst(sections.get("singles", {}), names)


def worst(rows: Mapping[str, Any], names: tuple[str, ...]) -> Number | None:
    """Read the slowest of some rows."""
    ratios = {name: ratio(rows[name]) for name in names if name in rows}
    known = {name: value for name, value in ratios.items() if value is not None}
    if not known:
        return None
    slowest = max(known, key=lambda name: known[name])
    missing = len(names) - len(known)
    return known[slowest], slowest + (f", {missing} not measured" if missing else "")


def worst_bulk(size: int, *names: str) -> Read:
    """Read the slowest of some calls that move many entries."""

    def read(sections: Mapping[str, Any]) -> Number | None:
        rows = sections.get("bulk", {}).get(str(size), {})
        known = [(value, name) for name in names if (value := ratio(rows.get(name, {})))]
        return max(known, default=None)

    return read


def throughput(sections: Mapping[str, Any]) -> Number | None:
    """Read how many times the calls per second of the standard library eight processes get."""
    rows = sections.get("processes", {}).get("8", {})
    slower = ratio(rows.get("get and set", {}))
    return (1 / slower, "get and set") if slower else None


def growth(sections: Mapping[str, Any]) -> Number | None:
    """Read how much slower a call is on the biggest object than on the smallest."""
    return slower_by_size(sections.get("sizes", {}))


def slower_by_size(by_size: Mapping[str, Any]) -> Number | None:
    """Read how much slower the worst of some calls is at the biggest size."""
    if len(by_size) < 2:
        return None
    smallest, biggest = min(by_size, key=int), max(by_size, key=int)
    known = [
        (by_size[biggest][name]["multihost"]["us"] / cells["multihost"]["us"], name)
        for name, cells in by_size[smallest].items()
        if "multihost" in cells and "multihost" in by_size[biggest].get(name, {})
    ]
    if not known:
        return None
    value, name = max(known)
    return value, f"{name}, {int(smallest):,} to {int(biggest):,}"


def memory(sections: Mapping[str, Any]) -> Number | None:
    """Read the memory of an entry against a plain hash."""
    used = sections.get("memory", {})
    if "multihost" not in used:
        return None
    return used["multihost"] / used["plain hash"], f"{used['multihost']:.0f} bytes"


def first_answer(sections: Mapping[str, Any]) -> Number | None:
    """Read the milliseconds from ``Manager()`` to its first answer."""
    cells = sections.get("start", {}).get("Manager() to first answer", {})
    return (cells["multihost"]["us"] / 1000, "ms") if "multihost" in cells else None


def lock_time(name: str) -> Read:
    """Read a time of the section on locks, divided by the standard library's."""

    def read(sections: Mapping[str, Any]) -> Number | None:
        rows = lock_rows(sections["locks"]) if "locks" in sections else {}
        value = ratio(rows.get(name, {}))
        return None if value is None else (value, "")

    return read


def lock_throughput(count: int) -> Read:
    """Read how many times the acquisitions per second of the standard library there are."""
    time = lock_time(f"Lock, {workers(str(count))}")

    def read(sections: Mapping[str, Any]) -> Number | None:
        slower = time(sections)
        return (1 / slower[0], "") if slower else None

    return read


def fairness(sections: Mapping[str, Any]) -> Number | None:
    """Read how often the least served of eight got the lock, against the most served."""
    shares = sections.get("locks", {}).get("fairness", {}).get("8", {})
    return (shares["multihost"], "") if "multihost" in shares else None


def reentry(sections: Mapping[str, Any]) -> Number | None:
    """Read the commands for acquire() and release() of an RLock that the thread has already."""
    counted = sections.get("locks", {}).get("commands", {})
    return (counted["multihost"], "") if "multihost" in counted else None


def held_lock(sections: Mapping[str, Any]) -> Number | None:
    """Read what each further lock costs that a process holds, in microseconds of CPU a second."""
    used = sections.get("locks", {}).get("held", {}).get("multihost", {})
    # That a process holds any has a price, once: its heartbeat.
    counts = sorted((count for count in used if int(count)), key=int)
    if len(counts) < 2:
        return None
    fewest, most = counts[0], counts[-1]
    percent = sum(used[most].values()) - sum(used[fewest].values())
    return percent * 1e4 / (int(most) - int(fewest)), "\N{MICRO SIGN}s"


def idle_waiters(sections: Mapping[str, Any]) -> Number | None:
    """Read the CPU time of those who wait, clients and server, in percent of a core."""
    used = sections.get("locks", {}).get("waiting", {})
    known = [
        (sum(cells["multihost"].values()), name)
        for name, cells in used.items()
        if "multihost" in cells
    ]
    return max(known, default=None)


def queue_call(sections: Mapping[str, Any]) -> Number | None:
    """Read the slowest of put() and get() of one item."""
    return worst(sections.get("queues", {}).get("calls", {}), QUEUES)


def queue_speed(name: str) -> Read:
    """Read how many times the items per second of the standard library a queue passes."""

    def read(sections: Mapping[str, Any]) -> Number | None:
        rows = queue_rows(sections["queues"]) if "queues" in sections else {}
        slower = ratio(rows.get(name, {}))
        return (1 / slower, "") if slower else None

    return read


def queue_growth(sections: Mapping[str, Any]) -> Number | None:
    """Read how much slower a call is on the longest queue than on the shortest."""
    return slower_by_size(sections.get("queues", {}).get("sizes", {}))


def queue_memory(sections: Mapping[str, Any]) -> Number | None:
    """Read the bytes that an item takes more than in a plain list."""
    used = sections.get("queues", {}).get("memory", {})
    if "multihost" not in used:
        return None
    return used["multihost"] - used["plain list"], f"of {used['multihost']:.0f} bytes"


def hosted_call(sections: Mapping[str, Any]) -> Number | None:
    """Read the slowest call to an object in a process."""
    return worst(sections.get("hosted", {}), HOSTED_CALLS)


def pool_time(name: str) -> Read:
    """Read a time of the section on pools, divided by the standard library's."""

    def read(sections: Mapping[str, Any]) -> Number | None:
        cells = sections.get("pools", {}).get(name, {})
        value = ratio(cells)
        return None if value is None else (value, f"{cells['multihost']['us']:.1f} \N{MICRO SIGN}s")

    return read


BOTH = ("pinned", "unpinned")

GOALS = (
    Goal("every single call", 1.0, ("pinned",), worst_single(SINGLES)),
    Goal("every read", 0.8, ("pinned",), worst_single(READS)),
    Goal("copy() of 100,000", 2.5, BOTH, worst_bulk(100_000, "dict copy")),
    Goal(
        "update() of 10,000",
        2.5,
        BOTH,
        worst_bulk(10_000, "dict update, new keys", "dict update, old keys"),
    ),
    Goal("copy(), one value", 2.5, BOTH, worst_bulk(100_000, "dict copy, one value")),
    Goal("update(), one value", 2.5, BOTH, worst_bulk(10_000, "dict update, one value")),
    # Eight processes on one core only measure the work per call again.
    Goal("8 processes, calls/s", 1.6, ("unpinned",), throughput, least=True),
    # Unpinned, the time to wake the other core hides what is asked for.
    Goal("latency by size", FLAT, ("pinned",), growth),
    Goal("memory of a dict entry", 1.7, ("unpinned",), memory),
    Goal("first answer, ms", 60.0, ("unpinned",), first_answer),
    Goal("a free lock", 0.9, BOTH, lock_time(LOCK)),
    Goal("RLock re-entry, commands", 0.0, BOTH, reentry),
    Goal("lock, 2 processes, 1/s", 1.0, BOTH, lock_throughput(2), least=True),
    Goal("lock, 8 processes, 1/s", 1.0, BOTH, lock_throughput(8), least=True),
    Goal("lock, fairness of 8", 0.8, BOTH, fairness, least=True),
    Goal("lock, wake-up p50", 0.5, BOTH, lock_time("Lock, wake-up p50")),
    Goal("lock, wake-up p99", 1.0, BOTH, lock_time("Lock, wake-up p99")),
    Goal("a held lock", NOTHING, BOTH, held_lock),
    Goal("100 waiters, % of a core", 1.0, BOTH, idle_waiters),
    Goal("queue, put and get", 1.0, ("pinned",), queue_call),
    Goal("queue, 100 at once, 1/s", 50.0, BOTH, queue_speed(QUEUE_BATCH), least=True),
    Goal(
        "queue, 4 + 4 processes, 1/s",
        1.5,
        BOTH,
        queue_speed(f"Queue, {both_ways('4')}"),
        least=True,
    ),
    Goal("queue, latency by size", FLAT, ("pinned",), queue_growth),
    Goal("queue, bytes of an item more", 64.0, BOTH, queue_memory),
    Goal("a hosted call", 2.5, BOTH, hosted_call),
    Goal("Pool.map of 10,000 in chunks", 1.5, BOTH, pool_time(POOL_MAP)),
)


def print_goals(document: Mapping[str, Any]) -> None:
    """Print each goal, the number of each mode, and whether the modes that count reached it."""
    modes = {
        mode: {**sections, "memory": document.get("memory", {}) if mode == "unpinned" else {}}
        for mode, sections in document["modes"].items()
    }
    lines = []
    for goal in GOALS:
        numbers = {mode: goal.read(sections) for mode, sections in modes.items()}
        lines.append(
            [
                goal.title,
                f"{'>=' if goal.least else '<='} {goal.limit:g}",
                *(describe(numbers.get(mode), mode in goal.modes) for mode in BOTH),
                verdict(goal, numbers),
            ]
        )
    print_table("Goals (a number in brackets does not count)", ["", "", *BOTH, ""], lines)


def describe(number: Number | None, counts: bool) -> str:
    """Write the number and where it comes from."""
    if number is None:
        return ""
    text = f"{number[0]:.2f} {number[1]}".rstrip()
    return text if counts else f"({text})"


def verdict(goal: Goal, numbers: Mapping[str, Number | None]) -> str:
    """Judge a goal by the modes that count for it."""
    counting = [numbers.get(mode) for mode in goal.modes]
    if None in counting:
        return "not measured"
    reached = all(goal.reached(number[0]) for number in counting if number)
    return "reached" if reached else "missed"
