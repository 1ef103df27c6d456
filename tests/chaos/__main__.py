"""Random histories: ``python -m tests.chaos --seconds 600 --seed 1``.

Processes use objects of all kinds; they are killed and suspended, their connections break, the
server restarts or goes back; the histories of all are judged. Prints what there was in each round
and in all, and each violation. A round is repeated, as far as processes can be, by its seed.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.campaign import MOVING, WAYS, Figures, Round, ways_of

MOST = 20  # violations that are printed of a round


def main() -> int:
    """Return 1 if anything is wrong."""
    options = _options()
    ways = ways_of(options.way)
    gc.freeze()  # forked processes need not look at what this one has
    total, begun, number = Figures(), time.monotonic(), options.first
    while (left := options.seconds - (time.monotonic() - begun)) > 0 or number == options.first:
        way = ways[number % len(ways)]
        seed = f"{options.seed}.{number}"
        directory = Path(tempfile.mkdtemp(prefix="multihost-chaos-"))
        seconds = min(options.round, max(left, 1.0))
        figures = Round(way, seed, directory, options.kinds, options.scale).run(seconds)
        print(f"{seed} ({way.name}): {figures}", flush=True)
        for problem in figures.wrong[:MOST]:
            first, *rest = problem.strip().splitlines()
            print("   ", first, *rest[-1:], flush=True)
        if figures.wrong:
            print(f"    journals: {directory}", flush=True)
        else:
            shutil.rmtree(directory)
        total.add(figures)
        number += 1
    print(f"all, {time.monotonic() - begun:.0f} s: {total}")
    return 1 if total.wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="in which rounds are begun")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--round", type=float, default=30.0, help="seconds of each round")
    parser.add_argument("--scale", type=float, default=1.0, help="how often all goes wrong")
    parser.add_argument("--kinds", type=int, default=5, help="kinds of objects in a round")
    names = ", ".join(sorted({way.name for way in (*WAYS, *MOVING)}))
    parser.add_argument("--way", default="", help=f"only rounds of these: {names}; or: moving")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
