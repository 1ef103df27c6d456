"""Waiting threads, barriers, conditions and events at a server that goes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from threading import BrokenBarrierError
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.ops import barrier as ops
from multihost.wire.session.presence import Presence
from tests.faults.calls import Call
from tests.faults.test_step_back import SECONDS, go_back
from tests.support.server import Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.leaks_ok("the server was killed with its connections")


@pytest.fixture
def server(going_back: Server) -> Server:
    return going_back


@pytest.fixture
def m(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.tcp_url, timeout=SECONDS) as manager:
        with manager.Lock("known"):  # the server knows its session
            pass
        yield manager


@pytest.fixture
def other(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.url, timeout=SECONDS) as manager:
        with manager.Lock("known"):
            pass
        yield manager


def blocked(server: Server, count: int) -> None:
    """Wait until so many threads are blocked at the server."""
    wait_until(lambda: sum("b" in each["flags"] for each in server.clients()) == count, SECONDS)


def waiting(call: Callable[[], object], server: Server, count: int = 1) -> Call:
    made = Call(call)
    blocked(server, count)
    return made


def do_nothing() -> None:
    pass


def meet(*barriers: object) -> None:
    """All of them pass: the sessions of these are known in the partition of the barrier."""
    calls = [Call(barrier.wait) for barrier in barriers]  # type: ignore[attr-defined]
    assert sorted(call.outcome(SECONDS) for call in calls) == list(range(len(barriers)))


# barriers


def test_an_arrival_that_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """The party arrives again, without a word, and the positions are distinct."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    server.command("SAVE")
    call = waiting(mine.wait, server)
    go_back(server, m)
    wait_until(lambda: theirs.n_waiting == 1, SECONDS)
    assert theirs.wait(timeout=SECONDS) == 1
    assert call.outcome(SECONDS) == 0
    meet(mine, theirs)


def go_back_and_arrive_first(
    server: Server, m: RedisManager, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> list[Call]:
    """Let the server go back, and another party arrive there before this session settles; return
    its call.
    """
    late: list[Call] = []
    settle = m.runtime.session.settling.settle

    def slowly(presence: Presence, lapsed: int) -> None:
        if not late:
            late.append(Call(theirs.wait))
        wait_until(lambda: server.command("HGET", theirs._handle.keys.data, "c") == b"1", SECONDS)
        settle(presence, lapsed)

    monkeypatch.setattr(m.runtime.session.settling, "settle", slowly)
    go_back(server, m)
    return late


def test_an_arrival_that_was_undone_and_is_the_last_one(
    server: Server, m: RedisManager, other: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have arrived at the new server before the session settles."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    server.command("SAVE")
    call = waiting(mine.wait, server)
    late = go_back_and_arrive_first(server, m, theirs, monkeypatch)
    assert sorted([call.outcome(SECONDS), late[0].outcome(SECONDS)]) == [0, 1]
    meet(mine, theirs)


def test_a_passage_that_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """Nobody is counted who has left: the next two wait for each other."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    call = waiting(mine.wait, server)
    server.command("SAVE")
    assert theirs.wait(timeout=SECONDS) == 1
    assert call.outcome(SECONDS) == 0
    go_back(server, m, other)
    assert theirs.n_waiting == 0
    call = waiting(theirs.wait, server)
    assert call.is_alive(), "alone"
    assert mine.wait(timeout=SECONDS) == 1
    assert call.outcome(SECONDS) == 0


def test_who_comes_new_is_not_let_pass_by_those_that_passed(
    server: Server, m: RedisManager, other: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrived at a generation that had ended: that is an error, and not a meeting."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    server.command("SAVE")
    meet(mine, theirs)
    may_settle = threading.Event()
    for settling in (m.runtime.session.settling, other.runtime.session.settling):

        def when_it_may(
            presence: Presence,
            lapsed: int,
            settle: Callable[[Presence, int], None] = settling.settle,
        ) -> None:
            assert may_settle.wait(SECONDS)
            settle(presence, lapsed)

        monkeypatch.setattr(settling, "settle", when_it_may)
    with RedisManager(server.url, timeout=SECONDS) as manager:
        new = manager.Barrier("b", 2)
        server.go_back()
        newcomer = waiting(new.wait, server)
        may_settle.set()
        with pytest.raises(BrokenBarrierError):
            newcomer.outcome(SECONDS)
    assert not mine.broken


def test_who_was_forgotten_does_not_pass_with_others(
    server: Server, m: RedisManager, other: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two others have met in the generation for which it waits, before its session has settled, and
    one of them has not heard of it yet: both pass, and it does not.
    """
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    server.command("SAVE")
    call = waiting(mine.wait, server)
    may_settle = threading.Event()
    settling = m.runtime.session.settling
    settle = settling.settle

    def when_it_may(presence: Presence, lapsed: int) -> None:
        assert may_settle.wait(SECONDS)
        settle(presence, lapsed)

    monkeypatch.setattr(settling, "settle", when_it_may)
    with RedisManager(server.url, timeout=SECONDS) as manager:
        server.go_back()
        arrival = ops.arrive(theirs._handle)
        assert arrival is not None
        assert manager.Barrier("b", 2).wait(timeout=SECONDS) == 1
        may_settle.set()
        with pytest.raises(BrokenBarrierError):
            call.outcome(SECONDS)
        assert ops.wait_for_others(theirs._handle, arrival, SECONDS)
    assert not mine.broken
    meet(mine, theirs)


def test_a_break_that_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """It stays broken, and nobody waits for the one that left."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    call = waiting(lambda: mine.wait(timeout=SECONDS), server)
    server.command("SAVE")
    theirs.abort()
    with pytest.raises(BrokenBarrierError):
        call.outcome(SECONDS)
    go_back(server, m)
    assert theirs.broken
    theirs.reset()
    meet(mine, theirs)


def test_an_action_whose_begin_was_undone(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """The party that runs it goes on, and the others pass behind it."""
    mine, theirs = m.Barrier("b", 2, action=do_nothing), other.Barrier("b", 2)
    meet(mine, theirs)
    call = waiting(mine.wait, server)
    server.command("SAVE")
    arrival = ops.arrive(theirs._handle)
    assert arrival is not None
    assert arrival.role == b"act"
    go_back(server, m, other)
    assert call.is_alive()
    assert ops.finish_action(theirs._handle, arrival)
    assert call.outcome(SECONDS) == 0
    meet(mine, theirs)


def test_an_action_that_nobody_would_run_breaks_the_barrier(
    server: Server, m: RedisManager, other: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = m.Barrier("b", 2, action=do_nothing), other.Barrier("b", 2)
    meet(mine, theirs)
    server.command("SAVE")
    call = waiting(mine.wait, server)
    late = go_back_and_arrive_first(server, m, theirs, monkeypatch)
    for each in (call, *late):
        with pytest.raises(BrokenBarrierError):
            each.outcome(SECONDS)


def test_a_party_that_gives_up_and_was_forgotten(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """It breaks the barrier, as it would have."""
    mine, theirs = m.Barrier("b", 2), other.Barrier("b", 2)
    meet(mine, theirs)
    arrival = ops.arrive(mine._handle)
    assert arrival is not None
    server.command("HDEL", mine._handle.keys.data, b"q:" + arrival.waiter)
    server.command("HSET", mine._handle.keys.data, "c", 0)
    call = waiting(theirs.wait, server)
    assert not ops.abort(mine._handle, arrival)
    with pytest.raises(BrokenBarrierError):
        call.outcome(SECONDS)


# conditions


def notified(condition: object, timeout: float = 3 * SECONDS) -> bool:
    with condition:  # type: ignore[attr-defined]
        return condition.wait(timeout)  # type: ignore[attr-defined,no-any-return]


def notify(condition: object, count: int = 1) -> None:
    with condition:  # type: ignore[attr-defined]
        condition.notify(count)  # type: ignore[attr-defined]


def warm_up(server: Server, condition: object) -> None:
    """A wait that is over: the session is known in the partition."""
    call = waiting(lambda: notified(condition), server)
    notify(condition)
    assert call.outcome(SECONDS)


def test_a_waiter_that_was_forgotten(server: Server, m: RedisManager, other: RedisManager) -> None:
    mine, theirs = m.Condition("c"), other.Condition("c")
    warm_up(server, mine)
    server.command("SAVE")
    call = waiting(lambda: notified(mine), server)
    go_back(server, m)
    blocked(server, 1)
    notify(theirs)
    assert call.outcome(SECONDS)


def test_a_waiter_of_a_generation_that_was_forgotten(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    mine, theirs = m.Condition("c"), other.Condition("c")
    warm_up(server, mine)
    server.command("SAVE")
    for _ in range(3):  # notified and not claimed: who comes then belongs to the next generation
        server.command("HINCRBY", mine._handle.keys.data, "g", 1)
    call = waiting(lambda: notified(mine), server)
    go_back(server, m)
    blocked(server, 1)
    notify(theirs)
    assert call.outcome(SECONDS)


def test_a_wait_whose_end_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """The next notification is for those that wait, and not for one that has left."""
    mine, theirs = m.Condition("c"), other.Condition("c")
    warm_up(server, mine)
    warm_up(server, theirs)
    call = waiting(lambda: notified(mine), server)
    server.command("SAVE")
    notify(theirs)
    assert call.outcome(SECONDS)
    # Of an earlier generation, which is notified first.
    server.command("HINCRBY", mine._handle.keys.data, "g", 1)
    go_back(server, m)
    assert mine.statistics().waiters == 0
    call = waiting(lambda: notified(theirs), server)
    notify(mine)
    assert call.outcome(SECONDS)


# events


def test_an_event_whose_reset_was_undone(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    """A wait does not end because a number is another one: nobody has set the event since."""
    mine, theirs = m.Event("e"), other.Event("e")
    server.command("SAVE")
    theirs.set()
    theirs.clear()
    call = waiting(mine.wait, server)
    server.go_back()
    blocked(server, 1)
    assert call.is_alive()
    assert not theirs.is_set()
    theirs.set()
    theirs.clear()
    assert call.outcome(SECONDS)


def test_a_wait_for_an_event_goes_on(server: Server, m: RedisManager, other: RedisManager) -> None:
    mine, theirs = m.Event("e"), other.Event("e")
    server.command("SAVE")
    call = waiting(mine.wait, server)
    server.go_back()
    blocked(server, 1)
    theirs.set()
    assert call.outcome(SECONDS)


def test_event_numbers_are_not_used_again(server: Server, m: RedisManager) -> None:
    """Set and reset since as often as the server has forgotten."""
    event = m.Event("e")
    server.command("SAVE")
    event.set()
    before = server.command("HGET", event._handle.keys.data, "n")
    server.go_back()
    event.set()
    assert int(server.command("HGET", event._handle.keys.data, "n")) > int(before)


# locks and semaphores: others in front of a waiter are gone, or come again


def test_waiters_for_locks_and_permits(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    lock, permits = m.Lock("x"), m.BoundedSemaphore("y", 1)
    assert lock.acquire()
    assert permits.acquire()
    server.command("SAVE")
    theirs, theirs_too = other.Lock("x"), other.BoundedSemaphore("y", 1)
    waits = waiting(lambda: theirs.acquire(timeout=3 * SECONDS), server)
    waits_too = waiting(lambda: theirs_too.acquire(timeout=3 * SECONDS), server, 2)
    go_back(server, m, other)
    blocked(server, 2)
    lock.release()
    permits.release()
    assert waits.outcome(SECONDS)
    assert waits_too.outcome(SECONDS)
