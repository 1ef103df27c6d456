"""Operations of a condition; its lock is a matter of its own.

Those who wait are counted by generations: notifications are for one generation, and who comes later
belongs to the next (see ``lua/condition/enter.lua``).
"""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import gone
from multihost.wire.ops.ownership import retain
from multihost.wire.replies import MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import attempt, insist, pop_from, wait

__all__ = ["bury", "create", "enter", "go_on", "leave", "notify", "sleepers", "wait_for_notice"]

_create = Script("condition/create")
_enter = Script("condition/enqueue")
_stay = Script("condition/await_notification")
_awake = Script("condition/claim")
_leave = Script("condition/cancel")
_notify = Script("condition/notify")
_look = Script("condition/reap")


def create(handle: Handle, lock: str, reference: bytes) -> str | None:
    """Create the condition, or attach to it; the lock of the one that was there.

    ``lock`` says which lock it has, empty for its own, or none if it was not asked for;
    ``reference`` is an encoded reference to another object without a name. 1 round trip.
    """
    try:
        return any_object.attach(_create, handle, "Condition", lock, reference, explicit=bool(lock))
    except MustRetain:
        return create(handle, lock, retain(handle, (reference,))[0])


def enter(handle: Handle) -> bytes:
    """Wait for the next notification from now on; which generation that is. 1 round trip."""
    session = handle.session
    session.enter(handle.keys)
    waiter = session.me.waiter
    generation: bytes = attempt(handle, (_enter, (waiter,)), lambda _: (_leave, (waiter,)))
    return generation


def leave(handle: Handle) -> None:
    """Do not wait any more. 1 round trip."""
    insist(handle, (_leave, (handle.session.me.waiter,)))


def wait_for_notice(handle: Handle, generation: bytes, seconds: float | None) -> bool:
    """Whether there was a notification in time. 1 round trip and the wait."""
    waiter = handle.session.me.waiter
    notice = wait(
        handle,
        seconds,
        (_stay, (waiter, generation)),
        pop_from(b"%b:%b" % (handle.keys.tokens, generation)),
        (_awake, (waiter, generation)),
        lambda _: (_leave, (waiter,)),
        _look,
    )
    return notice is not None


def go_on(handle: Handle) -> None:
    """This thread has the lock again: its notification has arrived. Until then it would be for
    another one, if this process died. 1 round trip.
    """
    handle.link.call(b"HDEL", handle.keys.data, b"y:" + handle.session.me.waiter)


def sleepers(handle: Handle) -> int:
    """How many wait for a notification. 1 round trip, O(waiters)."""
    fields = handle.link.call(b"HKEYS", handle.keys.data)
    if not fields:
        raise gone(handle, "condition/statistics")
    return sum(field[:2] == b"z:" for field in fields)


def notify(handle: Handle, count: int) -> None:
    """Wake up to ``count`` who wait. 1 round trip."""
    insist(handle, (_notify, (b"%d" % count,)))


def bury(handle: Handle) -> None:
    """Forget dead waiters, and pass on what notified them. May be repeated. 1 round trip."""
    _look.repeat(handle, b"", b"1")
