"""How other processes see that this one is alive: its records, and the heartbeats that renew them.

There is a record in each partition in which the process holds or waits for something
(:mod:`multihost.wire.session.record`). A heartbeat raises a counter in each of them, in one write
for each server, and so does every connection that is opened, in those of its server, before
anything else is sent over it: the way back after a break is one write behind the handshake, however
many partitions there are.

A record that is gone was removed by others, who had reason to believe that the process is dead. The
session *lapsed* there: what it held is given to others, and its name is never used again, so that
nothing which arrives late is taken for that of a living session. It enters anew, under another.

Where a partition is at another server than before nothing has lapsed. If its slot was moved nothing
else has happened either. If a replica took over, it may not know all that the former server had
acknowledged: the session settles there.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from multihost.wire.link import (
    Channel,
    Command,
    Link,
    Reply,
    pack_all,
    run_id,
)
from multihost.wire.replies import (
    ReplyError,
    command_error,
    integer,
    microseconds,
)
from multihost.wire.script import Script
from multihost.wire.session.gates import Gates
from multihost.wire.session.names import Names
from multihost.wire.session.presence import FADING, Membership, Presence
from multihost.wire.session.process import host_identity, start_of

__all__ = ["SessionRegistration", "is_elsewhere"]

ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN")  # what a server answers for a partition that goes away

_enter = Script("session/enter")
_renew = Script("session/renew")

Renewal = tuple[Membership, bytes, int]
"""A record that is renewed, its key, and the highest counter that was seen."""


class RegistrationRequest:
    """A thread asks for a record. ``error`` is why there is none."""

    __slots__ = ("answered", "error", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix: bytes = prefix
        self.answered: threading.Event = threading.Event()
        self.error: BaseException | None = None


class SessionRegistration(Gates):
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
        self.names: Names = Names(self.sid)
        # Microseconds from the monotonic clock to the server's; a guess before the first heartbeat.
        # Of several servers it is that of one partition: times that are shown are to compare.
        self.clock_offset: int = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        super().__init__(link, namespace, lease_ms, grace, wake)
        self._thread = 0  # ident of the background thread
        self._requested: list[RegistrationRequest] = []
        self.host: bytes = host_identity()
        self.process: bytes = b"%d %d" % (os.getpid(), start_of(os.getpid()))

    # any thread

    @property
    def session_keys(self) -> dict[bytes, bytes]:
        """The records: prefix of a partition -> key."""
        return {m.prefix: m.key for m in list(self._used.values()) if m.key}

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

    def doubt(self, prefix: bytes) -> None:
        """The server does not know this session: it renews before it holds anything there."""
        self.memberships[prefix].valid_until = 0.0

    def lapse_reason(self, prefix: bytes, lease: float) -> str:
        """Return why others took this process for dead, as far as it can tell."""
        membership = self.memberships[prefix]
        grace = self.presence_of(prefix).grace
        if membership.away >= lease:
            return f"sent no heartbeat for its lease of {lease:g} s"
        if membership.away >= grace:
            return (
                f"had lost all its connections, and was not back within its grace of {grace:.3g} s"
            )
        return "was taken for dead, or the server lost its data"

    def renew_over(self, channel: Channel) -> None:
        """Renew every record of its server over a connection that was just opened, in one write,
        and hear whether it is another run of the server. Raises ConnectionBroken.
        """
        is_own = threading.get_ident() == self._thread
        prefixes = self._prefixes_at(channel)
        if not prefixes:
            return
        presence = self.presence_of(prefixes[0])
        renewals = self._renewals(prefixes)
        if not (renewals or is_own or presence.run):
            return
        if not channel.client_id:
            number = channel.exchange_many(pack_all([(b"CLIENT", b"ID")]), 1)[0]
            channel.client_id = b"%d" % number if isinstance(number, int) else b""
        commands = [*self._renew_commands(presence, renewals), (b"INFO", b"server")]
        sent = time.monotonic()
        *replies, facts = channel.exchange_many(pack_all(commands), len(commands))
        presence.round_trip = max(presence.round_trip, time.monotonic() - sent)
        channel.run = run_id(facts)
        self._note_run(presence, channel.run)
        self._note(presence, renewals, replies, sent)
        if is_own:
            presence.channel = channel
        elif presence.is_unsettled:
            self._wait_until_settled(presence)

    def _prefixes_at(self, channel: Channel) -> list[bytes]:
        """Return the partitions that are at the server to which a connection was opened."""
        lane = self._link.lane
        return [p for p in self.memberships if lane(p).node in (None, channel.node)]

    def _renewals(self, prefixes: Iterable[bytes]) -> list[Renewal]:
        with self._lock:
            found = [self._used.get(prefix) for prefix in prefixes]
            return [(m, m.key, m.beats) for m in found if m is not None and m.key]

    def _renew_commands(self, presence: Presence, renewals: Sequence[Renewal]) -> list[Command]:
        args = presence.run, self.connections(presence), b"%d" % (presence.grace * 1000)
        return _renew.commands(self._link, [((key,), args) for _, key, _ in renewals])

    def connections(self, presence: Presence) -> bytes:
        """Return the client ids of the connections that prove that this process lives."""
        return presence.connections(self._link, is_own=threading.get_ident() == self._thread)

    def _note(
        self,
        presence: Presence,
        renewals: Sequence[Renewal],
        replies: Iterable[Reply],
        sent: float,
    ) -> None:
        """Take note of the answers to renewals that were sent then."""
        is_well = True
        with self._lock:
            for (m, key, highest), reply in zip(renewals, replies, strict=True):
                if type(reply) is not int:
                    is_well = False
                    if not is_elsewhere(reply):
                        m.valid_until = 0.0
                elif reply == 0:
                    is_well = False
                    self._lapse(m, key, sent)
                elif m.key == key:
                    if reply <= highest:
                        self._close_gate(presence)  # it has forgotten heartbeats
                    m.beats = max(reply, m.beats)
                    m.renewed = sent
                    if m.presence is not presence:  # the partition was elsewhere
                        self._doubt_move(m, presence)
            self._extend(presence, [m for m, _, _ in renewals], sent)
        if not is_well or presence.is_unsettled:
            self._wake()

    def _lapse(self, membership: Membership, key: bytes, sent: float) -> None:
        """The record is gone: enter under another name."""
        if membership.key != key:
            return  # another thread has heard it before
        membership.expirations += 1
        membership.away = sent - membership.renewed
        membership.key, membership.beats = b"", 0
        membership.valid_until = 0.0
        membership.presence = None
        membership.has_lapsed = True
        self.names.drop(membership.prefix)

    # the background thread

    def at_work(self) -> list[Presence]:
        """Return the servers at which the session has records, or is to get one; and that of the
        ring (:mod:`multihost.wire.session.ring`). No round trip.
        """
        prefixes = list(self._used)
        prefixes += [request.prefix for request in list(self._requested)]
        if not prefixes:
            return []
        if self._link.lane(self._first) is self._link:
            prefixes = prefixes[:1]  # one server has them all
        found = {self.presence_of(prefix): None for prefix in (*prefixes, self._first)}
        for node, presence in list(self._presences.items()):
            if presence not in found and presence.node is not None:
                del self._presences[node]  # what is opened there later begins anew
                presence.let_pass()
        return list(found)

    def is_requested(self, presence: Presence) -> bool:
        """Whether a thread waits for a record at this server."""
        return any(self._is_at(each.prefix, presence) for each in list(self._requested))

    def is_behind(self, presence: Presence) -> bool:
        """Whether the connection of this thread to the server has ended, a record was lost, or the
        session has to settle. Unlike threads, none of these has a pause of its own between two
        attempts.
        """
        return (
            presence.is_cut_off
            or presence.is_unsettled
            or any(
                (m.has_lapsed or (m.key and m.presence is not presence))
                and self._is_at(m.prefix, presence)
                for m in self._used.values()
            )
        )

    def heartbeat(self, presence: Presence) -> list[bytes]:
        """Renew every record at a server, and make those that were requested there.

        Returns the partitions in which the session had lapsed: what it held there is lost. 1 round
        trip, 2 for new records, and more on a new connection.
        """
        requested = [each for each in list(self._requested) if self._is_at(each.prefix, presence)]
        for request in requested:
            self._requested.remove(request)
        try:
            return self._beat(presence, {request.prefix for request in requested})
        except BaseException as error:
            for request in requested:
                request.error = error
            raise
        finally:
            for request in requested:
                request.answered.set()

    def _beat(self, presence: Presence, new: set[bytes]) -> list[bytes]:
        self._thread = threading.get_ident()
        presence.round_trip *= FADING
        link = presence.link
        lapsed: dict[bytes, None] = {}
        while True:
            channel = link.current_channel()
            if channel not in (None, presence.channel):
                self._note_run(presence, presence.identify())
            here = [prefix for prefix in self._used if self._is_at(prefix, presence)]
            renewals = self._renewals(here)
            commands = [(b"TIME",), *self._renew_commands(presence, renewals)]
            sent = time.monotonic()
            replies = link.pipeline_raw(commands)
            for reply, command in zip(replies, commands, strict=True):
                if type(reply) is ReplyError and not is_elsewhere(reply):
                    raise command_error(reply, command)
            self._note_time(presence, replies[0], sent)
            self._note(presence, renewals, replies[1:], sent)
            self._follow(renewals, replies[1:])
            # If it was opened on the way these records do not name this connection: again.
            opened, channel = channel, link.current_channel()
            again = bool(renewals) and opened is not channel
            lapsed |= {prefix: None for prefix in here if self.memberships[prefix].has_lapsed}
            self._enter_all(presence, [*lapsed, *(new - lapsed.keys())])
            with self._lock:
                again = again or link.current_channel() is not channel
                if not (again or any(self.memberships[prefix].has_lapsed for prefix in here)):
                    entered = [m for m in self._used.values() if m.presence is presence]
                    self._extend(presence, entered, sent)
                    break
        self._decide_moves(presence)
        return list(lapsed)

    def _note_time(self, presence: Presence, reply: Reply, sent: float) -> None:
        if self._is_at(self._first, presence):
            self.clock_offset = microseconds(reply) - time.monotonic_ns() // 1000
        presence.round_trip = max(presence.round_trip, time.monotonic() - sent)

    def _follow(self, renewals: Sequence[Renewal], replies: Sequence[Reply]) -> None:
        """Find out where the partitions are that have left a server. 1 round trip for each."""
        for (m, key, _), reply in zip(renewals, replies, strict=True):
            if is_elsewhere(reply):
                self._link.lane(m.prefix).execute(b"EXISTS", key)

    def _enter_all(self, presence: Presence, prefixes: Sequence[bytes]) -> None:
        """Make records in partitions that have none. 1 round trip, none if there are all."""
        missing = [prefix for prefix in prefixes if not self.memberships[prefix].key]
        if not missing:
            return
        args = (
            presence.run,
            self.connections(presence),
            self.host,
            self.process,
            b"%d" % (presence.grace * 1000),
            self._lease_ms,
            socket.gethostname().encode(),
        )
        keys = {prefix: prefix + b"s:" + self.names[prefix] for prefix in missing}
        calls = [((key,), args) for key in keys.values()]
        beats = self._link.pipeline(_enter.commands(self._link, calls))
        with self._lock:
            for prefix, counter in zip(missing, beats, strict=True):
                membership = self.memberships[prefix]
                membership.key = keys[prefix]
                membership.beats = integer("session/enter", "the server", counter)
                membership.renewed = time.monotonic()
                membership.presence = presence
                membership.has_lapsed = False
                self._used[prefix] = membership

    def release_waiters(self) -> None:
        """Set the events of all requests, also of later ones: the background thread has ended."""
        self._has_ended = True
        for presence in list(self._presences.values()):
            presence.opened = presence.gate
            presence.unsettled.clear()
            presence.moved.clear()
            presence.settled.set()
        for request in list(self._requested):
            request.answered.set()

    def unregister(self) -> None:
        """Delete the records. 1 round trip."""
        keys = list(self.session_keys.values())
        for membership in self._used.values():
            membership.key, membership.valid_until = b"", 0.0
        self._used.clear()
        if keys:
            self._link.pipeline([(b"UNLINK", key) for key in keys])


def is_elsewhere(reply: Reply) -> bool:
    """Return whether a reply says that a partition is at another server, or on its way there."""
    return type(reply) is ReplyError and reply.code in ELSEWHERE
