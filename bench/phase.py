"""One run of the sections in an interpreter of its own, pinned to one core or not.

``python -m bench`` starts this module once for each mode and reads its JSON. An own interpreter,
because a child inherits the core, and because the second mode then begins as small as the first.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from bench.contenders import enter_all
from bench.hosted import hosted
from bench.locks import locks
from bench.measure import Samples
from bench.pools import pools
from bench.processes import processes
from bench.queues import queues
from bench.sections import Effort, bulk, memory, singles, sizes, start
from bench.server import die_with_parent
from bench.signed import signed

__all__ = ["measure"]

BEGIN = time.perf_counter()


def measure(sections: list[str], effort: Effort) -> dict[str, Any]:
    """Measure the sections that want contenders first, then those that start their own."""
    result: dict[str, Any] = {}
    left_out: dict[str, Any] = {}

    def keep(section: str, samples: Samples | dict[int, Samples]) -> None:
        if isinstance(samples, Samples):
            result[section] = samples.summary()
            missing = samples.left_out
        else:
            result[section] = {str(size): one.summary() for size, one in samples.items()}
            missing = {row: who for one in samples.values() for row, who in one.left_out.items()}
        if missing:
            left_out[section] = missing

    if {"singles", "bulk", "sizes", "processes"} & set(sections):
        measure_together(sections, effort, keep)
    own: dict[str, Callable[[], tuple[dict[str, Any], Any]]] = {
        "locks": lambda: locks(effort.locks),
        "queues": lambda: queues(effort.queues),
        "pools": lambda: pools(effort.pools),
        "signed": lambda: signed(effort.signed),
    }
    for section, measured in own.items():
        if say(sections, section):
            result[section], missing = measured()
            if missing:
                left_out[section] = missing
    if say(sections, "hosted"):
        keep("hosted", hosted(effort.hosted))
    if say(sections, "start"):
        keep("start", start(effort))
    if say(sections, "memory"):
        result["memory"] = memory()
    if left_out:
        result["left out"] = left_out
    return result


def measure_together(
    sections: list[str],
    effort: Effort,
    keep: Callable[[str, Samples | dict[int, Samples]], None],
) -> None:
    """Measure the sections that share their contenders."""
    with enter_all(tcp=effort.tcp) as contenders:
        # What exists by now stays: no use in letting every collection walk over it.
        gc.collect()
        gc.freeze()
        if say(sections, "processes"):
            keep("processes", processes(contenders, effort.processes, effort.mixed))
        if say(sections, "singles"):
            keep("singles", singles(contenders, effort))
        if say(sections, "bulk"):
            keep("bulk", bulk(contenders, effort))
        if say(sections, "sizes"):
            keep("sizes", sizes(contenders, effort))


def say(sections: list[str], section: str) -> bool:
    """Tell the reader what takes time now."""
    if section in sections:
        print(f"  {time.perf_counter() - BEGIN:5.0f} s  {section}", file=sys.stderr, flush=True)
    return section in sections


def main() -> None:
    """Read the order from the command line, write the result as the last line of output."""
    # Ended from outside, everything that was started here still has to be ended here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    die_with_parent(signal.SIGTERM)
    # Workers are forked beside the threads of the contenders, on purpose.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    order = json.loads(sys.argv[1])
    if order["pinned"]:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    effort = Effort.quick() if order["quick"] else Effort.full()
    if order["rounds"]:
        effort = effort.with_rounds(order["rounds"])
    print(json.dumps(measure(order["sections"], effort)))


if __name__ == "__main__":
    main()
