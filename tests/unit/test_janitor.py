"""When the janitor checks objects, whom it suspects, and what it repeats; the clock is a stub."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from multihost.errors import LinkLost, ObjectGone
from multihost.wire.keys import Keys
from multihost.wire.replies import ReplyError
from multihost.wire.session import janitor as module
from multihost.wire.session.janitor import (
    CHECK_INTERVAL,
    GRACE,
    LATE_REQUEST_WINDOW,
    LINGER,
    PRUNE,
    SHARE,
    Janitor,
)
from multihost.wire.session.registration import SessionInfo

RUN, OTHER_RUN = b"a" * 40, b"b" * 40
KEYS = Keys("ns", "n:x")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Registration:
    sid = b"me"
    server = RUN


class Reap:
    """Stands for a script that finds holders and waiters."""

    name = "lock/reap"

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.waiters = 1
        self.holders: dict[bytes, bytes] = {}
        self.is_deleted = False
        self.error: Exception | None = None

    def run_idempotent(self, subject: Any, previous: bytes, prune: bytes) -> Any:
        self.calls.append((previous, prune))
        if self.error is not None:
            raise self.error
        if self.is_deleted:
            return None
        found = b"found %d" % len(self.calls)
        flat = [each for pair in self.holders.items() for each in pair]
        return [self.waiters, found, *flat]


class Link:
    address = "a server"

    def __init__(self) -> None:
        self.connections: set[bytes] = set()
        self.listed: list[tuple[bytes, ...]] = []
        self.suspected: list[bytes] = []
        self.forbidden = False
        self.left: int | None = 400

    def execute_raw(self, *command: bytes) -> Any:
        if command[0] == b"EVALSHA":
            self.suspected.append(command[3])
            assert command[5] == b"%d" % (GRACE * 1000)
            return self.left
        self.listed.append(command)
        assert command[:3] == (b"CLIENT", b"LIST", b"ID")
        if self.forbidden:
            raise ReplyError("NOPERM")
        return b"".join(b"id=%b addr=\n" % c for c in command[3:] if c in self.connections)


class Room:
    """A janitor with stubs, and a clock that tests turn."""

    def __init__(self) -> None:
        self.clock, self.link, self.reap = Clock(), Link(), Reap()
        self.wakes = 0
        self.janitor = Janitor(self.link, Registration(), self._wake)  # type: ignore[arg-type]

    def _wake(self) -> None:
        self.wakes += 1

    def watch(self) -> Any:
        watched = self.janitor.watched(KEYS, self.reap)  # type: ignore[arg-type]
        watched.waiters.add(threading.get_ident())
        return watched

    def add_waiters(self, size: int) -> None:
        """Let so many processes wait."""
        connections = {b"%d" % number for number in range(size)}
        self.reap.waiters = size
        self.reap.holders = {b"s" + each: info(each) for each in connections}
        self.link.connections |= connections

    def run(self, seconds: float = 0.0) -> int:
        """Let time pass as for the background thread; return how often it checked."""
        before = len(self.reap.calls)
        until = self.clock.now + seconds
        while self.janitor.due <= until:
            self.clock.now = max(self.clock.now, self.janitor.due)
            self.janitor.run()
        self.clock.now = until
        return len(self.reap.calls) - before


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room()
    monkeypatch.setattr(module, "time", made.clock)
    monkeypatch.setattr(module, "_random", lambda: 0.5)
    return made


# -- checks


def test_nothing_is_due_at_first(room: Room) -> None:
    assert room.janitor.due == math.inf
    room.janitor.run()
    assert room.wakes == 0


def test_object_is_checked_while_a_thread_waits(room: Room) -> None:
    watched = room.watch()
    assert room.wakes == 1
    assert room.run(10 * CHECK_INTERVAL) in (9, 10)
    assert room.reap.calls[0] == (b"", b"1"), "the first check prunes"
    assert room.reap.calls[1] == (b"found 1", b"0"), "each gets what the last one found"
    watched.waiters.clear()
    assert room.run(10 * CHECK_INTERVAL) == 0
    assert room.janitor.due == math.inf
    assert not watched.listed


def test_one_check_of_some_prunes_dead_waiters(room: Room) -> None:
    room.watch()
    room.run(4 * PRUNE * CHECK_INTERVAL)
    pruning = [index for index, (_, prune) in enumerate(room.reap.calls) if prune == b"1"]
    assert pruning == [0, PRUNE, 2 * PRUNE, 3 * PRUNE]


def test_many_waiting_processes_check_less_often_each(room: Room) -> None:
    room.add_waiters(1000)
    room.watch()
    assert room.run(10 * CHECK_INTERVAL) == 1
    assert room.janitor.due > room.clock.now + 10
    room.reap.waiters = 2  # the others are served
    room.run(2 * SHARE * 1000)
    assert room.run(10 * CHECK_INTERVAL) in (9, 10, 11)


def test_many_threads_of_one_process_check_as_often_as_one(room: Room) -> None:
    room.reap.waiters = 1000
    room.watch()
    assert room.run(10 * CHECK_INTERVAL) in (9, 10)


def test_dead_waiters_do_not_make_the_living_check_less_often(room: Room) -> None:
    room.add_waiters(1000)
    room.link.connections.clear()
    room.reap.holders[b"alive"] = info(b"7777")
    room.link.connections.add(b"7777")
    room.watch()
    assert room.run(10 * CHECK_INTERVAL) in (9, 10)


def test_thread_that_joins_at_the_last_moment_is_served(room: Room) -> None:
    watched = room.watch()
    thread = threading.get_ident()
    for _ in range(3):
        watched.waiters.discard(thread)
        room.run(CHECK_INTERVAL / 3)
        if not watched.listed:
            break
        watched.waiters.add(thread)
    watched.waiters.discard(thread)
    room.run(CHECK_INTERVAL * 3)
    assert not watched.listed
    again = room.watch()
    assert again is not watched
    assert again.listed
    assert room.run(CHECK_INTERVAL * 3) >= 2


def test_watch_briefly_ends_by_itself(room: Room) -> None:
    room.janitor.watch_briefly(KEYS, room.reap)  # type: ignore[arg-type]
    assert room.run(LINGER) in range(8, 12)
    assert room.run(LINGER) <= 1
    assert room.janitor.due == math.inf


def test_threads_share_the_checks_of_an_object(room: Room) -> None:
    assert room.watch() is room.watch()
    assert room.wakes == 1
    assert room.run(CHECK_INTERVAL) == 1


def test_deleted_object_has_no_sessions_to_suspect(room: Room) -> None:
    room.reap.is_deleted = True
    room.watch()
    assert room.run(5 * CHECK_INTERVAL) >= 4
    assert room.link.listed == []


def test_failed_check_is_repeated(room: Room) -> None:
    room.watch()
    room.reap.error = LinkLost("away")
    with pytest.raises(LinkLost):
        room.run(CHECK_INTERVAL)
    room.reap.error = None
    assert room.run(2 * CHECK_INTERVAL) >= 1


# -- suspects


def info(connection: bytes = b"5", server: bytes = RUN) -> bytes:
    return SessionInfo(connection, server, 1, "host").pack()


def test_session_without_its_connection_is_suspected(room: Room) -> None:
    room.reap.holders = {b"dead": info(b"5"), b"alive": info(b"6")}
    room.link.connections = {b"6"}
    room.watch()
    room.run(CHECK_INTERVAL)
    assert room.link.suspected == [KEYS.sessions + b":dead"]
    assert sorted(room.link.listed[0][3:]) == [b"5", b"6"], "one request for all"


def test_next_check_is_due_when_the_grace_is_over(room: Room) -> None:
    room.reap.holders = {b"dead": info()}
    room.link.left = 100
    watched = room.watch()
    room.run(CHECK_INTERVAL)
    begun = room.clock.now = room.janitor.due
    room.janitor.run()
    assert room.janitor.due == pytest.approx(begun + 0.11)
    room.link.left = None  # it registered again
    watched.waiters.clear()


@pytest.mark.parametrize(
    "holders",
    [
        {b"me": info()},
        {b"x": info(server=OTHER_RUN)},
        {b"x": info(connection=b"")},
        {},
    ],
    ids=["this process", "another run of the server", "unknown connection", "no session"],
)
def test_only_connections_of_this_run_of_the_server_are_listed(
    room: Room, holders: dict[bytes, bytes]
) -> None:
    room.reap.holders = holders
    room.watch()
    room.run(3 * CHECK_INTERVAL)
    assert room.link.listed == []
    assert room.link.suspected == []


def test_client_ids_are_compared_as_a_whole(room: Room) -> None:
    room.reap.holders = {b"x": info(b"5")}
    room.link.connections = {b"5"}
    room.watch()
    room.run(CHECK_INTERVAL)
    assert room.link.suspected == []
    room.link.execute_raw = lambda *command: (  # type: ignore[method-assign]
        b"id=55 addr=\nid=15 addr=id=5 \n" if command[0] == b"CLIENT" else None
    )
    assert room.janitor._without_connection({b"x": info(b"5")}) == {b"x": info(b"5")}


def test_without_permission_no_session_is_suspected(room: Room) -> None:
    room.reap.holders = {b"x": info()}
    room.link.forbidden = True
    room.watch()
    room.run(5 * CHECK_INTERVAL)
    assert len(room.link.listed) == 1, "once"
    assert room.link.suspected == []


# -- deferred actions


class Action:
    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.outcomes and (error := self.outcomes.pop(0)) is not None:
            raise error


def test_deferred_action_runs_immediately_and_once(room: Room) -> None:
    action = Action()
    room.janitor.defer(action)
    assert room.wakes == 1
    room.run()
    assert action.calls == 1
    room.run(LATE_REQUEST_WINDOW)
    assert action.calls == 1
    assert room.janitor.due == math.inf


def test_deferred_action_is_repeated_until_the_server_is_reached(room: Room) -> None:
    action = Action(LinkLost("away"), LinkLost("away"))
    room.janitor.defer(action)
    room.run(10 * CHECK_INTERVAL)
    assert action.calls == 3


def test_deferred_action_is_given_up_when_no_request_can_arrive_late(room: Room) -> None:
    action = Action(*[LinkLost("away")] * 10_000)
    room.janitor.defer(action)
    room.run(2 * LATE_REQUEST_WINDOW)
    assert action.calls == pytest.approx(LATE_REQUEST_WINDOW / CHECK_INTERVAL, rel=0.1)
    assert room.janitor.due == math.inf


def test_repeated_action_ends_when_no_request_can_arrive_late(room: Room) -> None:
    action = Action(None, ObjectGone("no"), None)
    room.janitor.repeat_until_settled(action)
    room.run(1.0)
    assert action.calls in (3, 4)
    room.run(2 * LATE_REQUEST_WINDOW)
    assert action.calls == pytest.approx(LATE_REQUEST_WINDOW / CHECK_INTERVAL, rel=0.1)


def test_deferred_action_does_not_wait_for_the_next_check(room: Room) -> None:
    room.add_waiters(1000)
    room.watch()
    room.run(CHECK_INTERVAL)
    assert room.janitor.due > room.clock.now + 10
    wakes = room.wakes
    action = Action()
    room.janitor.defer(action)
    assert room.wakes == wakes + 1, "the thread would wait for longer"
    room.run()
    assert action.calls == 1


def test_deferred_action_may_defer_another(room: Room) -> None:
    second = Action()
    room.janitor.defer(lambda: room.janitor.defer(second))
    room.run(2 * CHECK_INTERVAL)
    assert second.calls == 1


def test_failing_action_does_not_stop_the_others(room: Room) -> None:
    others: list[Callable[[], None]] = [Action(), Action()]
    room.janitor.defer(others[0])
    room.janitor.defer(Action(LinkLost("away")))
    room.janitor.defer(others[1])
    room.run()
    assert [action.calls for action in others] == [1, 1]  # type: ignore[attr-defined]


# -- timers


def test_timer_runs_while_its_action_returns_true(room: Room) -> None:
    left = [True, True, False]
    room.janitor.call_every(0.005, lambda: left.pop(0))
    assert room.wakes == 1
    room.run(0.004)
    assert len(left) == 3
    room.run(0.002)
    assert len(left) == 2
    room.run(1.0)
    assert left == []
    assert room.janitor.due == math.inf


def test_timer_whose_action_fails_goes_on(room: Room) -> None:
    outcomes: list[bool | Exception] = [LinkLost("away"), False]

    def run() -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    room.janitor.call_every(0.005, run)
    room.run(1.0)
    assert outcomes == []


def test_timers_are_independent(room: Room) -> None:
    done: list[str] = []
    room.janitor.call_every(1.0, lambda: bool(done.append("late")))
    room.janitor.call_every(0.1, lambda: bool(done.append("early")))
    room.run(0.2)
    assert done == ["early"]
    room.run(1.0)
    assert done == ["early", "late"]
