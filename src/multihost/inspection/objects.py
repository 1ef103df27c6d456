"""The objects of a namespace: listing, finding and deleting them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from multihost.inspection import scan
from multihost.inspection.liveness import Liveness
from multihost.inspection.reading import read_objects
from multihost.inspection.records import ObjectInfo
from multihost.wire.identity import named
from multihost.wire.ops import object as object_ops
from multihost.wire.rpc.hosts import served_types
from multihost.wire.session import Session

__all__ = ["delete", "find", "names", "objects", "typeids_in_use"]

_UNNAMED = re.compile(r"u:[\w-]{22}")


def objects(
    session: Session,
    *,
    typeids: Iterable[str] = (),
    match: str = "",
    after: str = "",
    limit: int | None = None,
    memory: bool = False,
    unnamed: bool = True,
) -> Iterator[ObjectInfo]:
    """Yield the objects of the namespace: first the named ones, sorted, then the unnamed ones.

    ``typeids`` chooses types, ``match`` names by a pattern as of the shell, ``after`` those behind
    that name, ``limit`` the first of these; the idents of unnamed objects count as names.

    1 round trip for each 1000 names, then for the objects that are chosen, see
    :func:`~multihost.inspection.reading.read_objects`. If ``unnamed``, and ``limit`` is not
    reached before, 1 for each 1000 keys of the whole database, and 2 for each 200 unnamed objects.
    Waits for a second where a process seems to have been killed.
    """
    link, namespace = session.link, session.namespace
    names, wanted = scan.entries(link, namespace), frozenset(typeids)

    def chosen() -> Iterator[str]:
        past_names = _UNNAMED.fullmatch(after)
        for name, entry in sorted(names.items()):
            typeid = scan.NameEntry.unpack(entry).typeid
            is_later = not past_names and name > after
            if is_later and (not wanted or typeid in wanted) and _matches(name, match):
                yield named(name)
        for ident in sorted(scan.unnamed(link, namespace)) if unnamed else ():
            if _matches(ident, match) and (not past_names or ident > after):
                yield ident

    return read_objects(
        link,
        namespace,
        chosen(),
        names,
        Liveness(session).sessions,
        typeids=wanted,
        limit=limit,
        memory=memory,
    )


def _matches(name: str, pattern: str) -> bool:
    return not pattern or fnmatchcase(name, pattern)


def typeids_in_use(session: Session) -> set[str]:
    """Return the types of named objects, and those that processes serve. O(names)."""
    entries = scan.entries(session.link, session.namespace).values()
    named_types = {scan.NameEntry.unpack(entry).typeid for entry in entries}
    return named_types | set(served_types(session))


def names(session: Session, prefix: str, limit: int, typeids: Iterable[str] = ()) -> list[str]:
    """Return the first names with a prefix, sorted, or those of some types. O(names)."""
    entries, wanted = scan.entries(session.link, session.namespace), frozenset(typeids)
    return sorted(
        name
        for name, entry in entries.items()
        if name.startswith(prefix) and (not wanted or scan.NameEntry.unpack(entry).typeid in wanted)
    )[:limit]


def find(session: Session, name: str, *, memory: bool = True) -> ObjectInfo | None:
    """Return the object of that name, or the unnamed one that is listed as ``u:...``; None if there
    is none. Up to 9 round trips, and a second where its holder seems to have been killed.
    """
    link, namespace = session.link, session.namespace
    for ident in _idents(name):
        keys = session.handle(ident).keys
        entry = None if keys.name is None else link.execute(b"HGET", keys.names, keys.name)
        names = {name: entry} if entry is not None else {}
        judge = Liveness(session).sessions
        for info in read_objects(link, namespace, [ident], names, judge, memory=memory):
            return info
    return None


def delete(session: Session, name: str) -> bool:
    """Delete the object of that name, or the unnamed one that is listed as ``u:...``; return
    whether there was one. 1 round trip, more if it contained others.
    """
    return any(object_ops.delete(session.handle(ident)) for ident in _idents(name))


def _idents(name: str) -> Iterator[str]:
    yield named(name)
    if _UNNAMED.fullmatch(name):
        yield name
