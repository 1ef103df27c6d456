"""Who is dead: by evidence only, of which there are three kinds.

1. Its process has ended, and this one saw it (:mod:`multihost.wire.session.siblings`). A session of
   this host whose process lives is not doubted because of its connections.
2. All its connections have ended, and it was not back within its grace: its counter, which every
   way back raises, is what it was. They are looked for at the server that gave them their numbers;
   those of a run that no server has any more have ended with that. Not while another session of its
   host vouches for it (:mod:`multihost.wire.session.ring`).
3. It sent no heartbeat for a lease, as measured by who looks: the time between two looks over one
   connection, so that the server answered, and never more of it than two looks are apart. No pause
   of either side counts, nor an outage, nor a jump of any clock.

What was seen over one connection says nothing over the next one: after a restart the server may
have forgotten heartbeats. And so a verdict is carried out over the connection of the look, or not
at all, and only if the counter is still what was seen.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from multihost.errors import LinkError
from multihost.wire.identity import sid_of
from multihost.wire.link import Channel, Command, Link, Reply, run_id
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session.record import SessionRecord
from multihost.wire.session.siblings import Siblings

__all__ = ["LOOK_INTERVAL", "Evidence", "Verdicts", "bury", "connected", "listed_connections"]

LOOK_INTERVAL = 0.3  # seconds between two looks
LONGEST_STEP = 2 * LOOK_INTERVAL  # of the time between two looks that counts
FORGET = 60.0  # seconds after which what was seen of a session is forgotten

bury: Script = Script("session/bury")

_CLIENT = rb"(?m)^id=(\d+) "


class Evidence(Enum):
    """Why a session is taken for dead."""

    ENDED = "its process has ended"
    DISCONNECTED = "all its connections ended, and it did not come back"
    SILENT = "it sent no heartbeat for its lease"


class _Observation:
    """What this process has seen of a session."""

    __slots__ = ("beats", "first", "missing", "seen", "since")

    def __init__(self, beats: int, since: float, now: float) -> None:
        self.beats = beats
        self.since = since  # when this counter was first seen, in answered time
        self.missing: float | None = None  # since when it has no connection; None: it has one
        self.first, self.seen = now, now  # the same, and when it was seen last, by the clock


def listed_connections(link: Link, ids: Iterable[bytes]) -> set[bytes] | None:
    """Return which of these connections a server has; None if it sent no list, or one without the
    connection over which it was asked: a proxy may have answered. 1 round trip, 2 for a connection
    of which the id is not known.

    Raises ReplyError where connections may not be listed.
    """
    channel = link.current_channel()
    own = b"" if channel is None else channel.client_id
    if not own:
        number = link.execute_raw(b"CLIENT", b"ID")
        own = b"%d" % number if type(number) is int else b""
    listed = link.execute_raw(b"CLIENT", b"LIST", b"ID", *{own, *ids} - {b""})
    if not isinstance(listed, bytes):
        return None
    found = set(re.findall(_CLIENT, listed))
    return found if own in found else None


def connected(
    links: Iterable[Link], wanted: Iterable[SessionRecord]
) -> set[tuple[bytes, bytes]] | None:
    """Return which of the connections that records name these servers have: run id of the server,
    and client id. None if one does not say. 1 round trip for each server, and 1 or 2 for each that
    may have some.

    Raises ReplyError where connections may not be listed.
    """
    found: set[tuple[bytes, bytes]] = set()
    records = list(wanted)
    for link in links if records else ():
        [facts] = link.pipeline_raw([(b"INFO", b"server")])
        run = run_id(facts)
        ids = {id_ for each in records if each.run == run for id_ in each.connections}
        listed = listed_connections(link, ids) if ids else set()
        if listed is None or not run:
            return None
        found |= {(run, id_) for id_ in listed}
    return found


class Verdicts:
    """What a session has seen of others at one server, and its judgement. For its background
    thread. ``others`` returns links to the other servers.
    """

    def __init__(
        self,
        link: Link,
        siblings: Siblings,
        is_vouched: Callable[[bytes, bytes], bool],
        others: Callable[[], Iterable[Link]] = tuple,
    ) -> None:
        self._link = link
        self._is_vouched = is_vouched
        self._others = others
        self._siblings = siblings
        self._may_list = True
        self._channel: Channel | None = None
        self._seen: dict[bytes, _Observation] = {}  # by the key of the record
        # How long the server has answered looks over this connection, in seconds, and until when.
        self._answered, self._until = 0.0, math.inf

    def judge(
        self, records: Mapping[bytes, SessionRecord], sent: float, server: bytes
    ) -> dict[bytes, Evidence]:
        """Return which sessions are dead, by the key of each and its record, which a look found
        that was sent then to this run of the server. 1 round trip if some are not of this host.
        """
        now = time.monotonic()
        self.note_answer(sent)
        self._forget_old(now)
        dead: dict[bytes, Evidence] = {}
        others: dict[bytes, SessionRecord] = {}
        for key, record in records.items():
            seen = self._observe(key, record, now)
            ended = self._siblings.has_ended(record)
            if ended:
                dead[key] = Evidence.ENDED
            elif self._answered - seen.since >= record.lease:
                dead[key] = Evidence.SILENT
            elif ended is None:
                others[key] = record
        for key in self._without_connection(others, server):
            dead[key] = Evidence.DISCONNECTED
        return dead

    def note_answer(self, sent: float) -> None:
        """Take note that the server has answered something that was sent then. No round trip."""
        self._begin_anew_after_break()
        self._answered += min(max(sent - self._until, 0.0), LONGEST_STEP)
        self._until = time.monotonic()

    def missing(self, key: bytes) -> float | None:
        """Return for how many seconds a session had no connection when it was seen last; None if it
        had one.
        """
        seen = self._seen.get(key)
        if seen is None or seen.missing is None:
            return None
        return self._answered - seen.missing

    def is_quiet(self, key: bytes, lease: float) -> bool:
        """Return whether a session should have sent a heartbeat since its counter was first seen,
        and did not: looks that are far apart would not measure its lease.
        """
        seen = self._seen.get(key)
        return seen is not None and seen.seen - seen.first > lease / 2

    def is_current(self) -> bool:
        """Return whether what was seen was seen over the connection that there is now."""
        return self._channel is not None and self._link.current_channel() is self._channel

    def carry_out(self, command: Command) -> Reply:
        """Send a command over the connection over which a verdict was found, not over another one.
        Return None if there is none any more. 1 round trip.
        """
        return self._link.execute_over(self._channel, command)

    def _begin_anew_after_break(self) -> None:
        if not self.is_current():
            self._seen.clear()
            self._until = math.inf
            self._channel = self._link.current_channel()

    def _forget_old(self, now: float) -> None:
        if len(self._seen) > 1000:
            self._seen = {k: each for k, each in self._seen.items() if now - each.seen < FORGET}

    def _observe(self, key: bytes, record: SessionRecord, now: float) -> _Observation:
        seen = self._seen.get(key)
        if seen is None or seen.beats != record.beats:
            seen = self._seen[key] = _Observation(record.beats, self._answered, now)
        seen.seen = now
        return seen

    def _without_connection(
        self, records: Mapping[bytes, SessionRecord], server: bytes
    ) -> list[bytes]:
        """Return those that have no connection, and were not back within their grace."""
        known = {key: each for key, each in records.items() if each.connections}
        if not (known and server and self._may_list):
            return []
        ids = {i for each in known.values() if each.run == server for i in each.connections}
        try:
            present = listed_connections(self._link, ids) if ids else set()
            # A partition may have come from another server, to which its sessions are connected.
            elsewhere = connected(self._others(), [e for e in known.values() if e.run != server])
        except ReplyError as error:
            self._may_list = error.passes  # not permitted: then leases decide alone
            return []
        except LinkError:
            if not self.is_current():
                raise
            return []  # another server is away
        if present is None or elsewhere is None or not self.is_current():
            return []
        has = {(server, id_) for id_ in present} | elsewhere
        dead = []
        for key, record in known.items():
            seen = self._seen[key]
            if any((record.run, id_) in has for id_ in record.connections):
                seen.missing = None
            elif seen.missing is None:
                seen.missing = self._answered
            elif self._answered - seen.missing >= record.grace:
                sid = sid_of(key.rpartition(b":")[2])
                if self._is_vouched(sid, record.host) or not self.is_current():
                    seen.missing = self._answered  # until the grace of that is over, too
                else:
                    dead.append(key)
        return dead
