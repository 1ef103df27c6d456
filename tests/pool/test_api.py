"""What a pool can do beyond the standard library's, or does where that hangs."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool
import pickle
import sys
import threading

import pytest

import multihost
from multihost import BadPayload, LinkLost, RedisManager
from multihost.pool import MaybeEncodingError, Pool
from multihost.pooling import messages
from multihost.wire.ops.queue import send
from tests.pool import work
from tests.support.procs import run_all
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def pool(manager):
    with manager.Pool(2, context=FORK) as pool:
        yield pool


def test_the_public_names(url):
    assert multihost.Pool is Pool
    assert issubclass(Pool, multiprocessing.pool.Pool)
    with Pool(1, context=FORK, url=url) as pool:
        assert pool.name is None
        assert pool.apply(work.double, (2,)) == 4
        assert pool.map(work.double, range(3)) == [0, 2, 4]
        with pytest.raises(NotImplementedError):
            pickle.dumps(pool)
    pool.join()
    with pytest.raises(TypeError, match="not both"):
        Pool(1, url=url, manager=1)


def test_pool_without_a_url_and_a_name_has_a_private_server(monkeypatch):
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    with Pool(1, context=FORK) as pool:
        assert pool.map(work.double, range(3)) == [0, 2, 4]
        pool.close()
        pool.join()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(work.double, (1,))


@pytest.mark.parametrize(
    ("kwds", "error", "text"),
    [
        ({"processes": 0}, ValueError, "at least 1"),
        ({"processes": -1, "name": "p"}, ValueError, "at least 1"),
        ({"processes": 1, "attempts": 0}, ValueError, "at least 1"),
        ({"processes": 1, "pickler": "json"}, ValueError, "pickler='json'"),
        ({"processes": 1, "maxtasksperchild": 0}, ValueError, "positive int"),
        ({"processes": 1, "initializer": 3}, TypeError, "callable"),
        ({"processes": 1, "name": 3}, TypeError, "name"),
    ],
)
def test_invalid_arguments_raise(manager, kwds, error, text):
    with pytest.raises(error, match=text):
        manager.Pool(**kwds)


def test_manager_with_json_has_no_pool(url):
    with RedisManager(url, serializer="json") as manager:
        with pytest.raises(ValueError, match="default serializer"):
            manager.Pool(1)


def test_manager_on_fakeredis_has_no_pool():
    fakeredis = pytest.importorskip("fakeredis")
    with RedisManager(client=fakeredis.FakeRedis()) as manager:
        with pytest.raises(ValueError, match="fakeredis"):
            manager.Pool(1)


def test_name_of_another_type_raises(manager):
    manager.Queue("taken")
    with pytest.raises(TypeError, match="Queue"):
        manager.Pool(0, name="taken")
    manager.delete("taken")


def test_signed_tasks_and_results(url):
    with RedisManager(url, authkey=b"a key of the tests") as manager:
        with manager.Pool(1, name="signed", context=FORK) as pool:
            assert pool.map(work.double, range(4), 1) == [0, 2, 4, 6]
        with RedisManager(url) as other, pytest.raises(BadPayload):
            other.Pool(0, name="signed")
        manager.delete("signed")


def test_proxies_are_arguments_and_results(manager):
    for name in (None, "named"):
        with manager.Pool(1, name=name, context=FORK) as pool:
            asked = pool.map_async(work.length, [manager.list([1] * n) for n in range(5)], 1)
            assert asked.get(PATIENCE) == [0, 1, 2, 3, 4]
            shared = pool.apply(work.new_list, (manager.list(), 5))
            assert shared[:] == [5]
    manager.delete("named")


def test_unpickled_pool_is_another_client(manager):
    with manager.Pool(2, context=FORK) as pool:
        found = run_all(multiprocessing.get_context("spawn"), _use, [(pool,), (pool,)])
        assert found == [[0, 2, 4]] * 2
        found = run_all(FORK, _use, [(pool,)])
        assert found == [[0, 2, 4]]
        assert pool.apply(work.double, (1,)) == 2


def _use(pool):
    found = pool.map(work.double, range(3), 1)
    pool.close()
    pool.join()
    return found


def test_unpicklable_results(pool):
    with pytest.raises(MaybeEncodingError):
        pool.apply(work.unpicklable)
    with pytest.raises(TypeError) as caught:
        pool.apply_async(work.fragile).get(PATIENCE)
    assert "unpickled" in caught.value.__notes__[0]
    assert pool.apply(work.double, (2,)) == 4


def test_function_missing_in_workers(pool, monkeypatch):
    module = type(sys)("only_here")
    exec("def f(): return 1", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(ModuleNotFoundError) as caught:
        pool.apply_async(module.f).get(PATIENCE)
    assert "worker unpickled the task" in caught.value.__notes__[0]
    assert "only_here" in caught.value.__cause__.tb


def test_exception_of_a_callback_is_the_result(pool):
    result = pool.apply_async(work.double, (1,), callback=work.fail)
    with pytest.raises(KeyError):
        result.get(PATIENCE)
    assert pool.apply(work.double, (2,)) == 4


def test_lambdas_with_cloudpickle(manager):
    pytest.importorskip("cloudpickle")
    with manager.Pool(1, context=FORK, pickler="cloudpickle") as pool:
        assert pool.map(lambda x: x + 1, range(3)) == [1, 2, 3]
        assert pool.apply(work.unpicklable)() == 1


def test_without_cloudpickle(manager, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ImportError, match="pip install cloudpickle"):
        manager.Pool(1, pickler="cloudpickle")


def test_infinite_imap_is_lazy(pool, monkeypatch):
    monkeypatch.setattr("multihost.pooling.outbox.MAX_IN_FLIGHT", 50)
    made = itertools.count()
    results = pool.imap(work.double, made)
    assert [next(results) for _ in range(500)] == list(range(0, 1000, 2))
    pool.terminate()


def test_interrupted_submit_fails_its_result(pool, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    results = []
    monkeypatch.setattr(send, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.apply_async(work.double, (1,), error_callback=results.append)
    monkeypatch.undo()
    assert [type(error) for error in results] == [LinkLost]
    assert pool.apply(work.double, (2,)) == 4


def test_slow_iterable_is_sent_task_by_task(pool):
    go_on = threading.Event()

    def numbers():
        yield 1
        assert go_on.wait(PATIENCE)
        yield 2

    results = pool.imap(work.double, numbers())
    assert results.next(PATIENCE) == 2
    go_on.set()
    assert results.next(PATIENCE) == 4


def test_statistics(manager):
    began, go_on = manager.Queue(), manager.Event()
    with manager.Pool(1, name="counted", context=FORK) as pool:
        results = [pool.apply_async(work.say_and_wait, (began, go_on, n)) for n in range(3)]
        pid = began.get(timeout=PATIENCE)
        found = pool.statistics()
        assert found[:3] == ("counted", 2, 1)
        assert [(w.pid, w.running) for w in found.workers] == [(pid, 1)]
        go_on.set()
        assert [r.get(PATIENCE) for r in results] == [0, 1, 2]
        wait_until(lambda: pool.statistics()[1:3] == (0, 0))
        assert "counted" in manager.names()
    manager.delete("counted")


def test_trailer_identifies_job_and_task():
    assert len({messages.TaskTrailer("x" * 22, "p", 1, job, 0).pack() for job in range(3)}) == 3
    tag = messages.TaskTrailer("x" * 22, "c", 12, 345, 6)
    assert len(tag.pack()) == messages.TRAILER_SIZE
    assert messages.TaskTrailer.unpack(tag.pack()) == tag
