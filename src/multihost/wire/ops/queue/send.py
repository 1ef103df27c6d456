"""Putting items into a queue, and waiting for room."""

from __future__ import annotations

from collections.abc import Sequence

from multihost.wire.ops.ownership import has_proxies, retain
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.replies import MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED, first_byte
from multihost.wire.wait import Call, token_pop, wait

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
        claim = _put, (b"0", handle.session.identity.waiter_id, has_proxies(values), *values)
        return _wait_for_room(handle, seconds, claim, values)
    except MustRetain:
        # Not by a StoringScript: once retained, the values stay so however often they are sent.
        return put(handle, retain(handle, values), blocking, seconds)


def wait_for_room(handle: Handle, seconds: float | None) -> bool:
    """Wait until there is room for an item, which is put then; return whether there was in time."""
    claim = _claim_room, (handle.session.identity.waiter_id,)
    return _wait_for_room(handle, seconds, claim, ())


def _wait_for_room(
    handle: Handle, seconds: float | None, claim: Call, values: Sequence[bytes]
) -> bool:
    """Wait among those who wait for room; return whether ``claim`` got it in time. A cancelled
    claim takes the ``values`` back that it may have put.
    """
    handle.session.ensure_registered(handle.keys)
    waiter = handle.session.identity.waiter_id
    answer = wait(
        handle,
        seconds,
        (_enqueue_putter, (waiter,)),
        token_pop(handle.keys.tokens),
        claim,
        lambda since: (_cancel_putter, (waiter, since, *values)),
        reap_script,
    )
    return answer is not None
