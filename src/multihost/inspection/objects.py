"""The objects of a namespace: listing, finding and deleting them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from multihost.inspection import scan
from multihost.inspection.reading import read_objects
from multihost.inspection.records import ObjectInfo
from multihost.wire.identity import is_unnamed, named
from multihost.wire.ops import object as object_ops
from multihost.wire.session import Session

__all__ = ["delete", "find", "objects"]

_UNNAMED = re.compile(r"u:[\w-]{22}")


def objects(
    session: Session,
    *,
    typeids: Iterable[str] = (),
    memory: bool = False,
    unnamed: bool = True,
) -> Iterator[ObjectInfo]:
    """Yield every object of the namespace, or those of some types: first the named ones, sorted.

    1 round trip for each 1000 keys of the whole database if ``unnamed``, up to 5 for each 200
    objects, 6 with ``memory``.
    """
    link, namespace = session.link, session.namespace
    names = scan.entries(link, namespace)
    wanted = set(typeids)
    idents = [
        named(name)
        for name, entry in sorted(names.items())
        if not wanted or scan.NameEntry.unpack(entry).typeid in wanted
    ]
    if unnamed:
        found = {
            part.ident
            for page in scan.parts(link, namespace)
            for part in page
            if is_unnamed(part.ident) and not part.suffix
        }
        idents += sorted(found)
    for info in read_objects(link, namespace, idents, names, memory=memory):
        if not wanted or info.typeid in wanted:
            yield info


def find(session: Session, name: str, *, memory: bool = True) -> ObjectInfo | None:
    """Return the object of that name, or the unnamed one that is listed as ``u:...``; None if there
    is none. Up to 7 round trips.
    """
    link, namespace = session.link, session.namespace
    for ident in _idents(name):
        keys = session.handle(ident).keys
        entry = None if keys.name is None else link.execute(b"HGET", keys.names, keys.name)
        names = {name: entry} if entry is not None else {}
        for info in read_objects(link, namespace, [ident], names, memory=memory):
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
