"""When the janitor checks objects, whom it suspects, and what it repeats; the clock is a stub."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from multihost.errors import LinkLost, ObjectGone
from multihost.wire.keys import Keys
from multihost.wire.session import janitor as module
from multihost.wire.session import verdicts
from multihost.wire.session.janitor import (
    LATE_REQUEST_WINDOW,
    LINGER,
    LOOK_INTERVAL,
    MOST,
    PRUNE,
    SHARE,
    Janitor,
)
from multihost.wire.session.record import SessionRecord
from tests.support.one_server import OneServer

RUN = b"a" * 40
GRACE = 5.0
KEYS = Keys("ns", "n:x")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Presence:
    def __init__(self, link: Any) -> None:
        self.link, self.node, self.run = link, None, RUN


class Registration:
    sid = b"me"

    def __init__(self, link: Any) -> None:
        self._presence = Presence(link)

    def presence_of(self, prefix: bytes) -> Any:
        return self._presence

    def is_away(self, node: Any) -> bool:
        return False


class Siblings:
    """Sees the end of some processes, and nothing of others."""

    def __init__(self) -> None:
        self.ended: set[int] = set()

    def has_ended(self, record: SessionRecord) -> bool | None:
        return True if record.pid in self.ended else None


def record(connection: bytes, beats: int = 1) -> list[bytes]:
    """What a script returns of a session."""
    return [b"%d" % beats, RUN, connection, b"host", b"1 0", b"%d" % (1000 * GRACE), b"30000", b"h"]


class Reap:
    """Stands for a script that finds holders and waiters."""

    name = "hold/reap"

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.lookers: list[bytes] = []
        self.waiters = 1
        self.others_look = False
        self.is_deleted = False
        self.error: Exception | None = None

    def run_idempotent(self, subject: Any, previous: bytes, prune: bytes, looker: bytes) -> Any:
        self.calls.append((previous, prune))
        self.lookers.append(looker)
        if self.error is not None:
            raise self.error
        if self.is_deleted:
            return None
        if self.others_look and looker:
            return self.waiters
        found = b"found %d" % len(self.calls)
        flat = [each for pair in subject.link.records.items() for each in pair]
        return [self.waiters, found, *flat]


class Link(OneServer):
    address = "a server"
    guarded = False

    def __init__(self) -> None:
        self.channel: Any = SimpleNamespace(client_id=b"1")
        self.connections: set[bytes] = set()
        self.listed: list[tuple[bytes, ...]] = []
        self.deleted: list[bytes] = []
        self.buried: list[tuple[bytes, bytes]] = []
        self.records: dict[bytes, list[bytes]] = {}
        self.is_fenced = False

    def fence_broken(self) -> bool:
        return self.is_fenced

    def current_channel(self) -> Any:
        return self.channel

    def execute(self, *command: bytes) -> Any:
        assert command[0] == b"DEL"
        self.deleted.append(command[1])
        return self.removed(command[1])

    def execute_over(self, channel: Any, command: tuple[bytes, ...]) -> Any:
        if channel is not self.channel:
            return None
        self.buried.append((command[3], command[4]))
        return self.removed(command[3])

    def removed(self, key: bytes) -> int:
        return int(self.records.pop(key.rpartition(b":")[2], None) is not None)

    def execute_raw(self, *command: bytes) -> Any:
        self.listed.append(command)
        assert command[:3] == (b"CLIENT", b"LIST", b"ID")
        return b"".join(b"id=%b addr=\n" % c for c in command[3:] if c in {*self.connections, b"1"})


class Room:
    """A janitor with stubs, and a clock that tests turn."""

    def __init__(self) -> None:
        self.clock, self.link, self.reap, self.siblings = Clock(), Link(), Reap(), Siblings()
        self.wakes = 0
        self.is_vouched = False
        self.janitor = Janitor(
            self.link,  # type: ignore[arg-type]
            Registration(self.link),  # type: ignore[arg-type]
            self.siblings,  # type: ignore[arg-type]
            lambda *_: self.is_vouched,
            self._wake,
        )

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
        self.link.records = {b"s%b~1" % each: record(each) for each in connections}
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
    monkeypatch.setattr(verdicts, "time", made.clock)
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
    assert room.run(10 * LOOK_INTERVAL) in (9, 10)
    assert room.reap.calls[0] == (b"", b"1"), "the first check prunes"
    assert room.reap.calls[1] == (b"found 1", b"0"), "each gets what the last one found"
    watched.waiters.clear()
    assert room.run(10 * LOOK_INTERVAL) == 0
    assert room.janitor.due == math.inf
    assert not watched.listed


def test_one_check_of_some_prunes_dead_waiters(room: Room) -> None:
    room.watch()
    room.run(4 * PRUNE * LOOK_INTERVAL)
    pruning = [index for index, (_, prune) in enumerate(room.reap.calls) if prune == b"1"]
    assert pruning == [0, PRUNE, 2 * PRUNE, 3 * PRUNE]


def test_who_looks_does_so_as_often_however_many_wait(room: Room) -> None:
    room.add_waiters(1000)
    room.watch()
    assert room.run(10 * LOOK_INTERVAL) in (9, 10)
    assert set(room.reap.lookers) == {Registration.sid}


def test_where_another_one_looks_many_ask_less_often_each(room: Room) -> None:
    room.reap.waiters, room.reap.others_look = 100, True
    room.watch()
    assert room.run(LOOK_INTERVAL) == 1
    assert room.janitor.due > room.clock.now + SHARE * 100 / 2
    room.reap.waiters = 2  # the others are served
    room.run(SHARE * 100)
    assert room.run(10 * LOOK_INTERVAL) in (9, 10, 11)
    room.reap.waiters = 10**9
    room.run(LOOK_INTERVAL)
    assert room.janitor.due <= room.clock.now + 2 * MOST


def test_who_takes_over_looks_often(room: Room) -> None:
    room.reap.waiters, room.reap.others_look = 100, True
    room.watch()
    room.run(SHARE * 100)
    room.reap.others_look = False
    room.run(2 * SHARE * 100)
    assert room.run(10 * LOOK_INTERVAL) in (9, 10, 11)
    first = room.reap.calls.index((b"", b"1"))
    assert first == 0, "its first look prunes, whatever it asked before"


def test_who_sees_a_death_looks_whoever_else_does(room: Room) -> None:
    room.reap.waiters, room.reap.others_look = 100, True
    room.watch()
    room.run(LOOK_INTERVAL)
    room.janitor.look_now()
    assert room.run() == 1
    assert room.reap.lookers[-1] == b""
    room.run(2 * SHARE * 100)
    assert room.reap.lookers[-1] == Registration.sid, "once"


def test_time_in_which_others_look_counts(room: Room) -> None:
    """Who takes over goes on with what it has seen before."""
    room.link.records = {b"dead~1": record(b"5")}
    room.watch()
    room.run(2 * LOOK_INTERVAL)
    room.reap.others_look = True
    room.run(GRACE)
    assert room.link.buried == []
    room.reap.others_look = False
    room.run(2 * LOOK_INTERVAL)
    assert room.link.buried


def test_thread_that_joins_at_the_last_moment_is_served(room: Room) -> None:
    watched = room.watch()
    thread = threading.get_ident()
    for _ in range(3):
        watched.waiters.discard(thread)
        room.run(LOOK_INTERVAL / 3)
        if not watched.listed:
            break
        watched.waiters.add(thread)
    watched.waiters.discard(thread)
    room.run(LOOK_INTERVAL * 3)
    assert not watched.listed
    again = room.watch()
    assert again is not watched
    assert again.listed
    assert room.run(LOOK_INTERVAL * 3) >= 2


def test_watch_briefly_ends_by_itself(room: Room) -> None:
    room.janitor.watch_briefly(KEYS, room.reap)  # type: ignore[arg-type]
    assert room.run(LINGER) in range(8, 12)
    assert room.run(LINGER) <= 1
    assert room.janitor.due == math.inf


def test_threads_share_the_checks_of_an_object(room: Room) -> None:
    assert room.watch() is room.watch()
    assert room.wakes == 1
    assert room.run(LOOK_INTERVAL) == 1


def test_deleted_object_has_no_sessions_to_judge(room: Room) -> None:
    room.reap.is_deleted = True
    room.watch()
    assert room.run(5 * LOOK_INTERVAL) >= 4
    assert room.link.listed == []


def test_failed_check_is_repeated(room: Room) -> None:
    room.watch()
    room.reap.error = LinkLost("away")
    with pytest.raises(LinkLost):
        room.run(LOOK_INTERVAL)
    room.reap.error = None
    assert room.run(2 * LOOK_INTERVAL) >= 1


@pytest.mark.parametrize("waiters", [None, b"x", ""])
def test_a_damaged_count_of_waiters_ends_no_check_of_others(room: Room, waiters: Any) -> None:
    room.watch()
    room.reap.waiters = waiters
    room.run(LOOK_INTERVAL)  # does not raise
    room.reap.waiters = 1
    assert room.run(2 * LOOK_INTERVAL) >= 1


# -- the dead


def test_session_of_a_process_that_has_ended_is_removed_at_once(room: Room) -> None:
    room.link.records = {b"dead~1": record(b"5"), b"alive~1": record(b"6")}
    room.link.records[b"dead~1"][4] = b"77 0"
    room.siblings.ended = {77}
    room.watch()
    assert room.run(LOOK_INTERVAL) == 2, "and the object is looked at again"
    assert room.link.deleted == [KEYS.sessions + b":dead~1"]
    assert room.reap.calls[1][1] == b"1", "the second look is for dead waiters, too"


def test_session_without_connections_is_removed_after_its_grace(room: Room) -> None:
    room.link.records = {b"dead~1": record(b"5"), b"alive~1": record(b"6")}
    room.link.connections = {b"6"}
    room.watch()
    room.run(GRACE)
    assert room.link.buried == []
    room.run(4 * LOOK_INTERVAL)
    assert room.link.buried[0] == (KEYS.sessions + b":dead~1", b"1"), "if its counter is the same"
    assert sorted(room.link.listed[0][3:]) == [b"1", b"5", b"6"], "one request for all"


def test_object_is_looked_at_until_the_grace_is_over(room: Room) -> None:
    """Though nobody waits any more: who comes next is not to begin from nothing."""
    room.link.records = {b"dead~1": record(b"5")}
    room.janitor.watch_briefly(KEYS, room.reap)  # type: ignore[arg-type]
    room.run(GRACE + 4 * LOOK_INTERVAL)
    assert room.link.buried


def test_own_session_is_not_judged(room: Room) -> None:
    room.link.records = {b"me~1": record(b"5"), b"me~2": record(b"6")}
    room.watch()
    room.run(2 * GRACE)
    assert room.link.buried == []
    assert room.link.listed == []


def test_verdict_is_carried_out_over_the_connection_of_the_look(room: Room) -> None:
    room.link.records = {b"dead~1": record(b"5")}
    room.watch()
    for _ in range(5):
        room.run(GRACE / 2)
        room.link.channel = SimpleNamespace(client_id=b"1")
    assert room.link.buried == []


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
    room.run(10 * LOOK_INTERVAL)
    assert action.calls == 3


def test_deferred_action_is_given_up_when_no_request_can_arrive_late(room: Room) -> None:
    action = Action(*[LinkLost("away")] * 10_000)
    room.janitor.defer(action)
    room.run(2 * LATE_REQUEST_WINDOW)
    assert action.calls == pytest.approx(LATE_REQUEST_WINDOW / LOOK_INTERVAL, rel=0.1)
    assert room.janitor.due == math.inf


def test_repeated_action_ends_when_no_request_can_arrive_late(room: Room) -> None:
    action = Action(None, ObjectGone("no"), None)
    room.janitor.repeat_until_settled(action)
    room.run(1.0)
    assert action.calls in (3, 4)
    room.run(2 * LATE_REQUEST_WINDOW)
    assert action.calls == pytest.approx(LATE_REQUEST_WINDOW / LOOK_INTERVAL, rel=0.1)


def test_repeated_action_ends_when_what_broke_is_closed(room: Room) -> None:
    action = Action()
    room.janitor.repeat_until_settled(action)
    room.run(1.0)
    assert action.calls in (3, 4)
    room.link.is_fenced = True
    room.run(1.0)
    assert action.calls in (4, 5)


def test_deferred_action_does_not_wait_for_the_next_check(room: Room) -> None:
    room.reap.waiters, room.reap.others_look = 1000, True
    room.watch()
    room.run(LOOK_INTERVAL)
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
    room.run(2 * LOOK_INTERVAL)
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
