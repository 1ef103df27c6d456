"""Whether sessions are alive, by the evidence of those who wait for what they hold
(:mod:`multihost.wire.session.verdicts`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

from multihost.inspection.participants import SessionKey, key_of, stored_sessions
from multihost.wire.link import Link
from multihost.wire.replies import ReplyError
from multihost.wire.session import Session
from multihost.wire.session.record import SessionRecord
from multihost.wire.session.siblings import Siblings
from multihost.wire.session.verdicts import bury, connected

__all__ = ["Judge", "Liveness"]

Judge = Callable[[Iterable[SessionKey]], Mapping[SessionKey, SessionRecord | None]]
"""Returns what sessions stored of themselves, None for those that are dead."""

LONGEST_WAIT = 30.0  # seconds

Seen = tuple[SessionKey, int]
"""A session, and its counter."""


class Liveness:
    """Finds out which sessions of a namespace are alive.

    A session is dead if it has no record, if its process is one of this host and has ended, or if
    it had no connection for its grace, and sent no heartbeat meanwhile. With ``wait`` a call waits
    for that long if it has to; else such a session is dead in a later call. It waits no longer than
    :data:`LONGEST_WAIT`: another program may have written how long the grace is. How long a session
    is silent altogether is not measured here: that takes a lease.
    """

    def __init__(self, session: Session, *, wait: bool = True) -> None:
        self._link: Link = session.link
        self._namespace = session.namespace
        self._wait = wait
        self._missing_since: dict[Seen, float] = {}  # sessions whose connections have ended

    def sessions(self, wanted: Iterable[SessionKey]) -> dict[SessionKey, SessionRecord | None]:
        """Judge these. 4 round trips for each thousand, 3 for each further server, and the wait."""
        records, dead = self._judge(wanted)
        return {key: None if key in dead else record for key, record in records.items()}

    def bury(self, wanted: Iterable[SessionKey]) -> None:
        """Remove the records of those of these that are dead. 4 round trips, and the wait."""
        records, dead = self._judge(wanted)
        for key in dead:
            record = records[key]
            if record is not None:
                call = (key_of(self._namespace, key),), (b"%d" % record.beats,)
                [command] = bury.commands(self._link, [call])
                self._link.execute(*command)

    def _judge(
        self, wanted: Iterable[SessionKey]
    ) -> tuple[dict[SessionKey, SessionRecord | None], set[SessionKey]]:
        records = stored_sessions(self._link, self._namespace, wanted)
        siblings = Siblings()
        found = {key: siblings.has_ended(each) for key, each in records.items() if each is not None}
        siblings.close()
        dead = {key for key, ended in found.items() if ended}
        missing = self._without_connection(
            {key: each for key in found if found[key] is None and (each := records[key])}
        )
        now = time.monotonic()
        due = {seen: self._missing_since.setdefault(seen, now) + missing[seen] for seen in missing}
        last = max(due.values(), default=-math.inf)
        if self._wait and last > now:
            # Once, no poll: that a session is not back for so long is what a death is.
            time.sleep(min(last - now, LONGEST_WAIT))
            records |= stored_sessions(self._link, self._namespace, [key for key, _ in missing])
            now = time.monotonic()
        dead |= {
            key
            for (key, beats), until in due.items()
            if until <= now and (each := records[key]) is not None and each.beats == beats
        }
        return records, dead

    def _without_connection(self, records: Mapping[SessionKey, SessionRecord]) -> dict[Seen, float]:
        """Return those whose connections have all ended, with the grace of each."""
        known = {key: each for key, each in records.items() if each.connections}
        try:
            present = connected(self._link.masters(), known.values())
        except ReplyError:
            present = None  # not permitted: then records alone are evidence
        if present is None:
            return {}
        return {
            (key, each.beats): each.grace
            for key, each in known.items()
            if not any((each.run, id_) in present for id_ in each.connections)
        }
