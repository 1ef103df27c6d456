"""Operations of a lock, for Lock, RLock and Condition.

A lock is one element that moves between the list of what is free and the place of its holder: see
:mod:`multihost.wire.places` and :mod:`multihost.wire.take`. Its hash has the last fencing token,
and who was granted it last.
"""

from __future__ import annotations

from collections.abc import Hashable

from multihost.wire.giving import give_back, is_there, object_gone, released_by_others
from multihost.wire.identity import ParsedId, session_of, unpack
from multihost.wire.ops import object as any_object
from multihost.wire.places import FENCE, HOLDER, TYPE, WAITER, Place
from multihost.wire.replies import altered, pairs, row, stored_number, texts
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.record import SessionRecord, stored_record
from multihost.wire.take import Grant, reap

__all__ = [
    "LockGrant",
    "LockHold",
    "create",
    "force_release",
    "holder",
    "is_locked",
    "release",
    "waiters",
]

_create = Script("lock/create")
_force_release = Script("lock/force_release")

ATTEMPTS = 20  # to find the holder of a lock that passes from one to the next meanwhile


class LockHold(Hold):
    """A lock that a thread of this process holds."""

    __slots__ = ("place",)

    def __init__(self, place: Place, fence: int) -> None:
        # As in the base class, written out: each acquisition makes one.
        self.handle = places = place.places
        self.id, self.fence, self.count, self.lost = place.name, fence, 1, False
        self.expirations = places.membership.expirations
        self.thread = places.session.identity.key
        self.place: Place = place

    def is_valid(self) -> bool:
        return is_there(self.place) and not self.is_of_the_dead()

    def lapse(self) -> int:
        self.place.count = 0
        return super().lapse()

    def lose(self, place: Place, _: int) -> None:
        """Take note that the element is not there any more."""
        self.lost = True
        place.count = 0


class LockGrant(Grant):
    """An attempt to acquire a lock for ``owner``: 1 round trip for a free lock, 2 and the wait for
    another one. If this process had to wait last time it waits immediately.
    """

    operation = "lock/acquire"
    hold: LockHold | None = None

    def __init__(self, handle: Handle, owner: Hashable) -> None:
        self.handle = handle
        self.owner: Hashable = owner

    def keep(self, place: Place, token: int) -> None:
        holds = self.handle.session.holds
        before = holds.get(self.owner)
        self.hold = place.hold = hold = LockHold(place, token)
        place.count = 1
        holds[self.owner] = hold
        if isinstance(before, LockHold):  # others have released it
            _forget(before)

    def drop(self, place: Place) -> None:
        holds = self.handle.session.holds
        if holds.get(self.owner) is self.hold:
            holds.pop(self.owner, None)
        place.hold, place.count = None, 0


def _forget(hold: LockHold) -> None:
    """A hold is over. 1 round trip."""
    hold.count = 0
    place = hold.place
    if place.hold is hold:
        place.hold, place.count = None, 0
        place.places.abandon(place)


def create(handle: Handle, typeid: str) -> bool:
    """Create the lock, or attach to it; return whether it was created. 1 round trip."""
    return any_object.create(_create, handle, typeid)


def release(hold: Hold, owner: Hashable) -> bool:
    """Release a hold; return whether it was one, and not released by others before. 1 round trip.

    Raises LeaseLost if it was lost meanwhile, and ObjectGone.
    """
    assert isinstance(hold, LockHold)
    holds = hold.handle.session.holds
    place = hold.place
    try:
        hold.refresh()
        if holds.pop(owner, None) is None:
            return False  # another thread came first
        place.hold = None
        found = 0 if hold.lost else give_back(place, "lock/release")
        hold.count = 0
    except BaseException:
        # This thread does not hold it any more, whatever came between.
        holds.pop(owner, None)
        hold.count, place.hold = 0, None
        if place.count:
            place.count = 0
            place.places.abandon(place)
        raise
    if found or (released_by_others(place, 1, "lock/release") and not hold.lost):
        place.places.checkin(place)
        return found > 0
    hold.lost = True
    place.places.abandon(place)
    raise hold.lease_lost("lock/release")


def force_release(handle: Handle) -> bool:
    """Release the lock for its holder; return whether it had one. 1 round trip."""
    return _force_release.run_once(handle) is not None


def is_locked(handle: Handle) -> bool:
    """Return whether the lock is held. 1 round trip."""
    keys = handle.keys
    exists, free = handle.link.pipeline([(b"HEXISTS", keys.data, TYPE), (b"EXISTS", keys.free)])
    if not exists:
        raise object_gone(handle, "lock/locked")
    if not free:
        handle.session.ensure_registered(keys)
        handle.session.janitor.watch_briefly(keys, reap)
    return not free


def holder(handle: Handle) -> tuple[ParsedId, SessionRecord | None, int] | None:
    """Return the id of the hold, the record of its session, and its fencing token; None if the lock
    is free. 4 round trips, O(sessions that use it).
    """
    link, keys = handle.link, handle.keys
    for _ in range(ATTEMPTS):
        fields, refs, free = link.pipeline(
            [
                (b"HMGET", keys.data, TYPE, FENCE),
                (b"HGETALL", keys.refs),
                (b"EXISTS", keys.free),
            ]
        )
        exists, fence = row("lock/holder", keys.ident, fields, 2)
        if exists is None:
            raise object_gone(handle, "lock/holder")
        if free:
            return None
        names = keys.all_held(pairs(refs))
        lengths = link.pipeline([(b"LLEN", keys.held(name)) for name in names])
        place = next((name for name, n in zip(names, lengths, strict=True) if n), None)
        if place is None:
            continue  # it passed to another holder meanwhile
        since = link.execute(b"HGET", keys.data, HOLDER + place) or b".0"
        try:
            parsed = unpack(b"%b.%b" % (place, since))
            if parsed.since is None:
                raise ValueError("a hold has its time")
        except ValueError:
            raise altered("lock/holder", keys.ident, "its holder") from None
        record = stored_record(link, b"%b:%b" % (keys.sessions, session_of(place)))
        return parsed, record, stored_number("lock/holder", keys.ident, fence, "the fencing token")
    return None


def waiters(handle: Handle) -> int:
    """Return how many threads have waited for the lock for a moment. 1 round trip, O(waiters)."""
    fields = texts("statistics", handle.keys.ident, handle.link.execute(b"HKEYS", handle.keys.data))
    return sum(field[:2] == WAITER for field in fields)
