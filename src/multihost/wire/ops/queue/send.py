"""Putting items into a queue, and waiting for room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from multihost.wire.completion import Call
from multihost.wire.ops.ownership import has_proxies, retain
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.replies import MustRetain
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
    except MustRetain:
        # Not by a StoringScript: once retained, the values stay so however often they are sent.
        return put(handle, retain(handle, values), blocking, seconds)


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
