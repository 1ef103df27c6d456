"""How an item comes to its place in a queue by priority.

The order is that of Python's ``<``, which only a client can ask. Numbers, and tuples that start
with a number no other has, find their place by that number: 1 round trip. For others the client
compares a few items at once with those that are there, and puts them between two neighbours if
these still are neighbours: O(log n) comparisons in O(log n / 4) round trips.
"""

from __future__ import annotations

import time
from typing import Any

from multihost.wire.ops.ownership import retain
from multihost.wire.ops.queue import wait_for_room
from multihost.wire.ops.taking import RANK_SIZE
from multihost.wire.replies import CHANGED, COMPARE, NO_SPACE, OK, MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["put"]

_put_ranked = Script("queue/put_ranked")
_put_between = Script("queue/put_between")
_renumber = Script("queue/renumber")

NUMBERS, TUPLES, OTHERS = b"n", b"t", b"o"
EXACT = 1 << 53  # larger integers are not all different as scores
CAME_BACK = b"0" * 16  # see lib/reinsert_sorted
PROBES = 15  # items that are fetched at once


def _kind(item: object) -> tuple[bytes, bytes]:
    """What an item is sorted by on the server: its kind and its score."""
    if type(item) in (int, float, bool):
        assert isinstance(item, (int, float))
        if -EXACT <= item <= EXACT:  # which a NaN is not
            return NUMBERS, repr(float(item)).encode()
    elif type(item) is tuple and item:
        first, score = _kind(item[0])
        if first == NUMBERS:
            return TUPLES, score
    return OTHERS, b"0"


def put(handle: Handle, item: object, value: bytes, blocking: bool, seconds: float | None) -> bool:
    """Put an item to its place; whether there was room in time."""
    deadline = None if seconds is None else time.monotonic() + seconds
    if seconds is not None and seconds <= 0:
        blocking = False
    waiting = b"%d" % blocking
    kind, score = _kind(item)
    while True:
        try:
            if _try(handle, item, value, waiting, kind, score):
                return True
        except MustRetain:
            (value,) = retain(handle, (value,))
            continue
        left = None if deadline is None else deadline - time.monotonic()
        if not blocking or not wait_for_room(handle, left):
            return False
        waiting = b"0"


def _try(
    handle: Handle, item: object, value: bytes, waiting: bytes, kind: bytes, score: bytes
) -> bool:
    """Whether there was room."""
    answer = _put_ranked.run_once(handle, waiting, kind, score, value)
    while answer is not None and answer != OK:
        there = answer[1:] if answer[:1] == COMPARE else _stored_kind(handle, kind)
        if there == kind == NUMBERS and answer == CHANGED:  # these are never compared here
            answer = _put_ranked.run_once(handle, waiting, kind, score, value)
            continue
        if answer == NO_SPACE or there not in (kind, OTHERS):
            _compare_with_any(handle, item)
            _renumber.run_idempotent(handle)
            there = OTHERS
        scope = score if there == TUPLES else b""
        before, behind = _neighbours(handle, item, scope)
        answer = _put_between.run_once(handle, waiting, there, scope, before, behind, value)
    return answer is not None


def _stored_kind(handle: Handle, kind: bytes) -> bytes:
    there: bytes | None = handle.link.execute(b"HGET", handle.keys.data, b"k")
    return there or kind


def _value(handle: Handle, member: bytes) -> Any:
    value = member[RANK_SIZE:]
    if value[:1] == b"*":
        value = value.partition(b";")[2]
    return handle.codec.load(value)


def _compare_with_any(handle: Handle, item: Any) -> None:
    """Raise what ``<`` raises, before the order of the queue is changed."""
    for member in handle.link.execute(b"ZRANGE", handle.keys.items, b"0", b"0"):
        item < _value(handle, member)  # noqa: B015


def _neighbours(handle: Handle, item: Any, score: bytes) -> tuple[bytes, bytes]:
    """The members between which the item belongs, behind those equal to it; empty at the ends."""
    link, items = handle.link, handle.keys.items
    if score:
        low, count = link.pipeline(
            [(b"ZCOUNT", items, b"-inf", b"(" + score), (b"ZCOUNT", items, score, score)]
        )
        high = low + count
    else:
        low, high = 0, link.execute(b"ZCARD", items)
    before = behind = b""
    while low < high:
        step = max((high - low) // (PROBES + 1), 1)
        ranks = list(range(low + step - 1, high, step))[:PROBES]
        found = link.pipeline([(b"ZRANGE", items, b"%d" % rank, b"%d" % rank) for rank in ranks])
        first, last = low, high
        for rank, members in zip(ranks, found, strict=True):
            if not members:  # taken meanwhile
                last = min(last, rank)
                break
            # What came back is before all that it may be compared with.
            if members[0][: len(CAME_BACK)] != CAME_BACK and item < _value(handle, members[0]):
                last, behind = rank, members[0]
                break
            first, before = rank + 1, members[0]
        low, high = first, last
    return before, behind
