"""Queues at a server that goes back: it was restarted from what it had saved a moment before."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full
from typing import Any

import pytest

from multihost import LeaseLost, RedisManager
from multihost.wire.ops.queue.pending_acks import PendingAcks
from tests.faults.calls import Call
from tests.faults.test_step_back import SECONDS, go_back
from tests.support.server import Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.leaks_ok("the server was killed with its connections")

KINDS = ("Queue", "LifoQueue", "PriorityQueue")


@pytest.fixture
def server(going_back: Server) -> Server:
    return going_back


@pytest.fixture
def m(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.tcp_url, timeout=SECONDS) as manager:
        yield manager


@pytest.fixture
def other(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.url, timeout=SECONDS) as manager:
        yield manager


def queue(manager: RedisManager, kind: str = "Queue", **options: Any) -> Any:
    return getattr(manager, kind)("q", **options)


def acknowledged(q: Any) -> None:
    """Wait until nothing is in flight."""
    wait_until(lambda: q.statistics().in_flight == 0, SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_was_done_is_done_again(
    server: Server, m: RedisManager, other: RedisManager, kind: str
) -> None:
    """It was not delivered once more, join() returns, and the next item is the next item."""
    q, theirs = queue(m, kind, redeliver=True), queue(other, kind, redeliver=True)
    q.put(1)
    q.put(2)
    taken = q.get()
    server.command("SAVE")
    q.task_done()
    go_back(server, m)
    assert q.statistics().unfinished == 1
    assert q.statistics().in_flight == 0
    left = q.get()
    assert {taken, left} == {1, 2}
    q.task_done()
    Call(theirs.join).outcome(SECONDS)
    with pytest.raises(Empty):
        theirs.get_nowait()


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_that_was_undone(
    server: Server, m: RedisManager, other: RedisManager, kind: str
) -> None:
    """The item is in the queue again, and whoever had it is told."""
    q, theirs = queue(m, kind, redeliver=True), queue(other, kind, redeliver=True)
    q.put(0)
    q.get()  # known as a consumer
    q.task_done()
    q.put(1)
    server.command("SAVE")
    assert q.get() == 1
    go_back(server, m)
    assert theirs.get(timeout=SECONDS) == 1
    with pytest.raises(LeaseLost):
        q.task_done()
    joining = Call(q.join)
    theirs.task_done()
    joining.outcome(SECONDS)
    assert q.statistics().unfinished == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_was_acknowledged_does_not_come_again(
    server: Server,
    m: RedisManager,
    other: RedisManager,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    q, theirs = queue(m, kind), queue(other, kind)
    monkeypatch.setattr(PendingAcks, "flush", lambda self, age: None)
    q.put("x")
    q.put("y")
    first = q.get()
    server.command("SAVE")
    assert q.statistics().in_flight == 1
    second = q.get()  # acknowledges the first
    assert {first, second} == {"x", "y"}
    go_back(server, m)
    assert q.statistics().in_flight == 0
    assert theirs.get(timeout=SECONDS) == second
    with pytest.raises(Empty):
        theirs.get_nowait()


def test_a_batch_of_which_some_were_done(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    q, theirs = queue(m, redeliver=True), queue(other, redeliver=True)
    q.put_many(range(4))
    assert q.get_many(4) == [0, 1, 2, 3]
    q.task_done()
    server.command("SAVE")
    q.task_done()
    q.task_done()
    go_back(server, m)
    assert q.statistics().unfinished == 1
    q.task_done()
    Call(theirs.join).outcome(SECONDS)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_what_was_prefetched_comes_once(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    q, theirs = queue(m), queue(other)
    q.prefetch = 4
    q.put_many(range(5))
    server.command("SAVE")
    assert q.get() == 0  # and has the others, as this server does not know
    go_back(server, m)
    assert [theirs.get(timeout=SECONDS) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(Empty):
        q.get_nowait()


def test_an_item_that_had_been_given_back_is_not_lost(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """It was in a list of this process once, and went to another one, which has it no more."""
    q, theirs = queue(m, redeliver=True), queue(other, redeliver=True)
    q.put(1)
    assert q.get() == 1
    server.command("SAVE")
    consumer = q._consumer()
    [items] = consumer.unfinished._items.values()
    [(in_flight, _)] = items
    items.clear()
    consumer.quarantine(in_flight)
    assert theirs.get(timeout=SECONDS) == 1
    go_back(server, m)
    assert q.get(timeout=SECONDS) == 1
    q.task_done()
    assert q.statistics().unfinished == 0


def test_a_task_of_which_the_end_was_undone(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """Of a queue whose items come once: nobody else will call task_done() for it."""
    q, theirs = queue(m), queue(other)
    for number in range(3):
        q.put(number)
    assert q.get() == 0
    q.task_done()
    assert q.get() == 1
    acknowledged(q)
    server.command("SAVE")
    q.task_done()
    assert q.get() == 2
    q.task_done()
    go_back(server, m)
    assert q.statistics().unfinished == 1, "the item that is in the queue again"
    joining = Call(theirs.join)
    assert q.get() == 2
    q.task_done()
    joining.outcome(SECONDS)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_tasks_of_several_processes(server: Server, m: RedisManager, other: RedisManager) -> None:
    """One has finished since, and one has not."""
    q, theirs = queue(m), queue(other)
    q.put_many(range(4))
    assert q.get() == 0
    assert theirs.get() == 1
    acknowledged(q)
    server.command("SAVE")
    for _ in range(2):
        q.task_done()
        q.get()
    q.task_done()
    go_back(server, m, other)
    assert q.statistics().unfinished == 3, "theirs, and two that are in the queue again"
    theirs.task_done()
    joining = Call(theirs.join)
    for number in (2, 3):
        assert q.get() == number
        q.task_done()
    joining.outcome(SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_queue_that_was_deleted_and_created_again(
    server: Server, m: RedisManager, other: RedisManager, kind: str
) -> None:
    """What was done in the one before counts for nothing in this one."""
    q = queue(m, kind)
    for number in range(3):
        q.put(number)
        q.get()
        q.task_done()
    q.delete()
    theirs = queue(other, kind)
    theirs.put(1)
    theirs.put(2)
    assert {q.get(), q.get()} == {1, 2}
    q.task_done()
    acknowledged(q)
    server.command("SAVE")
    go_back(server, m)
    assert q.statistics().unfinished == 1
    joining = Call(theirs.join)
    q.task_done()
    joining.outcome(SECONDS)


def test_an_item_that_two_have_is_done_twice(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """Neither call is one too many."""
    q, theirs = queue(m), queue(other)
    q.put(0)
    q.get()
    q.task_done()
    q.put(1)
    acknowledged(q)
    server.command("SAVE")
    assert q.get() == 1
    go_back(server, m)
    assert theirs.get(timeout=SECONDS) == 1
    theirs.task_done()
    q.task_done()
    Call(q.join).outcome(SECONDS)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_the_size_is_kept(server: Server, m: RedisManager, other: RedisManager) -> None:
    """Room that was given is not given twice: items that were put since are gone, and what was
    acknowledged takes no room.
    """
    q, theirs = queue(m, maxsize=2, redeliver=True), queue(other, maxsize=2, redeliver=True)
    q.put(1)
    q.put(2)
    assert q.get() == 1
    server.command("SAVE")
    q.task_done()
    q.put(3)
    go_back(server, m)
    assert q.qsize() == 1
    q.put(4, timeout=SECONDS)
    with pytest.raises(Full):
        theirs.put_nowait(5)
    assert [theirs.get(timeout=SECONDS) for _ in range(2)] == [2, 4]


def test_an_item_with_a_proxy_releases_it_again(server: Server, m: RedisManager) -> None:
    q, inner = queue(m, redeliver=True), m.list(["x"])
    q.put(inner)
    taken = q.get()
    server.command("SAVE")
    q.task_done()
    key = q._handle.keys.refs
    go_back(server, m)
    assert list(taken) == ["x"]
    wait_until(
        lambda: not [f for f in server.command("HKEYS", key) if f.startswith(b"n:")], SECONDS
    )


@pytest.mark.parametrize("kind", KINDS)
def test_waits_go_on(server: Server, m: RedisManager, other: RedisManager, kind: str) -> None:
    """Whoever waited for an item, for room or for the end of all tasks waits on."""
    q, theirs = queue(m, kind, maxsize=1), queue(other, kind, maxsize=1)
    q.put(0)
    assert q.get() == 0
    acknowledged(q)
    server.command("SAVE")
    getting, joining = Call(lambda: theirs.get(timeout=3 * SECONDS)), Call(theirs.join)
    wait_until(lambda: len(blocked(server)) == 2, SECONDS)
    go_back(server, m, other)
    q.put(1)
    assert getting.outcome(SECONDS) == 1
    assert joining.is_alive()
    q.task_done()
    theirs.task_done()
    joining.outcome(SECONDS)
    q.put(2)
    server.command("SAVE")
    putting = Call(lambda: theirs.put(3, timeout=3 * SECONDS))
    wait_until(lambda: len(blocked(server)) == 1, SECONDS)
    go_back(server, m, other)
    assert q.get(timeout=SECONDS) == 2
    putting.outcome(SECONDS)
    assert q.get(timeout=SECONDS) == 3


def blocked(server: Server) -> list[dict[str, str]]:
    return [client for client in server.clients() if "b" in client["flags"]]
