"""Workers that die in the middle of a task, or end themselves."""

from __future__ import annotations

import multiprocessing
import random
import signal

import pytest

from multihost import WorkerLost
from tests.pool import work
from tests.support.procs import kill9, send_signal
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")


def test_killed_worker_loses_its_task_only(manager):
    with manager.Pool(2, context=FORK) as pool:
        lost = pool.apply_async(work.die)
        assert pool.map(work.double, range(20), 1) == list(range(0, 40, 2))
        with pytest.raises(WorkerLost, match="begun once"):
            lost.get(PATIENCE)
        assert len(set(pool.map(work.pid, range(50), 1))) <= 2


def test_attempts_rerun_the_task_of_a_killed_worker(manager):
    marks = manager.dict()
    with manager.Pool(1, context=FORK, attempts=2) as pool:
        assert pool.apply_async(work.die_once, (marks, 5)).get(PATIENCE) == 5
        assert marks.copy() == {5: 2}
        with pytest.raises(WorkerLost, match="begun 2 times"):
            pool.apply_async(work.die).get(PATIENCE)


def test_client_detects_the_death_of_the_last_worker(manager):
    began, go_on = manager.Queue(), manager.Event()
    with (
        manager.Pool(1, name="lonely", context=FORK) as others,
        manager.Pool(0, name="lonely") as p,
    ):
        lost = p.apply_async(work.say_and_wait, (began, go_on))
        worker = began.get(timeout=PATIENCE)
        others._supervisor.size = 0  # nobody replaces it
        kill9(worker)
        with pytest.raises(WorkerLost):
            lost.get(PATIENCE)
        wait_until(lambda: not p.statistics().workers)
        assert p.statistics().waiting == 0
    manager.delete("lonely")


def test_failing_initializer_fails_the_pool(manager, capfd):
    with manager.Pool(1, work.refuse, context=FORK) as pool:
        with pytest.raises(WorkerLost, match="initializer"):
            pool.apply_async(work.double, (1,)).get(PATIENCE)
        with pytest.raises(WorkerLost, match="initializer"):
            pool.apply(work.double, (1,))
    assert "no worker today" in capfd.readouterr().err


def kill_one(pool):
    """Kill a worker; return whether there was one."""
    process = random.choice([*pool._pool, None])
    return process is not None and send_signal(process, signal.SIGKILL)


EVERY = 250  # results after which a worker is killed


def test_killed_workers_give_each_result_once_or_lose_it(manager):
    kills, found = 0, []
    with manager.Pool(3, context=FORK) as pool:
        results = pool.imap(work.double, range(10_000))
        while True:
            try:
                found.append(next(results))
            except StopIteration:
                break
            except WorkerLost:
                found.append(None)
            if len(found) % EVERY == 0:
                kills += kill_one(pool)
    assert len(found) == 10_000
    assert all(value in (None, 2 * index) for index, value in enumerate(found))
    assert kills >= 5
    assert found.count(None) <= kills


def test_attempts_give_all_results_while_workers_are_killed(manager):
    kills, found = 0, []
    with manager.Pool(3, context=FORK, attempts=50) as pool:
        for result in pool.imap(work.double, range(10_000), 2):
            found.append(result)
            if len(found) % EVERY == 0:
                kills += kill_one(pool)
    assert found == list(range(0, 20_000, 2))
    assert kills >= 5
