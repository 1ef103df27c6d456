"""A program under the strictest options of Python: -bb, -X dev, -W error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.procs import ROOT

PROGRAM = """
import multiprocessing, sys
from multihost import Manager, Pool, RedisManager

def count(d, lock, queue, barrier, event):
    barrier.wait()
    for _ in range(50):
        with lock:
            d["n"] = d["n"] + 1
    queue.put(d["n"])
    event.wait()

def square(x): return x * x

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with (RedisManager(sys.argv[2]) if sys.argv[2] else Manager()) as m:
        d, queue, event = m.dict(n=0), m.Queue(), m.Event()
        args = d, m.Lock(), queue, m.Barrier(3), event
        children = [multiprocessing.Process(target=count, args=args) for _ in range(3)]
        for each in children: each.start()
        assert max(queue.get() for _ in children) == d["n"] == 150
        event.set()
        for each in children: each.join()
        assert [each.exitcode for each in children] == [0, 0, 0]
        priority, semaphore = m.PriorityQueue(), m.BoundedSemaphore(1)
        priority.put((2, "b")); priority.put((1, "a"))
        assert priority.get() == (1, "a")
        with semaphore: assert not semaphore.acquire(timeout=0.01)
        with m.Pool(2) as pool: assert pool.map(square, range(9)) == [x * x for x in range(9)]
    print("done")
"""


@pytest.mark.parametrize(("method", "where"), [("fork", "shared"), ("spawn", "private")])
def test_strict_options(method: str, where: str, url: str, tmp_path: object) -> None:
    program = f"{tmp_path}/program.py"  # spawned children import it
    with open(program, "w") as file:
        file.write(PROGRAM)
    options = ["-bb", "-X", "dev", "-W", "error"]
    if sys.version_info >= (3, 12):  # a pool has threads, and so has that of the standard library
        options += ["-W", "ignore:This process:DeprecationWarning"]
    ended = subprocess.run(
        [sys.executable, *options, program, method, url if where == "shared" else ""],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (ended.stdout, ended.stderr) == ("done\n", "")
