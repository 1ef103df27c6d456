"""The sessions of a host stand in a ring: each watches the next few, and says so.

Which process of a host lives is known to all others of that host at once, by the kernel
(:mod:`multihost.wire.session.siblings`), and to nobody else. So each session has an entry at the
server, and watches the next few in the order of their ids, whatever they use. Whoever sees one end
removes its records: nobody has to wait for evidence. And while one that watches it has a connection
itself, a session is not doubted because all of its own are gone. A sibling that merely has a record
vouches for nobody: a host that was lost as a whole would vouch for itself.

What a session reads and watches does not grow with the number of the others.

Of several servers an entry names the connections to that of the ring, whatever is judged: one that
is connected there would see the end of those that it watches, and remove their records everywhere.
If it cannot reach the server of a record, that of one which is dead goes with its lease. So nobody
who lives is taken for dead for want of an entry that names every server.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from multihost.errors import LinkError
from multihost.wire import keys as key_names
from multihost.wire.identity import session_name
from multihost.wire.link import Command, Link
from multihost.wire.replies import ReplyError
from multihost.wire.session.logs import log
from multihost.wire.session.presence import Presence
from multihost.wire.session.record import LARGEST_PID, UNKNOWN
from multihost.wire.session.registration import SessionRegistration
from multihost.wire.session.siblings import Siblings
from multihost.wire.session.verdicts import listed_connections

__all__ = ["WATCHED", "Ring"]

logger: logging.Logger = logging.getLogger(__name__)

WATCHED = 3  # sessions that each watches
LIFE = b"%d" % 86_400_000  # milliseconds; of a host on which nobody is left
AGAIN = 60.0  # seconds after which an entry is stored again that is what it was
LONGEST = 4000  # bytes of an entry
_SID = rb"[\w-]{1,64}"
_ENTRY = (
    rb"(\d{1,10}) (\d{1,20})\|([0-9a-f]{0,40})\|([\d,]*)\|(%b(?: %b)*)?\|((?:\d\d~\d{1,18} ?)*)"
    % (_SID, _SID)
)


class Entry(NamedTuple):
    """What a session says of itself to those of its host."""

    pid: int
    start: int
    run: bytes
    """Run id of the server that numbered its connections."""
    connections: frozenset[bytes]
    watches: frozenset[bytes]
    """Ids of the sessions whose end it would see."""
    records: tuple[tuple[int, int], ...]
    """Partition and number of each of its names."""

    @classmethod
    def of(cls, stored: object) -> Entry | None:
        """Return the entry that is stored so; None for none, and for what no session writes."""
        found = None
        if isinstance(stored, bytes) and len(stored) <= LONGEST:
            found = re.fullmatch(_ENTRY, stored)
        if found is None or int(found[1]) > LARGEST_PID:
            return None
        return cls(
            int(found[1]),
            int(found[2]),
            found[3],
            frozenset(found[4].split(b",")) - {b""},
            frozenset((found[5] or b"").split()),
            tuple((int(each[:2]), int(each[3:])) for each in found[6].split()),
        )

    def packed(self) -> bytes:
        """Return it as it is stored."""
        return b"%d %d|%b|%b|%b|%b" % (
            self.pid,
            self.start,
            self.run,
            b",".join(sorted(self.connections)),
            b" ".join(sorted(self.watches)),
            b" ".join(b"%02d~%d" % each for each in self.records),
        )


class Ring:
    """The place of a session among those of its host. For its background thread."""

    def __init__(self, link: Link, registration: SessionRegistration, namespace: str) -> None:
        self.siblings: Siblings = Siblings()
        self._link = link
        self._registration = registration
        self._namespace = namespace
        self._prefix = key_names.prefix(namespace, 0)
        self._watched: dict[bytes, Entry] = {}
        self._stored, self._stored_at = b"", -math.inf  # the entry of this session, and when

    def is_at(self, presence: Presence) -> bool:
        """Return whether the ring is at this server."""
        return self._registration.presence_of(self._prefix) is presence

    def stand(self) -> None:
        """Be in the ring, and watch the next few. 2 round trips, twice as many if these are others
        than before, and one if some have ended.
        """
        if not (self._registration.host and self._registration.session_keys):
            return
        for _ in range(2):
            following = self._following()
            has_changed = following.keys() != self._watched.keys()
            self._watched = following
            self.bury_ended()
            if not has_changed:
                return

    def bury_ended(self) -> bool:
        """Remove those that this process has seen end; return whether there were any. 1 round trip,
        none if there were not.
        """
        ended = {sid: each for sid, each in self._watched.items() if self._has_ended(each)}
        self.siblings.forget_ended()  # also of those that this session watches no more
        if not ended:
            return False
        ring, entries = self._keys(self._registration.host)
        commands: list[Command] = []
        for sid, entry in ended.items():
            for partition, number in entry.records:
                name = session_name(sid, number)
                record = key_names.prefix(self._namespace, partition) + b"s:" + name
                commands.append((b"UNLINK", record))
            commands += [(b"ZREM", ring, sid), (b"HDEL", entries, sid)]
        self._link.pipeline_raw(commands)
        for sid, entry in ended.items():
            self._watched.pop(sid, None)
            text = "at %s, session %r of process %d of this host is dead: its process has ended"
            log(logger, logging.INFO, text, self._link.address, sid.decode(), entry.pid)
        return True

    def is_vouched(self, sid: bytes, host: bytes) -> bool:
        """Return whether a session of that host, which watches this one, has a connection to the
        server of the ring; also if that does not say. Up to 3 round trips.
        """
        if not host:
            return False
        presence = self._registration.presence_of(self._prefix)
        run = presence.run
        before = (b"(" + sid, b"-"), (b"+", b"(" + sid)
        try:
            return not run or self._has_witness(presence, sid, self._entries(host, before, b"REV"))
        except LinkError:
            return True

    def _has_witness(self, presence: Presence, sid: bytes, entries: dict[bytes, Entry]) -> bool:
        ids = {
            id_
            for entry in entries.values()
            if entry.run == presence.run and sid in entry.watches
            for id_ in entry.connections
        }
        try:
            listed = listed_connections(presence.link, ids) if ids else set()
        except ReplyError:
            return True  # then there is no evidence against it
        return listed is None or bool(listed & ids)

    def leave(self) -> None:
        """Leave the ring: the process ends in order. 1 round trip, none if it was not there."""
        if self._registration.host and self._registration.session_keys:
            ring, entries = self._keys(self._registration.host)
            sid = self._registration.sid
            self._link.pipeline_raw([(b"ZREM", ring, sid), (b"HDEL", entries, sid)])

    def _keys(self, host: bytes) -> tuple[bytes, bytes]:
        ring = key_names.ring(self._namespace, host)
        return ring, ring + b":entries"

    def _entry(self) -> Entry:
        registration = self._registration
        presence = registration.presence_of(self._prefix)
        pid, _, start = registration.process.partition(b" ")
        names = {
            prefix[-4:-2]: key.rpartition(b"~")[2]
            for prefix, key in list(registration.session_keys.items())
        }
        return Entry(
            int(pid),
            int(start),
            presence.run,
            frozenset(registration.connections(presence).split(b",")) - {b""},
            frozenset(self._watched),
            tuple((int(partition), int(number)) for partition, number in names.items()),
        )

    def _following(self) -> dict[bytes, Entry]:
        """Store the entry of this session, if it is another one than before; return those of the
        next few.
        """
        sid, host = self._registration.sid, self._registration.host
        ring, entries = self._keys(host)
        packed, now = self._entry().packed(), time.monotonic()
        commands: list[Command] = []
        if packed != self._stored or now - self._stored_at >= AGAIN:
            commands = [
                (b"ZADD", ring, b"0", sid),
                (b"HSET", entries, sid, packed),
                (b"PEXPIRE", ring, LIFE),
                (b"PEXPIRE", entries, LIFE),
            ]
        behind = (b"(" + sid, b"+"), (b"-", b"(" + sid)
        found = self._entries(host, behind, before=commands)
        if commands:
            self._stored, self._stored_at = packed, now
        return found

    def _entries(
        self,
        host: bytes,
        ranges: Sequence[tuple[bytes, bytes]],
        *order: bytes,
        before: Sequence[Command] = (),
    ) -> dict[bytes, Entry]:
        """Return the first few in these parts of the ring. What cannot be read is left out."""
        ring, entries = self._keys(host)
        limit = b"LIMIT", b"0", b"%d" % WATCHED
        parts = [(b"ZRANGE", ring, *each, b"BYLEX", *order, *limit) for each in ranges]
        replies = self._link.pipeline_raw([*before, *parts])
        found = [
            sid for reply in replies[len(before) :] if isinstance(reply, list) for sid in reply
        ]
        sids = [sid for sid in found if isinstance(sid, bytes)][:WATCHED]
        if not sids:
            return {}
        [stored] = self._link.pipeline_raw([(b"HMGET", entries, *sids)])
        if not isinstance(stored, list) or len(stored) != len(sids):
            return {}
        read = zip(sids, map(Entry.of, stored), strict=True)
        return {sid: entry for sid, entry in read if entry is not None}

    def _has_ended(self, entry: Entry) -> bool:
        host = self._registration.host
        record = UNKNOWN._replace(host=host, pid=entry.pid, start=entry.start)
        return self.siblings.has_ended(record) is True
