"""A session without a server: registration on demand, its end, and its parts after a fork."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from multihost.errors import LinkLost, ManagerClosed
from multihost.wire.address import EMBEDDED, Address
from multihost.wire.keys import Keys
from multihost.wire.session import Hold, Session, fork
from multihost.wire.session.registry import Origin
from multihost.wire.values.codec import Codec
from tests.support.one_server import OneServer
from tests.support.sessions import expirations, expire

KEYS = Keys("ns", "n:x")
ORIGIN = Origin("redis://nowhere:1/0", "ns", 30.0, 10.0, "pickle", "pickle")


class Link(OneServer):
    """A link that answers heartbeats, and remembers what else it was sent."""

    address = Address("redis", host="nowhere", port=1)
    lookout = None
    guarded = False

    def __init__(self) -> None:
        self.channel: Any = self
        self.timeout = 60.0
        self.reconnect_timeout = 60.0
        self.is_lost = False
        self.is_closed = False
        self.is_away = False
        self.keys: set[bytes] = set()
        self.log: list[bytes] = []
        self.answering = threading.Event()
        self.answering.set()

    # As a channel.

    client_id, run = b"7", b""

    def fileno(self) -> int:
        return -1

    # As a link.

    @property
    def closed(self) -> ManagerClosed:
        return ManagerClosed("closed")

    patience: tuple[float | None, float] = None, 1.0

    def set_patience(self, until: float | None, attempt: float) -> None:
        pass

    def patience_ends(self, begun: float) -> float:
        return begun + self.reconnect_timeout

    def reply_ends(self, begun: float) -> float:
        return begun + 1.0

    def back_off(self) -> None:
        time.sleep(0.01)

    def current_channel(self) -> Any:
        return self.channel

    def checkout(self) -> Any:
        return self

    def checkin(self, connection: Any) -> None:
        assert connection is self

    def note_run(self, run: bytes) -> None:
        self.run = run

    def client_ids(self, node: object = None) -> list[bytes]:
        return [self.client_id]

    def pipeline_raw(self, commands: list[tuple[bytes, ...]]) -> list[Any]:
        if commands[0][0] == b"INFO":
            self._wait()
            return [b"run_id:abc\r\n", 7]
        return self.pipeline(commands)

    def pipeline(self, commands: list[tuple[bytes, ...]]) -> list[Any]:
        self._wait()
        return [self._reply(command) for command in commands]

    def _reply(self, command: tuple[bytes, ...]) -> Any:
        if command[0] == b"TIME":
            return [b"1", b"0"]
        if command[0] == b"UNLINK":
            self.log.append(command[0])
            self.keys.difference_update(command[1:])
            return 0
        if command[0] not in (b"EVAL", b"EVALSHA"):  # those of the ring
            return None
        key, *args = command[3:]
        if len(args) > 3:  # session/enter
            self.keys.add(key)
        return int(key in self.keys)

    def execute(self, *command: bytes) -> Any:
        self.log.append(command[0])
        if self.is_closed:
            raise self.closed
        if self.is_away:
            raise LinkLost("away")
        if command[0] == b"UNLINK":
            self.keys.difference_update(command[1:])
        return 0

    def _wait(self) -> None:
        self.answering.wait(30.0)
        if self.is_away:
            raise LinkLost("away")

    def stop_retrying(self) -> None:
        self.log.append(b"stop_retrying")
        self.reconnect_timeout = 0.0

    def refuse_others(self) -> None:
        self.log.append(b"refuse_others")

    def interrupt_blocked(self) -> None:
        pass

    def close(self) -> None:
        self.log.append(b"close")
        self.is_closed = True

    def close_now(self) -> None:
        self.log.append(b"close_now")
        self.is_closed = True


class Client:
    """Stands for the client of a host."""

    def __init__(self, log: list[bytes]) -> None:
        self.log = log

    def close_channels(self) -> None:
        self.log.append(b"close_channels")


class Held(Hold):
    released = False

    def is_valid(self) -> bool:
        return True

    def release_at_exit(self) -> None:
        self.released = True
        if self.handle.link.is_away:  # type: ignore[attr-defined]
            raise LinkLost("away")


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def session(link: Link) -> Iterator[Session]:
    one = Session(link, Codec(), ORIGIN)  # type: ignore[arg-type]
    yield one
    link.is_away = False
    one.close()


# -- registration


def test_ensure_registered_waits_for_the_key_once(session: Session, link: Link) -> None:
    link.answering.clear()
    threading.Timer(0.05, link.answering.set).start()
    session.ensure_registered(KEYS)
    assert link.answering.is_set(), "it has waited"
    assert link.keys == {KEYS.prefix + b"s:" + session.registration.names[KEYS.prefix]}
    link.answering.clear()
    session.ensure_registered(KEYS)  # asks the server nothing
    link.answering.set()
    assert link.log == []


def test_threads_register_together(session: Session, link: Link) -> None:
    partitions = [Keys("ns", f"n:{number}") for number in range(20)]
    threads = [
        threading.Thread(target=session.ensure_registered, args=(keys,)) for keys in partitions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {keys.prefix for keys in partitions} == set(session.registration.session_keys)


def test_ensure_registered_after_the_keys_may_have_expired(session: Session, link: Link) -> None:
    session.ensure_registered(KEYS)
    link.keys.clear()
    expire(session)
    session.ensure_registered(KEYS)
    assert expirations(session) == 1
    assert link.keys


def test_ensure_registered_raises_why_there_is_no_key(session: Session, link: Link) -> None:
    link.is_away, link.reconnect_timeout = True, 0.2
    with pytest.raises(LinkLost):
        session.ensure_registered(KEYS)
    link.is_away, link.reconnect_timeout = False, 60.0
    session.ensure_registered(KEYS)


def test_ensure_registered_raises_when_closed(session: Session) -> None:
    session.close()
    with pytest.raises(ManagerClosed):
        session.ensure_registered(KEYS)


def test_close_ends_the_wait_for_a_registration(session: Session, link: Link) -> None:
    link.answering.clear()
    errors: list[BaseException] = []

    def register() -> None:
        try:
            session.ensure_registered(KEYS)
        except ManagerClosed as error:
            errors.append(error)

    thread = threading.Thread(target=register)
    thread.start()
    link.is_away = True
    link.is_closed = True
    link.answering.set()
    session.close_now()
    thread.join(30.0)
    assert len(errors) == 1


# -- the end


def test_close_releases_and_deletes_then_closes_the_link(session: Session, link: Link) -> None:
    session.ensure_registered(KEYS)
    hold = session.holds["owner"] = Held(session.handle("n:x"), b"id", 1, 0)
    session.rpc_clients["h:1"] = Client(link.log)  # type: ignore[assignment]
    session.close()
    assert hold.released
    assert link.log == [
        b"stop_retrying",
        b"refuse_others",
        b"close_channels",
        b"UNLINK",
        b"close",
    ]
    assert not link.keys
    session.close()
    assert link.log[-1:] == [b"close"], "once"


@pytest.mark.parametrize("what", ["unnamed objects", "what is held"])
def test_close_without_a_server_leaves_everything_to_expire(
    session: Session, link: Link, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    hold = session.holds["owner"] = Held(session.handle("n:x"), b"id", 1, 0)
    if what == "unnamed objects":
        session.references.add_created(KEYS)
    link.is_away = True
    session.close()
    assert hold.released
    assert link.log == [b"stop_retrying", b"refuse_others", b"close"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{what} at {link.address} w")
    assert record.getMessage().endswith(" left to expire: away")


def test_close_after_the_end_of_a_private_server_is_quiet(
    session: Session, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    session.references.add_created(KEYS)
    link.address = link.address._replace(options=EMBEDDED)
    session.holds["owner"] = Held(session.handle("n:x"), b"id", 1, 0)
    link.is_away = True
    session.close()
    assert caplog.records == []


def test_close_now_sends_nothing(session: Session, link: Link) -> None:
    session.ensure_registered(KEYS)
    session.close_now()
    assert link.log == [b"close_now"]


# -- forking


def in_child(check: Any) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_forked_child_has_a_session_of_its_own(session: Session, link: Link) -> None:
    session.ensure_registered(KEYS)
    session.holds["owner"] = Held(session.handle("n:x"), b"id", 1, 0)
    session.rpc_clients["h:1"] = Client(link.log)  # type: ignore[assignment]
    sid, registration = session.registration.sid, session.registration

    def starts_afresh() -> bool:
        assert not session.holds
        assert not session.rpc_clients
        assert session.registration is not registration
        assert session.registration.sid != sid
        session.ensure_registered(KEYS)
        return True

    in_child(starts_afresh)
    assert session.holds
    assert session.registration is registration


def test_threads_that_fork_take_turns(session: Session) -> None:
    session.ensure_registered(KEYS)

    def fork_often() -> None:
        for _ in range(5):
            in_child(lambda: True)

    threads = [threading.Thread(target=fork_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.ensure_registered(KEYS)


def test_forked_child_may_fork_again(session: Session) -> None:
    session.ensure_registered(KEYS)

    def fork_again() -> bool:
        in_child(lambda: session.ensure_registered(KEYS) is None)
        return True

    in_child(fork_again)


class Aware:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def before_fork(self) -> None:
        self.calls.append("before")

    def after_fork_in_parent(self) -> None:
        self.calls.append("parent")

    def after_fork_in_child(self) -> None:
        self.calls.append("child")


def test_hooks_run_around_each_fork_while_the_object_lives() -> None:
    aware, other = Aware(), Aware()
    calls = other.calls
    fork.track(aware)
    fork.track(other)
    in_child(lambda: aware.calls == ["before", "child"])
    assert aware.calls == ["before", "parent"]
    del other
    in_child(lambda: True)
    assert aware.calls == ["before", "parent"] * 2
    assert calls == ["before", "parent"]


def test_threads_start_when_no_hook_holds_a_lock_any_more() -> None:
    """A finalizer that happens to run in the new thread may need it."""
    from multihost.pipes import fork_lock

    taken: list[bool] = []

    def take() -> None:
        taken.append(fork_lock.acquire(timeout=30.0))
        fork_lock.release()

    def start() -> None:
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()

    class Starting(Aware):
        def after_fork_in_parent(self) -> None:
            fork.start_after_fork(start)

    starting = Starting()
    fork.track(starting)
    in_child(lambda: True)
    assert taken == [True]
    assert starting is not None
