"""Putting an item into a priority queue.

The order is that of Python's ``<``, which only a client can compare by. Numbers, and tuples that
start with a number no other has, are ranked by that number: 1 round trip. For others the client
compares a few items at once with those of the queue, and puts them between two neighbours if these
still are neighbours: O(log n) comparisons in O(log n / 4) round trips.
"""

from __future__ import annotations

import time
from typing import Any

from multihost.wire.ops.keeping import keep
from multihost.wire.ops.queue.constants import KIND
from multihost.wire.ops.queue.items import RANK_SIZE, split_delivery_count
from multihost.wire.ops.queue.send import wait_for_room
from multihost.wire.replies import (
    CHANGED,
    COMPARE,
    NO_SPACE,
    OK,
    MustKeep,
    counted,
    misread,
    text,
    texts,
)
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED

__all__ = ["put"]

_put_ranked = Script("queue/put_ranked")
_put_between = Script("queue/put_between")
_renumber = Script("queue/renumber")

# Kinds of items. All items of a queue are of one kind; others may be mixed with any.
NUMBERS, TUPLES, OTHERS = b"n", b"t", b"o"
EXACT = 1 << 53  # larger integers are not all different as scores
REQUEUED = b"0" * 16  # what the rank of a requeued item starts with, see lib/reinsert_sorted
PROBES = 15  # items that are fetched in one round trip


def _kind_and_score(item: object) -> tuple[bytes, bytes]:
    """Return what the server sorts an item by."""
    if type(item) in (int, float, bool):
        assert isinstance(item, (int, float))
        if -EXACT <= item <= EXACT:  # which a NaN is not
            return NUMBERS, repr(float(item)).encode()
    elif type(item) is tuple and item:
        first, score = _kind_and_score(item[0])
        if first == NUMBERS:
            return TUPLES, score
    return OTHERS, b"0"


def put(handle: Handle, item: object, value: bytes, blocking: bool, seconds: float | None) -> bool:
    """Put an item where it belongs; return whether there was room in time. 1 round trip, or as many
    as comparisons take, and the wait.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    if seconds is not None and seconds <= 0:
        blocking = False
    behind_waiters = b"%d" % blocking
    kind, score = _kind_and_score(item)
    sent = value
    if value[0] == LINKED and handle.is_persistent:
        (sent,) = keep(handle, (value,), 0)
    while True:
        try:
            if _try_put(handle, item, sent, behind_waiters, kind, score):
                return True
        except MustKeep as refusal:
            handle.was_kept = True
            (sent,) = keep(handle, (value,), refusal.epoch)
            continue
        left = None if deadline is None else deadline - time.monotonic()
        if not blocking or not wait_for_room(handle, left):
            return False
        behind_waiters = b"0"


def _try_put(
    handle: Handle, item: object, value: bytes, behind_waiters: bytes, kind: bytes, score: bytes
) -> bool:
    """Return whether there was room."""
    answer = _put_ranked.run_once(handle, behind_waiters, kind, score, value)
    while answer is not None and answer != OK:
        if text("queue/put", handle.keys.ident, answer)[:1] not in (COMPARE, CHANGED, NO_SPACE):
            raise misread("queue/put", handle.keys.ident)
        queue_kind = answer[1:] if answer[:1] == COMPARE else _stored_kind(handle, kind)
        if (
            queue_kind == kind == NUMBERS and answer == CHANGED
        ):  # these are never compared by clients
            answer = _put_ranked.run_once(handle, behind_waiters, kind, score, value)
            continue
        if answer == NO_SPACE or queue_kind not in (kind, OTHERS):
            _compare_with_any(handle, item)
            _renumber.run_idempotent(handle)
            queue_kind = OTHERS
        scope = score if queue_kind == TUPLES else b""
        before, behind = _neighbours(handle, item, scope)
        answer = _put_between.run_once(
            handle, behind_waiters, queue_kind, scope, before, behind, value
        )
    return answer is not None


def _stored_kind(handle: Handle, kind: bytes) -> bytes:
    """Return the kind of the items of the queue, ``kind`` if it has none."""
    stored: bytes | None = handle.link.execute(b"HGET", handle.keys.data, KIND)
    return stored or kind


def _is_smaller(handle: Handle, item: Any, member: bytes) -> bool | None:
    """Return whether an item is smaller than the one that a member of the sorted set stands for;
    None if this process cannot unpickle that one. Raises what ``<`` raises.
    """
    try:
        other = handle.codec.load(split_delivery_count(member[RANK_SIZE:])[0])
    except Exception:  # noqa: BLE001 - classes raise anything when they are unpickled
        return None
    return bool(item < other)


def _compare_with_any(handle: Handle, item: Any) -> None:
    """Raise what ``<`` raises, before the order of the queue is changed."""
    for member in handle.link.execute(b"ZRANGE", handle.keys.items, b"0", b"0"):
        _is_smaller(handle, item, member)


def _neighbours(handle: Handle, item: Any, score: bytes) -> tuple[bytes, bytes]:
    """Return the members between which the item belongs, behind those equal to it; empty at the
    ends. Those that this process cannot unpickle are passed over.
    """
    link, items = handle.link, handle.keys.items
    if score:
        low, count = link.pipeline(
            [(b"ZCOUNT", items, b"-inf", b"(" + score), (b"ZCOUNT", items, score, score)]
        )
    else:
        low, count = 0, link.execute(b"ZCARD", items)
    low = counted("queue/put", handle.keys.ident, low)
    high = low + counted("queue/put", handle.keys.ident, count)
    before = behind = b""
    is_blind = False  # no probe of the round before could be unpickled
    while low < high:
        step = 1 if is_blind else max((high - low) // (PROBES + 1), 1)
        ranks = list(range(low + step - 1, high, step))[:PROBES]
        found = link.pipeline([(b"ZRANGE", items, b"%d" % rank, b"%d" % rank) for rank in ranks])
        first, last = low, high
        is_blind = True
        for rank, members in zip(ranks, found, strict=True):
            # None if it was received by a consumer meanwhile.
            if not texts("queue/put", handle.keys.ident, members):
                last, is_blind = min(last, rank), False
                break
            # Requeued items are before all that they may be compared with.
            is_requeued = members[0].startswith(REQUEUED)
            smaller = False if is_requeued else _is_smaller(handle, item, members[0])
            if smaller is None and step > 1:
                continue
            is_blind = False
            if smaller:
                last, behind = rank, members[0]
                break
            first, before = rank + 1, members[0]
        low, high = first, last
    return before, behind
