"""Operations of a semaphore.

A permit is an element that moves between the list of what is free and the places of its holders:
see :mod:`multihost.wire.places` and :mod:`multihost.wire.take`. What a process holds is an account:
any of its threads may release it. Of very many permits most are only counted, in the hash of the
semaphore.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from multihost.errors import LeaseLost
from multihost.wire.completion import run_to_completion
from multihost.wire.giving import (
    ensure_exists,
    give_back,
    is_there,
    object_gone,
    released_by_others,
)
from multihost.wire.identity import session_of
from multihost.wire.ops import object as any_object
from multihost.wire.places import TALLY, TYPE, WAITER, Place, Places, places_of
from multihost.wire.replies import NOT_HELD, OK, counted, pairs, row, stored_number
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.record import SessionRecord, stored_records
from multihost.wire.take import Grant, reap

__all__ = [
    "HeldPermits",
    "PermitGrant",
    "create",
    "free_and_initial",
    "free_permits",
    "held_permits",
    "release",
    "state",
]

INITIAL, RESERVE = b"i", b"v"

CROWDED = 64  # elements at a place, which are only counted then

_create = Script("semaphore/create")
_release = Script("semaphore/release")
_count = Script("semaphore/count")


class HeldPermits(Hold):
    """The permits that this process holds of one semaphore."""

    __slots__ = (
        "_books",
        "_places",
        "bounded",
        "counted",
        "counting",
        "is_crowded",
        "lock",
        "missing",
    )

    def __init__(self, handle: Handle, bounded: bool) -> None:
        self.bounded: bool = bounded
        self.counted: int = 0  # permits that lie at no place
        self.counting: Place | None = None  # of which the permits are being counted
        self.is_crowded: bool = False  # there are many at some place
        self.missing: int = 0  # permits that were lost, and not released since
        # For releases: each relies on what is held. A signal handler may release, too. It is held
        # while the server is asked, so the background thread, for which that may wait, does not
        # take it.
        self.lock: threading.RLock = threading.RLock()
        self._books = threading.RLock()  # for the numbers, never held while the server is asked
        places = self._places = places_of(handle, has_holder=False)
        places.account = self
        super().__init__(handle, places.name, 0, places.membership.expirations)

    @property
    def places(self) -> Places:
        """Where they lie. After a lapse there are others, and what lay at those is lost."""
        places = places_of(self.handle, has_holder=False)
        if places is not self._places:
            self._move_to(places)
        return places

    def _move_to(self, places: Places) -> int:
        """Use other places from now on; return how many permits are lost."""
        with self._books:
            before, self._places = self._places, places
            places.account = self
            if before is places:
                return 0
            lost, self.counted = self.counted, 0
            for place in before.all():
                lost += place.count
                self._lose(place, place.count)
            self.id = places.name
            self.missing += lost
            return lost

    def _lose(self, place: Place, count: int) -> None:
        # A release of these may be under way: it sees by the second number that they are lost.
        place.count, place.lost = place.count - count, place.lost + count

    def recount(self, place: Place, count: int, lost: int) -> None:
        """Note how many lie at a place behind a release, unless some were lost since so many were.
        What was counted as lost, and then released, is not missing.
        """
        with self._books:
            place.count = count - (place.lost - lost)
            if place.count < 0:
                self.missing, place.count = self.missing + place.count, 0

    def uncount(self, count: int) -> None:
        """Note that so many were released of those that are only counted."""
        with self._books:
            self.counted -= count
            if self.counted < 0:
                self.missing, self.counted = self.missing + self.counted, 0

    @property
    def count(self) -> int:
        """How many there are, with those that were lost."""
        return self.counted + self.missing + sum(place.count for place in self.places.all())

    @count.setter
    def count(self, value: int) -> None:
        """Ignore what it is at first: places count."""

    @property
    def lost(self) -> bool:
        """Whether permits were lost, and not released since."""
        return self.missing > 0

    @lost.setter
    def lost(self, value: bool) -> None:
        """Ignore what it is at first."""

    def lose(self, place: Place | None, count: int) -> None:
        """Take note that permits are missing, of those that lie at a place or are counted."""
        with self._books:
            if place is None:
                self.counted -= count
            else:
                self._lose(place, count)
            self.missing += count

    def lapse(self) -> int:
        return self._move_to(places_of(self.handle, has_holder=False))

    def counted_only(self) -> tuple[int, bytes]:
        """See :class:`multihost.wire.places.Account`."""
        counting = self.counting
        return self.counted, b"" if counting is None else counting.name

    def is_valid(self) -> bool:
        return all(is_there(place) for place in self.places.all())


class PermitGrant(Grant):
    """An attempt to acquire a permit: 1 round trip, 2 and the wait if none is free."""

    operation = "semaphore/acquire"
    has_holder = False
    kept: int = 0
    """How many lie at the place with the permit, if that has been counted."""

    def __init__(self, account: HeldPermits) -> None:
        self.handle = account.handle
        self.account: HeldPermits = account

    def take(self, blocking: bool = True, seconds: float | None = None) -> bool:
        if self.account.is_crowded:
            _count_only(self.account)
        return super().take(blocking, seconds)

    def keep(self, place: Place, token: int) -> None:
        account = self.account
        account.fence = token
        self.kept = place.count + 1
        place.count = self.kept  # what is done is told from what was noted, see drop()
        if place.count >= CROWDED:
            account.is_crowded = True
        place.places.checkin(place)

    def drop(self, place: Place) -> None:
        kept, self.kept = self.kept, 0
        if 0 < kept <= place.count:
            place.count -= 1


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
    return held


def _count_only(account: HeldPermits) -> None:
    """Only count the permits that lie at a place where there are many. 1 round trip."""
    with account.lock:
        account.is_crowded = False
        places = account.places
        place = places.checkout_holding(CROWDED)
        if place is None:
            return
        account.counting = place
        try:
            _count.run_idempotent(places, places.name, place.name)
            account.counted, place.count = account.counted + place.count, 0
        finally:
            account.counting = None
            places.checkin(place)


def release(account: HeldPermits, amount: int) -> bool:
    """Give permits back, or add new ones; return whether there were not too many. 1 round trip.

    Raises LeaseLost if this process held some and lost them.
    """
    with account.lock:
        account.refresh()
        places = account.places
        if account.missing:
            account.missing = max(account.missing - amount, 0)
            ensure_exists(places, "semaphore/release")
            raise _lease_lost(account)
        place = places.checkout_holding(amount)
        if place is None:
            return _release_many(account, places, amount)
        held, lost = place.count, place.lost
        try:
            try:
                found = give_back(place, "semaphore/release", amount)
            finally:
                if place.lost != lost:
                    account.recount(place, held - amount, lost)
            if found == amount:
                return True
            if places is not account.places:  # others took it for dead meanwhile
                raise _lease_lost(account)
            if not released_by_others(place, amount - found, "semaphore/release"):
                account.missing, place.count = account.missing + place.count, 0
                places.abandon(place)
                raise _lease_lost(account)
            # Others have released permits that this process acquired.
            return _release_many(account, places, amount - found)
        finally:
            places.checkin(place)


def _release_many(account: HeldPermits, places: Places, amount: int) -> bool:
    """Give back permits that lie at several places, and add new ones if these are not enough."""
    used = [(place, place.count, place.lost) for place in places.all() if place.count]
    left = amount  # what is not counted as released, see run_to_completion()

    def count(answer: bytes | None) -> None:
        nonlocal left
        if answer not in (OK, None):
            return
        for place, held, lost in used:
            given = min(held, left)
            account.recount(place, held - given, lost)
            left -= given
        given = min(account.counted, left)
        account.uncount(given)
        left -= given

    args = [places.name, b"%d" % amount, b"%d" % account.bounded]
    for place, _, _ in used:
        args += place.known()
    answer: bytes = run_to_completion(places, (_release, args), count)
    if answer == NOT_HELD:
        for place, _, _ in used:
            account.lose(place, place.count)
        account.missing = max(account.missing - amount, 0)
        raise _lease_lost(account)
    return answer == OK


def _lease_lost(account: HeldPermits) -> LeaseLost:
    return account.lease_lost("semaphore/release")


def free_permits(handle: Handle) -> int:
    """Return the number of free permits. 1 round trip."""
    free, _ = free_and_initial(handle)
    if free <= 0:
        handle.session.ensure_registered(handle.keys)
        handle.session.janitor.watch_briefly(handle.keys, reap)
    return free


def free_and_initial(handle: Handle) -> tuple[int, int]:
    """Return the number of free permits, and the initial one. 1 round trip."""
    keys = handle.keys
    fields, free = handle.link.pipeline(
        [(b"HMGET", keys.data, INITIAL, RESERVE), (b"LLEN", keys.free)]
    )
    initial, reserve = row("semaphore/locked", keys.ident, fields, 2)
    if initial is None:
        raise object_gone(handle, "semaphore/locked")
    free = counted("semaphore/locked", keys.ident, free)
    return free + _number(handle, reserve), _number(handle, initial)


def state(handle: Handle) -> tuple[int, int, list[tuple[SessionRecord | None, int]]]:
    """Return the number of free permits, that of waiters, and the permits of each session with its
    record, None if it is dead. 3 round trips, O(sessions that use it).
    """
    keys, link = handle.keys, handle.link
    fields, refs, free = link.pipeline(
        [(b"HGETALL", keys.data), (b"HGETALL", keys.refs), (b"LLEN", keys.free)]
    )
    found = pairs(fields)
    if TYPE not in found:
        raise object_gone(handle, "semaphore/statistics")
    counts = {f[2:]: _number(handle, n) for f, n in found.items() if f[:2] == TALLY}
    names = keys.all_held(pairs(refs))
    lengths: Sequence[int] = link.pipeline([(b"LLEN", keys.held(name)) for name in names])
    for name, length in zip(names, lengths, strict=True):
        session = session_of(name)
        counts[session] = counts.get(session, 0) + length
    held = {session: count for session, count in counts.items() if count}
    records = stored_records(link, [b"%b:%b" % (keys.sessions, session) for session in held])
    return (
        counted("semaphore/statistics", keys.ident, free) + _number(handle, found.get(RESERVE)),
        sum(field[:2] == WAITER for field in found),
        list(zip(records, held.values(), strict=True)),
    )


def _number(handle: Handle, stored: bytes | None) -> int:
    what = "a number of permits"
    return stored_number("semaphore/statistics", handle.keys.ident, stored, what)
