"""Names, parameters, tokens, holders and statistics of locks and the like."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import LeaseLost, Manager, ObjectGone, RedisManager
from multihost.managers import Holder, LockStatistics, SemaphoreStatistics
from tests.lifetimes.keys import is_gone, is_kept
from tests.support.leaks import AnyServer
from tests.support.waiting import PATIENCE, wait_until

CREATE: dict[str, Any] = {
    "Lock": lambda m, *name: m.Lock(*name),
    "RLock": lambda m, *name: m.RLock(*name),
    "Semaphore": lambda m, *name: m.Semaphore(*name, 2),
    "BoundedSemaphore": lambda m, *name: m.BoundedSemaphore(*name, 2),
    "Condition": lambda m, *name: m.Condition(*name),
    "Event": lambda m, *name: m.Event(*name),
    "Barrier": lambda m, *name: m.Barrier(*name, 2),
}


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def other(url: str) -> Iterator[RedisManager]:
    """Another session in this process: for the server, another process."""
    with RedisManager(url, namespace="multihost") as manager:
        yield manager


# -- names and parameters


@pytest.mark.parametrize("typeid", CREATE)
def test_a_name_finds_the_same_object(typeid: str, m: RedisManager, other: RedisManager) -> None:
    first, second = CREATE[typeid](m, "x"), CREATE[typeid](other, "x")
    assert first.name == second.name == "x"
    assert repr(first).startswith(f"<{typeid}Proxy object {first.name!r}, typeid {typeid!r} at 0x")
    assert m.names() == ["x"]
    assert str(first) == str(second)


@pytest.mark.parametrize("typeid", CREATE)
def test_a_leading_str_is_a_name_for_every_manager(typeid: str) -> None:
    with Manager() as manager:
        assert CREATE[typeid](manager, "x").name == "x"
        assert CREATE[typeid](manager).name is None


@pytest.mark.parametrize("typeid", CREATE)
def test_another_type_is_refused(typeid: str, m: RedisManager) -> None:
    m.dict("x")
    with pytest.raises(TypeError, match=f"'x' is a dict, not a {typeid}"):
        CREATE[typeid](m, "x")


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_values_of_semaphores_are_compared_if_they_are_given(kind: str, m: RedisManager) -> None:
    make = getattr(m, kind)
    make("x", 3)
    assert make("x").statistics().permits == 3
    assert make("x", 3).name == make(name="x", value=3).name == "x"
    with pytest.raises(ValueError, match="'x' is a .*Semaphore of '3', not of '4'"):
        make("x", 4)


def test_parameters_of_barriers_are_compared_if_they_are_given(m: RedisManager) -> None:
    m.Barrier("x", 3, timeout=2.5)
    assert m.Barrier("x", 3).parties == 3
    with pytest.raises(ValueError, match="'x' is a Barrier with parties of 3, not 4"):
        m.Barrier("x", 4)
    with pytest.raises(ValueError, match=r"'x' is a Barrier with a timeout of 2\.5, not 1\.0"):
        m.Barrier("x", 3, None, 1)


def test_an_attached_barrier_has_the_timeout_that_it_was_created_with(m: RedisManager) -> None:
    m.Barrier("x", 2, timeout=0.1)
    with pytest.raises(threading.BrokenBarrierError):
        m.Barrier("x", 2).wait()


def test_a_condition_remembers_its_lock(m: RedisManager, other: RedisManager) -> None:
    lock = m.Lock("the lock")
    m.Condition("x", lock)
    found = other.Condition("x")
    with found:
        assert lock.locked()
    with pytest.raises(ValueError, match="'x' is a Condition of 'Lock n:the%20lock', not of"):
        m.Condition("x", m.RLock("another"))


@pytest.mark.parametrize("lock", ["lock", 5, threading.Lock()])
def test_a_condition_takes_the_proxy_of_a_lock(lock: object, m: RedisManager) -> None:
    with pytest.raises(TypeError, match=r"Condition\(\) takes the proxy of a Lock or an RLock"):
        m.Condition("x", lock)
    with Manager() as elsewhere, pytest.raises(ValueError, match="of one manager"):
        m.Condition(elsewhere.Lock())


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda m: m.Semaphore(-1), ValueError),
        (lambda m: m.Semaphore("x", 1, 2), TypeError),
        (lambda m: m.Semaphore(1.5), TypeError),
        (lambda m: m.Semaphore(vale=1), TypeError),
        (lambda m: m.Barrier(0), ValueError),
        (lambda m: m.Barrier(), TypeError),
        (lambda m: m.Barrier("x"), TypeError),
        (lambda m: m.Barrier(2, 5), TypeError),
        (lambda m: m.Barrier(2, parties=2), TypeError),
        (lambda m: m.Lock(5), TypeError),
        (lambda m: m.Lock(""), ValueError),
        (lambda m: m.Condition(m.Lock(), m.Lock()), TypeError),
    ],
)
def test_bad_parameters_create_nothing(
    make: Any, error: type[Exception], m: RedisManager, server: AnyServer
) -> None:
    with pytest.raises(error):
        make(m)
    assert m.names() == []


# -- what else there is


def test_tokens_rise_from_hold_to_hold_and_from_type_to_type(m: RedisManager) -> None:
    for held in (m.Lock(), m.RLock(), m.Semaphore(2), m.BoundedSemaphore(2), m.Condition()):
        with pytest.raises(RuntimeError, match="acquire (the lock|a permit) first"):
            _ = held.fencing_token
        tokens = []
        for _ in range(5):
            with held:
                tokens.append(held.fencing_token)
        assert tokens == sorted(set(tokens))
        assert abs(tokens[0] / 1e6 - time.time()) < 600, "microseconds of the server's clock"


def test_tokens_rise_although_the_lock_was_lost(m: RedisManager) -> None:
    lock = m.Lock("x")
    with lock:
        before = lock.fencing_token
    lock.delete()
    with m.Lock("x") as _, pytest.raises(RuntimeError):
        lock = m.Lock("another")
        _ = lock.fencing_token
    again = m.Lock("x")
    with again:
        assert again.fencing_token > before


def test_the_holder_is_known_to_those_who_wait(m: RedisManager, other: RedisManager) -> None:
    lock, seen = m.Lock("x"), other.Lock("x")
    assert seen.holder() is None
    before = time.time()
    thread = threading.Thread(target=lock.acquire, name="a.b%c d")
    thread.start()
    thread.join()
    holder = seen.holder()
    assert isinstance(holder, Holder)
    assert holder[:3] == (socket.gethostname(), os.getpid(), "a.b%c d")
    assert before - 0.1 <= holder.since <= time.time() + 0.1
    assert holder.fencing_token == lock.fencing_token
    lock.release()
    assert seen.holder() is None


def test_statistics(m: RedisManager, other: RedisManager) -> None:
    lock, semaphore = m.Lock("lock"), m.Semaphore("semaphore", 3)
    assert lock.statistics() == LockStatistics("Lock", "lock", None, 0, None)
    semaphore.acquire()
    found = other.Semaphore("semaphore").statistics()
    me = (socket.gethostname(), os.getpid())
    assert found == SemaphoreStatistics("Semaphore", "semaphore", 2, {me: 1}, 0)
    with lock:
        waiting = threading.Thread(target=other.Lock("lock").acquire)
        waiting.start()
        assert wait_until(lambda: lock.statistics().waiters == 1)
        assert 0 <= lock.statistics().age < 600
        assert lock.statistics().holder == lock.holder()
    waiting.join()
    condition, event, barrier = m.Condition("c"), m.Event("e"), m.Barrier("b", 2)
    assert condition.statistics()[2:] == (0, False)
    assert event.statistics()[2:] == (False,)
    assert barrier.statistics()[2:] == (2, 0, False)


def test_a_lock_may_be_released_by_another_process(m: RedisManager, other: RedisManager) -> None:
    lock = m.Lock("x")
    lock.acquire()
    other.Lock("x").release()
    assert not lock.locked()
    other.Lock("x").acquire()
    # As with a lock of threading, which does not know who holds it either.
    lock.release()
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()


def test_permits_that_another_process_releases_do_not_come_back_twice(
    m: RedisManager, other: RedisManager
) -> None:
    mine, theirs = m.Semaphore("x", 3), other.Semaphore("x", 3)
    mine.acquire()
    mine.acquire()
    theirs.release(2)
    assert mine.statistics().permits == 3
    assert mine.statistics().holders == {}
    mine.release()  # one more than there were: a semaphore that is not bounded grows
    assert theirs.statistics().permits == 4


WAITS: dict[str, Any] = {
    "Lock": (lambda p: p.acquire(), lambda p: p.acquire(), lambda p: p.statistics().waiters),
    "RLock": (lambda p: p.acquire(), lambda p: p.acquire(), lambda p: p.statistics().waiters),
    "Semaphore": (
        lambda p: [p.acquire(), p.acquire()],
        lambda p: p.acquire(),
        lambda p: p.statistics().waiters,
    ),
    "Condition": (
        lambda p: None,
        lambda p: p.acquire() and p.wait(),
        lambda p: p.statistics().waiters,
    ),
    "Barrier": (lambda p: None, lambda p: p.wait(), lambda p: p.n_waiting),
}


def learns_of_the_end(typeid: str, proxy: Any, other: RedisManager, deleted: Any) -> None:
    prepare, wait, waiters = WAITS[typeid]
    prepare(proxy)
    outcome: list[BaseException] = []

    def wait_in_vain() -> None:
        try:
            wait(CREATE[typeid](other, "x"))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=wait_in_vain)
    thread.start()
    assert wait_until(lambda: waiters(proxy) == 1)
    deleted()
    thread.join(PATIENCE)
    assert [type(error) for error in outcome] == [ObjectGone]


@pytest.mark.parametrize("typeid", WAITS)
def test_who_waits_for_what_is_deleted_learns_it(
    typeid: str, m: RedisManager, other: RedisManager
) -> None:
    proxy = CREATE[typeid](m, "x")
    learns_of_the_end(typeid, proxy, other, proxy.delete)
    with pytest.raises(ObjectGone):
        proxy.wait() if typeid == "Barrier" else proxy.locked()
    assert m.names() == []


def test_who_waits_for_an_event_that_is_deleted_learns_it(
    m: RedisManager, server: AnyServer
) -> None:
    event = m.Event("x")
    outcome: list[BaseException] = []
    started = threading.Event()

    def wait_in_vain() -> None:
        started.set()
        try:
            event.wait()
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=wait_in_vain)
    thread.start()
    started.wait()
    assert wait_until(lambda: server.info("clients")["blocked_clients"] == "1")
    event.delete()
    thread.join(PATIENCE)
    assert [type(error) for error in outcome] == [ObjectGone]


# -- living


@pytest.mark.parametrize("typeid", CREATE)
def test_it_travels_and_works_in_a_child(typeid: str, m: RedisManager) -> None:
    proxy = CREATE[typeid](m)
    again = pickle.loads(pickle.dumps(proxy))
    assert str(again) == str(proxy)
    context = multiprocessing.get_context("spawn" if typeid == "Lock" else "fork")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(proxy, writer))
    child.start()
    assert reader.recv() == str(proxy)
    child.join()
    reader.close()
    writer.close()


def _report(proxy: Any, writer: Any) -> None:
    writer.send(str(proxy))


def test_a_container_keeps_a_condition_and_the_condition_its_lock(
    m: RedisManager, server: AnyServer
) -> None:
    box = m.dict("box")
    lock = m.Lock()
    box["condition"] = m.Condition(lock)
    idents = lock._token.ident, box["condition"]._token.ident
    del lock
    assert wait_until(lambda: is_kept(server, *idents))
    with box["condition"] as _:
        pass
    del box["condition"]
    assert not is_gone(server, "n:box")


def test_an_unnamed_one_is_gone_with_its_only_proxy(m: RedisManager, server: AnyServer) -> None:
    proxies = [create(m) for create in CREATE.values()]
    idents = [proxy._token.ident for proxy in proxies]
    del proxies
    assert wait_until(lambda: is_gone(server, *idents))


def test_lease_lost_is_an_error_of_both_kinds() -> None:
    assert issubclass(LeaseLost, RuntimeError)
    assert "lease" in str(LeaseLost())
