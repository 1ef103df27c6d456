"""Objects that several processes know: they go when the last of them lets go in order, where that
is known.

A lease and its reserve are two minutes here, longer than anybody waits: what goes earlier has been
let go of.
"""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import threading
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from multihost import RedisManager
from tests.lifetimes.keys import all_but_records, ident, is_gone, is_leased, unnamed
from tests.support.leaks import AnyServer
from tests.support.procs import kill9
from tests.support.waiting import PATIENCE, wait_until

BOTH = pytest.mark.parametrize("method", ["fork", "spawn"])
started: list[Child] = []


@pytest.fixture(autouse=True)
def no_child_stays() -> Iterator[None]:
    """A test that fails leaves children, for which the interpreter would wait."""
    yield
    while started:
        started[-1].kill()


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=60.0) as manager:
        yield manager


class Child:
    """A process that was given proxies, and does what it is told."""

    def __init__(self, method: str, *given: Any) -> None:
        context = multiprocessing.get_context(method)
        self._ours, theirs = context.Pipe()
        with theirs:
            self.process = context.Process(target=obey, args=(theirs, list(given)))
            self.process.start()
        started.append(self)
        assert self.ask("use") == len(given)

    def ask(self, what: str, *args: Any) -> Any:
        self._ours.send((what, *args))
        return self._ours.recv()

    def end(self) -> None:
        """Have it end in order."""
        self._ours.send(("end",))
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0
        self._close()

    def kill(self) -> None:
        if self in started:
            kill9(self.process)
            self._close()

    def _close(self) -> None:
        started.remove(self)
        self.process.close()
        self._ours.close()


def obey(orders: Connection, given: list[Any]) -> None:
    children: list[Child] = []
    with orders:
        while True:
            what, *args = orders.recv()
            if what == "end":
                return
            orders.send(DO[what](given, children, *args))


def use(given: list[Any], _: Any) -> int:
    return sum(str(each) != "" for each in given)


def let_go(given: list[Any], _: Any) -> None:
    left = [weakref.ref(each) for each in given]
    given.clear()
    gc.collect()
    for proxy in (each for ref in left if (each := ref()) is not None):
        # In a forked child its parent's frames have it for ever.
        proxy._handle.session.references.decref(ident(proxy))


def start(given: list[Any], children: list[Child], method: str) -> int:
    children.append(Child(method, *given))
    return len(children)


def tell(_: Any, children: list[Child], n: int, what: str, *args: Any) -> Any:
    return children[n].ask(what, *args)


def end_child(_: Any, children: list[Child], n: int) -> None:
    children[n].end()


def pickled(given: list[Any], _: Any) -> bytes:
    return pickle.dumps(given)


def put(given: list[Any], _: Any) -> None:
    given[1].append(given[0])


DO = {
    "use": use,
    "let go": let_go,
    "start": start,
    "tell": tell,
    "end child": end_child,
    "pickle": pickled,
    "put": put,
}


def has_let_go(m: RedisManager) -> None:
    """Return when this process has let go of all whose proxies are collected."""
    gc.collect()
    session, done = m.runtime.session, threading.Event()
    assert session is not None
    session.heartbeat.call_soon(done.set)
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_parent_lets_go_last(m: RedisManager, server: AnyServer, method: str) -> None:
    d, lock, queue = m.dict(a=1), m.Lock(), m.Queue()
    queue.put(1)
    Child(method, d, lock, queue).end()
    assert is_leased(server, ident(d), ident(lock), ident(queue))
    del d, lock, queue
    wait_until(lambda: not unnamed(server))
    assert all_but_records(server) == []


@BOTH
def test_child_lets_go_last(m: RedisManager, server: AnyServer, method: str) -> None:
    d = m.dict(a=1)
    name, child = ident(d), Child(method, d)
    del d
    has_let_go(m)
    assert is_leased(server, name)
    assert child.ask("use") == 1
    child.ask("let go")  # and lives on
    wait_until(lambda: is_gone(server, name))
    child.end()


@BOTH
def test_many_children_in_any_order(m: RedisManager, server: AnyServer, method: str) -> None:
    d = m.list([1])
    name, children = ident(d), [Child(method, d) for _ in range(3)]
    children.pop(1).end()
    del d
    has_let_go(m)
    children.pop(0).end()
    assert is_leased(server, name)
    assert children[0].ask("use") == 1
    children[0].end()
    assert is_gone(server, name)


@BOTH
def test_grandchildren_count(m: RedisManager, server: AnyServer, method: str) -> None:
    """What a child gave is not taken for what its parent gave."""
    d = m.dict(a=1)
    name, child = ident(d), Child(method, d)
    child.ask("start", method)
    child.ask("let go")
    has_let_go(m)
    assert is_leased(server, name)  # that of the grandchild is not returned, nor is ours
    del d
    has_let_go(m)
    assert child.ask("tell", 0, "use") == 1
    assert is_leased(server, name)
    child.ask("end child", 0)
    assert is_gone(server, name)
    child.end()


def test_a_killed_child_takes_nothing_from_others(m: RedisManager, server: AnyServer) -> None:
    """It has not let go: what it was given goes with its lease."""
    d = m.dict(a=1)
    name, first, second = ident(d), Child("spawn", d), Child("fork", d)
    first.kill()
    del d
    has_let_go(m)
    assert second.ask("use") == 1
    second.end()
    assert is_leased(server, name)


def test_who_exits_before_it_has_renewed_has_let_go(m: RedisManager, server: AnyServer) -> None:
    """A child that never used what it inherited."""
    d = m.dict(a=1)
    name = ident(d)
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    child.close()
    del d
    wait_until(lambda: is_gone(server, name))


@pytest.mark.parametrize("who", ["parent", "child"])
def test_not_what_a_message_leads_to(m: RedisManager, server: AnyServer, who: str) -> None:
    """Whoever reads the pickle is not counted: it may be read later, and more than once."""
    d = m.dict(a=1)
    name, child = ident(d), Child("spawn" if who == "child" else "fork", d)
    message = pickle.dumps([d]) if who == "parent" else child.ask("pickle")
    del d
    has_let_go(m)
    child.end()
    assert is_leased(server, name)
    for _ in range(2):
        (arrived,) = pickle.loads(message)
        assert arrived["a"] == 1
        del arrived
        has_let_go(m)
    assert is_leased(server, name)


def test_not_what_came_back_and_was_given_again(m: RedisManager, server: AnyServer) -> None:
    """Who has let go, and gets it in a message, gives it uncounted from then on: else what it gave
    first and what came back last would be taken for the same.
    """
    d = m.dict(a=1)
    name, first = ident(d), Child("fork", d)
    del d
    has_let_go(m)
    (again,) = pickle.loads(first.ask("pickle"))
    second = Child("fork", again)
    second.ask("let go")
    second.end()
    assert again["a"] == 1
    assert is_leased(server, name)
    assert first.ask("use") == 1
    first.end()


def test_not_what_a_container_contains(m: RedisManager, server: AnyServer) -> None:
    d, box = m.dict(a=1), m.list()
    name, child = ident(d), Child("spawn", d, box)
    child.ask("put")
    child.end()
    del d
    has_let_go(m)
    assert box[0]["a"] == 1
    assert is_leased(server, name)


def test_not_the_lock_of_a_condition_that_was_sent(m: RedisManager, server: AnyServer) -> None:
    """Its lock comes along with it."""
    lock = m.Lock()
    condition, name = m.Condition(lock), ident(lock)
    message = pickle.dumps(condition)
    del condition, lock
    has_let_go(m)
    assert is_leased(server, name)
    with pickle.loads(message) as acquired:
        assert acquired


def test_not_what_could_not_be_given(m: RedisManager, server: AnyServer) -> None:
    """A child that does not start was never given anything, and nobody knows that."""
    d = m.dict(a=1)
    name = ident(d)
    child = multiprocessing.get_context("spawn").Process(target=use, args=([d], lambda: None))
    with pytest.raises((AttributeError, pickle.PicklingError)):
        child.start()
    del child, d
    has_let_go(m)
    assert is_leased(server, name)


def test_manager_of_a_child_that_is_shut_down(m: RedisManager, server: AnyServer) -> None:
    d = m.dict(a=1)
    name = ident(d)
    child = multiprocessing.get_context("fork").Process(target=RedisManager.shutdown, args=(m,))
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    child.close()
    assert d["a"] == 1
    del d
    wait_until(lambda: is_gone(server, name))
