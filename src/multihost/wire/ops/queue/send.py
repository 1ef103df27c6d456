"""Putting items into a queue, and waiting for room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from multihost.wire.completion import Call
from multihost.wire.ops.keeping import has_proxies, keep
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.replies import MustKeep
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED, first_byte
from multihost.wire.wait import token_pop, wait, wait_by_name

__all__ = ["put", "wait_for_room"]

_put = Script("queue/put")
_enqueue_putter = Script("queue/enqueue_putter")
_claim_room = Script("queue/claim_room")
_cancel_putter = Script("queue/cancel_putter")


def put(handle: Handle, values: Sequence[bytes], blocking: bool, seconds: float | None) -> bool:
    """Append items, all or none; return whether there was room in time. 1 round trip, 2 and the
    wait if there was none. O(items).
    """
    if seconds is not None and seconds <= 0:
        blocking = False
    try:
        if (
            _put.run_once(
                handle,
                b"1" if blocking else b"0",
                b"",
                # has_proxies(values), without its calls: every put comes along here.
                b"1" if LINKED in set(map(first_byte, values)) else b"0",
                *values,
            )
            is not None
        ):
            return True
        if not blocking:
            return False
        linked = has_proxies(values)
        return _wait_for_room(
            handle, seconds, lambda waiter: (_put, (b"0", waiter, linked, *values)), values
        )
    except MustKeep as refusal:
        return _put_stamped(handle, values, blocking, seconds, refusal.epoch)


def _put_stamped(
    handle: Handle, values: Sequence[bytes], blocking: bool, seconds: float | None, epoch: int
) -> bool:
    """Put items with proxies, in a container without a lease: keep first what they refer to."""
    deadline = None if seconds is None else time.monotonic() + seconds
    behind_waiters = b"1" if blocking else b"0"
    while True:
        stamped = keep(handle, values, epoch)
        left = None if deadline is None else deadline - time.monotonic()
        try:
            if _put.run_once(handle, behind_waiters, b"", b"1", *stamped) is not None:
                return True
            if not blocking:
                return False
            return _wait_for_room(handle, left, partial(_put_call, stamped), stamped)
        except MustKeep as refusal:  # a collection has begun meanwhile
            epoch = refusal.epoch


def _put_call(values: Sequence[bytes], waiter: bytes) -> Call:
    return _put, (b"0", waiter, b"1", *values)


def wait_for_room(handle: Handle, seconds: float | None) -> bool:
    """Wait until there is room for an item, which is put then; return whether there was in time."""
    return _wait_for_room(handle, seconds, lambda waiter: (_claim_room, (waiter,)), ())


def _wait_for_room(
    handle: Handle, seconds: float | None, claim: Callable[[bytes], Call], values: Sequence[bytes]
) -> bool:
    """Wait among those who wait for room; return whether ``claim``, of a waiter, got it in time. A
    cancelled claim takes the ``values`` back that it may have put.
    """

    def attempt(waiter: bytes, left: float | None) -> bool:
        answer = wait(
            handle,
            left,
            (_enqueue_putter, (waiter,)),
            token_pop(handle.keys.tokens),
            claim(waiter),
            lambda since: (_cancel_putter, (waiter, since, *values)),
            reap_script,
        )
        return answer is not None

    return wait_by_name(handle, seconds, attempt)
