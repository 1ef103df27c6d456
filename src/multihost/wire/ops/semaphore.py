"""Operations of a semaphore.

A semaphore is a hash with its free permits, its initial value, the last fencing token, the number
of waiters, and the permits of each session.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence

from multihost.errors import MultihostError
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import NOT_HELD, OK, pairs, stored_number
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.record import SessionRecord, stored_records
from multihost.wire.wait import Call, SessionLapsed, run_or_undo, run_to_completion, token_pop, wait

__all__ = [
    "Grant",
    "HeldPermits",
    "acquire",
    "create",
    "free_and_initial",
    "free_permits",
    "held_permits",
    "leave",
    "release",
    "state",
]

FREE, INITIAL, WAITERS = b"v", b"n", b"w"
PERMITS_OF = b"p:"  # before the id of a session

_create = Script("semaphore/create")
_acquire = Script("semaphore/acquire")
_enqueue = Script("semaphore/enqueue")
_claim = Script("semaphore/claim")
_cancel = Script("semaphore/cancel")
_release = Script("semaphore/release")
_release_at_exit = Script("semaphore/release_at_exit")
_reap = Script("semaphore/reap")
_settle = Script("semaphore/settle")


class Grant:
    """What one ``acquire()`` has, and its caller does not know of yet.

    The call stores ``handed`` as the last thing that it does: a signal handler may raise at any
    bytecode, but behind a store CPython looks for no signal before the return.
    """

    # Defaults instead of an __init__: each acquire() makes one.
    handed: bool = False
    is_counted: bool = False
    """It is among the permits that this process holds."""
    is_undone: bool = False
    """A request is on its way that gives it back."""


class HeldPermits(Hold):
    """The permits that this process holds of one semaphore."""

    __slots__ = ("bounded", "lock")

    def __init__(self, handle: Handle, bounded: bool) -> None:
        registration = handle.session.registration
        name = registration.names[handle.keys.prefix]
        super().__init__(handle, name, 0, registration.expirations)
        self.count = 0
        self.bounded: bool = bounded
        self.lock: threading.Lock = threading.Lock()

    def granted(self, grant: Grant, fence: int) -> None:
        """Count a permit. Each of these changes is made, or not, for nobody else makes one
        meanwhile, and without a call, so that no signal handler of this thread waits for the lock.
        """
        registration = self.handle.session.registration
        with self.lock:
            before = self.count
            try:
                if not before:
                    self.expirations, self.lost = registration.expirations, False
                self.fence = fence
                self.count = before + 1
                grant.is_counted = True
            except BaseException:
                grant.is_counted = self.count != before
                raise

    def drop(self, grant: Grant) -> None:
        """Do not count a permit any more."""
        with self.lock:
            if grant.is_counted:
                self.count -= 1
                grant.is_counted = False

    def is_valid(self) -> bool:
        held = self.handle.link.execute(b"HGET", self.handle.keys.data, PERMITS_OF + self.id)
        return int(held or 0) >= self.count

    def lapse(self) -> int:
        with self.lock:
            self.id = self.handle.session.registration.names[self.handle.keys.prefix]
            return super().lapse() if self.count else 0

    @property
    def ident(self) -> str:
        return self.handle.keys.ident

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        return False  # it is kept in any case

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """See :mod:`multihost.wire.session.settling`."""
        count = 0 if self.lost else self.count
        return _settle, [self.handle.keys.data], [self.id, b"%d" % self.fence, b"%d" % count]

    def settled(self, reply: int | None) -> int:
        lost = reply or 0
        if lost:
            with self.lock:
                super().lapse()
        return lost

    def release_at_exit(self) -> None:
        _release_at_exit.run_idempotent(self.handle, self.id, b"1" if self.bounded else b"0")


def create(handle: Handle, typeid: str, value: int, explicit: bool) -> bool:
    """Create the semaphore, or attach to it; return whether it was created. 1 round trip."""
    existing = any_object.attach(
        _create, handle, typeid, str(value), b"%d" % value, explicit=explicit
    )
    return existing is None


def held_permits(handle: Handle, bounded: bool) -> HeldPermits:
    """Return what this process holds of the semaphore. No round trip."""
    holds = handle.session.holds
    held = holds.get(handle.keys.ident)
    if held is None:
        held = holds.setdefault(handle.keys.ident, HeldPermits(handle, bounded))
        assert isinstance(held, HeldPermits)
        handle.session.settling.users["semaphore", handle.keys.ident] = held
    assert isinstance(held, HeldPermits)
    return held


def acquire(
    handle: Handle,
    account: HeldPermits,
    grant: Grant,
    blocking: bool = True,
    seconds: float | None = None,
) -> bool:
    """Acquire a permit; return whether there was one in time. 1 round trip, 2 and the wait if none
    is free.

    Who returns it to a caller says so in ``grant``, and who does not calls :func:`leave`.
    """
    session = handle.session
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        session.ensure_registered(handle.keys)
        expirations = session.registration.expirations
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            if not _acquire_counted(handle, account, grant, blocking, left):
                return False
        except SessionLapsed:
            grant.is_undone = False
            continue
        # It may have been granted long ago: find out whether the session expired since.
        session.ensure_registered(handle.keys)
        if session.registration.expirations == expirations or account.is_valid():
            return True
        # This process was suspended, or cut off, while it was granted: others declared it dead.
        account.drop(grant)


def leave(handle: Handle, account: HeldPermits, grant: Grant) -> None:
    """An exception ends ``acquire()``: give back what its caller does not know of. 1 round trip, if
    there is something.
    """
    if grant.handed or not grant.is_counted:
        return
    if grant.is_undone:
        account.drop(grant)
        return
    with contextlib.suppress(MultihostError):
        release(handle, account, 1)


def _acquire_counted(
    handle: Handle, account: HeldPermits, grant: Grant, blocking: bool, seconds: float | None
) -> bool:
    session = handle.session
    args = (session.identity.waiter_id(handle.keys.prefix), account.id)

    def count(fence: bytes | None) -> None:
        if fence is not None:
            account.granted(grant, int(fence))

    def cancel(since: bytes) -> Call:
        grant.is_undone = True
        return (_cancel, (*args, since))

    fence = run_or_undo(handle, (_acquire, (account.id, b"%d" % bool(blocking))), cancel, count)
    if fence is None and blocking:
        fence = wait(
            handle,
            seconds,
            (_enqueue, args),
            token_pop(handle.keys.tokens),
            (_claim, args),
            cancel,
            _reap,
            count,
        )
    if fence is None:
        session.janitor.watch_briefly(handle.keys, _reap)
        return False
    return True


def release(handle: Handle, account: HeldPermits, amount: int) -> bool:
    """Give permits back, or add new ones; return whether there were not too many. 1 round trip.

    Raises LeaseLost if this process held some and lost them.
    """
    own = min(account.count, amount)
    is_counted = False

    def count(answer: bytes | None) -> None:
        nonlocal is_counted
        if answer in (OK, None) and not is_counted:
            with account.lock:
                before = account.count
                try:
                    account.count = before - own if before > own else 0
                    is_counted = True
                except BaseException:
                    is_counted = account.count != before
                    raise

    def give_back(own: int) -> bytes:
        args = (account.id, b"%d" % amount, b"%d" % own, b"%d" % account.bounded)
        answer: bytes = run_to_completion(handle, (_release, args), count)
        return answer

    answer = give_back(own)
    if answer == NOT_HELD:
        if account.was_expired():
            count(None)
            raise account.lease_lost("semaphore/release")
        # Another process has released permits that this one acquired.
        answer = give_back(0)
    return answer == OK


def free_permits(handle: Handle) -> int:
    """Return the number of free permits. 1 round trip."""
    free, _ = free_and_initial(handle)
    if free <= 0:
        handle.session.ensure_registered(handle.keys)
        handle.session.janitor.watch_briefly(handle.keys, _reap)
    return free


def free_and_initial(handle: Handle) -> tuple[int, int]:
    """Return the number of free permits, and the initial one. 1 round trip."""
    free, initial = handle.link.execute(b"HMGET", handle.keys.data, FREE, INITIAL)
    if free is None:
        raise object_gone(handle, "semaphore/locked")
    return _number(handle, free), _number(handle, initial)


def state(handle: Handle) -> tuple[int, int, list[tuple[SessionRecord | None, int]]]:
    """Return the number of free permits, that of waiters, and the permits of each session with its
    record, None if it is dead. 2 round trips.
    """
    found = pairs(handle.link.execute(b"HGETALL", handle.keys.data))
    if not found:
        raise object_gone(handle, "semaphore/statistics")
    counts = {
        field[2:]: _number(handle, count)
        for field, count in found.items()
        if field[:2] == PERMITS_OF
    }
    keys = [b"%b:%b" % (handle.keys.sessions, session) for session in counts]
    records = stored_records(handle.link, keys)
    return (
        _number(handle, found.get(FREE)),
        _number(handle, found.get(WAITERS)),
        list(zip(records, counts.values(), strict=True)),
    )


def _number(handle: Handle, stored: bytes | None) -> int:
    what = "a number of permits or waiters"
    return stored_number("semaphore/statistics", handle.keys.ident, stored, what)
