"""What nobody came to remove: finding it without touching it, and scripts that look again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from multihost.inspection.participants import Participant
from multihost.inspection.scan import read_objects, sessions
from multihost.wire.keys import Keys, partition
from multihost.wire.link import Command
from multihost.wire.ops import barrier, condition, lock, semaphore
from multihost.wire.ops.ownership import (
    disown_pending,
    drop_stale_intent,
    give_lease,
    is_unreachable,
)
from multihost.wire.ops.queue import admin as queue_admin
from multihost.wire.replies import ReplyError, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle, Session

__all__ = [
    "IDLE",
    "drop_stale_intent",
    "reap",
    "give_lease",
    "idle",
    "is_unreachable",
    "leases",
    "left_behind",
    "release_references",
    "of_the_dead",
    "owners",
    "requeue_orphaned",
    "disown_pending",
    "sweep",
]

_sweep = Script("object/sweep")

IDLE = 3600  # seconds; nobody takes so long to make a container
BATCH = 1000
PARTS = ("index", "spelled", "owners", "items", "dead")

_REAP = {
    "lock": (lock.reap,),
    "semaphore": (semaphore.reap,),
    "condition": (condition.reap, lock.reap),  # a lock of its own lies in the same hash
    "barrier": (barrier.reap,),
    "queue": (queue_admin.reap,),
}


# -- looking


def leases(session: Session, idents: Iterable[str]) -> dict[str, int | None]:
    """Milliseconds that each object has left, -1 for one without a lease, None for one that is not
    there. 1 round trip for each thousand.
    """
    found = list(idents)
    replies = _ask(session, [(b"PTTL", _keys(session, ident).data) for ident in found])
    return {i: None if left == -2 else int(left) for i, left in zip(found, replies, strict=True)}


def left_behind(session: Session, ident: str, suffixes: set[str]) -> list[str]:
    """Which of its parts have no end, of an object that is not there. 1 round trip."""
    parts = [s for s in suffixes if s in PARTS or s.startswith("flight:")]
    data = _keys(session, ident).data
    left = _ask(session, [(b"PTTL", b"%b:%b" % (data, part.encode())) for part in parts])
    return [part for part, ttl in zip(parts, left, strict=True) if ttl == -1]


def idle(session: Session, ident: str) -> int | None:
    """For how many seconds nobody touched the note of what it contains; None if that is not told,
    or the note has a lease. 1 round trip, which does not touch it.
    """
    refs = _keys(session, ident).refs
    seconds, left = session.link.pipeline_raw([(b"OBJECT", b"IDLETIME", refs), (b"PTTL", refs)])
    if isinstance(seconds, ReplyError) or seconds is None or left != -1:
        return None
    return int(seconds)


def owners(session: Session, idents: Sequence[str]) -> dict[str, list[str]]:
    """By whom each is owned. 1 round trip for each thousand."""
    replies = _ask(session, [(b"HKEYS", _keys(session, ident).owners) for ident in idents])
    return {
        ident: [owner.decode() for owner in found]
        for ident, found in zip(idents, replies, strict=True)
    }


def release_references(session: Session, idents: Sequence[str]) -> dict[str, int]:
    """How many objects each container let go that were not told. 1 round trip for each thousand."""
    replies = _ask(session, [(b"HGETALL", _keys(session, ident).refs) for ident in idents])
    counts = {
        ident: sum(f[:2] == b"n:" and int(count) <= 0 for f, count in pairs(refs).items())
        for ident, refs in zip(idents, replies, strict=True)
    }
    return {ident: count for ident, count in counts.items() if count}


def of_the_dead(session: Session, ident: str, flights: Sequence[str]) -> list[str]:
    """Those places that belong to dead sessions and will not expire. 2 round trips."""
    number, data = partition(ident), _keys(session, ident).data
    sids = {flight: flight.partition(".")[0] for flight in flights}
    notes = sessions(session.link, session.namespace, [(number, sid) for sid in sids.values()])
    dead = [flight for flight, sid in sids.items() if notes[number, sid] is None]
    left = _ask(session, [(b"PTTL", b"%b:flight:%b" % (data, f.encode())) for f in dead])
    return [flight for flight, ttl in zip(dead, left, strict=True) if ttl != -2]


# -- removing


def sweep(handle: Handle, kind: str, flights: Sequence[str]) -> int:
    """Remove what is left of an object that is not there, and its name if that says ``kind``; how
    many names and keys those were. 1 round trip.
    """
    name = handle.keys.name or b""
    args = [name, kind.encode(), *[flight.encode() for flight in flights]]
    return int(_sweep.run_idempotent(handle, *args))


def reap(handle: Handle, family: str) -> bool:
    """Let others have what dead sessions hold of an object, and forget who waited; whether that
    changed something. 1 round trip, and a look before and after.
    """
    before = _dead(handle)
    for look in _REAP[family]:
        look(handle)
    return _dead(handle) != before


def _dead(handle: Handle) -> list[Participant]:
    """Those of its parties that are dead."""
    session = handle.session
    return [
        party
        for seen in read_objects(session.link, session.namespace, [handle.keys.ident])
        for party in (*seen.holders, *seen.waiters)
        if party.info is None
    ]


def requeue_orphaned(handle: Handle, flight: str) -> bool:
    """Give back what lies at a place of a dead session; whether something did. 1 round trip."""
    return queue_admin.requeue_orphaned(handle, flight.encode()) > 0


def _keys(session: Session, ident: str) -> Keys:
    return Keys(session.namespace, ident)


def _ask(session: Session, commands: Sequence[Command]) -> list[Any]:
    replies: list[Any] = []
    for start in range(0, len(commands), BATCH):
        replies += session.link.pipeline(commands[start : start + BATCH])
    return replies
