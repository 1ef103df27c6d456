"""When the janitor looks, what it concludes and what it still owes; time is made up."""

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


class Presence:
    sid = b"me"
    server = RUN


class Look:
    """Stands for a script that finds holders."""

    name = "lock/reap"

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.waiters = 1
        self.holders: dict[bytes, bytes] = {}
        self.is_gone = False
        self.error: Exception | None = None

    def run_idempotent(self, subject: Any, before: bytes, prune: bytes) -> Any:
        self.calls.append((before, prune))
        if self.error is not None:
            raise self.error
        if self.is_gone:
            return None
        found = b"found %d" % len(self.calls)
        flat = [each for pair in self.holders.items() for each in pair]
        return [self.waiters, found, *flat]


class Link:
    address = "here"

    def __init__(self) -> None:
        self.connections: set[bytes] = set()
        self.asked: list[tuple[bytes, ...]] = []
        self.doubted: list[bytes] = []
        self.forbids = False
        self.left: int | None = 400

    def execute_raw(self, *command: bytes) -> Any:
        if command[0] == b"EVALSHA":
            self.doubted.append(command[3])
            assert command[5] == b"%d" % (GRACE * 1000)
            return self.left
        self.asked.append(command)
        assert command[:3] == (b"CLIENT", b"LIST", b"ID")
        if self.forbids:
            raise ReplyError("NOPERM")
        return b"".join(b"id=%b addr=\n" % c for c in command[3:] if c in self.connections)


class House:
    """A janitor with what it needs, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock, self.link, self.look = Clock(), Link(), Look()
        self.rings = 0
        self.janitor = Janitor(self.link, Presence(), self._ring)  # type: ignore[arg-type]

    def _ring(self) -> None:
        self.rings += 1

    def watch(self) -> Any:
        return self.janitor.watch(KEYS, self.look)  # type: ignore[arg-type]

    def crowd(self, size: int) -> None:
        """So many processes wait."""
        connections = {b"%d" % number for number in range(size)}
        self.look.waiters = size
        self.look.holders = {b"s" + each: note(each) for each in connections}
        self.link.connections |= connections

    def run(self, seconds: float = 0.0) -> int:
        """Let the time pass as the background thread does; how often it looked."""
        before = len(self.look.calls)
        until = self.clock.now + seconds
        while self.janitor.due <= until:
            self.clock.now = max(self.clock.now, self.janitor.due)
            self.janitor.run()
        self.clock.now = until
        return len(self.look.calls) - before


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()
    monkeypatch.setattr(module, "time", made.clock)
    monkeypatch.setattr(module.random, "random", lambda: 0.5)
    return made


# -- looking


def test_nothing_to_do_is_nothing_to_wake_up_for(house: House) -> None:
    assert house.janitor.due == math.inf
    house.janitor.run()
    assert house.rings == 0


def test_what_is_waited_for_is_looked_after(house: House) -> None:
    watched = house.watch()
    assert house.rings == 1
    assert house.run(10 * CHECK_INTERVAL) in (9, 10)
    assert house.look.calls[0] == (b"", b"1"), "the first look is a thorough one"
    assert house.look.calls[1] == (b"found 1", b"0"), "each is told what the last one found"
    watched.waiters.clear()
    assert house.run(10 * CHECK_INTERVAL) == 0
    assert house.janitor.due == math.inf
    assert not watched.listed


def test_every_so_often_for_dead_waiters_too(house: House) -> None:
    house.watch()
    house.run(4 * PRUNE * CHECK_INTERVAL)
    thorough = [index for index, (_, prune) in enumerate(house.look.calls) if prune == b"1"]
    assert thorough == [0, PRUNE, 2 * PRUNE, 3 * PRUNE]


def test_where_many_processes_wait_each_looks_less_often(house: House) -> None:
    house.crowd(1000)
    house.watch()
    assert house.run(10 * CHECK_INTERVAL) == 1
    assert house.janitor.due > house.clock.now + 10
    house.look.waiters = 2  # the others got what they wanted
    house.run(2 * SHARE * 1000)
    assert house.run(10 * CHECK_INTERVAL) in (9, 10, 11)


def test_threads_of_one_process_look_together(house: House) -> None:
    house.look.waiters = 1000
    house.watch()
    assert house.run(10 * CHECK_INTERVAL) in (9, 10)


def test_nobody_looks_less_often_for_the_dead(house: House) -> None:
    house.crowd(1000)
    house.link.connections.clear()
    house.look.holders[b"alive"] = note(b"7777")
    house.link.connections.add(b"7777")
    house.watch()
    assert house.run(10 * CHECK_INTERVAL) in (9, 10)


def test_a_thread_that_joins_at_the_last_moment_is_looked_after(house: House) -> None:
    watched = house.watch()
    me = threading.get_ident()
    for _ in range(3):
        watched.waiters.discard(me)
        house.run(CHECK_INTERVAL / 3)
        if not watched.listed:
            break
        watched.waiters.add(me)
    watched.waiters.discard(me)
    house.run(CHECK_INTERVAL * 3)
    assert not watched.listed
    again = house.watch()
    assert again is not watched
    assert again.listed
    assert house.run(CHECK_INTERVAL * 3) >= 2


def test_a_suspicion_is_followed_for_a_while(house: House) -> None:
    house.janitor.watch_briefly(KEYS, house.look)  # type: ignore[arg-type]
    assert house.run(LINGER) in range(8, 12)
    assert house.run(LINGER) <= 1
    assert house.janitor.due == math.inf


def test_one_look_for_all_that_wait_for_the_same(house: House) -> None:
    assert house.watch() is house.watch()
    assert house.rings == 1
    assert house.run(CHECK_INTERVAL) == 1


def test_what_does_not_exist_has_no_holders(house: House) -> None:
    house.look.is_gone = True
    house.watch()
    assert house.run(5 * CHECK_INTERVAL) >= 4
    assert house.link.asked == []


def test_a_look_that_fails_is_made_again(house: House) -> None:
    house.watch()
    house.look.error = LinkLost("away")
    with pytest.raises(LinkLost):
        house.run(CHECK_INTERVAL)
    house.look.error = None
    assert house.run(2 * CHECK_INTERVAL) >= 1


# -- who is dead


def note(connection: bytes = b"5", server: bytes = RUN) -> bytes:
    return SessionInfo(connection, server, 1, "host").pack()


def test_a_holder_without_its_connection_is_doubted(house: House) -> None:
    house.look.holders = {b"dead": note(b"5"), b"alive": note(b"6")}
    house.link.connections = {b"6"}
    house.watch()
    house.run(CHECK_INTERVAL)
    assert house.link.doubted == [KEYS.sessions + b":dead"]
    assert sorted(house.link.asked[0][3:]) == [b"5", b"6"], "one question for all"


def test_the_next_look_comes_when_the_grace_is_over(house: House) -> None:
    house.look.holders = {b"dead": note()}
    house.link.left = 100
    watched = house.watch()
    house.run(CHECK_INTERVAL)
    begun = house.clock.now = house.janitor.due
    house.janitor.run()
    assert house.janitor.due == pytest.approx(begun + 0.11)
    house.link.left = None  # it came back
    watched.waiters.clear()


@pytest.mark.parametrize(
    "holders",
    [
        {b"me": note()},
        {b"x": note(server=OTHER_RUN)},
        {b"x": note(connection=b"")},
        {},
    ],
    ids=["ourselves", "of another run of the server", "unknown connection", "nobody"],
)
def test_only_the_server_that_counted_a_connection_can_tell(
    house: House, holders: dict[bytes, bytes]
) -> None:
    house.look.holders = holders
    house.watch()
    house.run(3 * CHECK_INTERVAL)
    assert house.link.asked == []
    assert house.link.doubted == []


def test_a_number_that_another_one_begins_with_is_another_one(house: House) -> None:
    house.look.holders = {b"x": note(b"5")}
    house.link.connections = {b"5"}
    house.watch()
    house.run(CHECK_INTERVAL)
    assert house.link.doubted == []
    house.link.execute_raw = lambda *command: (  # type: ignore[method-assign]
        b"id=55 addr=\nid=15 addr=id=5 \n" if command[0] == b"CLIENT" else None
    )
    assert house.janitor._without_connection({b"x": note(b"5")}) == {b"x": note(b"5")}


def test_without_permission_leases_decide_alone(house: House) -> None:
    house.look.holders = {b"x": note()}
    house.link.forbids = True
    house.watch()
    house.run(5 * CHECK_INTERVAL)
    assert len(house.link.asked) == 1, "it asks once"
    assert house.link.doubted == []


# -- chores


class Chore:
    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.done = 0

    def __call__(self) -> None:
        self.done += 1
        if self.outcomes and (error := self.outcomes.pop(0)) is not None:
            raise error


def test_what_is_owed_is_done_once_and_at_once(house: House) -> None:
    chore = Chore()
    house.janitor.defer(chore)
    assert house.rings == 1
    house.run()
    assert chore.done == 1
    house.run(LATE_REQUEST_WINDOW)
    assert chore.done == 1
    assert house.janitor.due == math.inf


def test_what_is_owed_is_tried_until_the_server_can_be_reached(house: House) -> None:
    chore = Chore(LinkLost("away"), LinkLost("away"))
    house.janitor.defer(chore)
    house.run(10 * CHECK_INTERVAL)
    assert chore.done == 3


def test_a_debt_is_written_off_when_nothing_can_be_under_way_any_more(house: House) -> None:
    chore = Chore(*[LinkLost("away")] * 10_000)
    house.janitor.defer(chore)
    house.run(2 * LATE_REQUEST_WINDOW)
    assert chore.done == pytest.approx(LATE_REQUEST_WINDOW / CHECK_INTERVAL, rel=0.1)
    assert house.janitor.due == math.inf


def test_an_exorcism_lasts_as_long_as_the_ghost_may_come(house: House) -> None:
    chore = Chore(None, ObjectGone("no"), None)
    house.janitor.repeat_until_settled(chore)
    house.run(1.0)
    assert chore.done in (3, 4)
    house.run(2 * LATE_REQUEST_WINDOW)
    assert chore.done == pytest.approx(LATE_REQUEST_WINDOW / CHECK_INTERVAL, rel=0.1)


def test_a_chore_does_not_wait_for_the_next_look(house: House) -> None:
    house.crowd(1000)
    house.watch()
    house.run(CHECK_INTERVAL)
    assert house.janitor.due > house.clock.now + 10
    rings = house.rings
    chore = Chore()
    house.janitor.defer(chore)
    assert house.rings == rings + 1, "the thread sleeps for longer"
    house.run()
    assert chore.done == 1


def test_a_chore_may_leave_another_one(house: House) -> None:
    second = Chore()
    house.janitor.defer(lambda: house.janitor.defer(second))
    house.run(2 * CHECK_INTERVAL)
    assert second.done == 1


def test_one_that_fails_keeps_none_of_the_others_from_being_done(house: House) -> None:
    others: list[Callable[[], None]] = [Chore(), Chore()]
    house.janitor.defer(others[0])
    house.janitor.defer(Chore(LinkLost("away")))
    house.janitor.defer(others[1])
    house.run()
    assert [chore.done for chore in others] == [1, 1]  # type: ignore[attr-defined]


# -- errands


def test_an_errand_is_run_until_there_is_nothing_left(house: House) -> None:
    left = [True, True, False]
    house.janitor.call_every(0.005, lambda: left.pop(0))
    assert house.rings == 1
    house.run(0.004)
    assert len(left) == 3
    house.run(0.002)
    assert len(left) == 2
    house.run(1.0)
    assert left == []
    assert house.janitor.due == math.inf


def test_an_errand_that_fails_is_run_again(house: House) -> None:
    outcomes: list[bool | Exception] = [LinkLost("away"), False]

    def run() -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    house.janitor.call_every(0.005, run)
    house.run(1.0)
    assert outcomes == []


def test_a_second_errand_does_not_hurry_the_first(house: House) -> None:
    done: list[str] = []
    house.janitor.call_every(1.0, lambda: bool(done.append("late")))
    house.janitor.call_every(0.1, lambda: bool(done.append("early")))
    house.run(0.2)
    assert done == ["early"]
    house.run(1.0)
    assert done == ["early", "late"]
