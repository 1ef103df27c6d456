"""What a session says of itself, and when; a link that is made up counts the commands."""

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
    """Keys with their notes; a connection that may be another one tomorrow; the log of commands."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.channel: Any = self
        self.connection = 7
        self.log: list[bytes] = []
        self.forbids: set[bytes] = set()
        self.is_away = False
        self.moves = 0

    def fileno(self) -> int:
        return 99

    # What a link has.

    def current_channel(self) -> Any:
        return self.channel

    def execute_raw(self, *command: bytes) -> Any:
        self.log.append(command[0])
        if self.is_away:
            raise LinkLost
        if command[0] in self.forbids:
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
        answers: list[Any] = []
        for command in commands:
            try:
                answers.append(self.execute_raw(*command))
            except ReplyError as error:
                answers.append(error)
            self.log.pop()
        return answers

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
        if self.moves:  # the connection breaks, and the link opens another one
            self.moves -= 1
            self.channel, self.connection = object(), self.connection + 1
        seconds = [b"1700000000", b"250000"]
        return [seconds, *[int(key in self.keys) for _, key, _ in commands[1:]]]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def presence(server: Server) -> SessionRegistration:
    return SessionRegistration(server, "ns", b"30000")  # type: ignore[arg-type]


def enter(presence: SessionRegistration, *prefixes: bytes) -> list[bytes]:
    asked = [presence.request_registration(prefix) for prefix in prefixes]
    lapsed = presence.heartbeat()
    assert all(there.is_set() for there in asked)
    return lapsed


# -- notes


@pytest.mark.parametrize("host", ["h", "a host with spaces", "höst", ""])
def test_a_note_is_read_as_it_was_written(host: str) -> None:
    note = SessionInfo(b"12", RUN, 4711, host)
    assert SessionInfo.unpack(note.pack()) == note
    assert SessionInfo.unpack(SessionInfo(b"", b"", 1, host).pack()).connection == b""


# -- threads


def test_each_thread_has_a_name_of_its_own(presence: SessionRegistration) -> None:
    from multihost.wire.session.registration import ThreadIdentity

    me = ThreadIdentity(presence)
    names = [me.waiter_id]

    def note() -> None:
        names.append(me.waiter_id)

    for name in ("a.b", "50%", "a.b"):
        thread = threading.Thread(target=note, name=name)
        thread.start()
        thread.join()
    assert len(set(names)) == 4
    assert me.waiter_id == names[0]
    for name in names:
        sid, number, said = name.split(b".")  # a dot in a name is no separator
        assert sid == presence.sid
        assert number.isdigit()
    assert [name.split(b".")[2] for name in names[1:]] == [b"a%2Eb", b"50%25", b"a%2Eb"]


def test_holds_have_rising_names_with_the_servers_time(presence: SessionRegistration) -> None:
    from multihost.wire.session.registration import ThreadIdentity

    enter(presence, b"{ns:01}:")
    me = ThreadIdentity(presence)
    ids = [me.new_hold_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    since = int(ids[0].rpartition(b".")[2])
    assert since == pytest.approx(1700000000_250000, abs=5_000_000)
    assert presence.now() == pytest.approx(1700000000.25, abs=5)
    assert len(ids[0].rpartition(b".")[2]) == 16


def test_sessions_do_not_share_a_name(server: Server) -> None:
    sids = {SessionRegistration(server, "ns", b"1").sid for _ in range(1000)}  # type: ignore[arg-type]
    assert len(sids) == 1000
    assert not any(set(sid) & set(b". :{}") for sid in sids)


# -- beats


def test_the_first_beat_says_who_this_is(presence: SessionRegistration, server: Server) -> None:
    assert not presence.needs_heartbeat
    assert presence.fileno == -1
    presence.request_registration(b"{ns:01}:")
    assert presence.needs_heartbeat
    assert enter(presence, b"{ns:02}:") == []
    assert not presence.needs_heartbeat
    assert presence.fileno == 99
    assert set(server.keys) == {b"{ns:01}:s:" + presence.sid, b"{ns:02}:s:" + presence.sid}
    note = SessionInfo.unpack(server.keys[b"{ns:01}:s:" + presence.sid])
    assert (note.connection, note.server) == (b"7", RUN)
    assert presence.server == RUN


def test_a_beat_is_one_write_however_much_is_held(
    presence: SessionRegistration, server: Server
) -> None:
    enter(presence, *[b"{ns:%02d}:" % number for number in range(64)])
    server.log.clear()
    for _ in range(3):
        assert presence.heartbeat() == []
    assert server.log == [b"TIME" + b"+PEXPIRE" * 64] * 3
    assert presence.expirations == 0


def test_a_beat_says_how_long_the_keys_live_at_least(presence: SessionRegistration) -> None:
    before = time.monotonic()
    enter(presence, b"{ns:01}:")
    assert before + 30 <= presence.valid_until <= time.monotonic() + 30


def test_a_key_that_expired_is_a_lapse_and_comes_back(
    presence: SessionRegistration, server: Server
) -> None:
    enter(presence, b"{ns:01}:", b"{ns:02}:")
    del server.keys[b"{ns:01}:s:" + presence.sid]
    assert presence.has_expired(b"{ns:01}:", 0) is True, "also before the beat has noticed"
    assert presence.has_expired(b"{ns:02}:", 0) is False
    assert presence.heartbeat() == [b"{ns:01}:"]
    assert presence.expirations == 1
    assert len(server.keys) == 2
    assert presence.has_expired(b"{ns:01}:", 0) is True, "and after that"
    assert presence.has_expired(b"{ns:01}:", 1) is False
    assert presence.heartbeat() == []


def test_a_new_connection_is_made_known_everywhere(
    presence: SessionRegistration, server: Server
) -> None:
    enter(presence, b"{ns:01}:", b"{ns:02}:")
    server.channel, server.connection = object(), 8
    assert presence.needs_heartbeat
    assert presence.fileno == -1, "the old one is not watched any more"
    presence.heartbeat()
    assert not presence.needs_heartbeat
    assert {SessionInfo.unpack(note).connection for note in server.keys.values()} == {b"8"}
    assert presence.expirations == 0


def test_a_new_connection_is_found_out_about_in_one_exchange(
    presence: SessionRegistration, server: Server
) -> None:
    enter(presence, b"{ns:01}:")
    server.channel, server.connection = object(), 8
    server.log.clear()
    presence.heartbeat()
    assert server.log == [b"CLIENT+INFO", b"TIME+PEXPIRE", b"EVALSHA"]


def test_a_connection_that_breaks_during_the_beat(
    presence: SessionRegistration, server: Server
) -> None:
    enter(presence, b"{ns:01}:")
    server.moves = 3
    presence.heartbeat()
    assert SessionInfo.unpack(server.keys[b"{ns:01}:s:" + presence.sid]).connection == b"10"
    assert not presence.needs_heartbeat


def test_a_beat_that_fails_lets_nobody_wait(presence: SessionRegistration, server: Server) -> None:
    enter(presence, b"{ns:01}:")
    fresh = presence.valid_until
    server.is_away = True
    there = presence.request_registration(b"{ns:02}:")
    with pytest.raises(LinkLost):
        presence.heartbeat()
    assert there.is_set()
    assert b"{ns:02}:" not in presence.session_keys
    assert presence.valid_until == fresh
    server.is_away = False
    enter(presence, b"{ns:02}:")
    assert len(server.keys) == 2


@pytest.mark.parametrize("forbidden", [b"CLIENT", b"INFO"])
def test_without_permission_to_look_there_is_no_connection_to_look_for(
    presence: SessionRegistration, server: Server, forbidden: bytes
) -> None:
    server.forbids = {forbidden}
    enter(presence, b"{ns:01}:")
    assert SessionInfo.unpack(server.keys[b"{ns:01}:s:" + presence.sid]).connection == b""


# -- the end


def test_who_leaves_takes_its_keys_along(presence: SessionRegistration, server: Server) -> None:
    presence.unregister()
    enter(presence, b"{ns:01}:", b"{ns:02}:")
    presence.unregister()
    assert not server.keys
    assert not presence.session_keys
    server.log.clear()
    presence.unregister()
    assert not server.log


def test_nobody_waits_for_a_thread_that_has_ended(presence: SessionRegistration) -> None:
    there = presence.request_registration(b"{ns:01}:")
    presence.release_waiters()
    assert there.is_set()
