"""The activity of a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from multihost.inspection import server_facts
from multihost.inspection.connect import server_time
from multihost.inspection.objects import objects
from multihost.inspection.records import ObjectInfo
from multihost.wire.session import Session

__all__ = ["Activity", "activity"]

MANY = 20_000  # keys of a database that are scanned at each refresh


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of a server at one moment. Numbers that it does not report are None.

    ``time``
        the server's time, in seconds since the epoch.
    ``clients``
        connections that are open.
    ``operations_per_second``
        commands a second, of all clients.
    ``memory``
        bytes in use.
    ``types``
        the number of objects of each type.
    ``objects``
        the objects of the namespace.
    ``is_whole``
        False if the database is so large that unnamed objects were left out.
    """

    time: float
    clients: int | None
    operations_per_second: int | None
    memory: int | None
    types: Mapping[str, int]
    objects: tuple[ObjectInfo, ...]
    is_whole: bool


def activity(session: Session) -> Activity:
    """Return the present activity of a server. O(objects); see
    :func:`multihost.inspection.objects`.
    """
    link = session.link
    info = server_facts.facts(link).info
    keys = server_facts.size(link)
    is_whole = keys is not None and keys <= MANY
    found = tuple(objects(session, unnamed=is_whole))
    return Activity(
        time=server_time(session),
        clients=_number(info, "connected_clients"),
        operations_per_second=_number(info, "instantaneous_ops_per_sec"),
        memory=_number(info, "used_memory"),
        types=Counter(each.typeid for each in found),
        objects=found,
        is_whole=is_whole,
    )


def _number(info: Mapping[str, str], name: str) -> int | None:
    return int(info[name]) if name in info else None
