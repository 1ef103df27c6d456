"""Operations of a queue.

A queue is a hash beside its items: a list, or a sorted set for a queue by priority. ``n`` is how
many it takes, ``u`` how many are unfinished, ``x`` says that it was shut down: then a mark lies
behind the last item, the empty string, which passes from one who waits to the next. How items are
taken is told in :mod:`multihost.wire.ops.taking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import gone
from multihost.wire.ops.ownership import linked, retain, settled
from multihost.wire.ops.taking import RANK, Places, Terms, look
from multihost.wire.replies import MustRetain, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import Step, circle_in, pop_from, wait

__all__ = [
    "State",
    "admitted",
    "bury",
    "bury_dead",
    "create",
    "dead_letters",
    "done",
    "join",
    "put",
    "salvage",
    "shutdown",
    "size",
    "state",
]

_create = Script("queue/create")
_put = Script("queue/put")
_line_up = Script("queue/enqueue_putter")
_admit = Script("queue/claim_room")
_step_back = Script("queue/cancel_putter")
_done = Script("queue/done")
_stay = Script("queue/enqueue_joiner")
_joined = Script("queue/check_joined")
_shutdown = Script("queue/shutdown")
_bury = Script("queue/drain_dead_letters")
_salvage = Script("queue/requeue_orphaned")


class State(NamedTuple):
    """What the server knows of a queue."""

    size: int
    unfinished: int
    in_flight: int
    dead_letters: int
    waiters: int
    is_shut_down: bool


def create(handle: Handle, typeid: str, terms: Terms, explicit: tuple[bool, bool]) -> str | None:
    """Create the queue, or attach to it; the terms of one that was there. 1 round trip.

    ``explicit`` says whether the size, and how often an item is delivered, were asked for: then
    they must be the same. Raises ValueError.
    """
    wanted = (terms.most, terms.again)
    there = any_object.attach(
        _create,
        handle,
        typeid,
        f"{terms.most} {terms.again}",
        b"%d" % terms.most,
        terms.order.encode(),
        b"%d" % terms.again,
        explicit=False,
    )
    found = wanted if there is None else tuple(map(int, there.split()))
    names = ("maxsize", "deliveries (0: once, -1: any number)")
    for name, asked, has, should in zip(names, explicit, found, wanted, strict=True):
        if asked and has != should:
            raise ValueError(
                f"{handle.keys.ident[2:]!r} is a {typeid} with {name} {has}, not {should}: "
                "attach with the same"
            )
    return there


def put(handle: Handle, values: Sequence[bytes], blocking: bool, seconds: float | None) -> bool:
    """Append items, all or none; whether there was room in time. 1 round trip, 2 and the wait if
    there was none. O(items).
    """
    if seconds is not None and seconds <= 0:
        blocking = False
    try:
        if _put.write(handle, b"1" if blocking else b"0", linked(values), *values) is not None:
            return True
        if not blocking:
            return False
        return _in_line(
            handle, seconds, (_put, (handle.session.me.waiter, linked(values), *values))
        )
    except MustRetain:
        return put(handle, retain(handle, values), blocking, seconds)


def admitted(handle: Handle, seconds: float | None) -> bool:
    """Wait until there is room for an item, which is put then; whether there was in time."""
    return _in_line(handle, seconds, (_admit, (handle.session.me.waiter,)))


def _in_line(handle: Handle, seconds: float | None, closing: Step) -> bool:
    """Wait among those who wait for room; whether ``closing`` said that there is."""
    handle.session.enter(handle.keys)
    waiter, *rest = closing[1]
    answer = wait(
        handle,
        seconds,
        (_line_up, (waiter,)),
        pop_from(handle.keys.tokens),
        closing,
        lambda since: (_step_back, (waiter, since, *rest[1:])),
        look,
    )
    return answer is not None


def done(handle: Handle, places: Places) -> bool:
    """An item is done: where that counts, the oldest that this thread took, else this process.

    False if there is none. Raises LeaseLost if others took it for dead meanwhile. 1 round trip.
    """
    if not places.terms.again:
        return _done.write(handle, b"") is not None
    place = places.pop_oldest()
    if place is None:
        return False
    try:
        answer: bytes = _done.write(handle, place.name)
    except BaseException:
        places.put_back(place)
        raise
    if answer == b"?":
        raise places.gone("queue/task_done")
    settled(handle, answer)
    if places.fewer(place, 1):
        places.release(place)
    return True


def join(handle: Handle) -> None:
    """Wait until nothing is unfinished. 1 round trip and the wait."""
    handle.session.enter(handle.keys)
    tokens = handle.keys.tokens + b":join"
    wait(handle, None, (_stay, ()), circle_in(tokens), (_joined, ()), look=look)


def size(handle: Handle, terms: Terms) -> int:
    """1 round trip."""
    keys = handle.keys
    count = b"ZCARD" if terms.order == "p" else b"LLEN"
    facts, found = handle.link.pipeline([(b"HMGET", keys.data, b"n", b"x"), (count, keys.items)])
    if facts[0] is None:
        raise gone(handle, "queue/qsize")
    has_mark = facts[1] is not None and terms.order != "p"
    return max(int(found) - has_mark, 0)


def shutdown(handle: Handle, immediate: bool) -> None:
    """Take no more items. 1 round trip, O(items) if they are dropped."""
    settled(handle, _shutdown.write(handle, b"%d" % immediate))


def dead_letters(handle: Handle, terms: Terms) -> list[bytes]:
    """Items that were delivered too often. 1 round trip, O(letters)."""
    letters: list[bytes] = handle.link.call(b"LRANGE", handle.keys.dead, b"0", b"-1")
    if not letters:
        any_object.exists(handle, "queue/dead_letters")
    if terms.order != "p":
        return letters
    return [letter[letter.index(b" ") + 1 + RANK :] for letter in letters]


def bury(handle: Handle, again: bool) -> int:
    """Throw dead letters away, or put them back; how many there were. 1 round trip, O(letters)."""
    return int(settled(handle, _bury.write(handle, b"%d" % again)))


def state(handle: Handle, terms: Terms) -> State:
    """3 round trips, O(places of consumers)."""
    link, keys = handle.link, handle.keys
    facts, refs, dead = link.pipeline(
        [
            (b"HMGET", keys.data, b"u", b"x", b"w", b"gw"),
            (b"HGETALL", keys.refs),
            (b"LLEN", keys.dead),
        ]
    )
    unfinished, down, waiting, taking = facts
    places = keys.flights(pairs(refs))
    flying = link.pipeline([(b"LLEN", place) for place in places]) if places else []
    return State(
        size=size(handle, terms),
        unfinished=int(unfinished or 0),
        in_flight=sum(flying),
        dead_letters=int(dead),
        waiters=int(waiting or 0) + int(taking or 0),
        is_shut_down=down is not None,
    )


def bury_dead(handle: Handle) -> None:
    """Give back what dead sessions had taken, and forget who of them waited. May be repeated. 1
    round trip, O(items that come back).
    """
    look.repeat(handle, b"", b"1")


def salvage(handle: Handle, flight: bytes) -> int:
    """Give back what lies at a place of a dead session, also if that is not known any more; how
    many items that were. 1 round trip.
    """
    return int(_salvage.repeat(handle, flight) or 0)
