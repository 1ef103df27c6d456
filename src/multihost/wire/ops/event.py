"""Operations of an event.

An event is a hash with its state, and a count of how often it was set, so that no waiter misses one
that is cleared immediately. When it is set there is a wake-up token in ``data:tokens:<count>`` for
those that wait since it had been set so many times; each takes it by a pop that pushes it back.
"""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import SET
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import broadcast_pop, run_to_completion, wait

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
    answer: bytes = _poll.run_idempotent(handle, b"")
    if answer == SET:
        return True
    if seconds is not None and seconds <= 0:
        return False
    count = answer[1:]
    tokens = b"%b:%b" % (handle.keys.tokens, count)
    found = wait(
        handle,
        seconds,
        (_enqueue, (count,)),
        broadcast_pop(tokens),
        (_poll, (count,)),
        by_name=False,
    )
    return found is not None
