"""Print the functions on the way of a warm call: ``python -m bench.call_path``.

Each line is a function of the package, indented by its depth; what it calls follows. Only the
calling thread is shown. Of a hosted call that is the client's side: the host is another process.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import multihost
from bench.hot_calls import HotCall, hot_calls

__all__ = ["CALLS", "Step", "path", "trail"]

#: The calls of `bench.hot_calls` that the design page shows.
CALLS = ("d[k] = v", "q.put(x)", "q.get()", "Lock.acquire + release", "hosted.method(x)")

PACKAGE = Path(multihost.__file__).parent
WARM_UP, REPEATS = 20, 15


class Step(NamedTuple):
    """A call of a function of the package, and how many of those are around it."""

    depth: int
    name: str


def path(call: Callable[[], object]) -> list[Step]:
    """Return the functions of the package that a call executes, in order."""
    steps: list[Step] = []
    open_frames: list[bool] = []  # for each Python frame within the call: is it the package's?

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            file = Path(frame.f_code.co_filename)
            ours = file.is_relative_to(PACKAGE)
            if ours:
                module = file.relative_to(PACKAGE).with_suffix("").as_posix()
                steps.append(Step(sum(open_frames), f"{module}.{frame.f_code.co_qualname}"))
            open_frames.append(ours)
        elif event == "return" and open_frames:
            open_frames.pop()

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return steps


def trail(hot: HotCall) -> list[Step]:
    """Return the shortest path of a warm call: now and then one does deferred work, too."""

    def once() -> list[Step]:
        hot.before()
        steps = path(hot.call)
        hot.after()
        return steps

    for _ in range(WARM_UP):
        once()
    return min((once() for _ in range(REPEATS)), key=len)


def main() -> None:
    """Print the paths of some calls, or of those that are named."""
    parser = argparse.ArgumentParser(description="Print the functions on the way of a warm call.")
    parser.add_argument("names", nargs="*", default=CALLS, metavar="CALL", help="as in hot_calls")
    names = parser.parse_args().names
    gc.disable()  # finalizers are Python, too
    with hot_calls() as calls:
        by_name = {hot.name: hot for hot in calls}
        if unknown := [name for name in names if name not in by_name]:
            parser.error(f"no call {unknown[0]!r}; there are {', '.join(by_name)}")
        for name in names:
            steps = trail(by_name[name])
            print(f"{name}: {len(steps)} calls")
            for step in steps:
                print("  " * (step.depth + 1) + step.name)


if __name__ == "__main__":
    main()
