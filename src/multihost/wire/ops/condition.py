"""Operations of a condition, without those of its lock.

Waiters are counted by generations: notifications are for one generation, and later waiters belong
to the next one (see ``lua/condition/enqueue.lua``).
"""

from __future__ import annotations

from collections.abc import Sequence

from multihost.wire.completion import run_or_undo, run_to_completion
from multihost.wire.link import Reply
from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import texts
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import token_pop, wait, wait_by_name

__all__ = [
    "create",
    "enqueue",
    "confirm_reacquired",
    "cancel",
    "notify",
    "waiting_count",
    "wait_for_notification",
]

# Fields, before the id of a waiter: of one that waits for a notification, and of one that was
# notified and has not reacquired the lock.
WAITER, NOTIFIED = b"z:", b"y:"

_create = StoringScript("condition/create", slice(3, 4))
_enqueue = Script("condition/enqueue")
_await_notification = Script("condition/await_notification")
_claim = Script("condition/claim")
_cancel = Script("condition/cancel")
_notify = Script("condition/notify")
_reap = Script("condition/reap")
_settle = Script("condition/settle")


class _Waiters:
    """The threads of this process that wait for a notification, or were notified and have not
    reacquired the lock.
    """

    def __init__(self, handle: Handle) -> None:
        self.fields: set[bytes] = set()
        """What the server should have of them."""
        self._handle = handle

    @classmethod
    def of(cls, handle: Handle) -> _Waiters:
        """Return those of a condition. No round trip."""
        settling, key = handle.session.settling, ("condition", handle.keys.ident)
        found = settling.users.get(key) or settling.add(key, cls(handle))
        assert isinstance(found, _Waiters)
        return found

    @property
    def ident(self) -> str:
        return self._handle.keys.ident

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        return not self.fields

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """See :mod:`multihost.wire.session.settling`."""
        sid = self._handle.session.registration.sid
        return _settle, [self._handle.keys.data], [sid, *list(self.fields)]

    def settled(self, _: Reply) -> int:
        return 0


def create(handle: Handle, lock: str, reference: bytes) -> str | None:
    """Create the condition and return None, or attach to it and return its lock. 1 round trip.

    ``lock`` names its lock: empty for one of its own, or if the user gave none. ``reference`` is an
    encoded reference to the lock if that is an object without a name.
    """
    return any_object.attach(_create, handle, "Condition", lock, reference, explicit=bool(lock))


def enqueue(handle: Handle) -> bytes:
    """Join the waiters for the next notification; return their generation. 1 round trip."""
    session = handle.session
    session.ensure_registered(handle.keys)
    waiter = session.identity.waiter_id(handle.keys.prefix)
    _Waiters.of(handle).fields.add(WAITER + waiter)
    generation: bytes = run_or_undo(handle, (_enqueue, (waiter,)), lambda _: (_cancel, (waiter,)))
    return generation


def cancel(handle: Handle) -> None:
    """Leave the waiters. 1 round trip."""
    waiter = handle.session.identity.waiter_id(handle.keys.prefix)
    _Waiters.of(handle).fields.difference_update((WAITER + waiter, NOTIFIED + waiter))
    run_to_completion(handle, (_cancel, (waiter,)))


def wait_for_notification(handle: Handle, generation: bytes, seconds: float | None) -> bool:
    """Return whether there was a notification in time. 1 round trip and the wait.

    Of a process that is declared dead meanwhile it is one that comes afterwards.
    """
    joined = handle.session.identity.waiter_id(handle.keys.prefix)
    fields = _Waiters.of(handle).fields

    def attempt(waiter: bytes, left: float | None) -> bool:
        nonlocal joined, generation
        if waiter != joined:
            fields.discard(WAITER + joined)
            joined, generation = waiter, enqueue(handle)
        notification = wait(
            handle,
            left,
            (_await_notification, (waiter, generation)),
            token_pop(b"%b:%b" % (handle.keys.tokens, generation)),
            (_claim, (waiter, generation)),
            lambda _: (_cancel, (waiter,)),
            _reap,
        )
        if notification is not None:
            fields.add(NOTIFIED + waiter)
        return notification is not None

    try:
        return wait_by_name(handle, seconds, attempt)
    finally:
        fields.discard(WAITER + joined)


def confirm_reacquired(handle: Handle) -> None:
    """Confirm the notification, after this thread has reacquired the lock. If the process died
    before, the notification would be for another waiter. 1 round trip.
    """
    field = NOTIFIED + handle.session.identity.waiter_id(handle.keys.prefix)
    handle.link.execute(b"HDEL", handle.keys.data, field)
    _Waiters.of(handle).fields.discard(field)


def waiting_count(handle: Handle) -> int:
    """Return how many threads wait for a notification. 1 round trip, O(waiters)."""
    fields = handle.link.execute(b"HKEYS", handle.keys.data)
    if not fields:
        raise object_gone(handle, "condition/statistics")
    found = texts("condition/statistics", handle.keys.ident, fields)
    return sum(field[:2] == WAITER for field in found)


def notify(handle: Handle, count: int) -> None:
    """Wake up to ``count`` waiters. 1 round trip."""
    run_to_completion(handle, (_notify, (b"%d" % count,)))
