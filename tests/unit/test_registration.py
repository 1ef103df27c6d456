"""The keys of a session: what they contain, and when they are renewed; a stub counts commands."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from multihost.errors import LinkLost
from multihost.wire.replies import ReplyError
from multihost.wire.session.registration import SessionInfo, SessionRegistration

RUN = b"a" * 40


class Server:
    """A link with the keys that it was sent, a connection that may change, and a log."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.channel: Any = self
        self.connection = 7
        self.log: list[bytes] = []
        self.forbidden: set[bytes] = set()
        self.is_away = False
        self.moves = 0

    def fileno(self) -> int:
        return 99

    def current_channel(self) -> Any:
        return self.channel

    def execute_raw(self, *command: bytes) -> Any:
        self.log.append(command[0])
        if self.is_away:
            raise LinkLost
        if command[0] in self.forbidden:
            raise ReplyError("NOPERM no")
        match command[0]:
            case b"CLIENT":
                return self.connection
            case b"INFO":
                return b"# Server\r\nredis_version:8\r\nrun_id:%b\r\n" % RUN
            case b"EVALSHA":
                known = command[3] in self.keys
                self.keys[command[3]] = command[4]
                return int(known)
        raise AssertionError(command)

    def pipeline_raw(self, commands: list[tuple[bytes, ...]]) -> list[Any]:
        self.log.append(b"+".join(command[0] for command in commands))
        replies: list[Any] = []
        for command in commands:
            try:
                replies.append(self.execute_raw(*command))
            except ReplyError as error:
                replies.append(error)
            self.log.pop()
        return replies

    def execute(self, *command: bytes) -> Any:
        self.log.append(command[0])
        if command[0] == b"EXISTS":
            return int(command[1] in self.keys)
        assert command[0] == b"UNLINK"
        for key in command[1:]:
            del self.keys[key]
        return None

    def pipeline(self, commands: list[tuple[bytes, ...]]) -> list[Any]:
        self.log.append(b"+".join(command[0] for command in commands))
        if self.is_away:
            raise LinkLost
        if self.moves:  # the connection breaks, and the link opens another
            self.moves -= 1
            self.channel, self.connection = object(), self.connection + 1
        seconds = [b"1700000000", b"250000"]
        return [seconds, *[int(key in self.keys) for _, key, _ in commands[1:]]]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def registration(server: Server) -> SessionRegistration:
    return SessionRegistration(server, "ns", b"30000")  # type: ignore[arg-type]


def register(registration: SessionRegistration, *prefixes: bytes) -> list[bytes]:
    requests = [registration.request_registration(prefix) for prefix in prefixes]
    expired = registration.heartbeat()
    assert all(request.answered.is_set() for request in requests)
    return expired


# -- values of keys


@pytest.mark.parametrize("host", ["h", "a host with spaces", "höst", ""])
def test_session_info_is_unpacked_as_it_was_packed(host: str) -> None:
    info = SessionInfo(b"12", RUN, 4711, host)
    assert SessionInfo.unpack(info.pack()) == info
    assert SessionInfo.unpack(SessionInfo(b"", b"", 1, host).pack()).connection == b""


# -- threads


def test_each_thread_has_a_waiter_id_of_its_own(registration: SessionRegistration) -> None:
    from multihost.wire.session.registration import ThreadIdentity

    identity = ThreadIdentity(registration)
    names = [identity.waiter_id]

    def append() -> None:
        names.append(identity.waiter_id)

    for name in ("a.b", "50%", "a.b"):
        thread = threading.Thread(target=append, name=name)
        thread.start()
        thread.join()
    assert len(set(names)) == 4
    assert identity.waiter_id == names[0]
    for name in names:
        sid, number, _ = name.split(b".")  # a dot in a name is no separator
        assert sid == registration.sid
        assert number.isdigit()
    assert [name.split(b".")[2] for name in names[1:]] == [b"a%2Eb", b"50%25", b"a%2Eb"]


def test_hold_ids_rise_and_contain_the_servers_time(registration: SessionRegistration) -> None:
    from multihost.wire.session.registration import ThreadIdentity

    register(registration, b"{ns:01}:")
    identity = ThreadIdentity(registration)
    ids = [identity.new_hold_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    since = int(ids[0].rpartition(b".")[2])
    assert since == pytest.approx(1700000000_250000, abs=5_000_000)
    assert registration.now() == pytest.approx(1700000000.25, abs=5)
    assert len(ids[0].rpartition(b".")[2]) == 16


def test_session_ids_are_unique_and_contain_no_separator(server: Server) -> None:
    sids = {SessionRegistration(server, "ns", b"1").sid for _ in range(1000)}  # type: ignore[arg-type]
    assert len(sids) == 1000
    assert not any(set(sid) & set(b". :{}") for sid in sids)


# -- heartbeats


def test_first_heartbeat_registers_pid_and_connection(
    registration: SessionRegistration, server: Server
) -> None:
    assert not registration.is_requested
    assert registration.fileno == -1
    registration.request_registration(b"{ns:01}:")
    assert registration.is_requested
    assert register(registration, b"{ns:02}:") == []
    assert not registration.is_requested
    assert registration.fileno == 99
    assert set(server.keys) == {b"{ns:01}:s:" + registration.sid, b"{ns:02}:s:" + registration.sid}
    info = SessionInfo.unpack(server.keys[b"{ns:01}:s:" + registration.sid])
    assert (info.connection, info.server) == (b"7", RUN)
    assert registration.server == RUN


def test_heartbeat_is_one_write_for_all_partitions(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, *[b"{ns:%02d}:" % number for number in range(64)])
    server.log.clear()
    for _ in range(3):
        assert registration.heartbeat() == []
    assert server.log == [b"TIME" + b"+PEXPIRE" * 64] * 3
    assert registration.expirations == 0


def test_heartbeat_sets_how_long_the_keys_live_at_least(registration: SessionRegistration) -> None:
    before = time.monotonic()
    register(registration, b"{ns:01}:")
    assert before + 30 <= registration.valid_until <= time.monotonic() + 30


def test_expired_key_is_counted_and_created_again(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, b"{ns:01}:", b"{ns:02}:")
    del server.keys[b"{ns:01}:s:" + registration.sid]
    assert registration.has_expired(b"{ns:01}:", 0) is True, "also before the heartbeat has noticed"
    assert registration.has_expired(b"{ns:02}:", 0) is False
    assert registration.heartbeat() == [b"{ns:01}:"]
    assert registration.expirations == 1
    assert len(server.keys) == 2
    assert registration.has_expired(b"{ns:01}:", 0) is True, "and after that"
    assert registration.has_expired(b"{ns:01}:", 1) is False
    assert registration.heartbeat() == []


def test_new_connection_is_registered_in_every_partition(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, b"{ns:01}:", b"{ns:02}:")
    server.channel, server.connection = object(), 8
    assert registration.is_disconnected
    assert registration.fileno == -1, "the old one is not watched any more"
    registration.heartbeat()
    assert not registration.is_disconnected
    assert {SessionInfo.unpack(info).connection for info in server.keys.values()} == {b"8"}
    assert registration.expirations == 0


def test_new_connection_is_identified_in_one_exchange(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, b"{ns:01}:")
    server.channel, server.connection = object(), 8
    server.log.clear()
    registration.heartbeat()
    assert server.log == [b"CLIENT+INFO", b"TIME+PEXPIRE", b"EVALSHA"]


def test_connection_that_breaks_during_the_heartbeat(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, b"{ns:01}:")
    server.moves = 3
    registration.heartbeat()
    assert SessionInfo.unpack(server.keys[b"{ns:01}:s:" + registration.sid]).connection == b"10"
    assert not registration.is_disconnected


def test_failed_heartbeat_ends_the_wait_for_a_registration(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, b"{ns:01}:")
    before = registration.valid_until
    server.is_away = True
    request = registration.request_registration(b"{ns:02}:")
    with pytest.raises(LinkLost):
        registration.heartbeat()
    assert request.answered.is_set()
    assert b"{ns:02}:" not in registration.session_keys
    assert registration.valid_until == before
    server.is_away = False
    register(registration, b"{ns:02}:")
    assert len(server.keys) == 2


@pytest.mark.parametrize("command", [b"CLIENT", b"INFO"])
def test_without_permission_no_connection_is_registered(
    registration: SessionRegistration, server: Server, command: bytes
) -> None:
    server.forbidden = {command}
    register(registration, b"{ns:01}:")
    assert SessionInfo.unpack(server.keys[b"{ns:01}:s:" + registration.sid]).connection == b""


# -- the end


def test_unregister_deletes_the_keys(registration: SessionRegistration, server: Server) -> None:
    registration.unregister()
    register(registration, b"{ns:01}:", b"{ns:02}:")
    registration.unregister()
    assert not server.keys
    assert not registration.session_keys
    server.log.clear()
    registration.unregister()
    assert not server.log


def test_end_of_the_thread_ends_the_wait_for_a_registration(
    registration: SessionRegistration,
) -> None:
    request = registration.request_registration(b"{ns:01}:")
    registration.release_waiters()
    assert request.answered.is_set()
    assert registration.request_registration(b"{ns:02}:").answered.is_set(), "and later ones"
