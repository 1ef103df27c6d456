"""Holders and waiters of an object, by the fields that its row in the table of types names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from multihost.inspection.records import Participant
from multihost.wire import keys as key_names
from multihost.wire.identity import unpack
from multihost.wire.link import Link
from multihost.wire.ops.kinds import Kind
from multihost.wire.session.record import SessionRecord

__all__ = ["SessionKey", "holders", "key_of", "participant", "stored_sessions", "waiters"]

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


def participant(identity: str, count: int, info: SessionRecord | None) -> Participant:
    """Return what is known of an identity whose session has that record, None if it is dead."""
    session, _, thread, since = unpack(identity.encode("utf-8", "surrogatepass"))
    return Participant(
        session=session,
        host=None if info is None else info.hostname,
        pid=None if info is None else info.pid,
        thread=thread,
        since=since,
        count=count,
    )


def key_of(namespace: str, session: SessionKey) -> bytes:
    """Return the key of the record of a session."""
    number, name = session
    return key_names.prefix(namespace, number) + b"s:" + name.encode()


def stored_sessions(
    link: Link, namespace: str, wanted: Iterable[SessionKey]
) -> dict[SessionKey, SessionRecord | None]:
    """Return the records of sessions, None for those that have none. 1 round trip for each
    thousand.
    """
    found: dict[SessionKey, SessionRecord | None] = {}
    remaining = iter(dict.fromkeys(wanted))
    while batch := list(islice(remaining, BATCH)):
        commands = [SessionRecord.command(key_of(namespace, session)) for session in batch]
        found |= zip(batch, map(SessionRecord.of, link.pipeline(commands)), strict=True)
    return found
