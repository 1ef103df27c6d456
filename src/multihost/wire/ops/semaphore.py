"""Operations of a semaphore.

A semaphore is a hash: ``v`` are the free permits, ``n`` is the initial value, ``f`` the last
fencing token, ``w`` the number of waiters, and ``p:<session>`` what each process has.
"""

from __future__ import annotations

import contextlib
import threading

from multihost.errors import MultihostError
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import Call, run_or_undo, run_to_completion, token_pop, wait

__all__ = [
    "HeldPermits",
    "acquire",
    "reap",
    "create",
    "free_and_initial",
    "free_permits",
    "held_permits",
    "release",
    "state",
]

_create = Script("semaphore/create")
_acquire = Script("semaphore/acquire")
_enqueue = Script("semaphore/enqueue")
_claim = Script("semaphore/claim")
_cancel = Script("semaphore/cancel")
_release = Script("semaphore/release")
_release_at_exit = Script("semaphore/release_at_exit")
_reap = Script("semaphore/reap")


class HeldPermits(Hold):
    """The permits that this process has of one semaphore."""

    __slots__ = ("bounded", "lock")

    def __init__(self, handle: Handle, bounded: bool) -> None:
        presence = handle.session.registration
        super().__init__(handle, presence.sid, 0, presence.expirations)
        self.count = 0
        self.bounded: bool = bounded
        self.lock: threading.Lock = threading.Lock()

    def is_valid(self) -> bool:
        had = self.handle.link.execute(b"HGET", self.handle.keys.data, b"p:" + self.id)
        return int(had or 0) >= self.count

    def release_at_exit(self) -> None:
        _release_at_exit.run_idempotent(self.handle, self.id, b"1" if self.bounded else b"0")


def create(handle: Handle, typeid: str, value: int, explicit: bool) -> bool:
    """Create the semaphore, or attach to it; whether it was created. 1 round trip."""
    there = any_object.attach(_create, handle, typeid, str(value), b"%d" % value, explicit=explicit)
    return there is None


def held_permits(handle: Handle, bounded: bool) -> HeldPermits:
    """What this process has of the semaphore."""
    holds = handle.session.holds
    found = holds.get(handle.keys.ident)
    if found is None:
        found = holds.setdefault(handle.keys.ident, HeldPermits(handle, bounded))
    assert isinstance(found, HeldPermits)
    return found


def acquire(
    handle: Handle, account: HeldPermits, blocking: bool = True, seconds: float | None = None
) -> bool:
    """Take a permit; whether that was possible in time. 1 round trip, 2 and the wait if none is
    free.
    """
    session = handle.session
    session.ensure_registered(handle.keys)
    lapses = session.registration.expirations
    while _acquire_counted(handle, account, blocking, seconds):
        try:
            session.ensure_registered(
                handle.keys
            )  # it may have been given long ago: find out what has lapsed
            if session.registration.expirations == lapses or account.is_valid():
                return True
        except BaseException:
            with contextlib.suppress(MultihostError):
                release(handle, account, 1)
            raise
        # This process slept, or was cut off, while it was given it: others took it for dead.
        lapses = session.registration.expirations
        with account.lock:
            account.count -= 1
    return False


def _acquire_counted(
    handle: Handle, account: HeldPermits, blocking: bool, seconds: float | None
) -> bool:
    session = handle.session
    args = (session.identity.waiter_id, account.id)
    noted = left = False

    def note(fence: bytes | None) -> None:
        nonlocal noted
        if fence is None:
            return
        with account.lock:
            if not account.count:
                account.expirations, account.lost = session.registration.expirations, False
            account.fence = int(fence)
            account.count, noted = account.count + 1, True  # no signal can come between

    def leave(since: bytes) -> Call:
        nonlocal left
        left = True
        return (_cancel, (*args, since))

    try:
        fence = run_or_undo(handle, (_acquire, (account.id, b"%d" % bool(blocking))), leave, note)
        if fence is None and blocking:
            fence = wait(
                handle,
                seconds,
                (_enqueue, args),
                token_pop(handle.keys.tokens),
                (_claim, args),
                leave,
                _reap,
                note,
            )
    except BaseException:
        if noted and left:  # a signal came after it was noted, and it was given back
            with account.lock:
                account.count -= 1
        raise
    if fence is None:
        session.janitor.watch_briefly(handle.keys, _reap)
        return False
    return True


def release(handle: Handle, account: HeldPermits, amount: int) -> bool:
    """Give permits back, or add new ones; whether there were not too many. 1 round trip.

    Raises LeaseLost if this process had some and lost them.
    """
    own = min(account.count, amount)
    down = False

    def note(answer: bytes | None) -> None:
        nonlocal down
        if answer in (b".", None) and not down:
            with account.lock:
                account.count, down = max(account.count - own, 0), True

    def put_back(own: int) -> bytes:
        args = (account.id, b"%d" % amount, b"%d" % own, b"%d" % account.bounded)
        answer: bytes = run_to_completion(handle, (_release, args), note)
        return answer

    answer = put_back(own)
    if answer == b"?":
        if account.was_expired():
            note(None)
            raise account.lease_lost("semaphore/release")
        # Another process has released permits that this one took.
        answer = put_back(0)
    return answer == b"."


def free_permits(handle: Handle) -> int:
    """1 round trip."""
    free, _ = free_and_initial(handle)
    if free <= 0:
        handle.session.ensure_registered(handle.keys)
        handle.session.janitor.watch_briefly(handle.keys, _reap)
    return free


def free_and_initial(handle: Handle) -> tuple[int, int]:
    """How many permits are free, and how many there were at first. 1 round trip."""
    free, initial = handle.link.execute(b"HMGET", handle.keys.data, b"v", b"n")
    if free is None:
        raise object_gone(handle, "semaphore/locked")
    return int(free), int(initial)


def state(handle: Handle) -> tuple[int, int, list[tuple[bytes | None, int]]]:
    """Free permits, number of waiters, and the permits of each session with what it says of itself.

    2 round trips.
    """
    found = pairs(handle.link.execute(b"HGETALL", handle.keys.data))
    if not found:
        raise object_gone(handle, "semaphore/statistics")
    counts = {field[2:]: int(count) for field, count in found.items() if field[:2] == b"p:"}
    notes = handle.link.pipeline(
        [(b"GET", b"%b:%b" % (handle.keys.sessions, session)) for session in counts]
    )
    return (
        int(found[b"v"]),
        int(found.get(b"w", 0)),
        list(zip(notes, counts.values(), strict=True)),
    )


def reap(handle: Handle) -> None:
    """Return the permits of dead sessions, and forget dead waiters. May be repeated. 1 round
    trip.
    """
    _reap.run_idempotent(handle, b"", b"1")
