"""Clients that die, that share a pool, and that lose their server."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from multihost import LinkError, Manager, ManagerClosed, ObjectGone, RedisManager
from multihost.wire.session.session import RESERVE
from tests.pool import work
from tests.support.leaks import is_listed
from tests.support.procs import is_alive, kill9, spawn_script
from tests.support.reserve import spend_reserve
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")

CLIENT = """
import sys, signal, multiprocessing
from multihost import RedisManager
from tests.pool import work

multiprocessing.set_start_method(sys.argv[2])
manager = RedisManager(sys.argv[1], lease=60)
pool = manager.Pool(2, name=sys.argv[3] or None)
print(*sorted(process.pid for process in pool._pool), flush=True)
pool.map_async(work.double, range(100_000), 1)
pool.apply(work.double, (1,))
print("at work", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_killed_client_leaves_no_workers_and_no_keys(fresh_server, method):
    with spawn_script(CLIENT, args=[fresh_server.url, method, ""]) as client:
        workers = [int(pid) for pid in client.line().split()]
        assert client.line() == "at work"
        client.kill()
        client.wait()
        wait_until(lambda: not any(map(is_alive, workers)))
    objects = _objects(fresh_server)
    assert objects
    ttls = fresh_server.commands(*(("PTTL", key) for key in objects))
    longest = 60_000 + RESERVE * 1000  # milliseconds
    assert all(ttl == -2 or 0 < ttl <= longest for ttl in ttls), (objects, ttls)


def test_killed_client_drops_its_tasks_and_the_pool_goes_on(fresh_server):
    with RedisManager(fresh_server.url) as manager:
        with spawn_script(CLIENT, args=[fresh_server.url, "fork", "ours"]) as client:
            workers = [int(pid) for pid in client.line().split()]
            assert client.line() == "at work"
            client.kill()
            client.wait()
        with manager.Pool(1, name="ours", context=FORK) as pool:
            assert pool.apply_async(work.double, (3,)).get(PATIENCE) == 6
            wait_until(lambda: not any(map(is_alive, workers)))
            wait_until(lambda: pool.statistics().waiting == 0)
        manager.delete("ours")


def _objects(server):
    """All keys of objects, but for what came too late."""
    spend_reserve(server)
    keys = [key for key in server.command("KEYS", "*") if b":u:" in key or b":n:" in key]
    return [key for key in keys if not is_listed(server, key)]


def test_clients_of_one_pool_get_their_own_results(manager, url):
    with (
        RedisManager(url, lease=PATIENCE) as other,
        manager.Pool(1, name="ours", context=FORK) as first,
        other.Pool(1, name="ours", context=FORK) as second,
    ):
        ones = first.map_async(work.pid, range(300), 1)
        twos = second.map_async(work.pid, range(300), 1)
        wait_until(lambda: len(first.statistics().workers) == 2)
        assert {*ones.get(PATIENCE), *twos.get(PATIENCE)} <= {
            w.pid for w in first.statistics().workers
        }
        results = [
            pool.map_async(work.add, range(n, n + 2000), 7)
            for n in (0, 5000)
            for pool in (first, second)
        ]
        assert [r.get(PATIENCE)[0] for r in results] == [1, 1, 5001, 5001]
    manager.delete("ours")


FORKED = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from operator import neg
from multihost import Executor, RedisManager

manager = RedisManager(sys.argv[1])
executor, pool = Executor(2, manager=manager), manager.Pool(2)
assert executor.submit(neg, 1).result() == -1
pid = os.fork()
with ThreadPoolExecutor(8) as threads:  # all of them find that the process is another
    assert list(threads.map(lambda n: pool.apply(neg, (n,)), range(8))) == [-n for n in range(8)]
assert executor.submit(neg, 1).result() == -1
assert list(executor.map(neg, range(3))) == [0, -1, -2]
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    executor.shutdown()
    pool.close()
    pool.join()
    manager.shutdown()
"""


def test_forked_child_uses_the_pools_of_its_parent(url):
    with spawn_script(FORKED, args=[url]) as program:
        program.finish()


def test_terminate_finishes_tasks_of_other_clients(manager, url):
    began, go_on = manager.Queue(), manager.Event()
    with RedisManager(url, lease=PATIENCE) as other:
        helper = other.Pool(1, name="ours", context=FORK)
        with manager.Pool(0, name="ours") as pool:
            result = pool.apply_async(work.say_and_wait, (began, go_on, 5))
            worker = began.get(timeout=PATIENCE)
            helper.terminate_soon = threading.Thread(target=helper.terminate)
            helper.terminate_soon.start()
            wait_until(lambda: helper._state == "TERMINATE")
            go_on.set()
            assert result.get(PATIENCE) == 5
            helper.terminate_soon.join()
            helper.join()
            assert not is_alive(worker)
        manager.delete("ours")


def test_killed_private_server_fails_all_results():
    manager = Manager()
    pool = manager.Pool(2, context=FORK)
    began, go_on = manager.Queue(), manager.Event()
    waits = pool.apply_async(work.say_and_wait, (began, go_on))
    more = pool.starmap_async(work.say_and_wait, [(began, go_on)] * 50, 1)
    began.get(timeout=PATIENCE)
    process_id = int(
        manager.runtime.session.link.execute_raw(b"INFO", b"server")
        .split(b"process_id:")[1]
        .split()[0]
    )
    kill9(process_id)
    for result in (waits, more):
        with pytest.raises(LinkError):
            result.get(PATIENCE)
    with pytest.raises(LinkError):
        pool.apply(work.double, (1,))
    pool.terminate()
    pool.join()
    manager.shutdown()


def test_manager_shutdown_ends_its_pool(url):
    manager = RedisManager(url)
    began, go_on = manager.Queue(), manager.Event()
    pool = manager.Pool(1, context=FORK)
    result = pool.apply_async(work.say_and_wait, (began, go_on))
    began.get(timeout=PATIENCE)
    manager.shutdown()
    with pytest.raises(ManagerClosed):
        result.get(PATIENCE)
    wait_until(lambda: not pool._pool)
    with pytest.raises(ManagerClosed):
        pool.map(work.double, [1])
    pool.terminate()
    pool.join()


def test_pool_deleted_by_another_client(manager):
    with manager.Pool(1, name="ours", context=FORK) as pool:
        assert pool.apply(work.double, (1,)) == 2
        pool.delete()
        with pytest.raises(ObjectGone):
            pool.apply_async(work.double, (2,)).get(PATIENCE)


def test_deleting_a_pool_fails_waiting_results(manager):
    with manager.Pool(0, name="ours") as one, manager.Pool(0, name="ours") as two:
        waits = [one.map_async(work.double, range(3), 1), two.apply_async(work.double, (1,))]
        wait_until(lambda: one.statistics().waiting == 4)
        assert manager.delete("ours")
        for result in waits:
            with pytest.raises(ObjectGone, match="ours"):
                result.get(PATIENCE)


@pytest.mark.parametrize("side", ["client", "worker"])
def test_cut_connections_neither_lose_nor_repeat_tasks(manager, proxy, side):
    marks = manager.dict()
    with RedisManager(proxy.url, lease=PATIENCE) as behind:
        mine, theirs = (behind, manager) if side == "client" else (manager, behind)
        with (
            theirs.Pool(2, name="ours", context=FORK),
            mine.Pool(0, name="ours") as pool,
        ):
            result = pool.map_async(work.mark, [(marks, x) for x in range(600)], 1)
            for n in range(5):
                wait_until(lambda n=n: len(marks) > 100 * n)
                proxy.cut_all()
            rules = [
                proxy.cut_after_reply(b"EVALSHA", nth=3),
                proxy.cut_mid_reply(b"EVALSHA", nth=9),
                proxy.cut_before_request(b"EVALSHA", nth=15),
            ]
            assert result.get(PATIENCE) == list(range(600))
            for rule in rules:
                rule.disarm()
    manager.delete("ours")
    assert set(marks.values()) == {1}
