"""Operations of a condition; its lock is a matter of its own.

Those who wait are counted by generations: notifications are for one generation, and who comes later
belongs to the next (see ``lua/condition/enter.lua``).
"""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import retain
from multihost.wire.replies import MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import run_or_undo, run_to_completion, token_pop, wait

__all__ = [
    "create",
    "enqueue",
    "confirm_reacquired",
    "cancel",
    "notify",
    "waiting_count",
    "wait_for_notification",
]

_create = Script("condition/create")
_enqueue = Script("condition/enqueue")
_await_notification = Script("condition/await_notification")
_claim = Script("condition/claim")
_cancel = Script("condition/cancel")
_notify = Script("condition/notify")
_reap = Script("condition/reap")


def create(handle: Handle, lock: str, reference: bytes) -> str | None:
    """Create the condition, or attach to it; the lock of the one that was there.

    ``lock`` says which lock it has, empty for its own, or none if it was not asked for;
    ``reference`` is an encoded reference to another object without a name. 1 round trip.
    """
    try:
        return any_object.attach(_create, handle, "Condition", lock, reference, explicit=bool(lock))
    except MustRetain:
        return create(handle, lock, retain(handle, (reference,))[0])


def enqueue(handle: Handle) -> bytes:
    """Wait for the next notification from now on; which generation that is. 1 round trip."""
    session = handle.session
    session.ensure_registered(handle.keys)
    waiter = session.identity.waiter_id
    generation: bytes = run_or_undo(handle, (_enqueue, (waiter,)), lambda _: (_cancel, (waiter,)))
    return generation


def cancel(handle: Handle) -> None:
    """Do not wait any more. 1 round trip."""
    run_to_completion(handle, (_cancel, (handle.session.identity.waiter_id,)))


def wait_for_notification(handle: Handle, generation: bytes, seconds: float | None) -> bool:
    """Whether there was a notification in time. 1 round trip and the wait."""
    waiter = handle.session.identity.waiter_id
    notice = wait(
        handle,
        seconds,
        (_await_notification, (waiter, generation)),
        token_pop(b"%b:%b" % (handle.keys.tokens, generation)),
        (_claim, (waiter, generation)),
        lambda _: (_cancel, (waiter,)),
        _reap,
    )
    return notice is not None


def confirm_reacquired(handle: Handle) -> None:
    """This thread has the lock again: its notification has arrived. Until then it would be for
    another one, if this process died. 1 round trip.
    """
    handle.link.execute(b"HDEL", handle.keys.data, b"y:" + handle.session.identity.waiter_id)


def waiting_count(handle: Handle) -> int:
    """How many wait for a notification. 1 round trip, O(waiters)."""
    fields = handle.link.execute(b"HKEYS", handle.keys.data)
    if not fields:
        raise object_gone(handle, "condition/statistics")
    return sum(field[:2] == b"z:" for field in fields)


def notify(handle: Handle, count: int) -> None:
    """Wake up to ``count`` who wait. 1 round trip."""
    run_to_completion(handle, (_notify, (b"%d" % count,)))
