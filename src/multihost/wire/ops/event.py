"""Operations of an event.

An event is a hash with its state, and a number that grows when it is set, so that no waiter misses
one that is cleared immediately. When it is set there is a wake-up token in ``data:tokens:<number>``
for those that wait since it had that number; each takes it by a pop that pushes it back. A server
that went back has a smaller number than a waiter knows, which begins anew.
"""

from __future__ import annotations

import time

from multihost.wire.completion import run_to_completion
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import SET
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import broadcast_pop, wait

__all__ = ["clear", "create", "is_set", "put", "wait_until_set"]

STATE = b"s"  # field: 1 if it is set

_create = Script("event/create")
_set = Script("event/set")
_clear = Script("event/clear")
_poll = Script("event/poll")
_enqueue = Script("event/enqueue")


def create(handle: Handle) -> bool:
    """Create the event, or attach to it; return whether it was created. 1 round trip."""
    return any_object.create(_create, handle, "Event")


def put(handle: Handle) -> None:
    """Set the event. 1 round trip."""
    run_to_completion(handle, (_set, ()))


def clear(handle: Handle) -> None:
    """Reset the event. 1 round trip."""
    run_to_completion(handle, (_clear, ()))


def is_set(handle: Handle) -> bool:
    """Return whether the event is set. 1 round trip."""
    state: bytes | None = handle.link.execute(b"HGET", handle.keys.data, STATE)
    if state is None:
        raise object_gone(handle, "event/is_set")
    return state == b"1"


def wait_until_set(handle: Handle, seconds: float | None) -> bool:
    """Return whether the event was set in time. 1 round trip if it is set, else 2 and the wait."""
    deadline = None if seconds is None else time.monotonic() + seconds
    answer: bytes | None = _poll.run_idempotent(handle, b"")
    while answer is not None and answer != SET:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        number = answer[1:]
        answer = wait(
            handle,
            left,
            (_enqueue, (number,)),
            broadcast_pop(b"%b:%b" % (handle.keys.tokens, number)),
            (_poll, (number,)),
            by_name=False,
        )
    return answer is not None
