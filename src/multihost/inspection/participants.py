"""Who holds an object and who waits for it, as the fields of its hash say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from multihost.wire.identity import unpack
from multihost.wire.session.registration import SessionInfo

__all__ = ["Participant", "holders", "waiters"]

# The fields of those who wait, by the family of the object. The server counts nobody who waits for
# an event, or for an item of a queue that is not sorted.
_WAITING = {
    "lock": ("q:",),
    "semaphore": ("q:",),
    "condition": ("q:", "z:", "y:"),  # for its own lock, for a notification, and notified
    "barrier": ("q:",),
    "queue": ("q:", "g:"),
}


class Participant(NamedTuple):
    """A session that holds something or waits; with the thread where that counts.

    ``note`` is None if the session is dead. ``number`` is of permits, or of items.
    """

    sid: str
    info: SessionInfo | None
    thread: str = ""
    since: float | None = None
    number: int = 1


def holders(
    family: str,
    fields: Mapping[str, str],
    refs: Mapping[bytes, bytes],
    places: Mapping[bytes, int],
) -> list[Participant]:
    """Who holds a lock or permits, or consumes a queue, of which ``places`` tells how many items
    lie where. Their notes are not known yet.
    """
    match family:
        case "lock" | "condition":
            return [_participant(fields["h"])] if fields.get("h") else []
        case "semaphore":
            accounts = {f[2:]: int(n) for f, n in fields.items() if f[:2] == "p:"}
        case "queue":
            accounts = {field[2:].decode(): 0 for field in refs if field[:2] == b"f:"}
            for place, count in places.items():
                accounts[place.rpartition(b":")[2].partition(b".")[0].decode()] += count
            return [_participant(sid, count) for sid, count in accounts.items()]
        case _:
            return []
    return [_participant(sid, count) for sid, count in accounts.items() if count > 0]


def waiters(family: str, fields: Mapping[str, str]) -> list[Participant]:
    """Who waits, each once. Their notes are not known yet."""
    kinds = _WAITING.get(family, ())
    found = {field[2:]: _participant(field[2:]) for field in fields if field[:2] in kinds}
    return list(found.values())


def _participant(identity: str, number: int = 1) -> Participant:
    """An identity is a session, with a thread: ``<sid>.<number>.<name>``, and the moment in which a
    hold was asked for.
    """
    sid, _, thread, since = unpack(identity.encode("utf-8", "surrogatepass"))
    return Participant(sid, None, thread, since, number)
