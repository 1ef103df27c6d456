"""What belongs to nobody any more, and removing it.

Each kind says why it cannot be missed; the script that removes it looks again in the same moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from multihost.inspection import collect, scan
from multihost.inspection.collect import IDLE
from multihost.inspection.objects import TYPEIDS
from multihost.wire.identity import is_unnamed, label, name_of, named
from multihost.wire.session import Session

__all__ = ["KINDS", "Garbage", "find_garbage", "remove"]

KINDS = {
    "name": "a name without an object: whoever asks for it makes a new one",
    "remains": "what is left of an object that is not there: whoever makes it anew begins without",
    "unfinished": f"a container that was about to be made {IDLE // 3600} h ago or earlier",
    "released": "objects that a container let go, and nobody came to say so",
    "unkept": "an object without a lease that no name leads to: gets one, which a holder renews",
    "dead session": "what a process holds or waits for that is dead: goes to others, as always",
    "stray": "items that a dead consumer had taken, and the queue does not know of: go back",
}


@dataclass(frozen=True, slots=True)
class Garbage:
    """One object with something that nobody needs. ``kind`` is one of :data:`KINDS`."""

    kind: str
    ident: str
    detail: str
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the object is called, by people or by itself."""
        return label(self.ident)


def find_garbage(session: Session) -> list[Garbage]:
    """What a call of :func:`remove` would remove or give back. Changes nothing.

    O(keys of the database), in pages of 1000.
    """
    link, namespace = session.link, session.namespace
    entries = scan.entries(link, namespace)
    found: dict[str, set[str]] = defaultdict(set)
    for page in scan.parts(link, namespace):
        for part in page:
            if part.ident:
                found[part.ident].add(part.suffix)
    for name in entries:
        found[named(name)].add("")  # it may have come meanwhile
    sizes = collect.leases(session, found)
    there = {ident for ident in found if sizes[ident] is not None}
    garbage: list[Garbage] = []
    for ident in sorted(found.keys() - there):
        garbage += _orphaned(session, ident, found[ident], entries)
    kept = {ident for ident in there if sizes[ident] == -1}
    garbage += _unreachable(session, there, kept)
    garbage += _released(session, {ident for ident in kept if "refs" in found[ident]})
    garbage += _dead(session, sorted(there), found)
    return garbage


def remove(session: Session, garbage: Iterable[Garbage]) -> Iterator[tuple[Garbage, bool]]:
    """Remove it, or give it back, one after the other; whether there still was something to do."""
    for each in garbage:
        yield each, _REMOVERS[each.kind](session, each)


# -- objects that are not there


def _orphaned(
    session: Session, ident: str, suffixes: set[str], entries: dict[str, bytes]
) -> Iterator[Garbage]:
    kind = entries.get(name_of(ident) or "", b"")
    typeid = scan.NameEntry.unpack(kind).typeid if kind else ""
    if kind and typeid not in TYPEIDS:
        return  # of another release, or a type of one's own
    if kind:
        yield Garbage("name", ident, f"{typeid} that is gone", (kind.decode("utf-8", "replace"),))
    left = collect.left_behind(session, ident, suffixes)
    if left:
        yield Garbage("remains", ident, ", ".join(sorted(left)), tuple(sorted(left)))
    if "refs" in suffixes and (idle := collect.idle(session, ident)) is not None and idle >= IDLE:
        yield Garbage("unfinished", ident, f"not touched for {idle // 3600} h")


def _remove_remains(session: Session, garbage: Garbage) -> bool:
    flights = [s.removeprefix("flight:") for s in garbage.extra if s.startswith("flight:")]
    return collect.sweep(session.handle(garbage.ident), "", flights) > 0


def _remove_orphans(session: Session, garbage: Garbage) -> bool:
    return collect.sweep(session.handle(garbage.ident), garbage.extra[0], []) > 0


# -- objects that nothing keeps


def _unreachable(session: Session, there: set[str], kept: set[str]) -> Iterator[Garbage]:
    """Objects without a lease that no name leads to."""
    unnamed = sorted(ident for ident in kept if is_unnamed(ident))
    owners = collect.owners(session, unnamed)
    holding = {ident for ident in there if not is_unnamed(ident) or ident not in kept}
    owned: dict[str, list[str]] = defaultdict(list)
    for ident, theirs in owners.items():
        for owner in theirs:
            owned[owner].append(ident)
    reached, waiting = set(), list(holding)
    while waiting:
        for ident in owned.get(waiting.pop(), ()):
            if ident not in reached:
                reached.add(ident)
                waiting.append(ident)
    for ident in unnamed:
        if ident not in reached and collect.is_unreachable(session, ident):
            theirs = owners[ident]
            yield Garbage("unkept", ident, f"owners: {', '.join(theirs) or 'none'}")


def _released(session: Session, containers: set[str]) -> Iterator[Garbage]:
    for ident, count in collect.release_references(session, sorted(containers)).items():
        yield Garbage("released", ident, f"{count} objects")


# -- what the dead have


def _dead(session: Session, there: list[str], found: dict[str, set[str]]) -> Iterator[Garbage]:
    for seen in scan.read_objects(session.link, session.namespace, there):
        gone = {p.sid for p in (*seen.holders, *seen.waiters) if p.info is None}
        if gone:
            held = sum(party.info is None for party in seen.holders)
            waits = sum(party.info is None for party in seen.waiters)
            yield Garbage(
                "dead session", seen.ident, f"{held} hold it, {waits} wait", (seen.family,)
            )
        if seen.family == "queue":
            known = {party.sid for party in seen.holders}
            flights = [
                suffix.removeprefix("flight:")
                for suffix in sorted(found[seen.ident])
                if suffix.startswith("flight:")
            ]
            stray = [each for each in flights if each.partition(".")[0] not in known]
            for flight in collect.of_the_dead(session, seen.ident, stray):
                yield Garbage("stray", seen.ident, flight, (flight,))


_REMOVERS: dict[str, Any] = {
    "name": _remove_orphans,
    "remains": _remove_remains,
    "unfinished": lambda session, each: collect.drop_stale_intent(session.handle(each.ident), IDLE),
    "released": lambda session, each: collect.disown_pending(session.handle(each.ident)),
    "unkept": lambda session, each: collect.give_lease(session, each.ident),
    "dead session": lambda session, each: collect.reap(session.handle(each.ident), each.extra[0]),
    "stray": lambda session, each: collect.requeue_orphaned(
        session.handle(each.ident), each.extra[0]
    ),
}
