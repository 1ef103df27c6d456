"""Reading what may be garbage. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from multihost.inspection.liveness import Liveness
from multihost.wire.keys import HELD, IN_FLIGHT, Keys, partition
from multihost.wire.link import Command
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.session import Session
from multihost.wire.stored import report_damage

__all__ = [
    "in_flight_of_the_dead",
    "leases",
    "orphaned_parts",
]

BATCH = 1000
PARTS = ("index", "originals", "contains", "items", "dead", "free")


def leases(session: Session, idents: Iterable[str]) -> dict[str, int | None]:
    """Return the milliseconds until each object expires, -1 for a persistent one, None for one that
    does not exist. 1 round trip for each thousand.
    """
    found = list(idents)
    replies = _ask(session, [(b"PTTL", _keys(session, ident).data) for ident in found])
    return {i: None if left == -2 else int(left) for i, left in zip(found, replies, strict=True)}


def orphaned_parts(session: Session, ident: str, suffixes: set[str]) -> list[str]:
    """Return which parts of an object that does not exist will not expire. 1 round trip."""
    parts = [s for s in suffixes if s in PARTS or s.startswith((IN_FLIGHT, HELD))]
    data = _keys(session, ident).data
    left = _ask(session, [(b"PTTL", b"%b:%b" % (data, part.encode())) for part in parts])
    return [part for part, ttl in zip(parts, left, strict=True) if ttl == -1]


def in_flight_of_the_dead(session: Session, ident: str, in_flight: Sequence[str]) -> list[str]:
    """Return those in-flight lists that belong to dead sessions and exist. 2 round trips."""
    number, keys = partition(ident), _keys(session, ident)
    sids = {name: name.partition(".")[0] for name in in_flight}
    infos = Liveness(session).sessions([(number, sid) for sid in sids.values()])
    dead = [name for name, sid in sids.items() if infos[number, sid] is None]
    left = _ask(session, [(b"PTTL", keys.in_flight(name.encode())) for name in dead])
    return [name for name, ttl in zip(dead, left, strict=True) if ttl != -2]


def _keys(session: Session, ident: str) -> Keys:
    return Keys(session.namespace, ident)


def _ask(session: Session, commands: Sequence[Command]) -> list[Any]:
    replies: list[Any] = []
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        for command, reply in zip(batch, session.link.pipeline_raw(batch), strict=True):
            if not isinstance(reply, ReplyError):
                replies.append(reply)
            elif reply.code == "WRONGTYPE":
                report_damage("the garbage of an object", command[1])
                replies.append([])
            else:
                raise command_error(reply, command)
    return replies
