"""The server of a pool comes back, with its data and without."""

from __future__ import annotations

import multiprocessing

import pytest

from multihost import ObjectGone, RedisManager
from tests.pool import work
from tests.pool.test_workers import SERVE, wait_for
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")


def test_server_restarts_with_its_data(start_server):
    server = start_server(appendonly="yes", appendfsync="always", tcp=True)
    with (
        RedisManager(server.url) as manager,
        manager.Pool(1, name="ours", context=FORK) as pool,
        spawn_script(SERVE, args=[server.tcp_url]) as outside,
    ):
        others = set(wait_for(outside, "started", "started"))
        marks = manager.dict("marks")
        asked = pool.map_async(work.mark, [(marks, x) for x in range(400)], 1)
        wait_until(lambda: len(marks) > 50)
        server.restart(empty=False)
        assert asked.get(PATIENCE) == list(range(400))
        assert set(marks.values()) == {1}
        wait_until(lambda: others < {worker.pid for worker in pool.statistics().workers})
        wait_until(lambda: others < set(pool.map(work.pid, range(50), 1)))


def test_server_restarts_without_its_data(start_server):
    server = start_server(tcp=True)
    with RedisManager(server.url) as manager, manager.Pool(1, name="ours", context=FORK) as pool:
        began, go_on = manager.Queue("began"), manager.Event("go on")
        waits = pool.apply_async(work.say_and_wait, (began, go_on))
        began.get(timeout=PATIENCE)
        server.restart()
        with pytest.raises(ObjectGone):
            waits.get(PATIENCE)
        with pytest.raises(ObjectGone):
            pool.apply_async(work.double, (1,)).get(PATIENCE)


def test_external_workers_join_the_next_pool_after_a_restart(start_server):
    server = start_server(tcp=True)
    with spawn_script(SERVE, args=[server.tcp_url]) as workers:
        wait_for(workers, "started", "started")
        with RedisManager(server.url) as manager:
            with manager.Pool(0, name="ours") as pool:
                assert pool.apply(work.double, (1,)) == 2
                server.restart()
            with manager.Pool(0, name="ours") as pool:
                assert pool.apply_async(work.double, (2,)).get(PATIENCE) == 4
