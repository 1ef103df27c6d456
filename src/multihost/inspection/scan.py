"""What is there: every object of a namespace, who holds it and who waits, without holding any.

Nothing here changes anything, or lets a lease be renewed. Keys are found by SCAN with a cursor, in
pages, so that a server is never occupied for long; what comes and goes meanwhile may be missed or
seen half. Objects are read in batches, each in a few round trips.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from multihost.inspection.participants import Participant, holders, waiters
from multihost.wire import keys as key_names
from multihost.wire.keys import Keys, Part
from multihost.wire.link import Command, Link
from multihost.wire.replies import ReplyError, pairs, to_exception
from multihost.wire.session.registration import SessionInfo

__all__ = ["NameEntry", "ObjectState", "entries", "read_objects", "parts", "sessions"]

PAGE = 1000  # keys a SCAN looks at
BATCH = 200  # objects that are read at once
SENTINELS = (b"n", b"f", b"g", b"s", b"o", b"u", b"host")  # by which a hash says what it is


class NameEntry(NamedTuple):
    """What the names of a partition say of an object."""

    protocol: str
    codec: str
    typeid: str
    parameters: str

    @classmethod
    def unpack(cls, kind: bytes) -> NameEntry:
        fields = kind.decode("utf-8", "replace").split(" ", 3)
        return cls(*fields, *[""] * (4 - len(fields)))


class ObjectState(NamedTuple):
    """An object as the server has it. ``family`` is dict, list, set, namespace, value, array, lock,
    semaphore, condition, event, barrier, queue or hosted, else the server's word for what lies
    there. ``size`` is of entries, or the bytes of an array.
    """

    ident: str
    family: str
    size: int
    lease_ms: int
    state: Mapping[str, str]
    holders: tuple[Participant, ...] = ()
    waiters: tuple[Participant, ...] = ()
    contents: Mapping[str, int] = {}
    memory: int | None = None


# -- finding


def parts(link: Link, namespace: str, page: int = PAGE) -> Iterator[list[Part]]:
    """Every key of the namespace, some perhaps more than once. 1 round trip for each ``page`` keys
    of the whole database; O(keys).
    """
    cursor, pattern = b"0", key_names.pattern(namespace)
    while True:
        cursor, found = link.execute(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % page)
        yield [part for key in found if (part := key_names.part(namespace, key)) is not None]
        if cursor == b"0":
            return


def entries(link: Link, namespace: str) -> dict[str, bytes]:
    """Every name and what is said of it. 1 round trip for each thousand; O(names)."""
    found: dict[str, bytes] = {}
    places = [key_names.names(namespace, n) for n in range(key_names.PARTITIONS)]
    cursors = dict.fromkeys(places, b"0")
    while cursors:
        commands = [
            (b"HSCAN", place, cursor, b"COUNT", b"1000") for place, cursor in cursors.items()
        ]
        replies = link.pipeline(commands)
        for place, (cursor, fields) in zip(list(cursors), replies, strict=True):
            for name, kind in pairs(fields).items():
                found[name.decode("utf-8", "surrogatepass")] = kind
            cursors[place] = cursor
            if cursor == b"0":
                del cursors[place]
    return found


def sessions(
    link: Link, namespace: str, sids: Iterable[tuple[int, str]]
) -> dict[Any, SessionInfo | None]:
    """What sessions of partitions say of themselves, None for those that are dead. 1 round trip for
    each thousand.
    """
    found: dict[Any, SessionInfo | None] = {}
    for batch in _batched(dict.fromkeys(sids), 1000):
        commands = [
            (b"GET", key_names.prefix(namespace, number) + b"s:" + sid.encode())
            for number, sid in batch
        ]
        for which, note in zip(batch, link.pipeline(commands), strict=True):
            found[which] = SessionInfo.unpack(note) if note else None
    return found


# -- reading


def read_objects(
    link: Link, namespace: str, idents: Iterable[str], *, memory: bool = False
) -> Iterator[ObjectState]:
    """The objects, without those that are not there. 4 round trips for each 200 objects, 5 with
    ``memory``.
    """
    for batch in _batched(idents, BATCH):
        found = [_ObjectReader(Keys(namespace, ident)) for ident in batch]
        kinds = link.pipeline([(b"TYPE", draft.keys.data) for draft in found])
        for draft, kind in zip(found, kinds, strict=True):
            draft.kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        found = [draft for draft in found if draft.kind != "none"]
        _classify(link, found)
        _detail(link, namespace, found)
        if memory:
            _measure_memory(link, found)
        yield from (draft.seen() for draft in found)


class _ObjectReader:
    """An object that is being read."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.kind = self.family = ""
        self.size, self.lease_ms = 0, -1
        self.fields: dict[str, str] = {}
        self.refs: dict[bytes, bytes] = {}
        self.places: dict[bytes, int] = {}  # of consumers of a queue, and what lies there
        self.holders: list[Participant] = []
        self.waiters: list[Participant] = []
        self.memory: int | None = None

    def all_keys(self) -> tuple[bytes, ...]:
        keys = self.keys
        if self.family != "queue":
            return keys.all
        return (*keys.all, keys.items, keys.dead, *self.places)

    def seen(self) -> ObjectState:
        contents = {k[2:].decode(): int(n) for k, n in self.refs.items() if k[:2] == b"n:"}
        return ObjectState(
            self.keys.ident,
            self.family,
            self.size,
            self.lease_ms,
            self.fields,
            tuple(self.holders),
            tuple(self.waiters),
            contents,
            self.memory,
        )


def _classify(link: Link, found: Sequence[_ObjectReader]) -> None:
    """What each one is. Of a hash few fields are asked for: a value may be large."""
    families = {"zset": "zset", "set": "set", "list": "list", "string": "array"}
    hashes = []
    for draft in found:
        draft.family = families.get(draft.kind, draft.kind)
        if draft.kind == "hash":
            hashes.append(draft)
    others = []
    for draft, counter in _asked(link, hashes, b"HGET", b""):
        if counter is None:
            others.append(draft)
        else:
            draft.family = "dict" if counter else "namespace"
    for draft, marks in _asked(link, others, b"HMGET", *SENTINELS):
        has = {
            mark.decode() for mark, value in zip(SENTINELS, marks, strict=True) if value is not None
        }
        draft.family = _family(has)


def _asked(
    link: Link, found: Sequence[_ObjectReader], command: bytes, *args: bytes
) -> Iterator[tuple[_ObjectReader, Any]]:
    """Each with the reply about its data, without those that became something else just now."""
    replies = (
        link.pipeline_raw([(command, draft.keys.data, *args) for draft in found]) if found else []
    )
    for draft, reply in zip(found, replies, strict=True):
        if not isinstance(reply, ReplyError):
            yield draft, reply
        elif reply.code != "WRONGTYPE":
            raise to_exception(reply, command.decode().lower(), draft.keys.ident)


def _family(has: set[str]) -> str:
    if "host" in has:
        return "hosted"  # the object is in the memory of a process
    if "o" in has:
        return "queue"
    if "g" in has:
        return "condition" if "f" in has else "barrier"
    if "n" in has:
        return "semaphore" if "f" in has else "event"
    if "f" in has:
        return "lock"
    return "value"


_COUNT = {
    "dict": (b"HLEN", 1),
    "namespace": (b"HLEN", 1),
    "list": (b"LLEN", 1),
    "set": (b"SCARD", 1),
    "array": (b"STRLEN", 0),
}
_STATEFUL = frozenset({"lock", "semaphore", "condition", "event", "barrier", "queue"})


def _detail(link: Link, namespace: str, found: Sequence[_ObjectReader]) -> None:
    """Size, lease and what it contains; of what can be held or waited for: by whom."""
    commands: list[Command] = []
    for draft in found:
        keys = draft.keys
        commands += [(b"PTTL", keys.data), (b"HGETALL", keys.refs)]
        if draft.family in _STATEFUL:
            commands.append((b"HGETALL", keys.data))
        else:
            command, _ = _COUNT.get(draft.family, (b"EXISTS", 0))
            commands.append((command, keys.data))
        if draft.family == "queue":
            commands.append((b"LLEN", keys.dead))
    replies = iter(_tolerant(link, commands))
    queues: list[_ObjectReader] = []
    for draft in found:
        draft.lease_ms, refs = int(next(replies)), next(replies)
        draft.refs = pairs(refs)
        facts = next(replies)
        if draft.family in _STATEFUL:
            draft.fields = {
                k.decode("utf-8", "replace"): v.decode("utf-8", "replace")
                for k, v in pairs(facts).items()
                if k not in (b"a", b"init")  # the action of a barrier, how workers of a pool begin
            }
        else:
            draft.size = max(int(facts) - _COUNT.get(draft.family, (b"", 0))[1], 0)
        if draft.family == "queue":
            draft.fields["dead"] = str(next(replies))
            queues.append(draft)
    _fill_queues(link, queues)
    stateful = [draft for draft in found if draft.family in _STATEFUL]
    _resolve_sessions(link, namespace, stateful)


def _fill_queues(link: Link, queues: Sequence[_ObjectReader]) -> None:
    commands: list[Command] = []
    for draft in queues:
        count = b"ZCARD" if draft.fields.get("o") == "p" else b"LLEN"
        commands.append((count, draft.keys.items))
        commands += [(b"LLEN", place) for place in draft.keys.all_in_flight(draft.refs)]
    replies = iter(_tolerant(link, commands))
    for draft in queues:
        has_mark = "x" in draft.fields and draft.fields.get("o") != "p"
        draft.size = max(int(next(replies)) - has_mark, 0)
        draft.places = {place: int(next(replies)) for place in draft.keys.all_in_flight(draft.refs)}


def _tolerant(link: Link, commands: Sequence[Command]) -> list[Any]:
    """The replies; zero or nothing for what became another object meanwhile."""
    if not commands:
        return []
    replies: list[Any] = []
    for batch in _batched(commands, 5000):
        for command, reply in zip(batch, link.pipeline_raw(batch), strict=True):
            if isinstance(reply, ReplyError):
                if reply.code != "WRONGTYPE":
                    raise to_exception(reply, command[0].decode().lower(), command[1].decode())
                reply = {} if command[0] == b"HGETALL" else 0  # noqa: PLW2901 - it stands for it
            replies.append(reply)
    return replies


def _resolve_sessions(link: Link, namespace: str, found: Sequence[_ObjectReader]) -> None:
    """Who holds, and who waits."""
    for draft in found:
        draft.holders = holders(draft.family, draft.fields, draft.refs, draft.places)
        draft.waiters = waiters(draft.family, draft.fields)
    wanted = [
        (key_names.partition(draft.keys.ident), party.sid)
        for draft in found
        for party in (*draft.holders, *draft.waiters)
    ]
    notes = sessions(link, namespace, wanted)
    for draft in found:
        number = key_names.partition(draft.keys.ident)
        for group in (draft.holders, draft.waiters):
            group[:] = [p._replace(info=notes[number, p.sid]) for p in group]


# -- memory


def _measure_memory(link: Link, found: Sequence[_ObjectReader]) -> None:
    """Bytes on the server, none where it does not say."""
    weighed = [(draft, key) for draft in found for key in draft.all_keys()]
    replies = link.pipeline_raw([(b"MEMORY", b"USAGE", key) for _, key in weighed])
    for (draft, _), reply in zip(weighed, replies, strict=True):
        if isinstance(reply, ReplyError):
            draft.memory = None
            return
        draft.memory = (draft.memory or 0) + (reply or 0)


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
