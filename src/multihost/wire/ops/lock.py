"""Operations of a lock, for Lock, RLock and Condition.

A lock is a hash with the id of its hold (session, thread and time), the last fencing token, and
the number of waiters. A free lock is acquired by two plain commands, which a server executes in
half the time of a script: HSETNX of the holder, and HINCRBY of the fencing token. While there are
waiters the lock is handed off without becoming free: the holder is empty, and there is a wake-up
token in the list on which they are blocked.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Hashable, Sequence

from multihost.errors import LinkError, MultihostError
from multihost.wire.identity import ParsedId, session_of, unpack
from multihost.wire.link import Reply, pack, pack_args
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import (
    MISSING,
    OK,
    UNCONTENDED,
    ReplyError,
    altered,
    stored_number,
    to_exception,
)
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.record import SessionRecord, stored_record
from multihost.wire.wait import SessionLapsed, token_pop, wait

__all__ = [
    "LockHold",
    "acquire",
    "create",
    "force_release",
    "holder",
    "is_locked",
    "leave",
    "release",
    "waiters",
]

HOLDER, FENCE, WAITERS = b"h", b"f", b"w"

_create = Script("lock/create")
_try_acquire = Script("lock/try_acquire")
_enqueue = Script("lock/enqueue")
_claim = Script("lock/claim")
_cancel = Script("lock/cancel")
_release = Script("lock/release")
_release_at_exit = Script("lock/release_at_exit")
_force_release = Script("lock/force_release")
_cleanup = Script("lock/cleanup")
_reap = Script("lock/reap")
_settle = Script("lock/settle")

# A fencing token is at least the microsecond in which the lock was created: a smaller one says that
# there was no lock.
FIRST_FENCE = 1 << 32


class LockHold(Hold):
    """A lock that a thread of this process holds."""

    __slots__ = ()

    def is_valid(self) -> bool:
        holder: bytes | None = self.handle.link.execute(b"HGET", self.handle.keys.data, HOLDER)
        return holder == self.id and not self.is_of_the_dead()

    def release_at_exit(self) -> None:
        _release_at_exit.run_idempotent(self.handle, self.id)


class LockUse:
    """A lock that this process uses, see :mod:`multihost.wire.session.settling`."""

    def __init__(self, handle: Handle) -> None:
        self.ident: str = handle.keys.ident
        self.last: int = 0  # fencing token that was handed out
        self._handle = handle
        self._key = ("lock", handle.keys.ident)
        self._users = handle.session.settling.users
        self._believed: list[LockHold] = []

    @classmethod
    def of(cls, handle: Handle) -> LockUse:
        """Return that of this process."""
        settling, key = handle.session.settling, ("lock", handle.keys.ident)
        use = settling.users.get(key) or settling.add(key, cls(handle))
        assert isinstance(use, LockUse)
        return use

    def granted(self, fence: int) -> None:
        """Take note of a fencing token. It may have been waited for, while this was forgotten."""
        self.last = fence
        self._users[self._key] = self

    def is_idle(self, holds: Sequence[Hold]) -> bool:
        return not any(isinstance(hold, LockHold) for hold in holds)

    def settle_call(self, holds: Sequence[Hold]) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        self._believed = [
            hold
            for hold in holds
            if isinstance(hold, LockHold) and not hold.lost and not hold.is_of_the_dead()
        ]
        ids = [hold.id for hold in self._believed]
        sid = self._handle.session.registration.sid
        return _settle, [self._handle.keys.data], [sid, b"%d" % self.last, *ids]

    def settled(self, reply: Reply) -> int:
        lost = [hold for hold in self._believed if reply is not None and hold.id in reply]
        for hold in lost:
            hold.lost = True
        return len(lost)


def create(handle: Handle, typeid: str) -> bool:
    """Create the lock, or attach to it; return whether it was created. 1 round trip."""
    return any_object.create(_create, handle, typeid)


def acquire(
    handle: Handle, owner: Hashable, blocking: bool = True, seconds: float | None = None
) -> LockHold | None:
    """Acquire the lock for ``owner``; return None if that was not possible in time. The hold is in
    the hand of the call: who returns it to a caller says so, and who does not calls :func:`leave`.

    1 round trip for a free lock, 2 and the wait for another one. If this process had to wait last
    time it joins the waiters immediately.
    """
    session = handle.session
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            hold = _acquire(handle, owner, blocking, left)
        except SessionLapsed:
            continue
        if hold is None or session.registration.expirations == hold.expirations or hold.is_valid():
            return hold
        # This process was suspended, or cut off, while it was granted: others declared it dead.
        del session.holds[owner]
        hold.count = 0


def leave(handle: Handle, owner: Hashable) -> None:
    """An exception ends ``acquire()``: release what its caller does not know of, as soon as the
    background thread can. No round trip.
    """
    hold = handle.session.holds.get(owner)
    if hold is not None and not hold.handed and hold.is_of_this_thread():
        _abandon(hold, owner)


def _abandon(hold: Hold, owner: Hashable) -> None:
    """This process holds it no more; the server hears of it later."""
    hold.handle.session.holds.pop(owner, None)
    hold.count = 0
    hold.handle.session.janitor.defer(lambda: _release.run_idempotent(hold.handle, hold.id))


def _acquire(
    handle: Handle, owner: Hashable, blocking: bool, seconds: float | None
) -> LockHold | None:
    session = handle.session
    session.ensure_registered(handle.keys)
    expirations = session.registration.expirations
    id_ = session.identity.new_hold_id(handle.keys.prefix)
    disconnects = handle.link.disconnects
    use = LockUse.of(handle)
    hold = None
    try:
        fence = _acquire_or_wait(handle, id_, blocking, seconds)
        if fence is not None:
            # It may have been granted long ago: find out whether the session expired since.
            session.ensure_registered(handle.keys)
            token = int(fence)
            use.granted(token)
            # First where leave() finds it.
            session.holds[owner] = hold = LockHold(handle, id_, token, expirations)
    except BaseException as error:
        known = isinstance(error, MultihostError) and not isinstance(error, LinkError)
        if not known or handle.link.disconnects != disconnects:
            session.janitor.repeat_until_settled(lambda: _cleanup_attempt(handle, None, id_))
        raise
    if hold is None:
        session.janitor.watch_briefly(handle.keys, _reap)
    if handle.link.disconnects != disconnects:  # an attempt may still arrive, after the release
        session.janitor.repeat_until_settled(lambda: _cleanup_attempt(handle, hold, id_))
    return hold


def _acquire_or_wait(
    handle: Handle, id_: bytes, blocking: bool, seconds: float | None
) -> int | bytes | None:
    """Return the fencing token, None if the lock was not acquired in time."""
    link = handle.link
    disconnects = link.disconnects
    if not (blocking and handle.contended):
        taken, fence = link.exchange_many(link.checkout(), _acquire_commands(handle, id_), 2)
        if type(fence) is not int or fence < FIRST_FENCE:
            raise _rollback(handle, id_, taken, fence)
        if taken == 1:
            return fence
        # After a disconnect it may be this hold's already.
        if not blocking or link.disconnects != disconnects:
            found: bytes | None = _try_acquire.run_idempotent(handle, id_)
            if found is not None or not blocking:
                return found
    args = (handle.session.identity.waiter_id(handle.keys.prefix), id_)
    claimed: bytes | None = wait(
        handle,
        seconds,
        (_enqueue, args),
        token_pop(handle.keys.tokens),
        (_claim, args),
        lambda _: (_cancel, args),
        _reap,
    )
    if claimed is not None:
        handle.contended = claimed[:1] != UNCONTENDED
    return claimed


def _acquire_commands(handle: Handle, id_: bytes) -> bytes:
    """Return two commands: acquire a lock that is free, and draw a fencing token."""
    head, tail = _packed_parts(handle.keys.data)
    return b"%b$%d\r\n%b\r\n%b" % (head, len(id_), id_, tail)


@functools.lru_cache(maxsize=1024)
def _packed_parts(data: bytes) -> tuple[bytes, bytes]:
    """Return what is before and behind the id in :func:`_acquire_commands`."""
    head = b"*4\r\n" + pack_args((b"HSETNX", data, HOLDER))
    return head, pack((b"HINCRBY", data, FENCE, b"1"))


def _rollback(handle: Handle, id_: bytes, taken: object, fence: object) -> Exception:
    """Undo both commands, of which the server refused one, or there is no lock; return the
    error.
    """
    if isinstance(taken, ReplyError) and isinstance(fence, ReplyError):
        return to_exception(taken, "lock/acquire", handle.keys.ident)
    for reply in (taken, fence):
        if isinstance(reply, ReplyError):
            _release.run_idempotent(handle, id_)
            return to_exception(reply, "lock/acquire", handle.keys.ident)
    _cleanup.run_idempotent(handle)
    return object_gone(handle, "lock/acquire")


def _cleanup_attempt(handle: Handle, hold: LockHold | None, id_: bytes) -> None:
    """End a hold that no thread knows of, or one of a lock that was deleted.

    One that is being released is known until the server has replied: the release would find
    nothing to end, or the next holder.
    """
    if hold is None or not hold.count:
        _release.run_idempotent(handle, id_)
    _cleanup.run_idempotent(handle)


def release(hold: Hold, owner: Hashable) -> bool:
    """Release a hold; return whether it was one. 1 round trip.

    Raises LeaseLost if it was lost meanwhile, and ObjectGone.
    """
    handle = hold.handle
    holds = handle.session.holds
    disconnects = handle.link.disconnects
    try:
        hold.refresh()
        if holds.pop(owner, None) is None:
            return False  # another thread came first
        answer = _release.run_idempotent(handle, hold.id)
        hold.count = 0
    except BaseException:
        _abandon(hold, owner)  # this thread does not hold it any more, whatever came between
        raise
    if answer == OK:
        return True
    if answer == MISSING:
        raise object_gone(handle, "lock/release")
    if hold.was_expired():
        raise hold.lease_lost("lock/release")
    return handle.link.disconnects != disconnects  # then the first attempt did it


def force_release(handle: Handle) -> bool:
    """Release the lock for its holder; return whether it had one. 1 round trip."""
    return _force_release.run_once(handle) is not None


def is_locked(handle: Handle) -> bool:
    """Return whether the lock is held. 1 round trip."""
    fence, holder = _state(handle)[:2]
    if fence is None:
        raise object_gone(handle, "lock/locked")
    if holder is not None:
        handle.session.ensure_registered(handle.keys)
        handle.session.janitor.watch_briefly(handle.keys, _reap)
    return holder is not None


def holder(handle: Handle) -> tuple[ParsedId, SessionRecord | None, int] | None:
    """Return the id of the hold, the record of its session, and its fencing token; None if the lock
    is free. 2 round trips.
    """
    fence, id_, _ = _state(handle)
    if fence is None:
        raise object_gone(handle, "lock/holder")
    if not id_:
        return None
    try:
        parsed = unpack(id_)
        if parsed.since is None:
            raise ValueError("a hold has its time")
    except ValueError:
        raise altered("lock/holder", handle.keys.ident, "its holder") from None
    record = stored_record(handle.link, b"%b:%b" % (handle.keys.sessions, session_of(id_)))
    return (
        parsed,
        record,
        stored_number("lock/holder", handle.keys.ident, fence, "the fencing token"),
    )


def waiters(handle: Handle) -> int:
    """Return how many threads wait for the lock. 1 round trip."""
    count = _state(handle)[2]
    return stored_number("lock/statistics", handle.keys.ident, count, "the number of waiters")


def _state(handle: Handle) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the fencing token, the holder, and the number of waiters."""
    fence, holder, count = handle.link.execute(b"HMGET", handle.keys.data, FENCE, HOLDER, WAITERS)
    return fence, holder, count
