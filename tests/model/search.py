"""Runs a model on one configuration."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.model.build import program
from tests.model.configurations import SMALLEST

__all__ = ["Found", "run", "search"]

LAST = re.compile(r"^(\d+) \w+, .*, ([\d.]+) s( \(limit\))?: (.*)$")
WAY = re.compile(r"^.*, after (\d+) steps$")


class Found(NamedTuple):
    """``wrong`` is "right" if every state is; ``way`` leads to the first that is not."""

    states: int
    seconds: float
    is_cut_short: bool
    wrong: str
    steps: int
    way: str


def search(settings: str, leave_out: str = "", limit: int = 20_000_000) -> Found:
    """Explore a configuration of what is held breadth first, perhaps with rules left out."""
    # Of two settings of one thing the second counts.
    made = program(Path(__file__).parent, "holds")
    return run(made, f"{SMALLEST} limit={limit} {settings}", leave_out)


def run(made: Path, settings: str, leave_out: str) -> Found:
    """Return what a program that ``build`` made finds with these settings."""
    arguments = settings.split()
    if leave_out:
        arguments.append(f"leave_out={leave_out}")
    done = subprocess.run([made, *arguments], capture_output=True, text=True, check=False)
    *way, line = done.stdout.splitlines() or [""]
    last = LAST.match(line)
    if last is None:
        raise RuntimeError(f"the model ended with {done.returncode}: {done.stderr}{done.stdout}")
    steps = WAY.match(way[0]) if way else None
    return Found(
        states=int(last[1]),
        seconds=float(last[2]),
        is_cut_short=last[3] is not None,
        wrong=last[4],
        steps=int(steps[1]) if steps else 0,
        way="\n".join(way),
    )
