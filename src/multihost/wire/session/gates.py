"""Servers that may have gone back, and partitions that are at others than before.

What a server has acknowledged it may not know any more: it was restarted from what it had saved, or
a replica took over. Then its gate is closed until the session has settled with it
(:mod:`multihost.wire.session.settling`): nothing is taken meanwhile. Where the slot of a partition
was moved it is closed, too, as long as it is not known that nothing else has happened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from multihost.wire import keys as key_names
from multihost.wire.link import SHORTEST, ConnectionBroken, Link, Node, stood_still
from multihost.wire.session.presence import Membership, Presence

__all__ = ["Gates"]


class Gates:
    """What a session has at each server, and in each partition."""

    def __init__(
        self,
        link: Link,
        namespace: str,
        lease_ms: bytes,
        grace: float | None,
        wake: Callable[[], None],
    ) -> None:
        prefixes = [key_names.prefix(namespace, n) for n in range(key_names.PARTITIONS)]
        self.memberships: dict[bytes, Membership] = {each: Membership(each) for each in prefixes}
        self._first = prefixes[0]  # in which the ring is, too
        self._used: dict[bytes, Membership] = {}  # those with a record, or which had one
        self._link = link
        self._lease_ms = lease_ms
        self._grace = grace
        self._wake = wake
        self._lock = threading.Lock()
        self._presences: dict[Node | None, Presence] = {}
        self._has_ended = False  # the background thread

    def presence_of(self, prefix: bytes) -> Presence:
        """Return what there is of the session at the server where a partition is now."""
        lane = self._link.lane(prefix)
        found = self._presences.get(lane.node)
        if found is None:
            links = {each.node: each for each in self._link.masters()}
            made = Presence(links.get(lane.node, lane), self._grace)
            found = self._presences.setdefault(lane.node, made)
        return found

    def is_away(self, node: Node) -> bool:
        """Return whether a server did not take the last heartbeat. No round trip."""
        presence = self._presences.get(node)
        return presence is not None and presence.is_away

    def _is_at(self, prefix: bytes, presence: Presence | None) -> bool:
        return presence is not None and self._link.lane(prefix).node == presence.node

    def _extend(self, presence: Presence, memberships: Iterable[Membership], sent: float) -> None:
        """Nobody can declare the session dead where it was renewed by what was sent then."""
        unsettled = presence.unsettled | presence.moved
        for m in memberships:
            # The holder's freshness begins before any other process can see the counter.
            if m.key and m.renewed >= sent and m.prefix not in unsettled:
                until = (sent or m.renewed) + int(self._lease_ms) / 1000
                m.valid_until = max(m.valid_until, until)

    def _close_gate(self, presence: Presence) -> None:
        """Take nothing at a server."""
        presence.gate += 1
        presence.settled.clear()
        for prefix in [p for p in self.memberships if self._is_at(p, presence)]:
            presence.unsettled.add(prefix)
            self.memberships[prefix].valid_until = 0.0

    def _note_run(self, presence: Presence, run: bytes) -> None:
        """Take note of the run of the server to which a connection was opened."""
        with self._lock:
            before = presence.run
            if run and before and run != before and self._used:
                self._close_gate(presence)
            if run and not before:
                presence.link.note_run(run)
            presence.run = run
        if presence.is_unsettled:
            self._wake()

    def note_moves(self) -> None:
        """Partitions may be at other servers than before: take nothing there until it is known what
        that means. No round trip.
        """
        with self._lock:
            for m in self._used.values():
                if m.key and not self._is_at(m.prefix, m.presence):
                    self._doubt_move(m, self.presence_of(m.prefix))
        self._wake()

    def _doubt_move(self, membership: Membership, presence: Presence) -> None:
        if membership.prefix not in presence.moved:
            presence.moved.add(membership.prefix)
            presence.gate += 1
            presence.settled.clear()
            membership.valid_until = 0.0

    def _decide_moves(self, presence: Presence) -> None:
        """Let others take again what came from a server that has other partitions still: its slot
        was moved, and nothing is lost. The session settles what came from one that is gone, for a
        replica has taken over. 1 round trip, none if nothing came.
        """
        if not presence.moved:
            return
        self._link.refresh()
        masters = {each.node for each in self._link.masters()}
        with self._lock:
            for m in [self.memberships[prefix] for prefix in presence.moved]:
                if not (m.key and self._is_at(m.prefix, presence)):
                    continue
                if m.presence is not presence:
                    if m.presence is None or m.presence.node not in masters:
                        presence.unsettled.add(m.prefix)
                    m.presence = presence
            moved = [self.memberships[prefix] for prefix in presence.moved]
            presence.moved.clear()
            self._extend(presence, moved, 0.0)
            if not presence.unsettled:
                presence.opened = presence.gate
                presence.settled.set()

    def _wait_until_settled(self, presence: Presence) -> None:
        """Hold back what this thread is about to send. Raises ConnectionBroken."""
        if self._has_ended:
            return
        while True:
            now = time.monotonic()
            seconds = max(min(self._link.patience_ends(now) - now, self._link.timeout), SHORTEST)
            if presence.settled.wait(seconds):
                return
            if stood_still(now, seconds):
                continue
            raise ConnectionBroken(
                "the server was restarted, and what is held there is not settled"
            )

    def open_gate(self, presence: Presence, gate: int, prefixes: set[bytes], sent: float) -> None:
        """Let others take again: the session has settled in these partitions by what was sent then,
        and what was asked for before counts as not heard.
        """
        with self._lock:
            for prefix in prefixes:
                self.memberships[prefix].expirations += 1
            presence.opened = gate
            if not presence.is_unsettled:  # it did not go back meanwhile
                presence.unsettled.clear()
                until = sent + int(self._lease_ms) / 1000
                for prefix in prefixes:
                    if self.memberships[prefix].key:
                        self.memberships[prefix].valid_until = until
                presence.settled.set()
