"""Who is taken for dead, and on which evidence; the clock is a stub, and so is the server."""

from __future__ import annotations

from typing import Any

import pytest

from multihost.wire.replies import ReplyError
from multihost.wire.session import verdicts as module
from multihost.wire.session.record import UNKNOWN, SessionRecord
from multihost.wire.session.verdicts import (
    LONGEST_STEP,
    LOOK_INTERVAL,
    Evidence,
    Verdicts,
    listed_connections,
)

RUN, OTHER_RUN = b"a" * 40, b"b" * 40
KEY = b"{ns:01}:s:x~1"
GRACE, LEASE = 5.0, 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Siblings:
    def __init__(self) -> None:
        self.answer: bool | None = None

    def has_ended(self, record: SessionRecord) -> bool | None:
        return self.answer


class Channel:
    client_id = b"1"


class Link:
    def __init__(self) -> None:
        self.channel: Any = Channel()
        self.connections: set[bytes] = set()
        self.reply: Any = None

    def current_channel(self) -> Any:
        return self.channel

    def execute_raw(self, *command: bytes) -> Any:
        assert command[:3] == (b"CLIENT", b"LIST", b"ID")
        if isinstance(self.reply, Exception):
            raise self.reply
        if self.reply is not None:
            return self.reply
        return b"".join(b"id=%b addr=\n" % c for c in command[3:] if c in {*self.connections, b"1"})


class Looker:
    """Looks at one session again and again."""

    def __init__(self) -> None:
        self.clock, self.siblings, self.link = Clock(), Siblings(), Link()
        self.asked: list[tuple[bytes, ...]] = []
        self.is_vouched = False
        self.verdicts = Verdicts(self.link, self.siblings, self._vouch)  # type: ignore[arg-type]
        self.record = SessionRecord(
            1, RUN, frozenset({b"5", b"6"}), b"host", 1, 0, GRACE, LEASE, "h"
        )
        self.server = RUN

    def _vouch(self, *question: bytes) -> bool:
        self.asked.append(question)
        return self.is_vouched

    def look(self) -> Evidence | None:
        sent = self.clock.now
        return self.verdicts.judge({KEY: self.record}, sent, self.server).get(KEY)

    def looks(self, seconds: float) -> Evidence | None:
        """Look as often as a janitor does; return the first verdict."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            if (evidence := self.look()) is not None:
                return evidence
            self.clock.now += LOOK_INTERVAL
        return None

    def beat(self) -> None:
        self.record = self.record._replace(beats=self.record.beats + 1)


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    made = Looker()
    monkeypatch.setattr(module, "time", made.clock)
    return made


# -- it has ended


def test_end_that_was_seen_is_evidence_at_once(looker: Looker) -> None:
    looker.siblings.answer = True
    assert looker.look() is Evidence.ENDED


def test_connections_are_no_evidence_against_a_process_that_is_seen(looker: Looker) -> None:
    looker.siblings.answer = False
    assert looker.looks(LEASE - 1) is None
    assert looker.looks(3) is Evidence.SILENT, "though its lease is"


# -- its connections


def test_connections_are_no_evidence_while_a_sibling_vouches(looker: Looker) -> None:
    """That is asked for at the end of each grace, and not at each look."""
    looker.is_vouched = True
    assert looker.looks(4 * (GRACE + LOOK_INTERVAL)) is None
    assert set(looker.asked) == {(b"x", b"host")}
    assert 3 <= len(looker.asked) <= 4
    looker.is_vouched = False
    assert looker.looks(2 * LOOK_INTERVAL) is None, "another grace begins"
    assert looker.looks(GRACE + LOOK_INTERVAL) is Evidence.DISCONNECTED


def test_one_connection_is_enough(looker: Looker) -> None:
    looker.link.connections = {b"6"}
    assert looker.looks(LEASE - 1) is None


def test_all_have_ended_for_a_grace(looker: Looker) -> None:
    assert looker.looks(GRACE) is None
    assert looker.looks(3 * LOOK_INTERVAL) is Evidence.DISCONNECTED


def test_way_back_between_two_looks_counts(looker: Looker) -> None:
    """It is away whenever somebody looks, but its counter says that it was there."""
    for _ in range(20):
        assert looker.looks(GRACE / 2) is None
        looker.beat()


def test_grace_is_the_one_that_it_says(looker: Looker) -> None:
    looker.record = looker.record._replace(grace=12.0)
    assert looker.looks(12.0) is None
    assert looker.looks(1.0) is Evidence.DISCONNECTED


def test_connections_of_an_earlier_run_have_ended_with_it(looker: Looker) -> None:
    looker.link.connections = {b"5", b"6"}  # the numbers are those of others now
    looker.record = looker.record._replace(run=OTHER_RUN)
    assert looker.looks(GRACE) is None
    assert looker.looks(3 * LOOK_INTERVAL) is Evidence.DISCONNECTED


def test_unknown_connections_are_no_evidence(looker: Looker) -> None:
    looker.record = looker.record._replace(connections=frozenset())
    assert looker.looks(LEASE - 1) is None


def test_unknown_run_is_no_evidence(looker: Looker) -> None:
    looker.server = b""
    assert looker.looks(LEASE - 1) is None


@pytest.mark.parametrize("reply", [b"who are you?", None, 5, b"txt: id=5 addr=\n", [b"id=5 addr="]])
def test_reply_that_is_no_list_is_none(looker: Looker, reply: Any) -> None:
    looker.link.execute_raw = lambda *_: reply  # type: ignore[method-assign]
    assert looker.looks(LEASE - 1) is None


def test_without_permission_leases_decide(looker: Looker) -> None:
    looker.link.reply = ReplyError("NOPERM no")
    assert looker.looks(LEASE - 1) is None
    assert looker.looks(3) is Evidence.SILENT


def test_numbers_are_compared_as_a_whole() -> None:
    link: Any = Link()
    link.reply = b"id=55 addr=\nid=15 addr=id=5 \nid=1 addr=\n"
    assert listed_connections(link, [b"5"]) == {b"55", b"15", b"1"}


@pytest.mark.parametrize("reply", [b"", b"id=5 addr=\n", b"id=11 addr=id=1 \n", b"OK", None, 7])
def test_a_list_without_the_connection_that_asks_is_none(reply: Any) -> None:
    """A proxy answers, or another server behind one."""
    link: Any = Link()
    link.execute_raw = lambda *_: reply
    assert listed_connections(link, [b"5"]) is None


# -- its lease


def test_silence_for_a_lease(looker: Looker) -> None:
    looker.link.connections = {b"5"}
    assert looker.looks(LEASE) is None
    assert looker.looks(2.0) is Evidence.SILENT


def test_heartbeats_end_the_silence(looker: Looker) -> None:
    looker.link.connections = {b"5"}
    for _ in range(20):
        assert looker.looks(LEASE / 2) is None
        looker.beat()


@pytest.mark.parametrize("pause", [LEASE, 3600.0])
def test_time_in_which_nobody_looked_does_not_count(looker: Looker, pause: float) -> None:
    """The looker, or the server, was paused, away or asleep."""
    looker.link.connections = {b"5"}
    for _ in range(10):
        assert looker.look() is None
        looker.clock.now += pause
    assert looker.looks(LEASE - 10 * LONGEST_STEP - 1) is None


def test_time_of_the_way_does_not_count(looker: Looker) -> None:
    """An answer that comes late says nothing of the time after the server gave it."""
    looker.link.connections = {b"5"}
    for _ in range(200):
        sent = looker.clock.now
        looker.clock.now += LOOK_INTERVAL
        assert looker.verdicts.judge({KEY: looker.record}, sent, RUN) == {}


def test_another_connection_begins_anew(looker: Looker) -> None:
    """Behind it the server may be one that forgot heartbeats."""
    looker.link.connections = {b"5"}
    for _ in range(5):
        assert looker.looks(LEASE - 1) is None
        looker.link.channel = Channel()
    assert looker.looks(LEASE + 2) is Evidence.SILENT


def test_looks_at_other_objects_measure_too(looker: Looker) -> None:
    """Of most objects the sessions are read in one of several looks only."""
    looker.link.connections = {b"5"}
    until, looks = looker.clock.now + LEASE + 4.0, 0
    found = None
    while looker.clock.now < until and found is None:
        looks += 1
        records = {KEY: looker.record} if looks % 8 == 1 else {}
        found = looker.verdicts.judge(records, looker.clock.now, RUN).get(KEY)
        looker.clock.now += LOOK_INTERVAL
    assert found is Evidence.SILENT


def test_quiet_session_is_looked_at_more_often(looker: Looker) -> None:
    """Where many wait each of them looks seldom, which measures little."""
    looker.link.connections = {b"5"}
    looker.look()
    looker.clock.now += LEASE / 3
    looker.look()
    assert not looker.verdicts.is_quiet(KEY, LEASE)
    looker.clock.now += LEASE / 3
    looker.look()
    assert looker.verdicts.is_quiet(KEY, LEASE)
    looker.beat()
    looker.look()
    assert not looker.verdicts.is_quiet(KEY, LEASE)


FIELDS = [b"1", RUN, b"7", b"host", b"12 34", b"5000", b"30000", b"name"]


@pytest.mark.parametrize("at", [0, 4, 5, 6])
@pytest.mark.parametrize("forged", [b"9" * 19, b"9" * 400, b"1e5", b"\xff", b"2147483648 x"])
def test_numbers_that_no_process_wrote(at: int, forged: bytes) -> None:
    """The session is alive, for all that is known; and nobody waits for so long."""
    assert SessionRecord.of(FIELDS) not in (None, UNKNOWN)
    assert SessionRecord.of([*FIELDS[:at], forged, *FIELDS[at + 1 :]]) is UNKNOWN
