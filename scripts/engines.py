"""Run tests over each server program that is here: ``python scripts/engines.py [for pytest...]``.

The programs are those that wheels brought to build/engines (``make test-engines`` installs them)
and those on PATH; of two of the same version one is taken. Prints a table, and the end of what
pytest said where a test failed; returns 1 then.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "build" / "engines"
PROGRAMS = ("valkey-server", "redis-server")
TESTS = [
    "tests/cluster",
    "tests/faults/test_exactly_once_lock.py",
    "tests/manager/test_lacking.py",
    "tests/manager/test_sentinel.py",
    "tests/queues/test_api.py",
    "tests/scripts/test_calls.py",
    "tests/scripts/test_moving_slots.py",
    "tests/synchronisation/test_api.py",
    "tests/tour",
]
"""Of each kind of thing that servers do differently."""


class Outcome(NamedTuple):
    """What the tests said of one engine."""

    engine: str
    counts: str
    seconds: float
    failed: str
    """The end of the output; empty if all passed."""


def programs() -> dict[str, str]:
    """Return the path of a program of each version."""
    found: dict[str, str] = {}
    for path in (*_of_wheels(), *_on_path()):
        if path.startswith(str(WHEELS)):
            os.chmod(path, 0o755)  # noqa: S103 - a wheel may not say that it is a program
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if match := re.match(r"(\w+) server v=(\S+)", said.stdout):
            found.setdefault(f"{match[1]} {match[2]}", path)
    return dict(sorted(found.items()))


def _of_wheels() -> Iterator[str]:
    for name in PROGRAMS:
        yield from sorted(map(str, WHEELS.rglob(name)))


def _on_path() -> Iterator[str]:
    for name in PROGRAMS:
        for folder in os.get_exec_path():
            path = Path(folder) / name
            if path.is_file() and os.access(path, os.X_OK):
                yield str(path.resolve())


def run(engine: str, program: str, arguments: list[str]) -> Outcome:
    """Run the tests on one of them."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=ROOT,
        env={**os.environ, "MULTIHOST_SERVER": program},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip() or "no output"]
    counts = re.sub(r" in [\d.]+s.*", "", lines[-1])
    tail = "\n".join(lines[-40:]) if done.returncode else ""
    return Outcome(engine, counts, time.monotonic() - begun, tail)


def main(arguments: list[str]) -> int:
    """Run them on all, one after the other."""
    found = programs()
    if not any(argument.startswith("tests") for argument in arguments):
        arguments = [*arguments, *TESTS]
    outcomes = []
    for engine, program in found.items():
        print(f"--- {engine}: {program}", flush=True)
        outcomes.append(run(engine, program, arguments))
        print(outcomes[-1].failed or outcomes[-1].counts, flush=True)
    width = max(map(len, found), default=0)
    print()
    for each in outcomes:
        print(f"{each.engine:{width}}  {each.seconds:6.0f} s  {each.counts}")
    return 1 if not outcomes or any(each.failed for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
