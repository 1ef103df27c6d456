"""Tasks that wait for tasks of their own pool."""

from __future__ import annotations

import pytest

from tests.pool import work
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE

PROGRAM = """
import logging, multiprocessing, sys, time
from multihost import RedisManager
from multihost.pooling import notices
from tests.pool import test_nesting, work

notices.FIRST_LOOK = 0.05
logging.basicConfig(format="%(message)s", stream=sys.stdout)
manager = RedisManager(sys.argv[1])
pool = manager.Pool(int(sys.argv[3]), name=sys.argv[2] or None,
                    context=multiprocessing.get_context("fork"))
while len(pool.statistics().workers) < int(sys.argv[3]):
    time.sleep(0.01)  # until all are there
result = pool.apply_async(test_nesting.outer, (pool,))
if sys.argv[3] == "2":
    print(result.get(60), flush=True)
input()
pool.terminate()
pool.join()
"""


def outer(pool):
    return pool.apply(work.double, (2,))


@pytest.mark.parametrize("name", ["shared", ""])
def test_a_task_that_waits_for_its_own_pool_says_so(url, manager, name):
    with spawn_script(PROGRAM, args=[url, name, "1"]) as program:
        said = program.line(PATIENCE)
        program.tell("end")
        assert program.finish() == ""
    assert "the task tests.pool.test_nesting.outer has sent tasks to the pool that runs it" in said
    assert name in said
    if name:
        manager.delete(name)


def test_a_task_for_whose_tasks_a_worker_is_free_says_nothing(url):
    with spawn_script(PROGRAM, args=[url, "", "2"]) as program:
        assert program.line(PATIENCE) == "4"
        program.tell("end")
        assert program.finish() == ""
