"""Locks and what is built on them over fakeredis, between the threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from multihost import RedisManager
from tests.support.waiting import wait_until

fakeredis = pytest.importorskip("fakeredis")
pytest.importorskip("lupa", reason="fakeredis runs scripts with lupa: pip install 'fakeredis[lua]'")

THREADS = 4
LONG = 30.0


@pytest.fixture
def fake() -> Any:
    return fakeredis.FakeRedis()


@pytest.fixture
def m(fake: Any) -> Iterator[RedisManager]:
    with RedisManager(client=fake) as manager:
        yield manager
    lasting = [key for key in fake.keys() if fake.ttl(key) == -1]
    # What is noted for the collector stays until that has looked.
    assert [key for key in lasting if not key.endswith((b":lists", b":leases"))] == []


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def together(function: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, range(THREADS)))


@pytest.mark.parametrize("typeid", ["Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"])
def test_one_at_a_time(m: RedisManager, typeid: str) -> None:
    lock, inside, most = getattr(m, typeid)(), [], []

    def work(number: int) -> None:
        for _ in range(10):
            with lock:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    together(work)
    assert most == [1] * 10 * THREADS
    assert lock.acquire(timeout=0)
    assert not elsewhere(lock.acquire, True, 0.05)
    lock.release()


def test_who_waits_for_a_lock_gets_it(m: RedisManager) -> None:
    lock = m.Lock("shared")
    with ThreadPoolExecutor(1) as pool:
        with lock:
            waiting = pool.submit(lock.acquire, True, LONG)
            wait_until(lambda: lock.statistics().waiters == 1)
            assert lock.locked()
            token = lock.fencing_token
        assert waiting.result()
        assert lock.fencing_token > token
        assert not lock.acquire(False)
        lock.release()
    lock.delete()


def test_an_rlock_belongs_to_a_thread(m: RedisManager) -> None:
    lock = m.RLock()
    with lock, lock:
        assert not elsewhere(lock.acquire, False)
        with pytest.raises(RuntimeError):
            elsewhere(lock.release)
    assert not lock.locked()


def test_permits(m: RedisManager) -> None:
    semaphore, bounded = m.Semaphore(0), m.BoundedSemaphore(2)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(semaphore.acquire, True, LONG) for _ in range(THREADS)]
        semaphore.release(THREADS)
        assert all(each.result() for each in waiting)
    assert not semaphore.acquire(False)
    assert [bounded.acquire(False) for _ in range(3)] == [True, True, False]
    bounded.release(2)
    with pytest.raises(ValueError, match="released too many times"):
        bounded.release()


@pytest.mark.parametrize("which", ["its own", "Lock", "RLock"])
def test_condition(m: RedisManager, which: str) -> None:
    lock = None if which == "its own" else getattr(m, which)()
    condition, ready = m.Condition(lock), threading.Semaphore(0)

    def wait(_: int) -> bool:
        with condition:
            ready.release()
            return condition.wait(LONG)

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(wait, number) for number in range(THREADS)]
        for _ in range(THREADS):
            ready.acquire()
        with condition:
            condition.notify()
            condition.notify_all()
        assert all(each.result() for each in waiting)
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: 5) == 5


def test_event(m: RedisManager) -> None:
    event = m.Event()
    assert not event.wait(0.01)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(event.wait, LONG) for _ in range(THREADS)]
        event.set()
        assert all(each.result() for each in waiting)
    event.clear()
    assert not event.is_set()


def test_barrier(m: RedisManager) -> None:
    barrier = m.Barrier(THREADS, timeout=LONG)
    for _ in range(5):
        assert sorted(together(lambda _: barrier.wait())) == list(range(THREADS))
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken


def test_two_managers_of_one_fake_server_exclude_each_other() -> None:
    server = fakeredis.FakeServer()
    with (
        RedisManager(client=fakeredis.FakeRedis(server=server)) as one,
        RedisManager(client=fakeredis.FakeRedis(server=server)) as two,
    ):
        mine, theirs = one.Lock("l"), two.Lock("l")
        with ThreadPoolExecutor(1) as pool:
            with mine:
                assert not theirs.acquire(False)
                assert not theirs.acquire(timeout=0.05)
                waiting = pool.submit(theirs.acquire, True, LONG)
                wait_until(lambda: mine.statistics().waiters == 1)
            assert waiting.result()
        assert not mine.acquire(False)
        theirs.release()


def test_a_manager_that_ends_gives_back_what_it_held() -> None:
    server = fakeredis.FakeServer()
    with RedisManager(client=fakeredis.FakeRedis(server=server)) as one:
        lock, bounded = one.Lock("l"), one.BoundedSemaphore("s", 1)
        with RedisManager(client=fakeredis.FakeRedis(server=server)) as two:
            two.Lock("l").acquire()
            two.BoundedSemaphore("s").acquire()
            assert not lock.acquire(False)
        assert lock.acquire(False)
        assert bounded.acquire(False)
