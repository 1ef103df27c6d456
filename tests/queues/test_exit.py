"""What a process has under way with a queue when it ends, in each way in which it can."""

from __future__ import annotations

import signal

import pytest

from multihost import RedisManager
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE

PROGRAM = """
import os, signal, sys
from multihost import RedisManager

way, url = sys.argv[1:]
manager = RedisManager(url, lease=600)
items, jobs = manager.Queue("items"), manager.Queue("jobs", redeliver=True)
if way == "forked child" and os.fork():
    os.wait()
    sys.exit()
items.prefetch = 2
assert items.get() == 0 and jobs.get() == "job"
items.put("put")
match way:
    case "sys.exit":
        sys.exit(7)
    case "exception":
        raise ZeroDivisionError
    case "Ctrl-C":
        signal.raise_signal(signal.SIGINT)
    case "os._exit":
        os._exit(3)
"""
STATUS = {
    "end": 0,
    "forked child": 0,
    "sys.exit": 7,
    "exception": 1,
    "Ctrl-C": -signal.SIGINT,
    "os._exit": 3,
}


@pytest.mark.parametrize("way", STATUS)
def test_what_a_program_has_under_way_when_it_ends(url, way):
    with RedisManager(url, lease=600) as manager:
        items, jobs = manager.Queue("items"), manager.Queue("jobs", redeliver=True)
        items.put_many(range(4))
        jobs.put("job")
        with spawn_script(PROGRAM, args=[way, url]) as program:
            program.finish(status=STATUS[way])
        if way == "os._exit":  # nobody was told: others find out, soon
            found = set()
            while not found >= {1, 2, 3, "put"}:
                found.add(items.get(timeout=PATIENCE))
            # The item that get() returned comes back unless it was acknowledged in time.
            assert found <= {0, 1, 2, 3, "put"}
            assert jobs.get(timeout=PATIENCE) == "job"
        else:
            assert items.get_many(10) == [1, 2, 3, "put"]
            assert jobs.get_nowait() == "job"
        assert jobs.deliveries == 2
        jobs.task_done()
        manager.delete("items")
        manager.delete("jobs")
