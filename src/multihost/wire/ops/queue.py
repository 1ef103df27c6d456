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
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import has_proxies, retain, without_flag
from multihost.wire.ops.taking import RANK_SIZE, Consumer, QueueSettings, reap_script
from multihost.wire.replies import MustRetain, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import Call, broadcast_pop, token_pop, wait

__all__ = [
    "QueueState",
    "wait_for_room",
    "drain_dead_letters",
    "create",
    "dead_letters",
    "done",
    "join",
    "put",
    "requeue_orphaned",
    "shutdown",
    "size",
    "state",
]

_create = Script("queue/create")
_put = Script("queue/put")
_enqueue_putter = Script("queue/enqueue_putter")
_claim_room = Script("queue/claim_room")
_cancel_putter = Script("queue/cancel_putter")
_done = Script("queue/done")
_enqueue_joiner = Script("queue/enqueue_joiner")
_check_joined = Script("queue/check_joined")
_shutdown = Script("queue/shutdown")
_drain_dead_letters = Script("queue/drain_dead_letters")
_requeue_orphaned = Script("queue/requeue_orphaned")


class QueueState(NamedTuple):
    """What the server knows of a queue."""

    size: int
    unfinished: int
    in_flight: int
    dead_letters: int
    waiters: int
    is_shut_down: bool


def create(
    handle: Handle, typeid: str, terms: QueueSettings, explicit: tuple[bool, bool]
) -> str | None:
    """Create the queue, or attach to it; the terms of one that was there. 1 round trip.

    ``explicit`` says whether the size, and how often an item is delivered, were asked for: then
    they must be the same. Raises ValueError.
    """
    wanted = (terms.maxsize, terms.max_deliveries)
    there = any_object.attach(
        _create,
        handle,
        typeid,
        f"{terms.maxsize} {terms.max_deliveries}",
        b"%d" % terms.maxsize,
        terms.order.encode(),
        b"%d" % terms.max_deliveries,
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
        if (
            _put.run_once(handle, b"1" if blocking else b"0", has_proxies(values), *values)
            is not None
        ):
            return True
        if not blocking:
            return False
        return _wait_in_line(
            handle,
            seconds,
            (_put, (handle.session.identity.waiter_id, has_proxies(values), *values)),
        )
    except MustRetain:
        return put(handle, retain(handle, values), blocking, seconds)


def wait_for_room(handle: Handle, seconds: float | None) -> bool:
    """Wait until there is room for an item, which is put then; whether there was in time."""
    return _wait_in_line(handle, seconds, (_claim_room, (handle.session.identity.waiter_id,)))


def _wait_in_line(handle: Handle, seconds: float | None, closing: Call) -> bool:
    """Wait among those who wait for room; whether ``closing`` said that there is."""
    handle.session.ensure_registered(handle.keys)
    waiter, *rest = closing[1]
    answer = wait(
        handle,
        seconds,
        (_enqueue_putter, (waiter,)),
        token_pop(handle.keys.tokens),
        closing,
        lambda since: (_cancel_putter, (waiter, since, *rest[1:])),
        reap_script,
    )
    return answer is not None


def done(handle: Handle, places: Consumer) -> bool:
    """An item is done: where that counts, the oldest that this thread took, else this process.

    False if there is none. Raises LeaseLost if others took it for dead meanwhile. 1 round trip.
    """
    if not places.settings.max_deliveries:
        return _done.run_once(handle, b"") is not None
    place = places.pop_oldest()
    if place is None:
        return False
    try:
        answer: bytes = _done.run_once(handle, place.name)
    except BaseException:
        places.undo_pop(place)
        raise
    if answer == b"?":
        raise places.lease_lost("queue/task_done")
    without_flag(handle, answer)
    if places.decrement(place, 1):
        places.recycle(place)
    return True


def join(handle: Handle) -> None:
    """Wait until nothing is unfinished. 1 round trip and the wait."""
    handle.session.ensure_registered(handle.keys)
    tokens = handle.keys.tokens + b":join"
    wait(
        handle,
        None,
        (_enqueue_joiner, ()),
        broadcast_pop(tokens),
        (_check_joined, ()),
        reap=reap_script,
    )


def size(handle: Handle, terms: QueueSettings) -> int:
    """1 round trip."""
    keys = handle.keys
    count = b"ZCARD" if terms.order == "p" else b"LLEN"
    facts, found = handle.link.pipeline([(b"HMGET", keys.data, b"n", b"x"), (count, keys.items)])
    if facts[0] is None:
        raise object_gone(handle, "queue/qsize")
    has_mark = facts[1] is not None and terms.order != "p"
    return max(int(found) - has_mark, 0)


def shutdown(handle: Handle, immediate: bool) -> None:
    """Take no more items. 1 round trip, O(items) if they are dropped."""
    without_flag(handle, _shutdown.run_once(handle, b"%d" % immediate))


def dead_letters(handle: Handle, terms: QueueSettings) -> list[bytes]:
    """Items that were delivered too often. 1 round trip, O(letters)."""
    letters: list[bytes] = handle.link.execute(b"LRANGE", handle.keys.dead, b"0", b"-1")
    if not letters:
        any_object.exists(handle, "queue/dead_letters")
    if terms.order != "p":
        return letters
    return [letter[letter.index(b" ") + 1 + RANK_SIZE :] for letter in letters]


def drain_dead_letters(handle: Handle, requeue: bool) -> int:
    """Throw dead letters away, or put them back; how many there were. 1 round trip, O(letters)."""
    return int(without_flag(handle, _drain_dead_letters.run_once(handle, b"%d" % requeue)))


def state(handle: Handle, terms: QueueSettings) -> QueueState:
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
    places = keys.all_in_flight(pairs(refs))
    flying = link.pipeline([(b"LLEN", place) for place in places]) if places else []
    return QueueState(
        size=size(handle, terms),
        unfinished=int(unfinished or 0),
        in_flight=sum(flying),
        dead_letters=int(dead),
        waiters=int(waiting or 0) + int(taking or 0),
        is_shut_down=down is not None,
    )


def requeue_orphaned(handle: Handle, flight: bytes) -> int:
    """Give back what lies at a place of a dead session, also if that is not known any more; how
    many items that were. 1 round trip.
    """
    return int(_requeue_orphaned.run_idempotent(handle, flight) or 0)
