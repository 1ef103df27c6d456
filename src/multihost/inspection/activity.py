"""The activity of a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multihost.inspection import scan, server_facts
from multihost.inspection.connect import server_time
from multihost.inspection.liveness import Liveness
from multihost.inspection.reading import read_objects, types
from multihost.inspection.records import ObjectInfo
from multihost.wire import stored
from multihost.wire.identity import named
from multihost.wire.ops import kinds
from multihost.wire.session import Session

__all__ = ["Activity", "Monitor"]

# At each look:
MANY = 20_000  # keys of a database that are scanned, to find unnamed objects
NEW = 2000  # unnamed objects whose types are read
READ = 1000  # locks, queues and pools that are read


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of a server at one moment, of a cluster that of all its masters together.
    Numbers that are not reported are None.

    ``time``
        the server's time, in seconds since the epoch.
    ``clients``
        connections that are open.
    ``operations_per_second``
        commands a second, of all clients.
    ``memory``
        bytes in use.
    ``types``
        the number of objects of each type that is known.
    ``objects``
        the locks, queues and pools of the namespace.
    ``is_whole``
        False if objects were left out because there are too many of them.
    """

    time: float
    clients: int | None
    operations_per_second: int | None
    memory: int | None
    types: Mapping[str, int]
    objects: tuple[ObjectInfo, ...]
    is_whole: bool


class Monitor:
    """Reads the activity of a server again and again.

    What a look costs is bounded: up to 20 round trips that scan, 20 for the types of unnamed
    objects that were not seen before, 35 for up to 1000 locks, queues and pools.
    """

    def __init__(self, session: Session, *, wait: bool = True) -> None:
        """``wait`` for a second where a holder may have been killed, see :class:`Liveness`."""
        self._session = session
        self._liveness = Liveness(session, wait=wait)
        self._unnamed: dict[str, str] = {}  # the types of those that exist

    def look(self) -> Activity:
        """Return the present activity."""
        link, namespace = self._session.link, self._session.namespace
        infos = [server_facts.facts(each).info for each in link.masters()]
        entries = scan.entries(link, namespace)
        by_name = {
            named(name): scan.NameEntry.unpack(entry).typeid for name, entry in entries.items()
        }
        is_whole = self._learn_unnamed()
        known = by_name | self._unnamed
        listed = kinds.typeids("locks") | kinds.typeids("queues") | kinds.typeids("pools")
        watched = sorted(ident for ident, typeid in known.items() if typeid in listed)
        found = read_objects(
            link, namespace, watched[:READ], entries, self._liveness.sessions, typeids=listed
        )
        return Activity(
            objects=tuple(found),
            time=server_time(self._session),
            clients=_total(infos, "connected_clients"),
            operations_per_second=_total(infos, "instantaneous_ops_per_sec"),
            memory=_total(infos, "used_memory"),
            types=Counter(known.values()),
            is_whole=is_whole and len(watched) <= READ,
        )

    def _learn_unnamed(self) -> bool:
        """Find the unnamed objects and their types; return False if some were left out."""
        link, namespace = self._session.link, self._session.namespace
        sizes = [server_facts.size(each) for each in link.masters()]
        if None in sizes or sum(size or 0 for size in sizes) > MANY:
            self._unnamed = {}
            return False
        present = scan.unnamed(link, namespace)
        new = sorted(present - self._unnamed.keys())
        kept = {ident: typeid for ident, typeid in self._unnamed.items() if ident in present}
        self._unnamed = kept | types(link, namespace, new[:NEW])
        return len(new) <= NEW


def _total(infos: Sequence[Mapping[str, str]], name: str) -> int | None:
    """Return the sum of what the servers report, None if one does not."""
    found = [stored.number(info[name].encode()) if name in info else None for info in infos]
    return None if None in found else sum(each or 0 for each in found)
