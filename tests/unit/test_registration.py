"""The records of a session: their content, and when they are renewed; a stub counts commands."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from multihost.errors import LinkLost
from multihost.patching import per_thread
from multihost.wire.link import pack_all
from multihost.wire.replies import ReplyError
from multihost.wire.session import registration as module
from multihost.wire.session.names import ThreadIdentity
from multihost.wire.session.presence import LEAST_GRACE, MAX_CONNECTIONS, ROUND_TRIPS, Presence
from multihost.wire.session.process import host_identity, start_of
from multihost.wire.session.record import SessionRecord
from multihost.wire.session.registration import SessionRegistration, run_id
from tests.support.waiting import wait_until

RUN, OTHER_RUN = b"a" * 40, b"b" * 40
ENTER, RENEW = 7, 3  # arguments of the scripts


class Channel:
    """A connection, which hands everything on to the server."""

    def __init__(self, server: Server, client_id: bytes) -> None:
        self.server = server
        self.client_id, self.run, self.node = client_id, b"", None

    def fileno(self) -> int:
        return 99

    def exchange_many(self, requests: bytes, count: int) -> list[Any]:
        commands = self.server.packed[requests]
        assert len(commands) == count
        return self.server.replies(commands)


class Server:
    """A link with the records that it was sent, a connection that may change, and a log."""

    def __init__(self) -> None:
        self.records: dict[bytes, dict[bytes, bytes]] = {}
        self.run = RUN
        self.numbers = 7
        self.channel: Any = None
        self.others: list[bytes] = []
        self.log: list[bytes] = []
        self.forbidden: set[bytes] = set()
        self.is_away = False
        self.moves = 0
        self.on_open: Any = None
        self.packed: dict[bytes, Sequence[tuple[bytes, ...]]] = {}

    # As a link.

    guarded = False
    timeout = 60.0
    node = None

    def lane(self, prefix: bytes) -> Server:
        return self

    def masters(self) -> list[Server]:
        return [self]

    def patience_ends(self, begun: float) -> float:
        return begun + self.timeout

    def current_channel(self) -> Any:
        return self.channel

    def note_run(self, run: bytes) -> None:
        if self.channel is not None:
            self.channel.run = run

    def client_ids(self, node: object = None) -> list[bytes]:
        return [*self.others, *([self.channel.client_id] if self.channel else [])]

    def open(self) -> Channel:
        """Connect; a ClientChannel does not know its number."""
        self.numbers += 1
        self.channel = channel = Channel(self, b"%d" % self.numbers)
        if self.on_open is not None:
            self.on_open(channel)
        return channel

    def pipeline_raw(self, commands: Sequence[tuple[bytes, ...]]) -> list[Any]:
        if self.is_away:
            raise LinkLost
        if self.channel is None:
            self.open()
        if self.moves:  # the connection breaks, and the link opens another
            self.moves -= 1
            self.open()
        return self.replies(commands)

    def pipeline(self, commands: Sequence[tuple[bytes, ...]]) -> list[Any]:
        return self.pipeline_raw(commands)

    def execute(self, *command: bytes) -> Any:
        return self.replies([command])[0]

    # As the server.

    def replies(self, commands: Sequence[tuple[bytes, ...]]) -> list[Any]:
        self.log.append(b"+".join(map(self.verb, commands)))
        return [self.reply(command) for command in commands]

    @staticmethod
    def verb(command: tuple[bytes, ...]) -> bytes:
        if command[0] not in (b"EVAL", b"EVALSHA"):
            return command[0]
        return {ENTER: b"enter", RENEW: b"renew"}[len(command) - 4]

    def reply(self, command: tuple[bytes, ...]) -> Any:
        if command[0] in self.forbidden:
            return ReplyError("NOPERM no")
        match self.verb(command):
            case b"TIME":
                return [b"1700000000", b"250000"]
            case b"CLIENT":
                return self.numbers
            case b"INFO":
                return b"# Server\r\nredis_version:8\r\nrun_id:%b\r\n" % self.run
            case b"EXISTS":
                return int(command[1] in self.records)
            case b"UNLINK":
                for key in command[1:]:
                    del self.records[key]
                return len(command) - 1
            case b"enter":
                key, *args = command[3:]
                fields = (b"r", b"c", b"h", b"p", b"g", b"l", b"n")
                self.records.setdefault(key, {b"b": b"0"}).update(zip(fields, args, strict=True))
            case b"renew":
                key, run, connections, grace = command[3:]
                if key not in self.records:
                    return 0
                self.records[key] |= {b"r": run, b"c": connections, b"g": grace}
        record = self.records[command[3]]
        record[b"b"] = b"%d" % (int(record[b"b"]) + 1)
        return int(record[b"b"])

    def record(self, registration: SessionRegistration, prefix: bytes) -> SessionRecord:
        fields = self.records[registration.session_keys[prefix]]
        found = SessionRecord.of(
            [fields[f] for f in (b"b", b"r", b"c", b"h", b"p", b"g", b"l", b"n")]
        )
        assert found is not None
        return found


ONE, TWO = b"{ns:01}:", b"{ns:02}:"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()

    def pack(commands: Sequence[tuple[bytes, ...]]) -> bytes:
        packed = pack_all(commands)
        made.packed[packed] = commands
        return packed

    monkeypatch.setattr(module, "pack_all", pack)
    return made


@pytest.fixture
def registration(server: Server) -> SessionRegistration:
    made = SessionRegistration(server, "ns", b"30000")  # type: ignore[arg-type]
    server.on_open = made.renew_over
    return made


def here(registration: SessionRegistration) -> Presence:
    """The only server."""
    return registration.presence_of(ONE)


def beat(registration: SessionRegistration) -> list[bytes]:
    return registration.heartbeat(here(registration))


def expirations(registration: SessionRegistration) -> int:
    return registration.memberships[ONE].expirations


def register(registration: SessionRegistration, *prefixes: bytes) -> list[bytes]:
    requests = [registration.request_registration(prefix) for prefix in prefixes]
    lapsed = beat(registration)
    assert all(request.answered.is_set() for request in requests)
    return lapsed


# -- names


def test_each_thread_has_a_waiter_id_of_its_own(registration: SessionRegistration) -> None:
    identity = per_thread(ThreadIdentity, registration.names)
    names = [identity.waiter_id(ONE)]

    def append() -> None:
        names.append(identity.waiter_id(ONE))

    for name in ("a.b", "50%", "a.b"):
        thread = threading.Thread(target=append, name=name)
        thread.start()
        thread.join()
    assert len(set(names)) == 4
    assert identity.waiter_id(ONE) == names[0]
    for name in names:
        session, number, _ = name.split(b".")  # a dot in a name is no separator
        assert session == registration.names[ONE]
        assert number.isdigit()
    assert [name.split(b".")[2] for name in names[1:]] == [b"a%2Eb", b"50%25", b"a%2Eb"]


def test_a_session_knows_the_servers_time(registration: SessionRegistration) -> None:
    register(registration, ONE)
    assert registration.now() == pytest.approx(1700000000.25, abs=5)


def test_session_ids_are_unique_and_contain_no_separator(server: Server) -> None:
    sids = {SessionRegistration(server, "ns", b"1").sid for _ in range(1000)}  # type: ignore[arg-type]
    assert len(sids) == 1000
    assert not any(set(sid) & set(b". :{}~") for sid in sids)


def test_a_name_whose_record_is_gone_is_not_used_again(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE, TWO)
    identity = per_thread(ThreadIdentity, registration.names)
    used, thread = {registration.names[ONE]}, identity.key
    for _ in range(5):
        del server.records[registration.session_keys[ONE]]
        assert beat(registration) == [ONE]
        assert registration.names[ONE] not in used
        assert identity.waiter_id(ONE).startswith(registration.names[ONE] + b".")
        used.add(registration.names[ONE])
    assert registration.names[TWO] == registration.sid + b"~1", "it did not lapse there"
    assert identity.key == thread


# -- heartbeats


def test_first_heartbeat_stores_what_others_judge_by(
    registration: SessionRegistration, server: Server
) -> None:
    assert not registration.is_requested(here(registration))
    assert here(registration).fileno == -1
    registration.request_registration(ONE)
    assert registration.is_requested(here(registration))
    assert register(registration, TWO) == []
    assert not registration.is_requested(here(registration))
    assert here(registration).fileno == 99
    keys = {prefix + b"s:" + registration.names[prefix] for prefix in (ONE, TWO)}
    assert set(server.records) == keys
    assert server.record(registration, ONE) == SessionRecord(
        beats=1,
        run=RUN,
        connections=frozenset({b"8"}),
        host=host_identity(),
        pid=os.getpid(),
        start=start_of(os.getpid()),
        grace=LEAST_GRACE,
        lease=30.0,
        hostname=os.uname().nodename,
    )
    assert here(registration).run == RUN


def test_heartbeat_is_one_write_for_all_partitions(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, *[b"{ns:%02d}:" % number for number in range(64)])
    server.log.clear()
    for _ in range(3):
        assert beat(registration) == []
    assert server.log == [b"TIME" + b"+renew" * 64] * 3
    assert expirations(registration) == 0
    assert server.record(registration, b"{ns:09}:").beats == 4


def test_heartbeat_makes_no_record(registration: SessionRegistration, server: Server) -> None:
    register(registration, ONE)
    (key,) = server.records
    del server.records[key]
    beat(registration)
    assert key not in server.records


def test_heartbeat_sets_how_long_nobody_can_take_it_for_dead(
    registration: SessionRegistration,
) -> None:
    before = time.monotonic()
    register(registration, ONE)
    assert before + 30 <= registration.memberships[ONE].valid_until <= time.monotonic() + 30


def test_lapse_is_counted_before_it_enters_anew(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE, TWO)
    del server.records[registration.session_keys[ONE]]
    assert beat(registration) == [ONE]
    assert expirations(registration) == 1
    assert len(server.records) == 2
    assert beat(registration) == []


# -- connections that are opened


def test_way_back_is_one_write_whatever_the_number_of_partitions(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, *[b"{ns:%02d}:" % number for number in range(64)])
    server.log.clear()
    server.channel = None
    assert registration.is_behind(here(registration))
    assert here(registration).fileno == -1, "the old one is not watched any more"
    server.open()
    assert server.log == [b"renew+" * 64 + b"INFO"], "the renewals first"
    assert not registration.is_behind(here(registration))
    for prefix in registration.session_keys:
        assert server.record(registration, prefix).connections == {b"9"}
        assert server.record(registration, prefix).beats == 2
    assert expirations(registration) == 0


def test_every_connection_renews(registration: SessionRegistration, server: Server) -> None:
    """Not only that of the background thread: that may be half open."""
    register(registration, ONE)
    own = server.channel
    registration.memberships[ONE].valid_until = 0.0
    thread = threading.Thread(target=server.open)
    before = time.monotonic()
    thread.start()
    thread.join()
    assert server.record(registration, ONE).beats == 2
    assert server.record(registration, ONE).connections == {own.client_id, b"9"}
    assert registration.memberships[ONE].valid_until >= before + 30
    server.channel = own
    assert not registration.is_behind(here(registration))


def test_connection_of_a_thread_hears_of_a_lapse(
    registration: SessionRegistration, server: Server
) -> None:
    woken = threading.Event()
    registration._wake = woken.set
    register(registration, ONE, TWO)
    del server.records[registration.session_keys[ONE]]
    own = server.channel
    thread = threading.Thread(target=server.open)
    thread.start()
    thread.join()
    assert expirations(registration) == 1
    assert registration.memberships[ONE].valid_until == 0.0, "it asks before it takes"
    assert woken.is_set()
    server.channel = own
    assert registration.is_behind(here(registration))
    assert beat(registration) == [ONE]
    assert not registration.is_behind(here(registration))


def test_process_that_holds_nothing_sends_nothing_more(
    registration: SessionRegistration, server: Server
) -> None:
    server.open()
    assert server.log == []


def test_record_names_a_few_of_many_connections(
    registration: SessionRegistration, server: Server
) -> None:
    server.others = [b"%d" % number for number in range(100, 200)]
    register(registration, ONE)
    newest = {b"%d" % number for number in range(200 - MAX_CONNECTIONS, 200)}
    assert server.record(registration, ONE).connections == newest | {b"8"}


def test_connection_that_breaks_during_the_heartbeat(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    server.moves = 3
    beat(registration)
    assert server.record(registration, ONE).connections == {server.channel.client_id}
    assert not registration.is_behind(here(registration))


def test_connection_that_was_open_before_is_identified(
    registration: SessionRegistration, server: Server
) -> None:
    server.on_open = None
    server.open()
    server.on_open = registration.renew_over
    register(registration, ONE)
    assert server.log == [b"INFO+CLIENT", b"TIME", b"enter"]
    assert server.record(registration, ONE).run == RUN


def test_failed_heartbeat_ends_the_wait_for_a_registration(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    before = registration.memberships[ONE].valid_until
    server.is_away = True
    request = registration.request_registration(TWO)
    with pytest.raises(LinkLost):
        beat(registration)
    assert request.answered.is_set()
    assert TWO not in registration.session_keys
    assert registration.memberships[ONE].valid_until == before
    server.is_away = False
    register(registration, TWO)
    assert len(server.records) == 2


def test_without_permission_no_connection_is_evidence(
    registration: SessionRegistration, server: Server
) -> None:
    server.forbidden = {b"INFO"}
    register(registration, ONE)
    assert server.record(registration, ONE).connections == set()


def test_one_unknown_number_makes_all_no_evidence(
    registration: SessionRegistration, server: Server
) -> None:
    server.others = [b"5", b""]
    register(registration, ONE)
    assert server.record(registration, ONE).connections == set()


# -- the grace


def test_grace_is_that_of_the_slowest_round_trip(
    registration: SessionRegistration, server: Server
) -> None:
    here(registration).round_trip = 1.0
    register(registration, ONE)
    assert server.record(registration, ONE).grace == pytest.approx(ROUND_TRIPS * 0.9)
    for _ in range(20):
        beat(registration)
    assert server.record(registration, ONE).grace == LEAST_GRACE, "it is forgotten"


def test_grace_may_be_given(server: Server) -> None:
    registration = SessionRegistration(server, "ns", b"30000", 2.5)  # type: ignore[arg-type]
    server.on_open = registration.renew_over
    register(registration, ONE)
    assert server.record(registration, ONE).grace == 2.5


# -- the end


def test_unregister_deletes_the_records(registration: SessionRegistration, server: Server) -> None:
    registration.unregister()
    register(registration, ONE, TWO)
    registration.unregister()
    assert not server.records
    assert not registration.session_keys
    server.log.clear()
    registration.unregister()
    assert not server.log


def test_end_of_the_thread_ends_the_wait_for_a_registration(
    registration: SessionRegistration,
) -> None:
    request = registration.request_registration(ONE)
    registration.release_waiters()
    assert request.answered.is_set()
    assert registration.request_registration(TWO).answered.is_set(), "and later ones"


def test_run_id_is_read_or_unknown() -> None:
    assert run_id(b"# Server\r\nrun_id:%b\r\nx:1\r\n" % OTHER_RUN) == OTHER_RUN
    assert run_id(ReplyError("NOPERM no")) == b""


# -- a server that went back


def settle(registration: SessionRegistration) -> None:
    presence = here(registration)
    registration.open_gate(presence, presence.gate, set(presence.unsettled), time.monotonic())


def test_another_run_closes_the_gate_until_it_is_settled(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    server.run, server.channel = OTHER_RUN, None
    beat(registration)
    assert here(registration).is_unsettled
    assert registration.is_behind(here(registration)), "and again, if it cannot be settled now"
    assert registration.memberships[ONE].valid_until == 0.0
    before = time.monotonic()
    settle(registration)
    assert not here(registration).is_unsettled
    assert registration.memberships[ONE].valid_until >= before + 30
    assert expirations(registration) == 1, "what was asked for before counts as not heard"


def test_counter_that_went_back_closes_the_gate(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    for _ in range(3):
        beat(registration)
    server.records[registration.session_keys[ONE]][b"b"] = b"2"
    beat(registration)
    assert here(registration).is_unsettled


def test_server_that_goes_back_while_it_is_settled(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    server.run, server.channel = OTHER_RUN, None
    beat(registration)
    gate = here(registration).gate
    server.run, server.channel = RUN, None
    beat(registration)
    presence = here(registration)
    registration.open_gate(presence, gate, set(presence.unsettled), time.monotonic())
    assert here(registration).is_unsettled
    settle(registration)
    assert not here(registration).is_unsettled


def test_thread_that_finds_another_run_waits_until_it_is_settled(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    own, server.run = server.channel, OTHER_RUN
    thread = threading.Thread(target=server.open)
    thread.start()
    wait_until(lambda: here(registration).is_unsettled)
    thread.join(0.1)
    assert thread.is_alive()
    server.channel = own
    settle(registration)
    thread.join()


def test_thread_does_not_wait_for_a_session_that_has_ended(
    registration: SessionRegistration, server: Server
) -> None:
    register(registration, ONE)
    server.run = OTHER_RUN
    registration.release_waiters()
    thread = threading.Thread(target=server.open)
    thread.start()
    thread.join(30.0)
    assert not thread.is_alive()
