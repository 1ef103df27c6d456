"""Explore, or run one schedule again: ``python -m tests.explore --help``."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.explore.explore import schedules_of
from tests.explore.known import KNOWN, reason_of
from tests.explore.laboratory import Laboratory
from tests.explore.scenarios import SCENARIOS
from tests.explore.schedules import FAULTS, Schedule

SLOW = {"half open", "cut off"}
"""Faults that take seconds; the sample has few of them."""

SHORT_LEASE = "suspended past its lease"
"""Not in the sample: where the lease of one is to run out, so may those of others, on a machine
that lets them stand still."""

_laboratory: Laboratory | None = None


class Unit(NamedTuple):
    """Some schedules of a scenario: one by its number, or all with a fault."""

    scenario: str
    fault: str
    number: int | None = None


class Result(NamedTuple):
    """What came of them."""

    unit: Unit
    schedules: int
    wrong: list[str]
    seconds: float

    def __str__(self) -> str:
        expected = " (known)" if self.wrong and reason_of(*self.unit[:2]) else ""
        return (
            f"{self.unit.scenario}, {self.unit.fault}: {self.schedules} schedules, "
            f"{len(self.wrong)} wrong{expected}, {self.seconds:.1f} s"
        )


def _open_laboratory() -> None:
    """One for each process, which ends with it."""
    global _laboratory
    _laboratory = Laboratory()


def explore(bound: int | None, unit: Unit) -> Result:
    """Run the schedules of a unit."""
    assert _laboratory is not None
    begun, count, wrong = time.monotonic(), 0, []
    carry = functools.partial(_laboratory.carry, SCENARIOS[unit.scenario])
    if unit.number is None:
        outcomes = schedules_of(carry, unit.fault, bound)
    else:
        outcomes = iter([carry(Schedule.numbered(unit.number))])
    for outcome in outcomes:
        count += 1
        if outcome.problem:
            wrong.append(f"{unit.scenario} {outcome.schedule}\n  {outcome.problem}")
    return Result(unit, count, wrong, time.monotonic() - begun)


def sample() -> Iterator[Unit]:
    """Yield a few schedules of each scenario, and the witness of each known failure."""
    faults = [fault for fault in FAULTS[1:] if fault != SHORT_LEASE]
    for place, scenario in enumerate(SCENARIOS):
        order = "AB" if len(SCENARIOS[scenario].clients) > 1 else ""
        yield Unit(scenario, "none", Schedule(order).number)
        for turn, fault in enumerate(faults):
            often = 20 if fault in SLOW else 6
            if (place + turn) % often == 0 and not reason_of(scenario, fault):
                point = (place + turn) // often % 3
                yield Unit(scenario, fault, Schedule("", fault, point).number)
    for row in KNOWN:
        if row.witness is not None:
            scenario, number = row.witness
            yield Unit(scenario, row.fault, number)


def run_units(units: list[Unit], options: argparse.Namespace) -> int:
    """Run them in several processes; return how many wrong schedules were not expected."""
    bound = None if options.bound < 0 else options.bound
    begun, schedules, wrong, known = time.monotonic(), 0, 0, 0
    failed: set[tuple[str, str]] = set()
    context = multiprocessing.get_context("fork")
    with context.Pool(options.jobs, _open_laboratory) as pool:
        for result in pool.imap_unordered(functools.partial(explore, bound), units):
            schedules += result.schedules
            if result.wrong and reason_of(*result.unit[:2]):
                known += len(result.wrong)
                failed.add(result.unit[:2])
            else:
                wrong += len(result.wrong)
            if not options.sample or (result.wrong and not reason_of(*result.unit[:2])):
                shown = options.show
                print(result, *result.wrong[:shown], sep="\n", flush=True)
        pool.close()
        pool.join()
    wrong += _check_known(units, failed)
    seconds = time.monotonic() - begun
    print(f"{schedules} schedules, {wrong} wrong, {known} known to be wrong, {seconds:.0f} s")
    return wrong


def _check_known(units: list[Unit], failed: set[tuple[str, str]]) -> int:
    """Return how many rows of the table of known failures did not fail, though they were run."""
    tried = {unit[:2] for unit in units}
    mended = [
        row
        for row in KNOWN
        if row.witness is not None
        and (row.witness[0], row.fault) in tried
        and (row.witness[0], row.fault) not in failed
    ]
    for row in mended:
        print(f"does not fail any more: remove its row from known.py: {row}")
    return len(mended)


def _replay(scenario: str, number: int) -> int:
    laboratory = Laboratory()
    outcome = laboratory.carry(SCENARIOS[scenario], Schedule.numbered(number))
    laboratory.close()
    print("\n".join([*outcome.trace, outcome.problem or "right"]))
    return 1 if outcome.problem else 0


def main() -> int:
    """Return 1 if something is wrong."""
    options = _options()
    if options.replay is not None:
        return _replay(options.scenario[0], options.replay)
    if options.sample:
        units = list(sample())
    else:
        wanted = options.scenario or [""]
        names = [name for name in SCENARIOS if any(part in name for part in wanted)]
        units = [Unit(name, fault) for name in names for fault in options.fault or FAULTS]
    return 1 if run_units(units, options) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.explore", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="only those whose names contain one of these")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one")
    parser.add_argument(
        "--bound", type=int, default=2, help="how often clients are made to wait; -1: no bound"
    )
    parser.add_argument("--sample", action="store_true", help="a few of each, as the tests do")
    parser.add_argument("--show", type=int, default=1, help="wrong schedules to be shown of each")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--replay", type=int, help="run this one schedule of a scenario again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
