"""Tasks and results that are larger than what the server takes as one value."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import re

import pytest

from multihost import Executor, PayloadTooLarge, RedisManager
from tests.pool import work
from tests.support.faults import CuttingProxy
from tests.support.waiting import PATIENCE

FORK = multiprocessing.get_context("fork")
SECONDS = PATIENCE
MB = 1 << 20


@pytest.fixture(params=["unix", "tcp"])
def manager(request, start_server):
    """On a server that takes values of a megabyte. Who waits for a connection to come back, there
    or in a worker, does so for longer than a test lasts.
    """
    server = start_server(tcp=True, proto_max_bulk_len="1mb")
    url = server.url if request.param == "unix" else server.tcp_url
    with RedisManager(url, timeout=10 * PATIENCE) as manager:
        yield manager


def sizes(results):
    return [(value[0], len(value)) for value in results]


def wanted(numbers):
    return [(f"{n % 10}", 300_000) for n in numbers]


def test_a_chunk_that_is_too_large_comes_in_parts(manager):
    with manager.Pool(2, context=FORK) as pool:
        assert sizes(pool.map(work.large, range(40), 20)) == wanted(range(40))
        assert sizes(pool.imap(work.large, range(9), 9)) == wanted(range(9))
        assert sorted(sizes(pool.imap_unordered(work.large, range(9), 5))) == wanted(range(9))
        assert sizes(pool.starmap(work.large, [(n,) for n in range(11)], 11)) == wanted(range(11))
        # Some are small.
        found = pool.map(work.large_now_and_then, range(1000), 500)
        assert [len(value) for value in found] == [
            300_000 if n % 50 == 0 else 1 for n in range(1000)
        ]
    with Executor(1, FORK, manager=manager) as executor:
        assert sizes(executor.map(work.large, range(9), chunksize=9)) == wanted(range(9))


def test_one_result_that_is_too_large_is_an_error_and_no_loss(manager):
    with manager.Pool(1, context=FORK) as pool:
        with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:
            pool.apply_async(work.text, (3 * MB,)).get(SECONDS)
        assert type(caught.value.__cause__) is PayloadTooLarge
        assert "proto-max-bulk-len" in str(caught.value)
        assert len(str(caught.value)) < 10_000
        with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="one result"):
            pool.map_async(work.text, [10, 3 * MB, 10], 3).get(SECONDS)
        with pytest.raises(multiprocessing.pool.MaybeEncodingError):
            pool.apply_async(work.fail_at_length, (3 * MB,)).get(SECONDS)
        assert pool.apply(work.double, (1,)) == 2
    with Executor(1, FORK, manager=manager) as executor:
        with pytest.raises(PayloadTooLarge):
            executor.submit(work.text, 3 * MB).result(SECONDS)
        assert executor.submit(work.double, 1).result(SECONDS) == 2


def test_a_task_that_is_too_large_is_refused_at_once(manager):
    with manager.Pool(1, context=FORK) as pool:
        with pytest.raises(PayloadTooLarge, match="the task takes 3,"):
            pool.apply(len, ("x" * 3 * MB,))
        assert pool.apply(len, ("x" * (MB - 1000),)) == MB - 1000


@pytest.mark.parametrize("fault", ["cut_after_reply", "cut_mid_reply", "cut_before_request"])
def test_parts_over_broken_connections(start_server, fault):
    server = start_server(tcp=True, proto_max_bulk_len="1mb")
    with (
        CuttingProxy(server) as proxy,
        RedisManager(server.url) as manager,
        RedisManager(proxy.url) as behind,
        behind.Pool(1, name="ours", context=FORK),
        manager.Pool(0, name="ours") as pool,
    ):
        assert sizes(pool.map(work.large, range(9), 9)) == wanted(range(9))
        caught = 0
        for nth in range(1, 6):  # each of the parts, the last of them with the task
            rule = getattr(proxy, fault)(b"EVALSHA", nth=nth)
            assert sizes(pool.map(work.large, range(9), 9)) == wanted(range(9))
            caught += rule.caught.is_set()
            rule.disarm()
        assert caught >= 3
        assert not pool._client._parts


def test_who_may_not_ask_for_the_limit_takes_the_usual_one(start_server):
    server = start_server(tcp=True)
    rights = ("on", ">word", "~*", "&*", "+@all", "-config")
    server.command("ACL", "SETUSER", "limited", *rights)
    with (
        RedisManager(server.url_for("limited", "word")) as manager,
        manager.Pool(1, context=FORK) as pool,
    ):
        assert pool.apply(len, ("x" * 2 * MB,)) == 2 * MB
        assert len(pool.apply(work.text, (2 * MB,))) == 2 * MB


def test_parts_of_proxies(manager):
    with manager.Pool(1, context=FORK) as pool:
        lists = [manager.list([n]) for n in range(6)]
        found = pool.map(work.large_and, lists, 6)
        del lists
        assert [proxy[0] for _, proxy in found] == list(range(6))


def test_a_worker_that_dies_between_parts(manager):
    """What the first sent is not mixed with what the second sends, and nothing comes twice."""
    marks = manager.dict()
    with manager.Pool(1, context=FORK, attempts=2) as pool:
        found = pool.map_async(work.large_and_killed_once, [(marks, n) for n in range(9)], 9)
        assert sizes(found.get(SECONDS)) == wanted(range(9))
        assert marks["pickled"] > 5
        assert not pool._client._parts


def test_parts_of_a_killed_worker_are_forgotten(manager):
    marks = manager.dict()
    with manager.Pool(1, context=FORK) as pool:
        lost = pool.map_async(work.large_and_killed_once, [(marks, n) for n in range(9)], 9)
        with pytest.raises(RuntimeError, match="begun once"):
            lost.get(SECONDS)
        assert not pool._client._parts
        assert pool.apply(work.double, (1,)) == 2


def test_small_results_ask_for_no_limit(manager):
    def asked():
        info = manager.runtime.session.link.execute_raw(b"INFO", b"commandstats").decode()
        return re.search(r"cmdstat_config.*calls=(\d+)", info)[1]

    with manager.Pool(1, context=FORK) as pool:
        assert pool.apply(work.double, (1,)) == 2
        before = asked()
        pool.map(work.double, range(100), 1)
        assert asked() == before
