"""Putting items into a queue, and waiting for room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from multihost.wire.completion import Call
from multihost.wire.ops.keeping import keep
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.replies import MustKeep
from multihost.wire.script import Script, is_too_long
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
    # Codec.any_linked(values), without its call: every put comes along here.
    if LINKED in set(map(first_byte, values)):
        return _put_linked(handle, values, blocking, seconds)
    if _put.run_once(handle, b"1" if blocking else b"0", b"", b"0", *values) is not None:
        return True
    if not blocking:
        return False
    return _wait_for_room(handle, seconds, partial(_put_call, b"0", values), values)


def _put_linked(
    handle: Handle, values: Sequence[bytes], blocking: bool, seconds: float | None
) -> bool:
    """Put items with proxies: a container without a lease has what they refer to kept first."""
    deadline = None if seconds is None else time.monotonic() + seconds
    behind_waiters = b"1" if blocking else b"0"
    sent = keep(handle, values, 0) if handle.is_persistent else values
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        try:
            if _put.run_once(handle, behind_waiters, b"", b"1", *sent) is not None:
                return True
            if not blocking:
                return False
            return _wait_for_room(handle, left, partial(_put_call, b"1", sent), sent)
        except MustKeep as refusal:  # it has no lease, or a collection has begun meanwhile
            handle.was_kept = True
            sent = keep(handle, values, refusal.epoch)


def _put_call(linked: bytes, values: Sequence[bytes], waiter: bytes) -> Call:
    return _put, (b"0", waiter, linked, *values)


def wait_for_room(handle: Handle, seconds: float | None) -> bool:
    """Wait until there is room for an item, which is put then; return whether there was in time."""
    return _wait_for_room(handle, seconds, lambda waiter: (_claim_room, (waiter,)), ())


def _wait_for_room(
    handle: Handle, seconds: float | None, claim: Callable[[bytes], Call], values: Sequence[bytes]
) -> bool:
    """Wait among those who wait for room; return whether ``claim``, of a waiter, got it in time. A
    cancelled claim takes the ``values`` back that it may have put. Raises PayloadTooLarge for more
    than one command takes.
    """
    if is_too_long(values):
        raise _put.too_long(handle, values)

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
