"""Holders and waiters of an object, by the fields that its row in the table of types names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from multihost.inspection.records import Participant
from multihost.wire import keys as key_names
from multihost.wire.identity import unpack
from multihost.wire.link import Link
from multihost.wire.ops.kinds import Kind
from multihost.wire.session.registration import SessionInfo

__all__ = ["SessionKey", "holders", "participant", "stored_sessions", "waiters"]

BATCH = 1000

SessionKey = tuple[int, str]
"""A session in a partition."""


def holders(
    kind: Kind,
    fields: Mapping[str, str],
    refs: Mapping[bytes, bytes],
    in_flight: Mapping[bytes, int],
) -> list[tuple[str, int]]:
    """Return the identities of the holders, or of the consumers of a queue, with how many permits
    or items each has. ``in_flight`` is the length of each in-flight list.
    """
    if kind.holder:
        return [(fields[kind.holder], 1)] if fields.get(kind.holder) else []
    if kind.permits:
        return [
            (field.removeprefix(kind.permits), int(count))
            for field, count in fields.items()
            if field.startswith(kind.permits) and int(count) > 0
        ]
    if kind.consumers:
        items = {field[2:].decode(): 0 for field in refs if field[:2] == b"f:"}
        for key, count in in_flight.items():
            items[key.rpartition(b":")[2].partition(b".")[0].decode()] += count
        return list(items.items())
    return []


def waiters(kind: Kind, fields: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return the identities of the waiters, each once."""
    found = [field[len(p) :] for field in fields for p in kind.waiters if field.startswith(p)]
    return [(identity, 1) for identity in dict.fromkeys(found)]


def participant(identity: str, count: int, info: SessionInfo | None) -> Participant:
    """Return the record of an identity whose session stored ``info``, None if that is dead."""
    session, _, thread, since = unpack(identity.encode("utf-8", "surrogatepass"))
    return Participant(
        session=session,
        host=None if info is None else info.host,
        pid=None if info is None else info.pid,
        thread=thread,
        since=since,
        count=count,
    )


def stored_sessions(
    link: Link, namespace: str, wanted: Iterable[SessionKey]
) -> dict[SessionKey, bytes | None]:
    """Return what sessions of partitions stored of themselves, None for those without a key. 1
    round trip for each thousand.
    """
    found: dict[SessionKey, bytes | None] = {}
    remaining = iter(dict.fromkeys(wanted))
    while batch := list(islice(remaining, BATCH)):
        commands = [
            (b"GET", key_names.prefix(namespace, number) + b"s:" + sid.encode())
            for number, sid in batch
        ]
        found |= zip(batch, link.pipeline(commands), strict=True)
    return found
