"""Patience is not used up while this process is suspended, whatever it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.link import ConnectionBroken, ReplyTimeout, repeating
from multihost.wire.replies import ReplyError
from multihost.wire.session.registration import RegistrationRequest, SessionRegistration
from multihost.wire.wait import Outage
from tests.unit.fake_channel import FakeChannel, make_link

HOUR = 3600.0
LOADING = ReplyError("LOADING wait")
PATIENCE = {"timeout": 5.0, "reconnect_timeout": 10.0}

Suspend = Callable[[], None]


@pytest.fixture
def suspend(monkeypatch: pytest.MonkeyPatch) -> Suspend:
    """Have the clock go on, as it does while a process is suspended."""
    clock, passed = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed)

    def go_on() -> None:
        nonlocal passed
        passed += HOUR

    return go_on


class SuspendedPause:
    """In place of the event for which a link waits between two attempts."""

    def __init__(self, suspend: Suspend) -> None:
        self._suspend: Suspend | None = suspend

    def wait(self, _: float) -> bool:
        suspend, self._suspend = self._suspend, None
        if suspend is not None:
            suspend()
        return False


@pytest.mark.parametrize("moment", ["attempt", "pause"])
def test_after_a_break(moment: str, suspend: Suspend, monkeypatch: pytest.MonkeyPatch) -> None:
    def late() -> FakeChannel:
        if moment == "attempt":
            suspend()
        raise ConnectionRefusedError

    link = make_link(FakeChannel(ConnectionBroken()), late, FakeChannel(b"1"), **PATIENCE)
    if moment == "pause":
        monkeypatch.setattr(link, "_closing", SuspendedPause(suspend))
    assert link.execute(b"GET", b"x") == b"1"


@pytest.mark.parametrize("moment", ["attempt", "pause"])
def test_of_a_server_that_is_unavailable(
    moment: str, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late() -> ReplyError:
        if moment == "attempt":
            suspend()
        return LOADING

    link = make_link(FakeChannel(LOADING, late, b"1"), **PATIENCE)
    if moment == "pause":
        monkeypatch.setattr(link, "_closing", SuspendedPause(suspend))
    assert link.execute(b"GET", b"x") == b"1"


@pytest.mark.parametrize("moment", ["attempt", "pause"])
def test_of_a_wait_that_is_refused(
    moment: str, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = make_link(**PATIENCE)
    outage = Outage(link)
    if moment == "pause":
        monkeypatch.setattr(link, "_closing", SuspendedPause(suspend))
    assert outage.back_off(LOADING)
    if moment == "attempt":
        suspend()
    assert outage.back_off(LOADING)


def test_of_a_thread_that_waits_to_be_registered(
    url: str, suspend: Suspend, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = SessionRegistration.request_registration
    requested = list[RegistrationRequest]()

    class Suspended:
        def wait(self, _: float) -> bool:
            suspend()
            return False

        def set(self) -> None:
            """The thread does not see it."""

    def requests(self: SessionRegistration, prefix: bytes) -> RegistrationRequest:
        made = RegistrationRequest(prefix) if not requested else request(self, prefix)
        requested.append(made)
        if len(requested) == 1:
            answered: Any = Suspended()
            made.answered = answered
        return made

    monkeypatch.setattr(SessionRegistration, "request_registration", requests)
    with RedisManager(url, lease=2 * HOUR) as m:
        assert m.Lock("x").acquire()
    assert len(requested) > 1


def test_of_a_thread_that_waits_for_the_session_to_settle(suspend: Suspend) -> None:
    link = make_link(**PATIENCE)
    registration = SessionRegistration(link, "ns", b"30000")
    waits = list[float]()

    class Settled:
        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 1:
                suspend()
            return len(waits) > 1

    settled: Any = Settled()
    presence = registration.presence_of(b"{ns:00}:")
    presence.settled = settled
    registration._wait_until_settled(presence)
    assert len(waits) == 2


def test_patience_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "BACKOFF", (0.0, 0.0))
    gone = [ConnectionRefusedError()] * 100_000
    link = make_link(FakeChannel(ReplyTimeout()), *gone, timeout=0.01, reconnect_timeout=0.05)
    with pytest.raises(Exception, match="broke and did not come back"):
        link.execute(b"GET", b"x")
