"""Count the bytecodes that hot calls execute: ``python -m bench.opcodes``.

A count needs no quiet machine, as a time does: it is the same whatever else goes on. It is that of
the calling thread; what the server does, and other threads and processes, is not in it.

``bench/opcodes.json`` has the counts of each minor version of Python. ``--check`` compares with
those, and ends with status 1 if a call executes over 2 % more; ``--update`` writes those of this
Python. An update is a decision: the commit says why the calls became longer.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.hot_calls import HotCall, hot_calls
from bench.tracer import Count, trace

__all__ = ["ROOM", "TABLE", "Comparison", "compare", "count", "measure"]

TABLE = Path(__file__).with_suffix(".json")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

#: How much more than in the table is still within it.
ROOM = 0.02

WARM_UP, REPEATS = 20, 15


def count(hot: HotCall) -> Count:
    """Count the steady state: the lower quartile of some executions, after some that warm up.

    Nearly all are the same. Now and then one does more: an answer comes late, another thread has a
    lock, or it is time to tell the server something; on a busy machine that is up to half of them.
    And a few do less: what a ``get()`` acknowledges along with its request the background thread
    has acknowledged before it.
    """
    for _ in range(WARM_UP):
        hot.before()
        hot.call()
        hot.after()
    return sorted(once(hot) for _ in range(REPEATS))[REPEATS // 4]


def once(hot: HotCall) -> Count:
    """Count one execution."""
    hot.before()
    counted = trace(hot.call)
    hot.after()
    return counted


def measure() -> dict[str, Count]:
    """Count every hot call."""
    enabled = gc.isenabled()
    gc.disable()  # finalizers are Python, too
    try:
        with hot_calls() as calls:
            return {hot.name: count(hot) for hot in calls}
    finally:
        if enabled:
            gc.enable()


class Comparison(NamedTuple):
    """What a check says: what is over the table, or not in it; and what is below it."""

    over: list[str]
    below: list[str]


def compare(found: Mapping[str, Count], table: Mapping[str, Count]) -> Comparison:
    """Compare counts with those of the table, line by line."""
    over = [f"{name}: not in the table" for name in found if name not in table]
    over += [f"{name}: in the table, but not counted" for name in table if name not in found]
    below = []
    for name in (name for name in found if name in table):
        now, then = found[name], table[name]
        line = (
            f"{name}: {now.bytecodes} bytecodes in {now.functions} functions, the table has "
            f"{then.bytecodes} in {then.functions} ({now.bytecodes / then.bytecodes - 1:+.1%})"
        )
        if now.bytecodes > then.bytecodes * (1 + ROOM):
            over.append(line)
        elif now.bytecodes < then.bytecodes * (1 - ROOM):
            below.append(line)
    return Comparison(over, below)


def read(path: Path) -> dict[str, dict[str, Count]]:
    """Read the tables, by version of Python."""
    if not path.exists():
        return {}
    return {
        version: {name: Count(**row) for name, row in table.items()}
        for version, table in json.loads(path.read_text("utf-8")).items()
    }


def write(path: Path, tables: Mapping[str, Mapping[str, Count]]) -> None:
    """Write the tables, one call a line."""
    path.write_text("{\n" + ",\n".join(lines_of(tables)) + "\n}\n", "utf-8")


def lines_of(tables: Mapping[str, Mapping[str, Count]]) -> Iterator[str]:
    """Return the table of each version as JSON."""
    for version, table in sorted(tables.items(), key=lambda item: int(item[0].split(".")[1])):
        rows = [f"  {json.dumps(name)}: {json.dumps(row._asdict())}" for name, row in table.items()]
        yield f" {json.dumps(version)}: {{\n" + ",\n".join(rows) + "\n }"


def check(path: Path) -> int:
    """Say what differs from the table; the status is 1 if a call executes too much."""
    table = read(path).get(VERSION)
    if table is None:
        print(f"{path.name} has no table for Python {VERSION}: nothing to compare")
        return 0
    over, below = compare(measure(), table)
    update = "run: python -m bench.opcodes --update"
    if below:
        print("hot calls below the table, which may be lowered;", update, *below, sep="\n  ")
    if over:
        print(
            f"hot calls beyond the table and its {ROOM:.0%}; if that is meant,",
            update,
            *over,
            sep="\n  ",
            file=sys.stderr,
        )
    return 1 if over else 0


def show(counts: Mapping[str, Count]) -> None:
    """Print the counts."""
    for name, row in counts.items():
        print(f"{name:32}{row.bytecodes:7}{row.functions:5}")


def main(arguments: list[str] | None = None, path: Path = TABLE) -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.opcodes", description="Count the bytecodes that hot calls execute."
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="compare with the table")
    which.add_argument("--update", action="store_true", help="write the table of this Python")
    options = parser.parse_args(arguments)
    if options.check:
        return check(path)
    counts = measure()
    show(counts)
    if options.update:
        write(path, read(path) | {VERSION: counts})
    return 0


if __name__ == "__main__":
    sys.exit(main())
