"""Holders and waiters of an object, by what its row in the table of types says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from multihost.inspection.damage import LONGEST, Damage
from multihost.inspection.records import Participant
from multihost.wire import keys as key_names
from multihost.wire.identity import ParsedId, unpack
from multihost.wire.link import Link
from multihost.wire.ops.kinds import Kind
from multihost.wire.printable import printable
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.session.record import UNKNOWN, SessionRecord

__all__ = [
    "Identified",
    "SessionKey",
    "holders",
    "key_of",
    "participant",
    "stored_sessions",
    "waiters",
]

BATCH = 1000


SessionKey = tuple[int, str]
"""A session in a partition."""


class Identified(NamedTuple):
    """Who holds or waits, and how many permits or items that has."""

    id: ParsedId
    amount: int


def holders(
    kind: Kind,
    fields: Mapping[str, str],
    refs: Mapping[bytes, bytes],
    taken: Mapping[bytes, int],
    damage: Damage,
) -> list[Identified]:
    """Return the identities of the holders, or of the consumers of a queue, with how many permits
    or items each has. ``taken`` is the length of each place, or in-flight list.
    """
    names = {
        key.rpartition(b":")[2].decode("utf-8", "surrogateescape"): count
        for key, count in taken.items()
    }
    if kind.elements == "lock":
        held = [f"{name}.{fields.get(f'h:{name}', '.0')}" for name, n in names.items() if n]
        return _identified([(identity, 1) for identity in held], damage)
    if kind.elements or kind.consumers:
        counts = {
            field[2:].decode("utf-8", "surrogateescape"): 0 for field in refs if field[:2] == b"f:"
        }
        if kind.elements:
            counts |= {f[2:]: damage.number(fields, f) for f in fields if f[:2] == "k:"}
        for name, count in names.items():
            session = name.rpartition(".")[0]
            counts[session] = counts.get(session, 0) + count
        found = [each for each in counts.items() if kind.consumers or each[1] > 0]
        return _identified(found, damage)
    return []


def waiters(kind: Kind, fields: Mapping[str, str], damage: Damage) -> list[Identified]:
    """Return the identities of the waiters, each once."""
    found = [field[len(p) :] for field in fields for p in kind.waiters if field.startswith(p)]
    return _identified([(identity, 1) for identity in dict.fromkeys(found)], damage)


def _identified(found: Iterable[tuple[str, int]], damage: Damage) -> list[Identified]:
    """Return the identities that can be read."""
    readable = []
    for identity, count in found:
        try:
            if len(identity) > LONGEST:
                raise ValueError
            if identity:
                parsed = unpack(identity.encode("utf-8", "surrogatepass"))
                readable.append(Identified(parsed, count))
        except ValueError:
            damage.add(f"participant {printable(identity, 40)!r}")
    return readable


def participant(identified: Identified, info: SessionRecord | None, damage: Damage) -> Participant:
    """Return the record of an identity whose session stored ``info``, None if that is dead."""
    session, _, thread, since = identified.id
    if info is UNKNOWN:
        damage.add(f"session {printable(session, 40)!r}")
    return Participant(
        session=session,
        host=None if info is None else info.hostname,
        pid=None if info is None else info.pid,
        thread=thread,
        since=since,
        count=identified.amount,
    )


def key_of(namespace: str, session: SessionKey) -> bytes:
    """Return the key of the record of a session."""
    number, name = session
    return key_names.prefix(namespace, number) + b"s:" + name.encode("utf-8", "surrogateescape")


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
        replies = link.pipeline_raw(commands)
        for key, reply, command in zip(batch, replies, commands, strict=True):
            if isinstance(reply, ReplyError) and reply.code != "WRONGTYPE":
                raise command_error(reply, command)
            found[key] = SessionRecord.of(reply)
    return found
