"""The background thread of a session: what it does when, and how it starts and stops."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection
from types import SimpleNamespace
from typing import Any

import pytest

from multihost.errors import LinkLost, ManagerClosed
from multihost.wire.address import Address
from multihost.wire.keys import Keys
from multihost.wire.session import fork as fork_hooks
from multihost.wire.session.heartbeat import Heartbeat
from tests.support.waiting import wait_until

KEYS = Keys("ns", "n:x")


class Link:
    address = Address("redis", host="nowhere", port=1)
    timeout = 10.0
    is_closed = False
    is_lost = False

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.channel: object = None

    def current_channel(self) -> object:
        return self.channel

    def confirm_nothing(self) -> None:
        """No call waits for replicas anyhow."""

    def checkout(self) -> str:
        return "connection"

    def checkin(self, connection: str) -> None:
        self.calls.append(f"checkin {connection}")

    patience: tuple[float | None, float] = None, 1.0

    def set_patience(self, until: float | None, attempt: float) -> None:
        pass

    def disconnect_current(self) -> None:
        self.calls.append("disconnect_current")

    def interrupt_blocked(self) -> None:
        self.calls.append("interrupt_blocked")

    def lane(self, prefix: bytes) -> Link:
        return self


class References:
    """Counts renewals, and what was collected."""

    def __init__(self) -> None:
        self.collected = 0
        self.renewals = 0
        self.are_any = True
        self.error: Exception | None = None

    fetched_due = math.inf

    @property
    def due(self) -> float:
        return 0.0 if self.has_collected else self.fetched_due

    @property
    def has_collected(self) -> bool:
        return self.collected > 0

    def renew_fetched(self) -> None:
        self.fetched_due = math.inf

    def release_collected(self) -> None:
        self.collected -= 1

    def renew(self) -> bool:
        self.renewals += 1
        if self.error is not None:
            raise self.error
        return self.are_any


class Presence(SimpleNamespace):
    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Registration:
    """Counts heartbeats, and says what has expired. There is one server."""

    def __init__(self, link: Link) -> None:
        self.presence: Any = Presence(link=link, node=None, fileno=-1, is_unsettled=False)
        self.requested = False
        self.behind = False
        self.beats = 0
        self.expired: list[bytes] = []
        self.error: Exception | None = None

    def at_work(self) -> list[Any]:
        is_used = self.requested or self.beats or self.behind or self.presence.fileno >= 0
        return [self.presence] if is_used else []

    def is_requested(self, presence: Any) -> bool:
        return self.requested

    def is_behind(self, presence: Any) -> bool:
        return self.behind

    def heartbeat(self, presence: Any) -> list[bytes]:
        self.beats += 1
        self.requested = False
        if self.error is not None:
            raise self.error
        return self.expired


class Janitor:
    def __init__(self) -> None:
        self.due = math.inf
        self.runs = 0
        self.looks = 0

    def run(self) -> None:
        self.runs += 1

    def look_now(self) -> None:
        self.looks += 1


class Hold:
    def __init__(self, keys: Keys) -> None:
        self.handle = SimpleNamespace(keys=keys)
        self.checked = threading.Event()

    def lapse(self) -> int:
        self.checked.set()
        return 1


class Session:
    def __init__(self) -> None:
        self.lease = 90.0
        self.link = Link()
        self.references = References()
        self.registration = Registration(self.link)
        self.janitor = Janitor()
        self.siblings = SimpleNamespace(fds=set(), forget_ended=lambda: None)
        self.ring = SimpleNamespace(
            siblings=SimpleNamespace(fds=set()),
            is_at=lambda presence: True,
            stand=lambda: None,
            bury_ended=lambda: False,
        )
        self.collector = SimpleNamespace(take_turn=lambda: None)
        self.holds: dict[object, Any] = {}
        self.threads_before = {*threading.enumerate()}
        self.heartbeat = Heartbeat(self)  # type: ignore[arg-type]

    def forget_unused(self) -> None:
        """Nothing is left of what it has."""


@pytest.fixture
def session() -> Iterator[Session]:
    one = Session()
    yield one
    one.heartbeat.stop()


def thread_count(session: Session) -> int:
    """Return how many threads run for this session: others of the process are not counted."""
    return sum(
        thread.name == "multihost-session" and thread not in session.threads_before
        for thread in threading.enumerate()
    )


def turn(session: Session) -> None:
    """Wait until the thread has done all that was due before."""
    done = threading.Event()
    session.heartbeat.call_soon(done.set)
    assert done.wait(30.0)


# -- starting and stopping


def test_thread_starts_once(session: Session) -> None:
    assert thread_count(session) == 0
    threads = [threading.Thread(target=session.heartbeat.start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert thread_count(session) == 1


def test_stop_ends_a_wait_immediately_and_start_does_nothing_afterwards(session: Session) -> None:
    session.heartbeat.start()
    turn(session)
    session.heartbeat.stop()
    assert thread_count(session) == 0
    session.heartbeat.start()
    session.heartbeat.wake()
    assert thread_count(session) == 0


def test_stop_waits_for_the_action_under_way(session: Session) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def action() -> None:
        begun.set()
        go_on.wait(30.0)
        done.set()

    session.heartbeat.start()
    session.heartbeat.call_soon(action)
    assert begun.wait(30.0)
    threading.Timer(0.05, go_on.set).start()
    session.heartbeat.stop()
    assert done.is_set()


def test_the_thread_itself_may_stop_it(session: Session) -> None:
    session.heartbeat.start()
    session.heartbeat.call_soon(session.heartbeat.stop)
    wait_until(lambda: thread_count(session) == 0)


def test_thread_of_a_closed_link_is_not_started_and_ends(session: Session) -> None:
    session.heartbeat.start()
    turn(session)
    session.link.is_closed = True
    session.heartbeat.wake()
    wait_until(lambda: thread_count(session) == 0)
    other = Session()
    other.link.is_closed = True
    other.heartbeat.start()
    assert thread_count(session) == 0
    other.heartbeat.stop()


# -- what is due


def test_actions_run_once_in_their_order(session: Session) -> None:
    seen: list[int] = []
    for number in range(3):
        session.heartbeat.call_soon(lambda number=number: seen.append(number))
    session.heartbeat.start()
    turn(session)
    assert seen == [0, 1, 2]
    turn(session)
    assert seen == [0, 1, 2]


def test_action_that_adds_another_does_not_keep_others_from_their_turn(session: Session) -> None:
    def again() -> None:
        session.heartbeat.call_soon(again)

    session.heartbeat.call_soon(again)
    session.heartbeat.start()
    session.registration.requested = True
    session.heartbeat.wake()
    wait_until(lambda: session.registration.beats == 1)


def test_action_that_fails_ends_neither_the_thread_nor_the_others(session: Session) -> None:
    def fail() -> None:
        raise LinkLost("away")

    session.heartbeat.call_soon(fail)
    session.heartbeat.start()
    turn(session)


def test_collected_proxies_are_released_until_there_are_none(session: Session) -> None:
    session.references.collected = 3
    session.heartbeat.start()
    wait_until(lambda: session.references.collected == 0)


def test_objects_are_renewed_and_heartbeats_sent_three_times_a_lease(session: Session) -> None:
    session.lease = 0.06
    session.registration.requested = True
    session.heartbeat.start()
    wait_until(lambda: session.references.renewals >= 3 and session.registration.beats >= 3)


def test_no_heartbeat_before_something_is_registered(session: Session) -> None:
    session.lease = 0.06
    session.heartbeat.start()
    wait_until(lambda: session.references.renewals >= 3)
    assert session.registration.beats == 0


def test_requested_registration_is_not_late(session: Session) -> None:
    session.heartbeat.start()
    turn(session)
    session.registration.requested = True
    session.heartbeat.wake()
    wait_until(lambda: session.registration.beats == 1)


def test_janitor_runs_when_it_is_due(session: Session) -> None:
    session.heartbeat.start()
    turn(session)
    before = session.janitor.runs
    session.janitor.due = 0.0
    session.heartbeat.wake()
    wait_until(lambda: session.janitor.runs > before + 1)
    session.janitor.due = math.inf


def test_end_of_the_connection_is_noticed(session: Session) -> None:
    out, in_ = os.pipe()
    session.registration.presence.fileno = out
    session.heartbeat.start()
    turn(session)
    session.link.disconnect_current = lambda: setattr(  # type: ignore[method-assign]
        session.registration.presence, "fileno", -1
    )
    os.close(in_)
    wait_until(lambda: session.registration.presence.fileno == -1)
    turn(session)
    os.close(out)


# -- expirations


def test_lapsed_session_interrupts_waiters_and_loses_its_holds(session: Session) -> None:
    elsewhere = next(
        keys
        for keys in (Keys("ns", f"n:{number}") for number in range(100))
        if keys.prefix != KEYS.prefix
    )
    lost, kept = Hold(KEYS), Hold(elsewhere)
    session.holds = {1: lost, 2: kept}
    session.registration.expired = [KEYS.prefix]
    session.registration.requested = True
    session.heartbeat.start()
    assert lost.checked.wait(30.0)
    turn(session)  # has ended that one
    assert not kept.checked.is_set(), "it has not lapsed in its partition"
    assert session.link.calls == ["interrupt_blocked"]


def test_end_of_a_sibling_is_looked_at_at_once(session: Session) -> None:
    out, in_ = os.pipe()
    session.siblings.fds = {out}
    session.heartbeat.start()
    turn(session)
    assert session.janitor.looks == 0
    os.write(in_, b".")
    wait_until(lambda: session.janitor.looks > 0)
    session.siblings.fds = set()
    turn(session)
    os.close(in_)
    os.close(out)


# -- outages


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


@pytest.mark.parametrize("registered", [False, True], ids=["objects", "a registration"])
def test_outage_is_logged_once_and_so_is_its_end(
    session: Session, caplog: pytest.LogCaptureFixture, registered: bool
) -> None:
    caplog.set_level(logging.INFO, "multihost")
    session.lease = 0.03
    failing: Any = session.registration if registered else session.references
    session.references.are_any = not registered
    session.registration.behind = registered
    tries: Callable[[], int] = lambda: session.references.renewals
    session.heartbeat.start()
    for outages in (1, 2):
        failing.error = LinkLost("away")
        wait_until(lambda outages=outages: len(messages(caplog, logging.WARNING)) == outages)
        since = tries()
        wait_until(lambda since=since: tries() > since + 5)
        turn(session)  # succeeds, and needs no server
        assert len(messages(caplog, logging.WARNING)) == outages
        assert len(messages(caplog, logging.INFO)) == outages - 1
        failing.error = None
        wait_until(lambda outages=outages: len(messages(caplog, logging.INFO)) == outages)
    assert (
        messages(caplog, logging.WARNING)[0]
        == "leases at redis://nowhere:1/0 are not renewed: away"
    )
    assert messages(caplog, logging.INFO)[0] == "leases at redis://nowhere:1/0 are renewed again"


def test_failed_heartbeat_is_sent_again_before_the_next_is_due(session: Session) -> None:
    def fail_once(presence: Any) -> list[bytes]:
        session.registration.heartbeat = succeed  # type: ignore[method-assign]
        succeed(presence)
        raise LinkLost("away")

    succeed = session.registration.heartbeat
    session.registration.heartbeat = fail_once  # type: ignore[method-assign]
    session.registration.requested = True
    session.heartbeat.start()
    wait_until(lambda: session.registration.beats == 2)
    turn(session)
    assert session.registration.beats == 2


def test_failure_after_the_link_was_closed_is_not_logged(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    def close() -> None:
        session.link.is_closed = True
        raise ManagerClosed("closed")

    session.heartbeat.call_soon(close)
    session.heartbeat.start()
    wait_until(lambda: thread_count(session) == 0)
    assert not caplog.records


# -- forks


def fork(session: Session, check: Callable[[], bool]) -> bool:
    """Fork as the hooks do; return what ``check`` returns in the child."""
    session.heartbeat.before_fork()
    pid = os.fork()
    if pid == 0:
        session.heartbeat.after_fork_in_child()
        fork_hooks._start_all()
        os._exit(0 if check() else 1)
    session.heartbeat.after_fork_in_parent()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_forked_child_starts_a_thread_of_its_own(session: Session) -> None:
    def works() -> bool:
        done = threading.Event()
        session.heartbeat.call_soon(done.set)
        return done.wait(30.0)

    session.heartbeat.start()
    assert fork(session, works)
    turn(session)


def test_forked_child_without_need_has_no_thread_and_no_actions(session: Session) -> None:
    seen: list[int] = []
    session.heartbeat.call_soon(lambda: seen.append(1))

    def starts_afresh() -> bool:
        if session.heartbeat._thread is not None:  # other sessions of this process may start theirs
            return False
        session.heartbeat.start()
        turn(session)
        return not seen

    assert fork(session, starts_afresh)
    session.heartbeat.start()
    turn(session)
    assert seen == [1]


def test_child_does_not_wake_its_parent(session: Session) -> None:
    def wake() -> bool:
        session.heartbeat.wake()
        return True

    assert fork(session, wake)  # the thread does not run here: it would take what woke it
    assert connection.wait([session.heartbeat._wakeup], 0) == []


def test_thread_ends_before_a_fork_and_goes_on_after_it(session: Session) -> None:
    session.link.channel = object()
    session.heartbeat.start()
    turn(session)
    renewal = session.heartbeat._renewal
    session.heartbeat.park()
    session.heartbeat.before_fork()
    assert thread_count(session) == 0
    session.heartbeat.after_fork_in_parent()
    fork_hooks._starting.remove(session.heartbeat.start)  # others may be those of other sessions
    session.heartbeat.start()
    assert thread_count(session) == 1
    turn(session)
    assert session.heartbeat._renewal == renewal, "a fork puts nothing off"
    assert session.link.calls == ["checkin connection"], "the same one, or it would look dead"


def test_thread_that_is_busy_does_not_hold_up_a_fork(session: Session) -> None:
    answered = threading.Event()
    begun = threading.Event()

    def ask() -> None:
        begun.set()
        answered.wait()

    session.heartbeat.call_soon(ask)
    session.heartbeat.start()
    assert begun.wait(30.0)
    session.heartbeat.park()
    session.heartbeat.before_fork()
    assert thread_count(session) == 1
    session.heartbeat.after_fork_in_parent()
    answered.set()
    turn(session)
    assert thread_count(session) == 1


def test_parked_thread_goes_on_in_a_child(session: Session) -> None:
    def works() -> bool:
        done = threading.Event()
        session.heartbeat.call_soon(done.set)
        return done.wait(30.0)

    session.heartbeat.start()
    session.heartbeat.park()
    assert fork(session, works)
    fork_hooks._starting.pop()()
    turn(session)


def test_parked_thread_can_be_stopped(session: Session) -> None:
    session.heartbeat.start()
    session.heartbeat.park()
    session.heartbeat.stop()
    session.heartbeat.before_fork()
    session.heartbeat.after_fork_in_parent()
    session.heartbeat.start()
    assert thread_count(session) == 0
