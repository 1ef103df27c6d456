"""The fate of an item whose consumer exits, is killed or suspended, or loses the server."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest

from multihost import LeaseLost, ObjectGone, RedisManager
from multihost.wire.ops.queue import receive_list, tasks
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.session import heartbeat
from multihost.wire.session.session import RESERVE
from tests.support.leaks import AnyServer
from tests.support.procs import kill9, send_signal
from tests.support.server import Server
from tests.support.sessions import expirations
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")

SECONDS = PATIENCE
LONG, SHORT = 10 * PATIENCE, 0.6
"""Leases. Nobody is patient enough for a long one, so what comes soon came by other evidence. A
short one has only who is to be taken for dead.
"""
KINDS = ("Queue", "JoinableQueue", "LifoQueue", "PriorityQueue")


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=LONG) as manager:
        yield manager


@pytest.fixture
def other(url: str) -> Iterator[RedisManager]:
    """Another session in this process: for the server, another process."""
    with RedisManager(url) as manager:
        yield manager


def get_and_end(q: Any, count: int, way: str, pipe: Any, prefetch: int = 0) -> None:
    """Get so many items, report them, and end in one way or another."""
    q.prefetch = prefetch
    items = [q.get(timeout=SECONDS) for _ in range(count)]
    if way == "acknowledged":
        wait_until(lambda: not q.statistics().in_flight)
    pipe.send(items)
    if way == "exit":
        return
    signal.pause()


class ConsumerProcess:
    """A process that gets items."""

    def __init__(self, q: Any, count: int, way: str, prefetch: int = 0) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self.process = fork.Process(target=get_and_end, args=(q, count, way, theirs, prefetch))
        self.process.start()
        theirs.close()
        assert self._ours.poll(SECONDS)
        self.items = self._ours.recv()

    def end(self, way: str) -> None:
        if way == "exit":
            self.process.join(SECONDS)
            assert self.process.exitcode == 0
        else:
            kill9(self.process)
        self.process.close()
        self._ours.close()


@pytest.mark.parametrize("way", ["killed", "exit"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_was_not_done_is_delivered_again(kind: str, way: str, m: RedisManager) -> None:
    q = getattr(m, kind)("x", redeliver=True)
    q.put_many([1, 2, 3])
    consumer = ConsumerProcess(q, 2, way)
    assert q.qsize() == 1 or way == "exit"
    consumer.end(way)
    rest = []
    for _ in range(3):
        item = q.get(timeout=SECONDS)
        rest.append((item, q.deliveries))
        q.task_done()
    again = {(item, 2) for item in consumer.items}
    last = (1, 1) if kind == "LifoQueue" else (3, 1)
    if way == "exit":  # then they were requeued before the next get
        order = [3, 2, 1] if kind == "LifoQueue" else [1, 2, 3]
        assert [item for item, _ in rest] == order, "they are requeued in their order"
    assert set(rest) == again | {last}
    q.join()


def test_a_waiter_gets_the_item_of_a_killed_consumer(m: RedisManager) -> None:
    q = m.JoinableQueue("x", redeliver=True)
    q.put("a")
    consumer = ConsumerProcess(q, 1, "killed")
    with pytest.raises(Empty):
        q.get(timeout=0.5)
    consumer.end("killed")
    assert q.get() == "a"
    assert q.deliveries == 2
    q.task_done()


def test_join_waits_for_an_item_that_is_delivered_again(m: RedisManager) -> None:
    q = m.JoinableQueue("x", redeliver=True)
    q.put("a")
    consumer = ConsumerProcess(q, 1, "killed")
    consumer.end("killed")

    with run_all_in_thread(q.join) as joined:
        assert q.get(timeout=SECONDS) == "a"
        assert not joined
        q.task_done()
        wait_until(lambda: joined)


class run_all_in_thread:
    """Call it in a thread; a list that is filled when it has returned."""

    def __init__(self, act: Any) -> None:
        import threading

        self.done: list[bool] = []
        self._thread = threading.Thread(target=lambda: self.done.append(act() is None))

    def __enter__(self) -> list[bool]:
        self._thread.start()
        return self.done

    def __exit__(self, *exc: object) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_is_never_done_becomes_a_dead_letter(
    kind: str, url: str, m: RedisManager
) -> None:
    q = getattr(m, kind)("x", redeliver=True, max_deliveries=2)
    q.put_many([1, 2])
    for delivery in (1, 2):
        with RedisManager(url) as leaves:
            theirs = getattr(leaves, kind)("x")
            assert theirs.get_many(2) == ([2, 1] if kind == "LifoQueue" else [1, 2])
            assert theirs.deliveries == delivery
    assert q.empty()
    assert sorted(q.dead_letters()) == [1, 2]
    assert q.statistics().dead_letters == 2
    q.join()  # they are not unfinished any more
    assert q.requeue_dead_letters() == 2
    assert (q.qsize(), q.dead_letters(), q.statistics().unfinished) == (2, [], 2)
    assert q.get() in (1, 2)
    assert q.deliveries == 1, "as if it were new"
    q.task_done()
    with RedisManager(url) as leaves:
        for _ in range(2):
            theirs = getattr(leaves, kind)("x")
    assert q.requeue_dead_letters() == 0


def test_dead_letters_can_be_purged(url: str, m: RedisManager) -> None:
    q = m.Queue("x", redeliver=True, max_deliveries=1)
    q.put_many([m.list([1]), "b"])
    with RedisManager(url) as leaves:
        leaves.Queue("x").get_many(2)
    first, second = q.dead_letters()
    assert (first.copy(), second) == ([1], "b")
    assert q.purge_dead_letters() == 2
    assert q.dead_letters() == []
    assert q.purge_dead_letters() == 0


def test_a_suspended_consumer_loses_its_items(server: AnyServer) -> None:
    with (
        RedisManager(server.url, lease=SHORT) as suspended,
        RedisManager(server.url, lease=LONG) as m,
    ):
        theirs, q = suspended.Queue("x", redeliver=True), m.Queue("x")
        theirs.put("a")
        assert theirs.get() == "a"
        # For the server it is suspended: its session is not renewed.
        registration = suspended.runtime.session.registration
        heartbeat = registration.heartbeat
        registration.heartbeat = lambda _: []  # type: ignore[method-assign]
        assert q.get(timeout=SECONDS) == "a"
        assert q.deliveries == 2
        registration.heartbeat = heartbeat  # type: ignore[method-assign]
        wait_until(lambda: expirations(suspended.runtime.session))
        with pytest.raises(LeaseLost, match="x"):
            theirs.task_done()
        q.task_done()
        q.join()
        theirs.put("b")
        assert theirs.get() == "b"
        theirs.task_done()


def test_task_done_needs_an_item_of_this_process(m: RedisManager, other: RedisManager) -> None:
    q, theirs = m.Queue("x", redeliver=True), other.Queue("x")
    q.put(1)
    theirs.get()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    theirs.task_done()
    with pytest.raises(ValueError, match="too many times"):
        theirs.task_done()


def test_task_done_counts_the_oldest_item_of_the_thread_first(url: str, m: RedisManager) -> None:
    q = m.Queue("x", redeliver=True)
    q.put_many([1, 2, 3])
    with RedisManager(url) as leaves:
        theirs = leaves.Queue("x")
        assert [theirs.get() for _ in range(3)] == [1, 2, 3]
        with run_all_in_thread(theirs.task_done):
            pass  # a thread without items counts the oldest of another one
        theirs.task_done()
    assert q.get(timeout=SECONDS) == 3


def test_an_interrupted_task_done_may_be_repeated(
    url: str, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = m.Queue("x", redeliver=True)
    q.put_many([1, 2])
    with RedisManager(url) as leaves:
        theirs = leaves.Queue("x")
        assert [theirs.get(), theirs.get()] == [1, 2]
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(tasks, "run_to_completion", interrupt)
            theirs.task_done()
        theirs.task_done()  # the same item
    assert q.get_many(9) == [2]


# -- a plain queue


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_a_plain_queue_delivered_is_lost_with_its_consumer(
    kind: str, m: RedisManager
) -> None:
    q = getattr(m, kind)("x")
    q.put_many([1, 2, 3])
    consumer = ConsumerProcess(q, 1, "acknowledged")
    consumer.end("killed")
    assert sorted([*consumer.items, q.get(), q.get()]) == [1, 2, 3]
    with pytest.raises(Empty):
        q.get(timeout=2.0)


def test_an_item_is_acknowledged_without_another_get(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x")
    q.put_many(range(5))
    q.get()
    wait_until(lambda: not q.statistics().in_flight)  # sooner than with the next heartbeat
    assert not server.keys("*:inflight:*")


def test_prefetched_items_of_a_killed_consumer_are_requeued(m: RedisManager) -> None:
    q = m.Queue("x")
    q.put_many(range(6))
    consumer = ConsumerProcess(q, 2, "alive", prefetch=3)
    assert consumer.items == [0, 1]
    wait_until(lambda: q.statistics().in_flight == 2)
    consumer.end("killed")
    assert sorted(q.get(timeout=SECONDS) for _ in range(4)) == [2, 3, 4, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_waiter_takes_no_item(kind: str, m: RedisManager, server: Any) -> None:
    q = getattr(m, kind)("x")
    waiters = [fork.Process(target=q.get) for _ in range(3)]
    for waiter in waiters:
        waiter.start()

    def waiting() -> int:
        return sum("b" in row["flags"] for row in server.clients())

    wait_until(lambda: waiting() == 3)
    for waiter in waiters:
        kill9(waiter)
    q.put(1)
    assert q.get(timeout=SECONDS) == 1


def test_the_item_of_a_stopped_waiter_is_requeued(server: AnyServer) -> None:
    """It is stopped in the middle of a wait, for longer than its lease."""
    with (
        RedisManager(server.url, lease=LONG) as m,
        RedisManager(server.url, lease=SHORT) as stopped,
    ):
        q, of_waiter = m.Queue("x"), stopped.Queue("x")
        ours, theirs = multiprocessing.Pipe()
        waiter = fork.Process(target=lambda: theirs.send(of_waiter.get()))
        waiter.start()
        wait_until(lambda: sum("b" in row["flags"] for row in server.clients()) == 1)
        assert send_signal(waiter, signal.SIGSTOP)
        q.put("a")
        assert q.get(timeout=SECONDS) == "a"
        q.put("b")
        assert send_signal(waiter, signal.SIGCONT)
        assert ours.poll(SECONDS)
        assert ours.recv() == "b", "not the one that another got"
        waiter.join(SECONDS)
        waiter.close()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_before_ownership_is_certain_requeues_the_item(
    kind: str, many: bool, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it asks whether the item is still its own."""
    q = getattr(m, kind)("x")
    q.put_many([1, 1])
    q.get()
    with monkeypatch.context() as patch:

        def is_unexpired(consumer: Consumer, expirations: int) -> bool:
            patch.setattr(type(m.runtime.session), "ensure_registered", interrupt)
            return False

        patch.setattr(Consumer, "is_unexpired", is_unexpired)
        with pytest.raises(KeyboardInterrupt):
            q.get_many(2) if many else q.get()
    assert q.get(timeout=SECONDS) == 1
    with pytest.raises(Empty):
        q.get(timeout=0.02)


def test_an_interrupt_while_putters_are_notified_requeues_the_item(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = m.Queue("x", 2)
    q.put_many([1, 2])
    assert q.get() == 1
    server.command("HSET", q._handle.keys.data, "w", 1)  # as if a putter waited
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(receive_list._notify_putters, "run_idempotent", interrupt)
        q.get()
    server.command("HDEL", q._handle.keys.data, "w")
    assert q.get(timeout=SECONDS) == 2


# -- the lease of an unnamed queue


def test_an_unnamed_queue_leaves_nothing_behind(fresh_server: Server) -> None:
    m = RedisManager(fresh_server.url, lease=LONG)
    q = m.Queue(redeliver=True, max_deliveries=1)
    q.put_many(range(5))
    q.get()
    m.runtime.session.close_now()  # as if this process were killed
    keys = fresh_server.keys("*u:*")
    assert keys
    assert all(fresh_server.command("PTTL", key) > 0 for key in keys), "all expires"


@pytest.mark.parametrize("is_contained", [False, True])
def test_prefetched_items_live_as_long_as_their_queue(
    is_contained: bool, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", 300)
    with RedisManager(server.url, lease=PATIENCE) as m:
        q, owner = m.Queue(), m.dict("owner")
        if is_contained:
            owner["q"] = q
        q.prefetch = 2
        q.put_many([1, 2, 3])
        assert q.get() == 1
        [place] = server.keys("*:inflight:*")
        left = server.command("PTTL", place)
        is_done = is_contained and left == -1  # what follows, already
        assert is_done or 0 < left <= (PATIENCE + RESERVE) * 1000, "not a day"
        if is_contained:
            wait_until(
                lambda: server.command("PTTL", place) == -1, SECONDS, "no lease, as the queue"
            )
        assert q.get_many(2) == [2, 3]


@pytest.mark.parametrize("redeliver", [False, True])
def test_items_come_back_though_the_queue_is_never_empty(
    redeliver: bool, url: str, m: RedisManager
) -> None:
    """Who gets items, and never waits, has the queue checked as well."""
    q = m.Queue("x", redeliver=redeliver)
    q.put_many(range(500))
    consumer = ConsumerProcess(q, 1, "killed", 0 if redeliver else 3)
    lost = {0} if redeliver else {1, 2, 3}
    consumer.end("killed")
    while lost:
        lost.discard(q.get_nowait())
        q.put(1000)
        q.task_done()


def test_items_in_flight_live_as_long_as_their_queue(server: AnyServer) -> None:
    with RedisManager(server.url, lease=LONG) as m:
        q = m.Queue(redeliver=True)
        q.put_many([1, 2])
        assert q.get() == 1
        keys = [key for key in server.keys("*u:*") if b":r:" not in key]
        assert any(b":inflight:" in key for key in keys)
        soon = round(1000 * PATIENCE)
        server.commands(*(("PEXPIRE", key, soon) for key in keys))
        m.runtime.session.references.renew()
        assert min(server.commands(*(("PTTL", key) for key in keys))) > soon
        assert q.statistics().in_flight == 1
        q.task_done()
        assert q.get() == 2
        q.task_done()
        q.join()


def test_a_queue_in_a_named_container_has_no_lease(server: AnyServer) -> None:
    with RedisManager(server.url) as m:
        d = m.dict("d")
        q = m.Queue(redeliver=True)
        q.put_many([1, 2])
        assert q.get() == 1
        d["q"] = q
        for key in server.keys("*u:*"):
            if b":r:" not in key:
                assert server.command("PTTL", key) == -1, key
        q.task_done()
        assert q.get() == 2
        q.task_done()
        d.clear()


# -- a server that comes back


def test_a_restart_of_the_server_loses_no_item(start_server: Any) -> None:
    server = start_server(appendonly="yes", appendfsync="always", tcp=True)
    with RedisManager(server.url) as m:
        q, again = m.Queue("q", 2), m.JoinableQueue("again", redeliver=True)
        q.put_many([1, 2])
        again.put_many(["a", "b"])
        assert again.get() == "a"
        server.restart(empty=False)
        assert q.get() == 1
        q.put(3)
        assert q.get_many(5) == [2, 3]
        again.task_done()
        assert again.get() == "b"
        again.task_done()
        again.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_lost_its_data(kind: str, start_server: Any) -> None:
    server = start_server(tcp=True)
    with RedisManager(server.url) as m:
        q = getattr(m, kind)("q", 1)
        q.put(1)
        assert q.get() == 1
        server.restart()
        for act in (q.get, q.get_nowait, lambda: q.put(1), q.qsize, q.join, q.task_done):
            with pytest.raises(ObjectGone):
                act()
        again = getattr(m, kind)("q", 1)
        again.put(2)
        assert q.get() == 2
