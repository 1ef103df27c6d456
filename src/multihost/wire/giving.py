"""Giving elements back: how a lock or a permit is released, and what became of it if it is missing.

What lies at a place is moved back, to whoever waits longest. Sent again behind a break that finds
nothing, where it was all; else it would move others that lie there, so the place is recovered.
"""

from __future__ import annotations

from multihost.wire.link import ConnectionBroken, Reply
from multihost.wire.places import RELEASED, TYPE, Place
from multihost.wire.replies import ReplyError, stored_number, to_exception
from multihost.wire.session import Handle

__all__ = [
    "ensure_exists",
    "give_back",
    "is_full",
    "is_there",
    "object_gone",
    "released_by_others",
]

GONE = ReplyError("GONE the object does not exist")


def is_full(reply: Reply) -> bool:
    """Return whether a server without memory left has refused a command."""
    return type(reply) is ReplyError and reply.code == "OOM"


def object_gone(handle: Handle, operation: str) -> Exception:
    """Return the error for an object that does not exist."""
    return to_exception(GONE, operation, handle.keys.ident)


def ensure_exists(handle: Handle, operation: str) -> None:
    """Raise ObjectGone unless the object exists. 1 round trip."""
    if not handle.link.execute(b"HEXISTS", handle.keys.data, TYPE):
        raise object_gone(handle, operation)


def is_there(place: Place) -> bool:
    """Return whether all elements lie at a place of which this process knows, or were released by
    others. 1 round trip.
    """
    keys = place.places.keys
    there, released = place.places.link.pipeline(
        [(b"LLEN", place.key), (b"HGET", keys.data, RELEASED + place.name)]
    )
    return int(there) + _by_others(place, released) >= place.count


def _by_others(place: Place, released: bytes | None) -> int:
    """Return how many of the elements at a place others have released, beside those that are known
    to have been.
    """
    ident, what = place.places.ident, "how much others released"
    return max(stored_number("release", ident, released, what) - place.seen, 0)


def give_back(place: Place, operation: str, count: int = 1) -> int:
    """Give back elements of a place; return how many of them were there. 1 round trip.

    They are given back whatever comes between. The place can be used again if they were all.
    """
    places = place.places
    link = places.link
    left = place.count - count
    if left:
        return _give_back_some(place, operation, count, left)
    try:
        connection = link.checkout()
        repeats = connection.repeats
        replies = link.exchange_many(connection, place.give_back * count, count)
        place.count = left
    except BaseException:
        place.count = left
        places.abandon(place)
        raise
    if connection.repeats != repeats or ReplyError in map(type, replies):
        places.abandon(place, broke=True)
        error = replies[-1]
        if type(error) is ReplyError and not is_full(error):  # which accepts a script
            raise to_exception(error, operation, places.ident)
        ensure_exists(places, operation)
        return count
    return count - replies.count(None)


def _give_back_some(place: Place, operation: str, count: int, left: int) -> int:
    """The same, where others stay: if the outcome is not known the request is not sent again, which
    would move those, but what lies there beyond them is given back. 3 round trips then.
    """
    places, link = place.places, place.places.link
    connection = link.checkout()
    try:
        requests = place.give_back * count
        replies = link.exchange_blocking(connection, requests, None, count)
        link.checkin(connection)
        place.count = left
        if len(replies) == count and ReplyError not in map(type, replies):
            return count - replies.count(None)
    except ConnectionBroken:
        link.checkin(connection)
        place.count = left
    except BaseException:
        link.withdraw(connection)
        link.recycle(connection)
        place.count = left
        places.abandon(place)
        raise
    places.recover(place)
    ensure_exists(places, operation)
    return count


def released_by_others(place: Place, missing: int, operation: str) -> bool:
    """Return whether others have released elements that are missing at a place, where this process
    believed them; else they were lost. 1 round trip.

    Raises ObjectGone.
    """
    places = place.places
    exists, released = places.link.execute(b"HMGET", places.keys.data, TYPE, RELEASED + place.name)
    if exists is None:
        raise object_gone(places, operation)
    if _by_others(place, released) < missing:
        return False
    place.seen += missing
    return True
