"""The objects of a namespace: what they are, how large, who holds them and who waits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from multihost.inspection import scan
from multihost.inspection.participants import Participant
from multihost.proxies.array import Packing
from multihost.wire.identity import is_unnamed, name_of, named
from multihost.wire.ops import object as object_ops
from multihost.wire.session import Session

__all__ = ["ObjectInfo", "QueueInfo", "Who", "delete", "find", "objects", "queue_of"]

FAMILIES = {
    "dict": "dict",
    "list": "list",
    "set": "set",
    "namespace": "Namespace",
    "value": "Value",
    "array": "Array",
    "lock": "Lock",
    "semaphore": "Semaphore",
    "condition": "Condition",
    "event": "Event",
    "barrier": "Barrier",
    "queue": "Queue",
}
TYPEIDS = frozenset(
    {
        *FAMILIES.values(),
        "RLock",
        "BoundedSemaphore",
        "JoinableQueue",
        "LifoQueue",
        "PriorityQueue",
        "SimpleQueue",
        "Pool",
    }
)
"""What this release knows to be gone when its data is."""
_ORDERS = {"l": "LifoQueue", "p": "PriorityQueue"}
_UNNAMED = re.compile(r"u:[\w-]{22}")


@dataclass(frozen=True, slots=True)
class Who:
    """A process, or a thread of one. ``host`` and ``pid`` are None for one that is dead.

    ``since`` is the server's time in seconds since the epoch, ``count`` of permits or of items.
    """

    host: str | None
    pid: int | None
    thread: str
    since: float | None
    count: int

    @property
    def is_alive(self) -> bool:
        return self.host is not None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the server knows of an object.

    ``name`` is None for an unnamed one. Of such the server knows no more than the family: an RLock
    is shown as Lock, a BoundedSemaphore as Semaphore, a JoinableQueue as Queue. ``parameters`` are
    those of a named one. ``length`` counts entries, elements or items, None where there is nothing
    to count; ``memory`` is in bytes, None where it was not asked for or the server does not say;
    ``lease`` is in seconds, None for an object that is kept. ``waiters`` are those that the server
    counts: not who waits for an event, or for an item of a queue that is not sorted. ``contains``
    are unnamed objects. ``state`` is in one word: locked, free, set, unset, broken, ...
    """

    ident: str
    name: str | None
    typeid: str
    parameters: str
    codec: str | None
    length: int | None
    memory: int | None
    lease: float | None
    state: str | None
    holders: tuple[Who, ...]
    waiters: tuple[Who, ...]
    contains: tuple[str, ...]
    fields: Mapping[str, str]

    @property
    def fencing_token(self) -> int | None:
        """The last one that was drawn."""
        return int(self.fields["f"]) if "f" in self.fields else None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """What the server knows of a queue. ``deliveries``: 0 once, -1 as often as it takes."""

    maxsize: int
    deliveries: int
    size: int
    unfinished: int
    in_flight: int
    dead_letters: int
    is_shut_down: bool


def objects(
    session: Session,
    *,
    typeids: Iterable[str] = (),
    memory: bool = False,
    unnamed: bool = True,
) -> Iterator[ObjectInfo]:
    """Every object of the namespace, or those of some types: first the named ones, sorted.

    The server is asked in pages: 1 round trip for each 1000 keys of the whole database if
    ``unnamed``, 5 for each 200 objects.
    """
    link, namespace = session.link, session.namespace
    entries = scan.entries(link, namespace)
    wanted = set(typeids)
    idents = [
        named(name)
        for name, kind in sorted(entries.items())
        if not wanted or scan.NameEntry.unpack(kind).typeid in wanted
    ]
    if unnamed:
        found = {
            part.ident
            for page in scan.parts(link, namespace)
            for part in page
            if is_unnamed(part.ident) and not part.suffix
        }
        idents += sorted(found)
    for seen in scan.read_objects(link, namespace, idents, memory=memory):
        info = _info(seen, entries.get(name_of(seen.ident) or ""))
        if not wanted or info.typeid in wanted:
            yield info


def find(session: Session, name: str, *, memory: bool = True) -> ObjectInfo | None:
    """The object of that name, or the unnamed one that is listed as ``u:...``. 8 round trips."""
    link, namespace = session.link, session.namespace
    for ident in _idents(name):
        for seen in scan.read_objects(link, namespace, [ident], memory=memory):
            keys = session.handle(ident).keys
            kind = None if keys.name is None else link.execute(b"HGET", keys.names, keys.name)
            return _info(seen, kind)
    return None


def delete(session: Session, name: str) -> bool:
    """Delete the object of that name, or the unnamed one that is listed as ``u:...``; whether there
    was one. 1 round trip, more if it kept others alive.
    """
    return any(object_ops.delete(session.handle(ident)) for ident in _idents(name))


def queue_of(info: ObjectInfo) -> QueueInfo | None:
    """What is special about a queue, None if the object is another one."""
    fields = info.fields
    if "o" not in fields or info.length is None:
        return None
    return QueueInfo(
        maxsize=int(fields.get("n", 0)),
        deliveries=int(fields.get("r", 0)),
        size=info.length,
        unfinished=int(fields.get("u", 0)),
        in_flight=sum(who.count for who in info.holders),
        dead_letters=int(fields.get("dead", 0)),
        is_shut_down="x" in fields,
    )


def _idents(name: str) -> Iterator[str]:
    yield named(name)
    if _UNNAMED.fullmatch(name):
        yield name


def _info(seen: scan.ObjectState, kind: bytes | None) -> ObjectInfo:
    entry = None if kind is None else scan.NameEntry.unpack(kind)
    typeid = FAMILIES.get(seen.family, seen.family)
    typeid = _ORDERS.get(seen.state.get("o", ""), typeid)
    length: int | None = seen.size
    if seen.family == "array":
        length = seen.size // Packing(entry.parameters).width if entry is not None else None
    elif seen.family not in ("dict", "list", "set", "namespace", "queue"):
        length = None
    return ObjectInfo(
        ident=seen.ident,
        name=name_of(seen.ident),
        typeid=typeid if entry is None else entry.typeid,
        parameters="" if entry is None else entry.parameters,
        codec=None if entry is None else entry.codec,
        length=length,
        memory=seen.memory,
        lease=None if seen.lease_ms < 0 else seen.lease_ms / 1000,
        state=_state(seen),
        holders=tuple(map(_who, seen.holders)),
        waiters=tuple(map(_who, seen.waiters)),
        contains=tuple(seen.contents),
        fields=seen.state,
    )


def _who(party: Participant) -> Who:
    note = party.info
    return Who(
        host=None if note is None else note.host,
        pid=None if note is None else note.pid,
        thread=party.thread,
        since=party.since,
        count=party.number,
    )


def _state(seen: scan.ObjectState) -> str | None:
    fields = seen.state
    match seen.family:
        case "lock":
            return {None: "free", "": "passed on"}.get(fields.get("h"), "locked")
        case "condition":
            return "locked" if fields.get("h") else "free"
        case "semaphore":
            return f"{fields.get('v', '?')} of {fields.get('n', '?')} free"
        case "event":
            return "set" if fields.get("s") == "1" else "unset"
        case "barrier":
            broken = fields.get("s") == "broken"
            return "broken" if broken else f"{fields.get('c', '?')} of {fields.get('n', '?')} there"
        case "queue":
            return "shut down" if "x" in fields else "open"
        case _:
            return None
