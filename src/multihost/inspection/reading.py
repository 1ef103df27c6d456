"""Reading objects: in batches, each in a few round trips, without holding any.

Nothing here changes anything, or renews a lease. An object that becomes another one while it is
read may be seen half.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from multihost.inspection.damage import Damage
from multihost.inspection.liveness import Judge
from multihost.inspection.participants import (
    Identified,
    SessionKey,
    holders,
    participant,
    waiters,
)
from multihost.inspection.records import ObjectInfo, Participant, QueueInfo
from multihost.inspection.scan import NameEntry
from multihost.proxies.array import Packing
from multihost.wire import keys as key_names
from multihost.wire.identity import name_of
from multihost.wire.keys import Keys
from multihost.wire.link import Command, Link
from multihost.wire.ops import kinds
from multihost.wire.printable import printable
from multihost.wire.replies import ReplyError, command_error, pairs
from multihost.wire.session.record import SessionRecord
from multihost.wire.stored import MOST_LISTS, number

__all__ = ["read_objects", "types"]

LONGEST = 1000  # bytes of the type of an object
CONTAINED = re.compile(rb"u:[\w-]{22}")
HOST_IDENT = re.compile(rb"h:[\w-]{22}")
BATCH = 200  # objects that are read together
WINDOW = 5000  # whose participants are judged together: that may take a second
COMMANDS = 5000  # that are sent together


def read_objects(
    link: Link,
    namespace: str,
    idents: Iterable[str],
    names: Mapping[str, bytes],
    judge: Judge,
    *,
    typeids: frozenset[str] = frozenset(),
    limit: int | None = None,
    memory: bool = False,
) -> Iterator[ObjectInfo]:
    """Yield the objects, or the first ``limit`` of some types, without those that do not exist.
    ``names`` are the entries of the names; ``judge`` says which sessions are alive.

    Up to 7 round trips for each 200 objects, 8 with ``memory``; 2 for each 200 of other types.
    """
    existing = _classified(link, namespace, idents, names)
    wanted = islice((each for each in existing if not typeids or each.typeid in typeids), limit)
    while window := list(islice(wanted, WINDOW)):
        for start in range(0, len(window), BATCH):
            batch = window[start : start + BATCH]
            _read_state(link, batch)
            _count_taken(link, [e for e in batch if e.kind.consumers or e.kind.elements])
            if memory:
                _measure_memory(link, batch)
        infos = judge(session for each in window for session in each.sessions())
        for each in window:
            yield each.info(infos)


def types(link: Link, namespace: str, idents: Iterable[str]) -> dict[str, str]:
    """Return the type of each object that exists. 2 round trips for each 200."""
    return {each.keys.ident: each.typeid for each in _classified(link, namespace, idents, {})}


def _classified(
    link: Link, namespace: str, idents: Iterable[str], names: Mapping[str, bytes]
) -> Iterator[_Reading]:
    remaining = iter(idents)
    while batch := list(islice(remaining, BATCH)):
        yield from _classify(link, [_Reading(Keys(namespace, ident), names) for ident in batch])


class _Reading:
    """An object that is being read."""

    def __init__(self, keys: Keys, names: Mapping[str, bytes]) -> None:
        self.keys = keys
        entry = names.get(name_of(keys.ident) or "")
        self.entry = None if entry is None else NameEntry.unpack(entry)
        self.damage = Damage()
        self.data = self.typeid = ""
        self.kind = kinds.HOSTED
        self.size, self.lease_ms, self.dead_letters = 0, -1, 0
        self.fields: dict[str, str] = {}
        self.refs: dict[bytes, bytes] = {}
        self.contents: list[bytes] = []
        self.taken: dict[bytes, int] = {}  # the length of each place, or in-flight list
        self.memory: int | None = None

    def take_fields(self, stored: Mapping[bytes, bytes]) -> None:
        """Take what a hash holds, but for what is of no interest."""
        internal = {field.encode() for field in self.kind.internal}
        others = [(field, value) for field, value in stored.items() if field not in internal]
        self.fields = dict(self.damage.fields(others))

    @property
    def has_places(self) -> bool:
        """Whether sessions may have places at it, or in-flight lists."""
        return bool(self.kind.consumers or self.kind.elements)

    def holders(self) -> list[Identified]:
        return holders(self.kind, self.fields, self.refs, self.taken, self.damage)

    def places(self) -> list[bytes]:
        """Return the keys of all places, of a queue the in-flight lists."""
        keys = self.keys
        for field, count in self.refs.items():
            if field[:2] == b"f:" and not 0 <= (number(count) or -1) <= MOST_LISTS:
                self.damage.add(
                    "the number of its in-flight lists"
                    if self.kind.consumers
                    else "the number of its places"
                )
        if self.kind.consumers:
            return keys.all_in_flight(self.refs)
        return [keys.held(name) for name in keys.all_held(self.refs)]

    def waiters(self) -> list[Identified]:
        return waiters(self.kind, self.fields, self.damage)

    def sessions(self) -> Iterator[SessionKey]:
        """Yield the sessions of holders and waiters."""
        for each in (*self.holders(), *self.waiters()):
            yield self.session(each)

    def session(self, identified: Identified) -> SessionKey:
        return key_names.partition(self.keys.ident), identified.id.session

    def all_keys(self) -> tuple[bytes, ...]:
        keys = self.keys
        if not self.kind.consumers:
            return (*keys.all, *self.taken)
        return (*keys.all, keys.items, keys.dead, *self.taken)

    def info(self, infos: Mapping[SessionKey, SessionRecord | None]) -> ObjectInfo:
        keys, kind, fields, entry = self.keys, self.kind, self.fields, self.entry
        if entry is not None and (entry.is_damaged or entry.typeid != self.typeid):
            self.damage.add("the entry of its name" if entry.is_damaged else "its type")

        def participants(found: list[Identified]) -> tuple[Participant, ...]:
            return tuple(
                participant(each, infos[self.session(each)], self.damage) for each in found
            )

        found = ObjectInfo(
            ident=keys.ident,
            name=name_of(keys.ident),
            typeid=self.typeid,
            parameters="" if entry is None else entry.parameters,
            codec=None if entry is None else entry.codec,
            length=self.length(),
            memory=self.memory,
            lease=None if self.lease_ms < 0 else self.lease_ms / 1000,
            state=None if kind.state is None else kind.state(fields),
            holders=participants(self.holders()),
            waiters=participants(self.waiters()),
            contains=tuple(self.contained()),
            fencing_token=self.damage.number(fields, kind.fence) if kind.fence in fields else None,
            queue=self.queue() if kind.family == "queue" else None,
            damage=(),
        )
        return replace(found, damage=self.damage.places)  # which were found while it was made

    def contained(self) -> Iterator[str]:
        for ident in self.contents:
            if CONTAINED.fullmatch(ident):
                yield ident.decode()
            else:
                self.damage.add("an object that it contains")

    def length(self) -> int | None:
        if self.kind.length is None:
            return None
        if self.kind.layout == "array":
            if self.entry is None:
                return None
            try:
                return self.size // Packing(self.entry.parameters).width
            except (TypeError, ValueError):
                self.damage.add("its parameters")
                return None
        return self.kind.length.of(self.size, self.fields)

    def queue(self) -> QueueInfo:
        fields, number = self.fields, self.damage.number
        return QueueInfo(
            maxsize=number(fields, "n"),
            max_deliveries=number(fields, "r"),
            size=self.length() or 0,
            unfinished=number(fields, "u"),
            in_flight=sum(self.taken.values()),
            dead_letters=self.dead_letters,
            is_shut_down="x" in fields,
        )


def _classify(link: Link, found: Sequence[_Reading]) -> list[_Reading]:
    """Find out the type of each; return those that exist. 2 round trips.

    Of a hash two fields are asked for: others may be large.
    """
    replies = link.pipeline([(b"TYPE", each.keys.data) for each in found])
    for each, reply in zip(found, replies, strict=True):
        each.data = reply.decode() if isinstance(reply, bytes) else str(reply)
    existing = [each for each in found if each.data != "none"]
    hashes = [each for each in existing if each.data == "hash"]
    commands = [(b"HMGET", each.keys.data, b"", kinds.TYPE, b"host") for each in hashes]
    stored = dict(zip(hashes, _tolerant(link, commands, hashes), strict=True))
    for each in existing:
        mark, kind, host = stored.get(each, (None, None, None))
        if kind:
            each.typeid = printable(kind[:LONGEST].partition(b" ")[0])
        else:
            each.typeid = kinds.of_data(each.data, mark)
        each.kind = kinds.of(each.typeid)
        if each.kind is kinds.HOSTED and not (host and HOST_IDENT.fullmatch(host)):
            each.damage.add("its type, or its host")
    return existing


def _read_state(link: Link, found: Sequence[_Reading]) -> None:
    """Read lease, length and what each contains; of what can be held or waited for the fields. 1
    round trip.
    """
    commands: list[Command] = []
    whose: list[_Reading] = []
    for each in found:
        commands += _commands_for(each)
        whose += [each] * (len(commands) - len(whose))
    replies = iter(_tolerant(link, commands, whose))
    for each in found:
        kind = each.kind
        each.lease_ms, each.contents = int(next(replies)), list(next(replies))
        if each.has_places:
            each.refs = pairs(next(replies))
        if kind.is_stateful:
            each.take_fields(pairs(next(replies)))
        if kind.length is not None:
            each.size = int(next(replies))
        if kind.consumers:
            each.dead_letters = int(next(replies))
        if kind.elements:
            each.fields[kinds.FREE] = str(next(replies))


def _commands_for(each: _Reading) -> Iterator[Command]:
    """Yield the commands for the state of an object."""
    keys, kind = each.keys, each.kind
    yield (b"PTTL", keys.data)
    yield (b"HKEYS", keys.contains)
    if each.has_places:
        yield (b"HGETALL", keys.refs)
    if kind.is_stateful:
        yield (b"HGETALL", keys.data)
    if kind.length is not None:
        yield (kind.length.command, getattr(keys, kind.length.key))
    if kind.consumers:
        yield (b"LLEN", keys.dead)
    if kind.elements:
        yield (b"LLEN", keys.free)


def _count_taken(link: Link, found: Sequence[_Reading]) -> None:
    """Count what sessions hold, and items in flight. 1 round trip if there are such sessions."""
    lists = [(each, key) for each in found for key in each.places()]
    commands = [(b"LLEN", key) for _, key in lists]
    lengths = _tolerant(link, commands, [each for each, _ in lists])
    for (each, key), length in zip(lists, lengths, strict=True):
        each.taken[key] = int(length)


def _measure_memory(link: Link, found: Sequence[_Reading]) -> None:
    """Add up the bytes on the server, None where it does not report them. 1 round trip."""
    keys = [(each, key) for each in found for key in each.all_keys()]
    replies = link.pipeline_raw([(b"MEMORY", b"USAGE", key) for _, key in keys])
    for (each, _), reply in zip(keys, replies, strict=True):
        if isinstance(reply, ReplyError):
            each.memory = None
            return
        each.memory = (each.memory or 0) + (reply or 0)


_EMPTY: Mapping[bytes, Any] = {b"HGETALL": {}, b"HKEYS": [], b"HMGET": (None, None, None)}


def _tolerant(link: Link, commands: Sequence[Command], whose: Sequence[_Reading]) -> list[Any]:
    """Return the replies; zero or nothing for a key of another type, which is damaged, or became
    another object meanwhile.
    """
    replies: list[Any] = []
    for start in range(0, len(commands), COMMANDS):
        batch = commands[start : start + COMMANDS]
        objects = whose[start : start + COMMANDS]
        for command, each, reply in zip(batch, objects, link.pipeline_raw(batch), strict=True):
            if not isinstance(reply, ReplyError):
                replies.append(reply)
            elif reply.code == "WRONGTYPE":
                each.damage.add(f"key {printable(command[1])!r}")
                replies.append(_EMPTY.get(command[0], 0))
            else:
                raise command_error(reply, command)
    return replies
