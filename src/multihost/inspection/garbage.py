"""Finding and removing what no client uses or can reach any more.

The script that removes something checks again, in the same step, that it is garbage.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from multihost.errors import BadPayload, InternalError
from multihost.inspection import collect, scan
from multihost.inspection.liveness import Liveness
from multihost.inspection.reading import read_objects
from multihost.inspection.records import Participant
from multihost.wire.identity import label, name_of, named
from multihost.wire.keys import HELD, IN_FLIGHT, LET_GO, partition
from multihost.wire.ops import kinds
from multihost.wire.ops import object as object_ops
from multihost.wire.ops.queue import admin as queue_admin
from multihost.wire.session import Session

__all__ = ["KINDS", "Garbage", "find_garbage", "remove"]

logger: logging.Logger = logging.getLogger(__name__)

DAMAGED = (BadPayload, InternalError)  # what another program altered on the server

KINDS = {
    "orphaned name": "a name whose object does not exist: the next use of it creates a new one",
    "orphaned keys": "keys of an object that does not exist: one of that name begins without them",
    "unreachable": "objects without a lease to which neither a name nor a process leads",
    "dead session": "what a dead process holds or waits for: passes to others, as always",
    "orphaned items": "items in flight at a dead consumer, and unknown to the queue: requeued",
}
"""The kinds of garbage, and why each is none that anyone misses."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """One object with something that no client needs.

    ``kind``
        one of :data:`KINDS`.
    ``ident``
        the object: ``n:<name>`` or ``u:<22 characters>``; empty for what the collector will find.
    ``detail``
        what was found, for people.
    ``extra``
        what :func:`remove` has to know.
    """

    kind: str
    ident: str
    detail: str
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the object, or the ident of an unnamed one."""
        return label(self.ident)


def find_garbage(session: Session) -> list[Garbage]:
    """Return what :func:`remove` would remove or requeue. Changes nothing.

    O(keys of the database), in pages of 1000.
    """
    link, namespace = session.link, session.namespace
    entries = scan.entries(link, namespace)
    parts: dict[str, set[str]] = defaultdict(set)  # the suffixes of the keys of each object
    for page in scan.parts(link, namespace):
        for part in page:
            if part.ident and not part.ident.startswith(LET_GO):
                parts[part.ident].add(part.suffix)
    for name in entries:
        parts[named(name)].add("")  # it may have been created meanwhile
    leases = collect.leases(session, parts)
    existing = {ident for ident in parts if leases[ident] is not None}
    garbage: list[Garbage] = []
    for ident in sorted(parts.keys() - existing):
        garbage += _orphaned(session, ident, parts[ident], entries)
    garbage += _unreachable(session)
    garbage += _of_dead_sessions(session, sorted(existing), parts)
    return garbage


def remove(session: Session, garbage: Iterable[Garbage]) -> Iterator[tuple[Garbage, bool]]:
    """Remove or requeue each; yield it with whether there still was something to do, and it could
    be done: what another program altered stays, and a log says why. Few round trips each.
    """
    for each in garbage:
        try:
            done = _REMOVERS[each.kind](session, each)
        except DAMAGED as error:
            logger.warning("%s", error)
            done = False
        yield each, done


# -- objects that do not exist


def _orphaned(
    session: Session, ident: str, suffixes: set[str], entries: Mapping[str, bytes]
) -> Iterator[Garbage]:
    entry = entries.get(name_of(ident) or "", b"")
    typeid = scan.NameEntry.unpack(entry).typeid if entry else ""
    if entry and typeid not in kinds.KINDS:
        return  # of another release, or a type that users registered
    if entry:
        extra = (entry.decode("utf-8", "replace"),)
        yield Garbage("orphaned name", ident, f"{typeid}, not found", extra)
    left = sorted(collect.orphaned_parts(session, ident, suffixes))
    if left:
        yield Garbage("orphaned keys", ident, ", ".join(left), tuple(left))


def _remove_name(session: Session, garbage: Garbage) -> bool:
    entry = garbage.extra[0].encode()
    return object_ops.sweep(session.handle(garbage.ident), entry, ()) > 0


def _remove_keys(session: Session, garbage: Garbage) -> bool:
    lists = [part.encode() for part in garbage.extra if part.startswith((IN_FLIGHT, HELD))]
    return object_ops.sweep(session.handle(garbage.ident), b"", lists) > 0


# -- objects that nothing leads to


def _unreachable(session: Session) -> Iterator[Garbage]:
    survey = session.collector.survey()
    if survey.reasons:
        detail = f"{survey.kept} objects without a lease, {survey.reasons} reasons to look"
        yield Garbage("unreachable", "", detail)


# -- what dead sessions hold


def _of_dead_sessions(
    session: Session, existing: list[str], parts: Mapping[str, set[str]]
) -> Iterator[Garbage]:
    judge = Liveness(session).sessions
    for info in read_objects(session.link, session.namespace, existing, {}, judge):
        holders, waiters = _dead(info.holders), _dead(info.waiters)
        if holders or waiters:
            detail = f"{len(holders)} holders, {len(waiters)} waiters"
            yield Garbage("dead session", info.ident, detail, (info.typeid,))
        if info.queue is not None:
            known = {consumer.session for consumer in info.holders}
            in_flight = [
                suffix.removeprefix(IN_FLIGHT)
                for suffix in sorted(parts[info.ident])
                if suffix.startswith(IN_FLIGHT)
            ]
            unknown = [each for each in in_flight if each.partition(".")[0] not in known]
            for each in collect.in_flight_of_the_dead(session, info.ident, unknown):
                yield Garbage("orphaned items", info.ident, each, (each,))


def _dead(participants: Iterable[Participant]) -> list[Participant]:
    return [each for each in participants if not each.is_alive]


def _reap(session: Session, garbage: Garbage) -> bool:
    before = _dead_participants(session, garbage.ident)
    number = partition(garbage.ident)
    Liveness(session).bury([(number, each.session) for each in before])
    kinds.reap(kinds.of(garbage.extra[0]), session.handle(garbage.ident))
    return _dead_participants(session, garbage.ident) != before


def _dead_participants(session: Session, ident: str) -> list[Participant]:
    return [
        participant
        for info in read_objects(
            session.link, session.namespace, [ident], {}, Liveness(session).sessions
        )
        for participant in _dead((*info.holders, *info.waiters))
    ]


def _requeue(session: Session, garbage: Garbage) -> bool:
    in_flight = garbage.extra[0].encode()
    return queue_admin.requeue_orphaned(session.handle(garbage.ident), in_flight) > 0


_REMOVERS: Mapping[str, Callable[[Session, Garbage], bool]] = {
    "orphaned name": _remove_name,
    "orphaned keys": _remove_keys,
    "unreachable": lambda session, _: session.collector.collect().removed > 0,
    "dead session": _reap,
    "orphaned items": _requeue,
}
