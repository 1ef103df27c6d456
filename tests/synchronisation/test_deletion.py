"""The deletion of an object wakes each of its waiters immediately, whatever the type."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.inspection import find, opened
from multihost.wire import wait
from multihost.wire.ops import kinds
from multihost.wire.ops.queue import receive_list
from multihost.wire.session import janitor
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

THREADS = 3


@pytest.fixture
def m(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisManager]:
    """Without a token nothing wakes a waiter within these tests."""
    monkeypatch.setattr(janitor, "LOOK_INTERVAL", 600.0)
    for module in (wait, receive_list):
        for constant in ("MAX_BLOCK", "FIRST_BLOCK"):
            monkeypatch.setattr(module, constant, 600.0)
    with RedisManager(url) as manager:
        yield manager


def held(create: Callable[[RedisManager, str], Any]) -> Callable[[RedisManager, str], Any]:
    def make(m: RedisManager, name: str) -> Any:
        proxy = create(m, name)
        proxy.acquire()
        return proxy

    return make


def full(create: Callable[[RedisManager, str], Any]) -> Callable[[RedisManager, str], Any]:
    def make(m: RedisManager, name: str) -> Any:
        proxy = create(m, name)
        proxy.put(1)
        return proxy

    return make


def wait_for_notification(condition: Any) -> None:
    with condition:
        condition.wait()


WAITS: dict[str, tuple[Callable[[RedisManager, str], Any], Callable[[Any], object]]] = {
    "Lock": (held(lambda m, name: m.Lock(name)), lambda p: p.acquire()),
    "RLock": (held(lambda m, name: m.RLock(name)), lambda p: p.acquire()),
    "Semaphore": (held(lambda m, name: m.Semaphore(name, 1)), lambda p: p.acquire()),
    "BoundedSemaphore": (held(lambda m, name: m.BoundedSemaphore(name, 1)), lambda p: p.acquire()),
    "Condition": (lambda m, name: m.Condition(name), wait_for_notification),
    "Condition, its lock": (held(lambda m, name: m.Condition(name)), lambda p: p.acquire()),
    "Event": (lambda m, name: m.Event(name), lambda p: p.wait()),
    "Barrier": (lambda m, name: m.Barrier(name, THREADS + 1), lambda p: p.wait()),
    "Queue": (lambda m, name: m.Queue(name), lambda p: p.get()),
    "Queue, room": (full(lambda m, name: m.Queue(name, 1)), lambda p: p.put(2)),
    "Queue, redelivery": (lambda m, name: m.Queue(name, redeliver=True), lambda p: p.get()),
    "JoinableQueue": (full(lambda m, name: m.JoinableQueue(name)), lambda p: p.join()),
    "LifoQueue": (lambda m, name: m.LifoQueue(name), lambda p: p.get()),
    "SimpleQueue": (lambda m, name: m.SimpleQueue(name), lambda p: p.get()),
    "PriorityQueue": (lambda m, name: m.PriorityQueue(name), lambda p: p.get()),
    "PriorityQueue, room": (full(lambda m, name: m.PriorityQueue(name, 1)), lambda p: p.put(2)),
    "PriorityQueue, join": (full(lambda m, name: m.PriorityQueue(name)), lambda p: p.join()),
}


def test_every_type_with_waiters_is_tested() -> None:
    """But pools: their waiters are workers, see tests/pool."""
    with_waiters = {typeid for typeid, kind in kinds.KINDS.items() if kind.wake}
    assert {name.partition(",")[0] for name in WAITS} == with_waiters - {"Pool"}


class Waiter(threading.Thread):
    """A thread that waits for something."""

    def __init__(self, step: Callable[[Any], object], proxy: Any) -> None:
        super().__init__(daemon=True)
        self.step, self.proxy = step, proxy
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.step(self.proxy)
        except BaseException as error:
            self.outcome = type(error)


def delete_and_join(proxy: Any, waiters: list[Waiter]) -> None:
    proxy.delete()
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert [waiter.outcome for waiter in waiters] == [ObjectGone] * len(waiters)


def are_blocked(server: Any, count: int) -> None:
    assert wait_until(lambda: server.info("clients")["blocked_clients"] == str(count))


@pytest.mark.parametrize("case", WAITS)
def test_waiters_are_woken(case: str, m: RedisManager, server: Server) -> None:
    create, step = WAITS[case]
    proxy = create(m, "waited for")
    waiters = [Waiter(step, proxy) for _ in range(THREADS)]
    are_blocked(server, THREADS)
    delete_and_join(proxy, waiters)


def test_waiters_of_all_generations_of_a_condition_are_woken(
    m: RedisManager, server: Server
) -> None:
    condition = m.Condition("c")
    waiters = [Waiter(wait_for_notification, condition)]
    are_blocked(server, 1)
    server.command("HINCRBY", condition._handle.keys.data, "g", 1)
    waiters.append(Waiter(wait_for_notification, condition))
    are_blocked(server, 2)
    delete_and_join(condition, waiters)


def test_waiters_of_a_barrier_that_runs_its_action_are_woken(
    m: RedisManager, server: Server
) -> None:
    barrier = m.Barrier("b", 2)
    waiters = [Waiter(lambda p: p.wait(), barrier)]
    are_blocked(server, 1)
    # As if another party had arrived, and ran the action.
    server.command("HSET", barrier._handle.keys.data, "c", 0, "g", 1, "x", 0)
    delete_and_join(barrier, waiters)


@pytest.mark.parametrize("name", ["named", None])
def test_an_object_stores_how_its_waiters_are_woken(
    name: str | None, url: str, server: Server
) -> None:
    with RedisManager(url) as m, opened(url) as session:
        lock = m.RLock(name)
        assert server.command("HGET", lock._handle.keys.data, "t") == b"RLock q:=tokens"
        info = find(session, lock._token.ident if name is None else name)
        assert info is not None
        assert info.typeid == "RLock"
