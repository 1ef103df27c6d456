"""A sample of what ``make explore`` runs, and that the explorer itself can be relied on."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.explore.schedules import ACTORS, FAULTS, Schedule

# Ids of sessions, holds and connections, which differ, and tokens, which are times.
IDS = re.compile(
    r"[\w-]{16}~\d+(?:\.\d\.MainThread[\d.]*)?|\b[0-9a-f]{40}\b|[0-9a-f]{18}\.\d+|\b\d{9,}\b"
)


def _run(*args: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: it forks clients, which must have no threads.
    return subprocess.run(
        [sys.executable, "-m", "tests.explore", *args], capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(600)
def test_a_few_schedules_of_each_scenario_are_right():
    done = _run("--sample", "--jobs", "4")
    last = re.search(r"^(\d+) schedules, (\d+) wrong", done.stdout, re.MULTILINE)
    assert last, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
    assert int(last[1]) > 100


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["cut after", "gone back"])
def test_a_number_means_the_same_run(fault):
    number = Schedule("ABBA", fault, 2).number
    traces = [_run("lock hold+hold", "--replay", f"{number}").stdout for _ in range(2)]
    first, second = (IDS.sub("...", trace).splitlines() for trace in traces)
    assert first == second
    served = [line.split()[1][0] for line in first if re.match(r" +\d+ [AB]:", line)]
    assert served[:4] == list("ABBA")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "number"),
    [
        # A putter that was told that there is no room lost its connection: it claims room without
        # having joined those who wait, and nobody ever had.
        ("queue bounded put+get", Schedule("", "cut off", 1).number),
    ],
)
def test_what_was_wrong_once(scenario, number):
    done = _run(scenario, "--replay", f"{number}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("order", ["", "A", "ABABBB", ACTORS])
def test_a_schedule_is_found_by_its_number(order, fault):
    schedule = Schedule(order, fault, len(order))
    assert Schedule.numbered(schedule.number) == schedule
