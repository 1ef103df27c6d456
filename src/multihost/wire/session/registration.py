"""How other processes see that this one is alive: its records, and the heartbeats that renew them.

There is a record in each partition in which the process holds or waits for something
(:mod:`multihost.wire.session.record`). A heartbeat raises a counter in each of them, and so does
every connection that is opened, before anything else is sent over it: the way back after a break is
one write behind the handshake, however many partitions there are.

A record that is gone was removed by others, who had reason to believe that the process is dead. The
session *lapsed* there: what it held is given to others, and its name is never used again, so that
nothing which arrives late is taken for that of a living session. It enters anew, under another.
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from multihost.wire.identity import session_name, thread_name, waiter_id
from multihost.wire.link import (
    SHORTEST,
    Channel,
    Command,
    ConnectionBroken,
    Link,
    Reply,
    pack_all,
    run_id,
    stood_still,
)
from multihost.wire.replies import integer, row, stored_number
from multihost.wire.script import Script
from multihost.wire.session.process import host_identity, start_of

__all__ = ["LEAST_GRACE", "SessionRegistration", "ThreadIdentity"]

LEAST_GRACE = 5.0  # seconds in which a living process is back after a break, unless it is slow
ROUND_TRIPS = 8  # of a slow one
FADING = 0.9  # of the largest round trip that is remembered, from one heartbeat to the next
MAX_CONNECTIONS = 8  # that a record names

_enter = Script("session/enter")
_renew = Script("session/renew")

Renewal = tuple[bytes, bytes, int]
"""A record that is renewed: its partition, its key, and the highest counter that was seen."""


class RegistrationRequest:
    """A thread asks for a record. ``error`` is why there is none."""

    __slots__ = ("answered", "error", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix: bytes = prefix
        self.answered: threading.Event = threading.Event()
        self.error: BaseException | None = None


class ThreadIdentity:
    """The names under which each thread waits and holds."""

    def __init__(self, registration: SessionRegistration) -> None:
        self.key: int = next(registration.threads)
        """What tells this thread from the others of the session, also after a lapse."""
        self._thread = threading.current_thread().name[:64]
        self.name: bytes = thread_name(self._thread)
        """The name of the thread, as it is within an id."""
        self._registration = registration
        self._ids: dict[bytes, bytes] = {}  # name of the session -> id of this thread

    def waiter_id(self, prefix: bytes) -> bytes:
        """Return the id of this thread in a partition, under the present name of the session."""
        name = self._registration.names[prefix]
        id_ = self._ids.get(name)
        if id_ is None:
            id_ = self._ids[name] = waiter_id(name, self.key, self._thread)
        return id_


class _Names(dict[bytes, bytes]):
    """Prefix of a partition -> the present name of a session there."""

    def __init__(self, sid: bytes) -> None:
        self._sid = sid
        self._numbers: dict[bytes, int] = {}

    def __missing__(self, prefix: bytes) -> bytes:
        number = self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        name = self[prefix] = session_name(self._sid, number)
        return name

    def drop(self, prefix: bytes) -> None:
        """Use another name from now on."""
        self.pop(prefix, None)


class SessionRegistration:
    """The records of one session. ``grace`` is in how many seconds it is back after a break, None
    for as long as it needs by its own measure.
    """

    def __init__(
        self,
        link: Link,
        namespace: str,
        lease_ms: bytes,
        grace: float | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.sid: bytes = secrets.token_urlsafe(12).encode()
        self.names: _Names = _Names(self.sid)
        self.threads: itertools.count[int] = itertools.count()
        # Microseconds from the monotonic clock to the server's; a guess before the first heartbeat.
        self.clock_offset: int = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self.server: bytes = b""
        self.expirations: int = 0  # how often it lapsed, or settled
        self.session_keys: dict[bytes, bytes] = {}  # prefix of a partition -> its record there
        self.valid_until: float = 0.0  # nobody can declare it dead before, by the monotonic clock
        self._link = link
        self._namespace = namespace
        self._lease_ms = lease_ms
        self._grace = grace
        self._wake = wake
        self._lock = threading.Lock()
        self._beats: dict[bytes, int] = {}  # key of a record -> the highest counter that was seen
        self._lapsed: dict[bytes, None] = {}  # partitions in which it has to enter anew
        self._renewed = 0.0  # when it was renewed last, by the monotonic clock
        self._away = 0.0  # for how many seconds it had not been when it lapsed last
        self._round_trip = 0.0  # the largest one of late, in seconds
        self._thread = 0  # ident of the background thread
        self._channel: Channel | None = None  # of that thread, as far as it was identified
        self._gate = 0  # how often it was closed: what a server has may have gone back
        self._opened = 0  # the value of that up to which the session has settled
        self._settled = threading.Event()
        self._settled.set()
        self._requested: list[RegistrationRequest] = []
        self._has_ended = False  # the background thread
        self.host: bytes = host_identity()
        self.process: bytes = b"%d %d" % (os.getpid(), start_of(os.getpid()))

    # any thread

    def now(self) -> float:
        """Return the server's time in seconds since the epoch, as of the last heartbeat."""
        return (time.monotonic_ns() // 1000 + self.clock_offset) / 1e6

    def request_registration(self, prefix: bytes) -> RegistrationRequest:
        """Request a record in a partition. It is answered after the background thread has made it,
        and also if that failed, or the thread has ended.
        """
        request = RegistrationRequest(prefix)
        self._requested.append(request)
        if self._has_ended:  # in this order: release_waiters() sees the request, or this sees that
            request.answered.set()
        return request

    def doubt(self) -> None:
        """The server does not know this session: it renews before it holds anything."""
        self.valid_until = 0.0

    def has_lapsed(self, prefix: bytes) -> bool:
        """Return whether the session has no record in a partition, by what the server knows. 1
        round trip.
        """
        key = self.session_keys.get(prefix)
        return key is None or not self._link.execute(b"EXISTS", key)

    @property
    def grace(self) -> float:
        """In how many seconds this process is back after a break."""
        if self._grace is not None:
            return self._grace
        return max(LEAST_GRACE, ROUND_TRIPS * self._round_trip)

    def lapse_reason(self, lease: float) -> str:
        """Return why others took this process for dead, as far as it can tell."""
        if self._away >= lease:
            return f"sent no heartbeat for its lease of {lease:g} s"
        if self._away >= self.grace:
            return (
                f"had lost all its connections, and was not back within its grace of "
                f"{self.grace:.3g} s"
            )
        return "was taken for dead, or the server lost its data"

    def renew_over(self, channel: Channel) -> None:
        """Renew every record over a connection that was just opened, in one write, and hear whether
        it is another run of the server. Raises ConnectionBroken.
        """
        is_own = threading.get_ident() == self._thread
        renewals = self._renewals()
        if not (renewals or is_own or self.server):
            return
        if not channel.client_id:
            number = channel.exchange_many(pack_all([(b"CLIENT", b"ID")]), 1)[0]
            channel.client_id = b"%d" % number if isinstance(number, int) else b""
        commands = [*self._renew_commands(renewals), (b"INFO", b"server")]
        sent = time.monotonic()
        *replies, facts = channel.exchange_many(pack_all(commands), len(commands))
        self._round_trip = max(self._round_trip, time.monotonic() - sent)
        channel.run = run_id(facts)
        self._note_run(channel.run)
        self._note(renewals, replies, sent)
        if is_own:
            self._channel = channel
        elif self.is_unsettled:
            self._wait_until_settled()

    @property
    def is_unsettled(self) -> bool:
        """Whether the gate is closed: the server may not know what it had acknowledged, and
        nothing is taken until the session has settled (:mod:`multihost.wire.session.settling`).
        """
        return self._opened != self._gate

    def _close_gate(self) -> None:
        self._gate += 1
        self._settled.clear()
        self.valid_until = 0.0

    def _note_run(self, run: bytes) -> None:
        """Take note of the run of the server to which a connection was opened."""
        with self._lock:
            if run and self.server and run != self.server and self.session_keys:
                self._close_gate()
            if run and not self.server:
                self._link.note_run(run)
            self.server = run
        if self.is_unsettled:
            self._wake()

    def _wait_until_settled(self) -> None:
        """Hold back what this thread is about to send. Raises ConnectionBroken."""
        if self._has_ended:
            return
        while True:
            now = time.monotonic()
            seconds = max(min(self._link.patience_ends(now) - now, self._link.timeout), SHORTEST)
            if self._settled.wait(seconds):
                return
            if stood_still(now, seconds):
                continue
            raise ConnectionBroken(
                "the server was restarted, and what is held there is not settled"
            )

    def let_pass(self) -> None:
        """Hold nothing back, although the session has not settled: the server refuses that for the
        moment, and so it would refuse takes. Others may read, and hear what it refuses.
        """
        self._settled.set()

    def _renewals(self) -> list[Renewal]:
        with self._lock:
            return [
                (prefix, key, self._beats.get(key, 0)) for prefix, key in self.session_keys.items()
            ]

    def _renew_commands(self, renewals: Sequence[Renewal]) -> list[Command]:
        connections, grace = self.connections(), b"%d" % (self.grace * 1000)
        args = self.server, connections, grace
        return _renew.commands(self._link, [((key,), args) for _, key, _ in renewals])

    def connections(self) -> bytes:
        """Return the client ids of the connections that prove that this process lives."""
        ids = self._link.client_ids()
        if not ids or not all(ids) or not self.server:
            return b""
        newest = sorted(ids, key=int)[-MAX_CONNECTIONS:]
        own = self._link.current_channel() if threading.get_ident() == self._thread else None
        own = own or self._channel
        return b",".join({*newest, *([own.client_id] if own is not None else ())})

    def _note(self, renewals: Sequence[Renewal], replies: Iterable[Reply], sent: float) -> None:
        """Take note of the answers to renewals that were sent then."""
        with self._lock:
            renewed = True
            for (prefix, key, highest), reply in zip(renewals, replies, strict=True):
                if type(reply) is not int:
                    renewed = False
                elif reply == 0:
                    renewed = False
                    self._away = sent - self._renewed
                    self._lapse(prefix, key)
                else:
                    if reply <= highest:
                        self._close_gate()  # it has forgotten heartbeats
                    self._beats[key] = max(reply, self._beats.get(key, 0))
            if renewed and renewals:
                self._renewed = sent
            # The holder's freshness begins before any other process can see the counter.
            if not renewed:
                self.valid_until = 0.0
            elif not self.is_unsettled:
                self.valid_until = max(self.valid_until, sent + int(self._lease_ms) / 1000)
        if not renewed or self.is_unsettled:
            self._wake()

    def _lapse(self, prefix: bytes, key: bytes) -> None:
        """The record is gone: enter under another name."""
        if self.session_keys.get(prefix) != key:
            return  # another thread has heard it before
        self.expirations += 1
        del self.session_keys[prefix]
        self._beats.pop(key, None)
        self.names.drop(prefix)
        self._lapsed[prefix] = None

    # the background thread

    @property
    def is_requested(self) -> bool:
        """Whether a thread waits for a record."""
        return bool(self._requested)

    @property
    def is_behind(self) -> bool:
        """Whether the connection of this thread has ended, a record was lost, or the session has to
        settle. Unlike threads, none of these has a pause of its own between two attempts.
        """
        return (
            (self._channel is not None and self._link.current_channel() is not self._channel)
            or bool(self._lapsed)
            or self.is_unsettled
        )

    @property
    def fileno(self) -> int:
        """The descriptor of the connection of this thread; -1 if there is none."""
        channel = self._link.current_channel()
        return -1 if channel is None or channel is not self._channel else channel.fileno()

    def heartbeat(self) -> list[bytes]:
        """Renew every record, and make those that were requested.

        Returns the partitions in which the session had lapsed: what it held there is lost. 1 round
        trip, 2 for new records, and more on a new connection.
        """
        requested, self._requested = self._requested, []
        try:
            return self._beat({request.prefix for request in requested})
        except BaseException as error:
            for request in requested:
                request.error = error
            raise
        finally:
            for request in requested:
                request.answered.set()

    def _beat(self, new: set[bytes]) -> list[bytes]:
        self._thread = threading.get_ident()
        self._round_trip *= FADING
        lapsed: dict[bytes, None] = {}
        while True:
            channel = self._link.current_channel()
            if channel not in (None, self._channel):
                self._identify_connection()
            renewals = self._renewals()
            sent = time.monotonic()
            clock, *replies = self._link.pipeline([(b"TIME",), *self._renew_commands(renewals)])
            self.clock_offset = _microseconds(clock) - time.monotonic_ns() // 1000
            self._round_trip = max(self._round_trip, time.monotonic() - sent)
            self._note(renewals, replies, sent)
            # If it was opened on the way these records do not name this connection: again.
            opened, channel = channel, self._link.current_channel()
            again = bool(renewals) and opened is not channel
            lapsed |= self._lapsed
            self._enter_all([*lapsed, *(new - lapsed.keys())])
            with self._lock:
                again = again or self._link.current_channel() is not channel
                if not (again or self._lapsed):
                    if not self.is_unsettled:
                        self.valid_until = max(self.valid_until, sent + int(self._lease_ms) / 1000)
                    return list(lapsed)

    @property
    def gate(self) -> int:
        """What :meth:`open_gate` has to be told when the session has settled."""
        return self._gate

    def open_gate(self, gate: int, sent: float) -> None:
        """Let others take again: the session has settled with the server by what was sent then, and
        what was asked for before counts as not heard.
        """
        with self._lock:
            self.expirations += 1
            self._opened = gate
            if not self.is_unsettled:  # it did not go back meanwhile
                self.valid_until = sent + int(self._lease_ms) / 1000
                self._settled.set()

    def _enter_all(self, prefixes: Sequence[bytes]) -> None:
        """Make records in partitions that have none. 1 round trip, none if there are all."""
        missing = [prefix for prefix in prefixes if prefix not in self.session_keys]
        if not missing:
            return
        args = (
            self.server,
            self.connections(),
            self.host,
            self.process,
            b"%d" % (self.grace * 1000),
            self._lease_ms,
            socket.gethostname().encode(),
        )
        keys = {prefix: prefix + b"s:" + self.names[prefix] for prefix in missing}
        calls = [((key,), args) for key in keys.values()]
        beats = self._link.pipeline(_enter.commands(self._link, calls))
        with self._lock:
            self._renewed = time.monotonic()
            for prefix, counter in zip(missing, beats, strict=True):
                self._beats[keys[prefix]] = integer("session/enter", "the server", counter)
                self.session_keys[prefix] = keys[prefix]
                self._lapsed.pop(prefix, None)

    def _identify_connection(self) -> None:
        """Get the run id of the server, and the client id of this thread's connection.

        In one exchange: with two of them a connection that breaks again and again might never get
        so far.
        """
        facts, number = self._link.pipeline_raw([(b"INFO", b"server"), (b"CLIENT", b"ID")])
        channel = self._channel = self._link.current_channel()
        if channel is not None and type(number) is int:
            channel.client_id = b"%d" % number
        self._note_run(run_id(facts))

    def release_waiters(self) -> None:
        """Set the events of all requests, also of later ones: the background thread has ended."""
        self._has_ended = True
        self._opened = self._gate
        self._settled.set()
        for request in self._requested:
            request.answered.set()

    def unregister(self) -> None:
        """Delete the records. 1 round trip."""
        keys, self.session_keys = list(self.session_keys.values()), {}
        if keys:
            self._link.execute(b"UNLINK", *keys)


def _microseconds(clock: Reply) -> int:
    """Return the reply to TIME in microseconds. Raises BadPayload for anything else."""
    numbers = [
        stored_number("session/renew", "the server", each, "the time")
        for each in row("session/renew", "the server", clock, 2)
    ]
    return numbers[0] * 1000000 + numbers[1]
