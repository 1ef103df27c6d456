"""Whether sessions are alive, by the evidence of those who wait for what they hold: their keys, and
their connections.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

from multihost.inspection.participants import SessionKey, stored_sessions
from multihost.wire.link import Link
from multihost.wire.replies import ReplyError
from multihost.wire.session import Session
from multihost.wire.session.janitor import GRACE
from multihost.wire.session.registration import SessionInfo, run_id, without_connection

__all__ = ["Judge", "Liveness", "by_keys"]

Judge = Callable[[Iterable[SessionKey]], Mapping[SessionKey, SessionInfo | None]]
"""Returns what sessions stored of themselves, None for those that are dead."""


class Liveness:
    """Finds out which sessions of a namespace are alive.

    A session is dead if it has no key, or if its key has named a connection that the server does
    not have for :data:`GRACE` seconds: a living process names another one sooner. With ``wait`` a
    call waits for that long if it has to; else such a session is dead in a later call.
    """

    def __init__(self, session: Session, *, wait: bool = True) -> None:
        self._link: Link = session.link
        self._namespace = session.namespace
        self._wait = wait
        self._missing_since: dict[bytes, float] = {}  # infos whose connection has ended

    def sessions(self, wanted: Iterable[SessionKey]) -> dict[SessionKey, SessionInfo | None]:
        """Judge these. 3 round trips for each thousand, and the wait."""
        packed = stored_sessions(self._link, self._namespace, wanted)
        missing = self._without_connection({info for info in packed.values() if info})
        now = time.monotonic()
        due = max((self._missing_since.setdefault(i, now) for i in missing), default=-math.inf)
        if self._wait and due + GRACE > now:
            # Once, no poll: that a connection is not named for so long is what a death is.
            time.sleep(due + GRACE - now)
            again = [key for key, info in packed.items() if info in missing]
            packed |= stored_sessions(self._link, self._namespace, again)
            now = time.monotonic()
        return {
            key: SessionInfo.unpack(info)
            if info and self._missing_since.get(info, math.inf) + GRACE > now
            else None
            for key, info in packed.items()
        }

    def _without_connection(self, infos: set[bytes]) -> set[bytes]:
        if not infos:
            return set()
        [facts] = self._link.pipeline_raw([(b"INFO", b"server")])
        try:
            return without_connection(self._link, run_id(facts), infos)
        except ReplyError:
            return set()  # not permitted: then keys alone are evidence


def by_keys(session: Session) -> Judge:
    """Return the judge for those who are about to change something: scripts look at keys alone."""

    def judge(wanted: Iterable[SessionKey]) -> dict[SessionKey, SessionInfo | None]:
        packed = stored_sessions(session.link, session.namespace, wanted)
        return {key: SessionInfo.unpack(info) if info else None for key, info in packed.items()}

    return judge
