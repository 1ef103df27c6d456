"""Pools at a server that goes back: it was restarted from what it had saved a moment before."""

from __future__ import annotations

import multiprocessing

import pytest

from multihost import RedisManager, WorkerLost
from tests.pool import work
from tests.pool.test_workers import SERVE, wait_for
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")

pytestmark = pytest.mark.leaks_ok("the server was killed with its connections")


@pytest.fixture
def server(going_back):
    return going_back


@pytest.fixture
def manager(server):
    with RedisManager(server.url, timeout=PATIENCE) as manager:
        yield manager


def begun(pool, manager):
    """A task that waits for an event, which another server has: this one forgets nothing of it."""
    began, go_on = manager.Queue("began"), manager.Event("go on")
    result = pool.apply_async(work.say_and_wait, (began, go_on, "x"))
    began.get(timeout=PATIENCE)
    return result, go_on


@pytest.fixture
def elsewhere(start_server):
    with RedisManager(start_server().url) as manager:
        yield manager


def test_a_task_that_was_forgotten_is_lost(server, manager, elsewhere):
    """Its client is told; what the server knows goes on."""
    with manager.Pool(1, context=FORK) as pool:
        runs, go_on = begun(pool, elsewhere)
        waits = pool.apply_async(work.double, (1,))
        wait_until(lambda: pool.statistics().waiting == 1, PATIENCE)
        server.command("SAVE")
        forgotten = [pool.apply_async(work.double, (n,)) for n in (2, 3)]
        wait_until(lambda: pool.statistics().waiting == 3, PATIENCE)
        server.go_back()
        for result in forgotten:
            with pytest.raises(WorkerLost, match="went back"):
                result.get(PATIENCE)
        go_on.set()
        assert runs.get(PATIENCE) == "x"
        assert waits.get(PATIENCE) == 2
        assert pool.map(work.double, range(10), 1) == list(range(0, 20, 2))


def test_a_result_that_was_forgotten(server, manager, elsewhere, monkeypatch):
    """Neither the server has it, nor the client: the task runs again."""
    with manager.Pool(1, context=FORK) as pool:
        runs, go_on = begun(pool, elsewhere)
        server.command("SAVE")
        client = pool._client
        dropped, unpacked = [], client._unpacked

        def drop(items, mine):
            dropped.extend(items)
            return []

        monkeypatch.setattr(client, "_unpacked", drop)
        go_on.set()
        wait_until(lambda: dropped, PATIENCE)
        monkeypatch.setattr(client, "_unpacked", unpacked)
        server.go_back()
        assert runs.get(PATIENCE) == "x"
        assert pool.apply_async(work.double, (1,)).get(PATIENCE) == 2


def test_a_result_that_the_client_has(server, manager, elsewhere):
    """It comes once, whatever becomes of the task, and the pool goes on."""
    results = []
    with manager.Pool(1, context=FORK) as pool:
        began, go_on = elsewhere.Queue("began"), elsewhere.Event("go on")
        args = began, go_on, "x"
        runs = pool.apply_async(work.say_and_wait, args, callback=results.append)
        began.get(timeout=PATIENCE)
        server.command("SAVE")
        go_on.set()
        assert runs.get(PATIENCE) == "x"
        server.go_back()
        assert pool.map(work.double, range(10), 1) == list(range(0, 20, 2))
        assert results == ["x"]


def test_a_task_that_is_done_is_taken_back(server, manager):
    """The server has it again, and no worker has taken it: it does not run again."""
    with manager.Pool(0, name="ours", context=FORK) as pool:
        done, waits = (pool.apply_async(work.double, (n,)) for n in (1, 2))
        wait_until(lambda: pool.statistics().waiting == 2, PATIENCE)
        server.command("SAVE")
        client = pool._client
        client._finish(client.outbox.oldest, (True, 2))
        assert done.get(PATIENCE) == 2
        server.go_back()
        wait_until(lambda: pool.statistics().waiting == 1, PATIENCE)
        assert not waits.ready()
        pool.terminate()


def test_workers_of_another_process_go_on(server, manager):
    with (
        manager.Pool(0, name="ours") as pool,
        spawn_script(SERVE, args=[server.tcp_url]) as workers,
    ):
        wait_for(workers, "started", "started")
        assert pool.map(work.double, range(10), 1) == list(range(0, 20, 2))
        server.command("SAVE")
        assert pool.map(work.double, range(10), 1) == list(range(0, 20, 2))
        server.go_back()
        assert pool.map_async(work.double, range(10), 1).get(PATIENCE) == list(range(0, 20, 2))
