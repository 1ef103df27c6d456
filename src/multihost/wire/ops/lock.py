"""Operations of a lock, for Lock, RLock and Condition.

A lock is a hash: ``h`` is the id of the hold (session, thread and time), ``f`` the last fencing
token, ``w`` the number of waiters. A free one is taken by two plain commands, which a server
executes in half the time of a script: HSETNX of ``h``, and HINCRBY of ``f`` for the token. While
others wait the lock is passed on without becoming free: ``h`` is empty, and a token lies in the
list on which they are blocked.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable

from multihost.errors import LinkError, MultihostError
from multihost.wire.identity import session_of
from multihost.wire.link import pack, pack_args
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import token_pop, wait

__all__ = [
    "LockHold",
    "acquire",
    "reap",
    "create",
    "force_release",
    "holder",
    "is_locked",
    "release",
    "waiters",
]

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

FIRST = 1 << 32  # a token is the microsecond of a creation and more; less says that there was none


class LockHold(Hold):
    """A lock that a thread of this process holds."""

    __slots__ = ()

    def is_valid(self) -> bool:
        holder: bytes | None = self.handle.link.execute(b"HGET", self.handle.keys.data, b"h")
        return holder == self.id

    def release_at_exit(self) -> None:
        _release_at_exit.run_idempotent(self.handle, self.id)


def create(handle: Handle, typeid: str) -> bool:
    """Create the lock, or attach to it; whether it was created. 1 round trip."""
    return any_object.create(_create, handle, typeid)


def acquire(
    handle: Handle, owner: Hashable, blocking: bool = True, seconds: float | None = None
) -> LockHold | None:
    """Take the lock for ``owner``, None if that was not possible in time.

    1 round trip for a free lock, 2 and the wait for another one. Where threads of this process had
    to wait last time they join those who wait at once.
    """
    session = handle.session
    hold = _acquire(handle, owner, blocking, seconds)
    while (
        hold is not None
        and session.registration.expirations != hold.expirations
        and not hold.is_valid()
    ):
        # This process slept, or was cut off, while it was given the lock: others took it for dead.
        del session.holds[owner]
        hold.count = 0
        hold = _acquire(handle, owner, blocking, seconds)
    return hold


def _acquire(
    handle: Handle, owner: Hashable, blocking: bool, seconds: float | None
) -> LockHold | None:
    session = handle.session
    session.ensure_registered(handle.keys)
    lapses = session.registration.expirations
    id_ = session.identity.new_hold_id()
    breaks = handle.link.disconnects
    hold = None
    try:
        fence = _acquire_contended(handle, id_, blocking, seconds)
        if fence is not None:
            session.ensure_registered(
                handle.keys
            )  # it may have been given long ago: find out what has lapsed
            hold = session.holds[owner] = LockHold(handle, id_, int(fence), lapses)
    except BaseException as error:
        known = isinstance(error, MultihostError) and not isinstance(error, LinkError)
        if not known or handle.link.disconnects != breaks:
            session.janitor.repeat_until_settled(lambda: _cleanup_attempt(handle, hold, id_))
        raise
    if hold is None:
        session.janitor.watch_briefly(handle.keys, _reap)
    if handle.link.disconnects != breaks:  # then an attempt may still arrive, after the release
        session.janitor.repeat_until_settled(lambda: _cleanup_attempt(handle, hold, id_))
    return hold


def _acquire_contended(
    handle: Handle, id_: bytes, blocking: bool, seconds: float | None
) -> int | bytes | None:
    """The fencing token, None if the lock was not to be had in time."""
    link = handle.link
    breaks = link.disconnects
    if not (blocking and handle.contended):
        taken, fence = link.exchange_many(link.checkout(), _acquire_commands(handle, id_), 2)
        if type(fence) is not int or fence < FIRST:
            raise _rollback(handle, id_, taken, fence)
        if taken == 1:
            return fence
        if not blocking or link.disconnects != breaks:  # after a break it may be ours already
            found: bytes | None = _try_acquire.run_idempotent(handle, id_)
            if found is not None or not blocking:
                return found
    args = (handle.session.identity.waiter_id, id_)
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
        handle.contended = claimed[:1] != b"+"
    return claimed


def _acquire_commands(handle: Handle, id_: bytes) -> bytes:
    """Two commands: take a lock that is free, and draw a fencing token."""
    head, tail = _packed_parts(handle.keys.data)
    return b"%b$%d\r\n%b\r\n%b" % (head, len(id_), id_, tail)


@functools.lru_cache(maxsize=1024)
def _packed_parts(data: bytes) -> tuple[bytes, bytes]:
    """Return what is before and behind the id in :func:`_acquire_commands`."""
    head = b"*4\r\n" + pack_args((b"HSETNX", data, b"h"))
    return head, pack((b"HINCRBY", data, b"f", b"1"))


def _rollback(handle: Handle, id_: bytes, taken: object, fence: object) -> Exception:
    """There is no lock, or the server refused one of the two commands: leave nothing of them."""
    for reply in (taken, fence):
        if isinstance(reply, ReplyError):
            _release.run_idempotent(handle, id_)
            return to_exception(reply, "lock/acquire", handle.keys.ident)
    _cleanup.run_idempotent(handle)
    return object_gone(handle, "lock/acquire")


def _cleanup_attempt(handle: Handle, hold: LockHold | None, id_: bytes) -> None:
    """End a hold that nobody knows of, or one of a lock that was deleted.

    One that is being released is known until the server has answered: the release would find
    nothing to end, or the hold of the next one.
    """
    if hold is None or not hold.count:
        _release.run_idempotent(handle, id_)
    _cleanup.run_idempotent(handle)


def release(hold: Hold, owner: Hashable) -> bool:
    """Put a hold down and end it; whether it was one.

    Raises LeaseLost if it was lost meanwhile, and ObjectGone. 1 round trip.
    """
    handle = hold.handle
    holds = handle.session.holds
    breaks = handle.link.disconnects
    try:
        if holds.pop(owner, None) is None:
            return False  # another thread came first
        answer = _release.run_idempotent(handle, hold.id)
        hold.count = 0
    except BaseException:
        holds.pop(owner, None)  # it is put down, whatever came between
        hold.count = 0
        handle.session.janitor.defer(lambda: _release.run_idempotent(handle, hold.id))
        raise
    if answer == b".":
        return True
    if answer == b"gone":
        raise object_gone(handle, "lock/release")
    if hold.was_expired():
        raise hold.lease_lost("lock/release")
    return handle.link.disconnects != breaks  # then the first attempt did it


def force_release(handle: Handle) -> bool:
    """End the hold of whoever has it; whether somebody had. 1 round trip."""
    return _force_release.run_once(handle) is not None


def is_locked(handle: Handle) -> bool:
    """1 round trip."""
    fence, holder = _state(handle)[:2]
    if fence is None:
        raise object_gone(handle, "lock/locked")
    if holder is not None:
        handle.session.ensure_registered(handle.keys)
        handle.session.janitor.watch_briefly(handle.keys, _reap)
    return holder is not None


def holder(handle: Handle) -> tuple[bytes, bytes | None, int] | None:
    """The id of the hold, what its session says of itself, and its fencing token."""
    fence, id_, _ = _state(handle)
    if fence is None:
        raise object_gone(handle, "lock/holder")
    if not id_:
        return None
    sid = session_of(id_)
    note = handle.link.execute(b"GET", b"%b:%b" % (handle.keys.sessions, sid))
    return id_, note, int(fence)


def waiters(handle: Handle) -> int:
    """How many threads wait for the lock. 1 round trip."""
    return int(_state(handle)[2] or 0)


def _state(handle: Handle) -> tuple[bytes | None, bytes | None, bytes | None]:
    fence, holder, count = handle.link.execute(b"HMGET", handle.keys.data, b"f", b"h", b"w")
    return fence, holder, count


def reap(handle: Handle) -> None:
    """Free it from a dead holder, and forget dead waiters. May be repeated. 1 round trip."""
    _reap.run_idempotent(handle, b"", b"1")
