"""Taking turns: many short rounds, the contenders of a row in a new random order each time."""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench.catalogue import BULK, LOCKS, SINGLES, SIZED, Row, mistaken

__all__ = ["Group", "Plan", "Samples", "rehearse", "take_turns"]

#: Untimed calls at the start of each block: they warm caches and connections up again.
WARM = 3


@dataclass(frozen=True)
class Plan:
    """How much to measure: at most ``rounds``, and after ``seconds`` no further one begins."""

    rounds: int
    calls: int
    seconds: float = float("inf")


@dataclass
class Samples:
    """Seconds per call, by row and contender; and what could not be measured, with the reason."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, row: str, contender: str, seconds: float) -> None:
        """Keep one block's result."""
        self.seconds.setdefault(row, {}).setdefault(contender, []).append(seconds)

    def leave_out(self, row: str, contender: str, reason: str) -> None:
        """Say why a contender is missing from a row."""
        self.left_out.setdefault(row, {})[contender] = reason
        print(f"  {contender}: {row} left out: {reason}", file=sys.stderr, flush=True)

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Reduce to median and quartiles in microseconds, the rows in the catalogue's order."""
        known = [
            row for row in dict.fromkeys((*SINGLES, *BULK, *SIZED, *LOCKS)) if row in self.seconds
        ]
        return {
            row: {who: quartiles(values) for who, values in self.seconds[row].items()}
            for row in dict.fromkeys((*known, *self.seconds))
        }


def quartiles(seconds: list[float]) -> dict[str, float]:
    """Give the median and the quartiles in microseconds, and the number of samples."""
    first, middle, third = (
        statistics.quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    numbers = {"us": middle, "q1": first, "q3": third}
    return {name: round(number * 1e6, 3) for name, number in numbers.items()} | {
        "samples": len(seconds)
    }


@dataclass(frozen=True)
class Group:
    """A row, and the contenders that take turns on it."""

    name: str
    turns: dict[str, Row]
    samples: Samples


def rehearse(rows: Mapping[str, Iterable[Row]], size: int, samples: Samples) -> list[Group]:
    """Run everything once, untimed; leave out, and say so, whatever fails or answers wrongly."""
    table: dict[str, dict[str, Row]] = {}
    for contender, offered in rows.items():
        for row in offered:
            try:
                row.before(1)
                result = row.call(0)
                row.after(1)
            except Exception as error:
                samples.leave_out(row.name, contender, f"{type(error).__name__}: {error}")
            else:
                if mistaken(row.name, result, size):
                    samples.leave_out(row.name, contender, f"wrong answer: {result!r:.80}")
                else:
                    table.setdefault(row.name, {})[contender] = row
    return [Group(name, turns, samples) for name, turns in table.items()]


def take_turns(groups: list[Group], plan: Plan, *, whole: bool = False) -> None:
    """Measure, round by round, until the plan is fulfilled.

    With ``whole``, each call is prepared and timed alone, and its result is freed untimed: for
    calls so long that the clock's own cost does not count.
    """
    clock = block_of_wholes if whole else block
    end = time.perf_counter() + plan.seconds
    for _ in range(plan.rounds):
        for group in random.sample(groups, len(groups)):
            for contender in random.sample(list(group.turns), len(group.turns)):
                seconds = clock(group.turns[contender], plan.calls)
                group.samples.add(group.name, contender, seconds)
        gc.collect()
        if time.perf_counter() > end:
            break


def block(row: Row, calls: int) -> float:
    """Time ``calls`` calls in one go; seconds per call."""
    call, total = row.call, calls + WARM
    row.before(total)
    for index in range(WARM):
        call(index)
    gc.disable()
    start = time.perf_counter()
    for index in range(WARM, total):
        call(index)
    elapsed = time.perf_counter() - start
    gc.enable()
    row.after(total)
    return elapsed / calls


def block_of_wholes(row: Row, calls: int) -> float:
    """Time ``calls`` calls one by one; seconds per call."""
    elapsed = 0.0
    for index in range(calls):
        row.before(1)
        gc.disable()
        start = time.perf_counter()
        result = row.call(index)
        elapsed += time.perf_counter() - start
        gc.enable()
        # A copy of 10^5 entries takes milliseconds to free: not part of the call.
        del result
        row.after(1)
    return elapsed / calls
