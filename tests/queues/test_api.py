"""Names, parameters, batches, order and statistics of queues."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full
from typing import Any
from unittest.mock import Mock

import pytest

import multihost
from multihost import Manager, ObjectGone, RedisManager, ShutDown
from multihost.managers import QueueStatistics
from multihost.wire import wait
from multihost.wire.ops.queue import quarantine, receive_list
from multihost.wire.script import Script
from tests.lifetimes.keys import is_leased
from tests.support.leaks import AnyServer
from tests.support.server import Server
from tests.support.slow import SlowLink
from tests.support.waiting import PATIENCE, wait_until

KINDS = ("Queue", "JoinableQueue", "LifoQueue", "PriorityQueue")
ALL = (*KINDS, "SimpleQueue")
SECONDS = PATIENCE


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def other(url: str) -> Iterator[RedisManager]:
    """Another session in this process: for the server, another process."""
    with RedisManager(url) as manager:
        yield manager


def in_thread(act: Callable[[], Any]) -> list[Any]:
    """Call it in another thread; return a list that gets its result, or the type it raises."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(act())
        except Exception as error:
            result.append(type(error))

    threading.Thread(target=run, daemon=True).start()
    return result


@pytest.fixture
def long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits does so in one block: the next one would begin at the end of the line."""
    for module in (wait, receive_list):
        for constant in ("MAX_BLOCK", "FIRST_BLOCK"):
            monkeypatch.setattr(module, constant, 10 * PATIENCE)


def await_blocked(server: AnyServer, count: int) -> None:
    """Wait until so many connections are blocked."""
    wait_until(
        lambda: sum("b" in row["flags"] for row in server.clients()) >= count, SECONDS, "blocked"
    )


# -- names and parameters


@pytest.mark.parametrize("kind", ALL)
def test_a_name_finds_the_same_queue(kind: str, m: RedisManager, other: RedisManager) -> None:
    first, second = getattr(m, kind)("x"), getattr(other, kind)("x")
    first.put(1)
    assert second.get() == 1
    assert second.name == "x"
    assert m.names() == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_explicit_parameters_must_be_those_of_the_queue(
    kind: str, m: RedisManager, other: RedisManager
) -> None:
    getattr(m, kind)("x", 3)
    assert getattr(other, kind)("x").maxsize == 3
    assert getattr(other, kind)("x", 3).maxsize == 3
    assert getattr(other, kind)("x", maxsize=3).maxsize == 3
    with pytest.raises(ValueError, match="'x' is a .* with maxsize 3, not 4"):
        getattr(other, kind)("x", 4)
    with pytest.raises(ValueError, match="deliveries"):
        getattr(other, kind)("x", redeliver=True)
    with pytest.raises(TypeError, match="is a"):
        other.SimpleQueue("x")


def test_the_maximum_of_deliveries_belongs_to_the_queue(
    m: RedisManager, other: RedisManager
) -> None:
    m.Queue("x", redeliver=True, max_deliveries=2)
    assert other.Queue("x")._settings.max_deliveries == 2
    with pytest.raises(ValueError, match="deliveries"):
        other.Queue("x", redeliver=False)
    with pytest.raises(ValueError, match="deliveries"):
        other.Queue("x", redeliver=True)


@pytest.mark.parametrize(
    "options", [{"max_deliveries": 2}, {"redeliver": True, "max_deliveries": 0}]
)
def test_max_deliveries_needs_redelivery_and_is_positive(
    options: dict[str, Any], m: RedisManager
) -> None:
    with pytest.raises(ValueError, match="max_deliveries"):
        m.Queue("x", **options)
    assert m.names() == []


@pytest.mark.parametrize("kind", ALL)
def test_a_leading_str_is_a_name_for_every_manager(kind: str) -> None:
    with Manager() as manager:
        assert getattr(manager, kind)("x").name == "x"
        assert getattr(manager, kind)().name is None


@pytest.mark.parametrize("kind", KINDS)
def test_statistics(kind: str, m: RedisManager) -> None:
    q = getattr(m, kind)("x", 9, redeliver=True)
    q.put_many([1, 2, 3])
    q.get()
    assert q.statistics() == QueueStatistics(kind, "x", 2, 9, 3, 1, 0, 0, False)
    q.task_done()
    q.shutdown()
    assert q.statistics() == QueueStatistics(kind, "x", 2, 9, 2, 0, 0, 0, True)


# -- batches


@pytest.mark.parametrize("kind", KINDS)
def test_batches_keep_the_order(kind: str, m: RedisManager) -> None:
    q = getattr(m, kind)()
    q.put_many([])
    assert q.empty()
    q.put_many(range(5))
    order = [4, 3, 2, 1, 0] if kind == "LifoQueue" else [0, 1, 2, 3, 4]
    assert q.get_many(2) == order[:2]
    assert q.get() == order[2]
    assert q.get_many(10) == order[3:]
    with pytest.raises(Empty):
        q.get_many(2, False)
    with pytest.raises(Empty):
        q.get_many(2, timeout=0.01)


def test_large_batches(m: RedisManager) -> None:
    q = m.Queue("x")
    q.put_many(range(50_000))
    assert q.qsize() == 50_000
    assert q.get_many(30_000) == list(range(30_000))
    assert q.get_many(30_000) == list(range(30_000, 50_000))
    assert q.statistics().in_flight == 0 or wait_until(lambda: not q.statistics().in_flight)


def test_a_batch_is_put_as_a_whole(m: RedisManager) -> None:
    q = m.Queue("x", 3)
    q.put(0)
    with pytest.raises(Full):
        q.put_many([1, 2, 3], False)
    with pytest.raises(Full):
        q.put_many([1, 2, 3], timeout=0.02)
    assert q.qsize() == 1
    with pytest.raises(ValueError, match="4 items never find room"):
        q.put_many([1, 2, 3, 4])
    q.put_many([1, 2], False)
    put = in_thread(lambda: q.put_many([3, 4, 5]))
    got = [q.get(timeout=SECONDS) for _ in range(6)]
    assert got == [0, 1, 2, 3, 4, 5]
    assert wait_until(lambda: put) == [None]


def test_a_batch_waits_for_the_first_item_only(m: RedisManager, other: RedisManager) -> None:
    q, theirs = m.Queue("x"), other.Queue("x")
    got = in_thread(lambda: q.get_many(5, timeout=SECONDS))
    theirs.put_many([1, 2])
    assert wait_until(lambda: got) == [[1, 2]]


@pytest.mark.parametrize("n", [0, -1])
def test_get_many_takes_one_item_or_more(n: int, m: RedisManager) -> None:
    with pytest.raises(ValueError, match="get_many"):
        m.Queue().get_many(n)


# -- waiters


@pytest.mark.usefixtures("long_slices")
def test_waiting_consumers_are_served_in_order_of_arrival(
    m: RedisManager, server: AnyServer
) -> None:
    q = m.Queue("x")
    got = []
    for number in range(5):
        got.append(in_thread(lambda: q.get(timeout=SECONDS)))
        await_blocked(server, number + 1)
    for number in range(5):
        q.put(number)
        assert wait_until(lambda n=number: got[n]) == [number]


def test_waiting_producers_get_room_in_order_of_arrival(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x", 1)
    q.put(-1)
    put = []
    for number in range(5):
        put.append(in_thread(lambda n=number: q.put(n, timeout=SECONDS)))
        await_blocked(server, number + 1)
    for number in range(5):
        assert q.get() == number - 1
        assert wait_until(lambda n=number: put[n]) == [None]
        assert not any(put[number + 1 :]), "there is room for one"


def test_no_putter_overtakes_those_that_wait_for_room(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x", 1)
    q.put(0)
    first = in_thread(lambda: q.put(1, timeout=SECONDS))
    await_blocked(server, 1)
    second = in_thread(lambda: q.put(2, timeout=SECONDS))
    await_blocked(server, 2)
    assert [q.get(timeout=SECONDS) for _ in range(3)] == [0, 1, 2]
    assert wait_until(lambda: first and second) == [None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["delete", "shutdown"])
def test_all_waiting_consumers_are_woken_by_the_end(
    kind: str, end: str, m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    q = getattr(m, kind)("x", 1)
    getters = [in_thread(q.get) for _ in range(3)]
    await_blocked(server, 3)
    getattr(getattr(other, kind)("x"), end)()
    error = ObjectGone if end == "delete" else ShutDown
    assert wait_until(lambda: all(getters) and [getter[0] for getter in getters]) == [error] * 3
    for act in (q.get, q.get_nowait, lambda: q.put(1), lambda: q.put(1, timeout=1)):
        with pytest.raises(error):
            act()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["delete", "shutdown"])
def test_all_waiting_producers_are_woken_by_the_end(
    kind: str, end: str, m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    q = getattr(m, kind)("x", 1)
    q.put(0)
    putters = [in_thread(lambda: q.put(1)) for _ in range(3)]
    joiner = in_thread(q.join)
    await_blocked(server, 4)
    getattr(getattr(other, kind)("x"), end)()
    error = ObjectGone if end == "delete" else ShutDown
    assert wait_until(lambda: all(putters) and [putter[0] for putter in putters]) == [error] * 3
    if end == "shutdown":
        assert q.get() == 0
        assert not joiner
        q.task_done()
    assert wait_until(lambda: joiner) == [ObjectGone if end == "delete" else None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_with_in_flight_lists_is_told_of_a_deletion(
    kind: str, m: RedisManager, other: RedisManager
) -> None:
    q = getattr(m, kind)("x")
    q.put_many([1, 2])
    q.get()
    getattr(other, kind)("x").delete()
    for act in (q.get_nowait, q.get, lambda: q.get(timeout=1), lambda: q.get_many(2)):
        with pytest.raises(ObjectGone, match="x"):
            act()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue"])
def test_a_queue_has_one_end_marker(kind: str, m: RedisManager, server: AnyServer) -> None:
    q = getattr(m, kind)("x")
    q.put(1)
    q.shutdown()
    q.shutdown()
    items, place = q._handle.keys.items, q._handle.keys.in_flight(b"late.1")
    for script in (receive_list._pass_end_marker, quarantine._requeue):
        server.command("RPUSH", place, "")
        script.run_idempotent(q._handle, b"late.1", *[b"0"] * (script is quarantine._requeue))
        assert server.command("LLEN", items) == 2
    assert q.get() == 1
    with pytest.raises(ShutDown):
        q.get()
    q.shutdown(immediate=True)
    assert server.command("LLEN", items) == 1


# -- deleted, and created again


@pytest.mark.parametrize("kind", KINDS)
def test_a_consumer_registers_at_a_queue_that_was_created_again(
    kind: str, url: str, m: RedisManager, server: AnyServer
) -> None:
    """The new queue knows its in-flight lists."""
    with RedisManager(url) as leaves:
        theirs = getattr(leaves, kind)("x", redeliver=True)
        theirs.put(0)
        theirs.get()
        theirs.task_done()
        getattr(m, kind)("x").delete()
        q = getattr(m, kind)("x", redeliver=True)
        q.put_many([1, 1])
        assert theirs.get() == 1
        assert theirs.deliveries == 1
        assert q.statistics().in_flight == 1
        theirs.put(1)
        theirs.task_done()
        assert theirs.get_many(1) == [1]
        (place,) = server.keys("*:inflight:*")
        q.delete()
        assert not server.command("EXISTS", place)


@pytest.mark.parametrize(
    "script", [receive_list._pass_end_marker, quarantine._requeue], ids=lambda each: each.name
)
def test_the_end_marker_of_a_deleted_queue_does_not_end_the_next_one(
    script: Script, m: RedisManager, server: AnyServer
) -> None:
    m.Queue("x").delete()
    q = m.Queue("x")
    server.command("RPUSH", q._handle.keys.in_flight(b"late.1"), "")
    script.run_idempotent(q._handle, b"late.1", *[b"0"] * (script is quarantine._requeue))
    assert q.qsize() == 0
    q.put(1)
    assert q.get() == 1
    with pytest.raises(Empty):
        q.get_nowait()


@pytest.mark.parametrize(
    "script", [receive_list._pass_end_marker, quarantine._requeue], ids=lambda each: each.name
)
def test_an_end_marker_of_a_deleted_queue_is_handed_on(
    script: Script, m: RedisManager, server: AnyServer
) -> None:
    q = m.Queue("x")
    q.delete()
    keys = q._handle.keys
    server.command("UNLINK", keys.items)
    server.command("RPUSH", keys.in_flight(b"late.1"), "")
    with contextlib.suppress(ObjectGone):  # one of the two scripts returns it
        script.run_idempotent(q._handle, b"late.1", *[b"0"] * (script is quarantine._requeue))
    assert server.command("LRANGE", keys.items, "0", "-1") == [b""]
    assert 0 < server.command("PTTL", keys.items) <= 1000
    assert not server.command("EXISTS", keys.in_flight(b"late.1"))


def test_a_deleted_queue_forgets_its_consumers(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x")
    q.put_many([m.list([1]), m.list([2])])
    q.get()
    refs = q._handle.keys.refs
    assert any(field.startswith(b"f:") for field in server.command("HKEYS", refs))
    q.delete()
    assert not any(field.startswith(b"f:") for field in server.command("HKEYS", refs))


def test_a_timeout_is_exact(m: RedisManager) -> None:
    """Never early; and late by little, if only once: others may share the cores."""
    for kind in ALL:
        q = getattr(m, kind)()
        for seconds in (0.0, 0.003, 0.03, 0.12):
            late: list[float] = []
            while len(late) < 100 and min(late, default=1.0) >= 0.09:
                begun = time.monotonic()
                with pytest.raises(Empty):
                    q.get(timeout=seconds)
                late.append(time.monotonic() - begun - seconds)
            assert 0 <= min(late) < 0.09, (kind, seconds, late)


def test_a_wait_that_times_out_keeps_its_connection(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x")
    for _ in range(3):
        with pytest.raises(Empty):
            q.get(timeout=0.01)
    before = {row["id"] for row in server.clients()}
    for _ in range(20):
        with pytest.raises(Empty):
            q.get(timeout=0.01)
    assert {row["id"] for row in server.clients()} <= before


# -- shutting down


@pytest.mark.parametrize("kind", KINDS)
def test_items_can_be_got_after_a_shutdown(kind: str, m: RedisManager) -> None:
    q = getattr(m, kind)()
    q.put_many([1, 2, 3])
    q.shutdown()
    assert q.qsize() == 3
    assert sorted([q.get(), *q.get_many(9)]) == [1, 2, 3]
    assert q.qsize() == 0
    assert q.empty()
    for _ in range(2):
        with pytest.raises(ShutDown):
            q.get()
        with pytest.raises(ShutDown):
            q.get_many(2)
    q.shutdown()
    q.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        q.get_nowait()


def test_items_in_flight_are_unfinished_after_an_immediate_shutdown(m: RedisManager) -> None:
    q = m.Queue("x", redeliver=True)
    q.put_many([1, 2, 3])
    q.get()
    q.shutdown(immediate=True)
    assert q.statistics().unfinished == 1
    q.task_done()
    q.join()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", [[], [1, 2]])
@pytest.mark.parametrize("immediate", [False, True])
def test_a_queue_is_reopened(
    kind: str, left: list[int], immediate: bool, m: RedisManager, other: RedisManager
) -> None:
    q, theirs = getattr(m, kind)("x"), getattr(other, kind)("x")
    for _ in range(3):
        q.put_many(left)
        q.shutdown(immediate)
        with pytest.raises(ShutDown):
            theirs.put(3)
        theirs.reopen()
        theirs.reopen()
        assert not q.statistics().is_shut_down
        assert q.qsize() == (0 if immediate else len(left))
        q.put(3)
        expected = [3] if immediate else [*left, 3]
        assert sorted(theirs.get_many(9)) == expected
        with pytest.raises(Empty):
            theirs.get_nowait()
        for _ in expected:
            q.task_done()
        q.join()
    assert q.statistics().unfinished == 0


@pytest.mark.parametrize("kind", KINDS)
def test_who_waits_when_a_queue_is_shut_down_and_reopened(
    kind: str, m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    """They learn of the shutdown, or go on waiting: none waits for what does not come."""
    q, theirs = getattr(m, kind)("x"), getattr(other, kind)("x")
    for _ in range(5):
        waiting = [in_thread(theirs.get) for _ in range(3)]
        await_blocked(server, 3)
        q.shutdown()
        q.reopen()
        q.put_many(range(3))
        wait_until(lambda: all(waiting), SECONDS, "all have an item or know of the shutdown")
        got = [each[0] for each in waiting]
        rest = q.get_many(3) if ShutDown in got else []
        assert len([each for each in got if each is not ShutDown]) + len(rest) == 3
        for _ in range(3):
            q.task_done()


def test_a_deleted_queue_is_not_reopened(m: RedisManager) -> None:
    q = m.Queue("x")
    q.shutdown()
    q.delete()
    with pytest.raises(ObjectGone):
        q.reopen()


def test_the_exceptions_of_queues_are_at_hand() -> None:
    assert (multihost.Empty, multihost.Full) == (Empty, Full)


# -- items


def test_an_item_may_be_a_proxy(m: RedisManager, server: AnyServer) -> None:
    for kind in ("Queue", "LifoQueue", "SimpleQueue"):
        q = getattr(m, kind)(f"a {kind}")
        inner = m.list([1])
        keys = inner._handle.keys
        q.put({"it": inner})
        del inner
        assert server.command("PTTL", keys.data) == -1, "a named queue contains it"
        got = q.get()["it"]
        assert got.copy() == [1]
        wait_until(lambda keys=keys: is_leased(server, keys.ident), what="nothing contains it")


def test_proxies_in_batches(m: RedisManager) -> None:
    q = m.Queue("x")
    q.put_many([m.list([n]) for n in range(3)])
    assert [each.copy() for each in q.get_many(2)] == [[0], [1]]
    q.shutdown(immediate=True)
    assert q.statistics().size == 0


def test_a_pickled_proxy_is_the_same_queue(m: RedisManager) -> None:
    q = m.Queue(2, redeliver=True)
    again = pickle.loads(pickle.dumps(q))
    again.put(1)
    assert again.maxsize == 2
    assert q.get() == 1
    again.task_done()
    assert q.statistics().unfinished == 0


def test_many_threads_get_every_item_once(m: RedisManager) -> None:
    for kind in KINDS:
        q = getattr(m, kind)(20)
        with ThreadPoolExecutor(16) as pool:
            getters = [pool.submit(lambda q=q: [q.get() for _ in range(25)]) for _ in range(8)]
            for start in range(0, 200, 25):
                pool.submit(lambda q=q, s=start: [q.put(n) for n in range(s, s + 25)])
            assert sorted(n for getter in getters for n in getter.result()) == list(range(200))
        assert q.qsize() == 0


def test_who_finds_an_item_goes_the_short_way_however_far_the_server_is(
    fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fresh_server.url.removeprefix("unix://")
    with (
        SlowLink(path, 0.002) as link,
        RedisManager(link.url) as far,
        RedisManager(fresh_server.url) as near,
    ):
        long_way = Mock(wraps=far.runtime.session.link.exchange_blocking)
        monkeypatch.setattr(far.runtime.session.link, "exchange_blocking", long_way)
        for kind in ("Queue", "LifoQueue", "SimpleQueue"):
            theirs, q = getattr(far, kind)(kind), getattr(near, kind)(kind)
            waits = in_thread(theirs.get)
            wait_until(lambda: fresh_server.info("clients")["blocked_clients"] == "1")
            q.put("first")
            wait_until(lambda w=waits: w == ["first"])
            for n in range(20):
                q.put(n)
            long_way.reset_mock()
            assert sorted(theirs.get() for _ in range(20)) == list(range(20))
            assert long_way.call_count <= 4  # a thread has no in-flight lists at first


# -- prefetching


def test_prefetching_saves_round_trips(m: RedisManager, server: AnyServer) -> None:
    q = m.Queue("x")
    q.put_many(range(100))
    q.prefetch = 49
    q.get()
    before = server.calls()
    assert [q.get() for _ in range(99)] == list(range(1, 100))
    assert (server.calls() - before)["blmove"] <= 1
    wait_until(lambda: not q.statistics().in_flight)


def test_prefetched_items_are_requeued_at_exit(url: str, m: RedisManager) -> None:
    q = m.Queue("x")
    q.put_many(range(10))
    with RedisManager(url) as leaves:
        theirs = leaves.Queue("x")
        theirs.prefetch = 5
        assert [theirs.get(), theirs.get()] == [0, 1]
    assert q.get_many(20) == list(range(2, 10))


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_batch_begins_with_prefetched_items(kind: str, m: RedisManager) -> None:
    q = getattr(m, kind)("x")
    q.put_many([5, 4, 3, 2, 1, 0] if kind == "LifoQueue" else range(6))
    q.prefetch = 3
    assert q.get() == 0
    assert q.get_many(2) == [1, 2]
    assert q.get_many(9) == [3], "as many as are there without a round trip"
    assert q.get_many(9) == [4, 5]
    wait_until(lambda: not q.statistics().in_flight)


@pytest.mark.parametrize("redeliver", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_a_batch_may_come_from_several_in_flight_lists(
    redeliver: bool, linked: bool, m: RedisManager, server: AnyServer
) -> None:
    q = m.Queue("x", redeliver=redeliver)
    q.prefetch = 1
    getters = [in_thread(q.get), in_thread(q.get)]
    await_blocked(server, 2)
    q.put_many([m.list([n]) for n in range(4)] if linked else range(4))
    wait_until(lambda: all(getters))
    got = [getters[0][0], getters[1][0], *q.get_many(2)]
    if linked:
        got = [each.pop() for each in got]
    assert sorted(got) == [0, 1, 2, 3]
    if redeliver:
        for _ in range(4):
            q.task_done()
        q.join()
    wait_until(lambda: not q.statistics().in_flight)


def test_prefetch_is_not_negative(m: RedisManager) -> None:
    with pytest.raises(ValueError, match="prefetch"):
        m.Queue().prefetch = -1
