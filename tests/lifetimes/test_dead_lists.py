"""What lies at places, and in in-flight lists, of objects that are there no more."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.lifetimes.keys import all_but_records, collect
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until
from tests.synchronisation.test_holder_crash import child


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=600.0) as manager:
        yield manager


def _of_queue(m: RedisManager, name: str | None = None) -> Any:
    return m.Queue(name=name)


def _of_lock(m: RedisManager, name: str | None = None) -> Any:
    lock = m.Lock(name)
    assert lock.acquire()
    return lock


def _lists(server: AnyServer) -> list[bytes]:
    return [key for key in server.keys("*}:*") if b":inflight:" in key or b":held:" in key]


@pytest.mark.parametrize(("make", "wait"), [(_of_queue, "get"), (_of_lock, "acquire")])
def test_what_a_waiter_is_woken_with_that_is_killed_then(
    make: Callable[[RedisManager], Any], wait: str, m: RedisManager, server: AnyServer
) -> None:
    """Its object is deleted: the token that says so moves to the list of the waiter, which never
    hears of it.
    """
    waited_for = make(m)
    with child(waited_for) as process:
        process.tell(wait)
        wait_until(lambda: any("b" in each["flags"] for each in server.clients()), what="a waiter")
        process.send(signal.SIGSTOP)
        waited_for.delete()
        lists = _lists(server)
        process.kill()
    assert lists
    collect(server)
    assert not _lists(server)
    assert not [key for key in all_but_records(server) if b":u:" in key or key.endswith(b":lists")]


@pytest.mark.parametrize(
    ("make", "wait"), [(_of_queue, "get"), (_of_lock, "acquire")], ids=["queue", "lock"]
)
def test_a_waiter_is_killed_and_the_name_is_made_anew(
    make: Callable[[RedisManager, str], Any], wait: str, m: RedisManager, server: AnyServer
) -> None:
    """Then the object is there, and the list of the dead is none of its own."""
    waited_for = make(m, "x")
    with child(waited_for) as process:
        process.tell(wait)
        wait_until(lambda: any("b" in each["flags"] for each in server.clients()), what="a waiter")
        process.send(signal.SIGSTOP)
        waited_for.delete()
        make(m, "x")
        process.kill()
    assert len(_lists(server)) >= 1
    collect(server)
    assert not [key for key in _lists(server) if server.command("LINDEX", key, 0) == b""]


def test_what_moves_to_the_dead_behind_that_goes_back(m: RedisManager, server: AnyServer) -> None:
    """A request that arrives when the name was made anew moves what is of the new object."""
    q, lock = m.Queue("q"), m.Lock("l")
    moves = [
        (q._handle.keys, q._handle.keys.items, q._handle.keys.in_flight(GHOST + b".1")),
        (lock._handle.keys, lock._handle.keys.free, lock._handle.keys.held(GHOST + b".1")),
    ]
    q.put("item")
    for keys, source, place in moves:
        server.command("HSET", keys.prefix + b"lists", keys.ident.encode() + b" " + GHOST, 1)
        assert server.command("LMOVE", source, place, "LEFT", "RIGHT")
    collect(server)
    assert q.get(timeout=0) == "item"
    assert lock.acquire(False)
    lock.release()
    assert not [key for key in server.keys() if GHOST in key]


GHOST = b"ghost~1"


@pytest.mark.parametrize(
    "make",
    [
        lambda m, name: m.dict(name, {"a": 1}),
        lambda m, name: m.Namespace(name, a=1),
        lambda m, name: m.list([1], name=name),
        lambda m, name: m.set([1], name=name),
        lambda m, name: m.Value("i", 1, name=name),
        lambda m, name: m.Event(name),
        lambda m, name: m.Queue(name),
    ],
    ids=["dict", "Namespace", "list", "set", "Value", "Event", "Queue"],
)
@pytest.mark.parametrize("name", ["x", "a:b%c"])
def test_an_object_that_has_the_name_of_a_former_lock_stays(
    make: Callable[[RedisManager, str], Any], name: str, m: RedisManager, server: AnyServer
) -> None:
    with m.Lock(name):
        pass
    m.Queue("beside").put(1)
    m.delete(name)
    made = make(m, name)
    keys = [
        key
        for key in server.keys(made._handle.keys.data.decode() + "*")
        if server.command("PTTL", key) == -1
    ]
    before = [server.command("DUMP", key) for key in keys]
    assert server.keys("*}:lists")
    collect(server)
    assert [server.command("DUMP", key) for key in keys] == before
    assert sorted(m.names()) == sorted(["beside", name])
