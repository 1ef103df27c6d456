"""Operations of a semaphore.

A semaphore is a hash: ``v`` are the free permits, ``n`` is the initial value, ``f`` the last
fencing token, ``w`` the number of waiters, and ``p:<session>`` what each process has.
"""

from __future__ import annotations

import contextlib
import threading

from multihost.errors import MultihostError
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import gone
from multihost.wire.replies import pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import Step, attempt, insist, pop_from, wait

__all__ = [
    "Permits",
    "acquire",
    "bury",
    "create",
    "free_and_initial",
    "free_permits",
    "permits",
    "release",
    "state",
]

_create = Script("semaphore/create")
_acquire = Script("semaphore/acquire")
_join = Script("semaphore/enqueue")
_claim = Script("semaphore/claim")
_leave = Script("semaphore/cancel")
_release = Script("semaphore/release")
_end = Script("semaphore/release_at_exit")
_look = Script("semaphore/reap")


class Permits(Hold):
    """The permits that this process has of one semaphore."""

    __slots__ = ("bounded", "lock")

    def __init__(self, handle: Handle, bounded: bool) -> None:
        presence = handle.session.presence
        super().__init__(handle, presence.sid, 0, presence.lapses)
        self.count = 0
        self.bounded = bounded
        self.lock = threading.Lock()

    def stands(self) -> bool:
        had = self.handle.link.call(b"HGET", self.handle.keys.data, b"p:" + self.id)
        return int(had or 0) >= self.count

    def end(self) -> None:
        _end.repeat(self.handle, self.id, b"1" if self.bounded else b"0")


def create(handle: Handle, typeid: str, value: int, explicit: bool) -> bool:
    """Create the semaphore, or attach to it; whether it was created. 1 round trip."""
    there = any_object.attach(_create, handle, typeid, str(value), b"%d" % value, explicit=explicit)
    return there is None


def permits(handle: Handle, bounded: bool) -> Permits:
    """What this process has of the semaphore."""
    holds = handle.session.holds
    found = holds.get(handle.keys.ident)
    if found is None:
        found = holds.setdefault(handle.keys.ident, Permits(handle, bounded))
    assert isinstance(found, Permits)
    return found


def acquire(
    handle: Handle, account: Permits, blocking: bool = True, seconds: float | None = None
) -> bool:
    """Take a permit; whether that was possible in time. 1 round trip, 2 and the wait if none is
    free.
    """
    session = handle.session
    session.enter(handle.keys)
    lapses = session.presence.lapses
    while _acquired(handle, account, blocking, seconds):
        try:
            session.enter(handle.keys)  # it may have been given long ago: find out what has lapsed
            if session.presence.lapses == lapses or account.stands():
                return True
        except BaseException:
            with contextlib.suppress(MultihostError):
                release(handle, account, 1)
            raise
        # This process slept, or was cut off, while it was given it: others took it for dead.
        lapses = session.presence.lapses
        with account.lock:
            account.count -= 1
    return False


def _acquired(handle: Handle, account: Permits, blocking: bool, seconds: float | None) -> bool:
    session = handle.session
    args = (session.me.waiter, account.id)
    noted = left = False

    def note(fence: bytes | None) -> None:
        nonlocal noted
        if fence is None:
            return
        with account.lock:
            if not account.count:
                account.lapses, account.lost = session.presence.lapses, False
            account.fence = int(fence)
            account.count, noted = account.count + 1, True  # no signal can come between

    def leave(since: bytes) -> Step:
        nonlocal left
        left = True
        return (_leave, (*args, since))

    try:
        fence = attempt(handle, (_acquire, (account.id, b"%d" % bool(blocking))), leave, note)
        if fence is None and blocking:
            fence = wait(
                handle,
                seconds,
                (_join, args),
                pop_from(handle.keys.tokens),
                (_claim, args),
                leave,
                _look,
                note,
            )
    except BaseException:
        if noted and left:  # a signal came after it was noted, and it was given back
            with account.lock:
                account.count -= 1
        raise
    if fence is None:
        session.janitor.suspect(handle.keys, _look)
        return False
    return True


def release(handle: Handle, account: Permits, amount: int) -> bool:
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
        answer: bytes = insist(handle, (_release, args), note)
        return answer

    answer = put_back(own)
    if answer == b"?":
        if account.missed():
            note(None)
            raise account.gone("semaphore/release")
        # Another process has released permits that this one took.
        answer = put_back(0)
    return answer == b"."


def free_permits(handle: Handle) -> int:
    """1 round trip."""
    free, _ = free_and_initial(handle)
    if free <= 0:
        handle.session.enter(handle.keys)
        handle.session.janitor.suspect(handle.keys, _look)
    return free


def free_and_initial(handle: Handle) -> tuple[int, int]:
    """How many permits are free, and how many there were at first. 1 round trip."""
    free, initial = handle.link.call(b"HMGET", handle.keys.data, b"v", b"n")
    if free is None:
        raise gone(handle, "semaphore/locked")
    return int(free), int(initial)


def state(handle: Handle) -> tuple[int, int, list[tuple[bytes | None, int]]]:
    """Free permits, number of waiters, and the permits of each session with what it says of itself.

    2 round trips.
    """
    found = pairs(handle.link.call(b"HGETALL", handle.keys.data))
    if not found:
        raise gone(handle, "semaphore/statistics")
    counts = {field[2:]: int(count) for field, count in found.items() if field[:2] == b"p:"}
    notes = handle.link.pipeline(
        [(b"GET", b"%b:%b" % (handle.keys.sessions, session)) for session in counts]
    )
    return (
        int(found[b"v"]),
        int(found.get(b"w", 0)),
        list(zip(notes, counts.values(), strict=True)),
    )


def bury(handle: Handle) -> None:
    """Return the permits of dead sessions, and forget dead waiters. May be repeated. 1 round
    trip.
    """
    _look.repeat(handle, b"", b"1")
