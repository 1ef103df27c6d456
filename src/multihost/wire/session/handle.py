"""What operations are given: a handle of an object, and holds that end with the session."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from multihost.errors import LeaseLost
from multihost.wire.identity import session_of
from multihost.wire.keys import Keys
from multihost.wire.script import CommandPrefix, Script
from multihost.wire.session.janitor import WatchedObject
from multihost.wire.subject import describe

if TYPE_CHECKING:
    from multihost.wire.link import Link
    from multihost.wire.session.session import Session
    from multihost.wire.values.codec import Codec

__all__ = ["Handle", "Hold"]


class PlacesOf(Protocol):
    """Where this process holds elements of one object, see :mod:`multihost.wire.places`."""

    contended: bool
    """Others wanted an element, too, when one was taken last."""


class Handle:
    """One shared object, as the operations take it."""

    __slots__ = (
        "codec",
        "command_prefixes",
        "keys",
        "link",
        "places",
        "session",
        "was_kept",
        "watched",
    )

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session: Session = session
        self.link: Link = session.link.lane(keys.prefix)
        self.codec: Codec = session.codec.of(keys.ident)
        self.keys: Keys = keys
        # The packed beginnings of script calls on this object: a call appends only its arguments.
        self.command_prefixes: dict[tuple[Script, int], CommandPrefix] = {}
        self.watched: WatchedObject | None = None  # as the janitor sees it, after a first wait
        self.places: PlacesOf | None = None  # where this process holds elements of it
        self.was_kept: bool = False  # the server has said that it has no lease

    @property
    def is_persistent(self) -> bool:
        """Return whether it has no lease, as far as this process knows."""
        return self.was_kept or self.keys.name is not None


class Hold(ABC):
    """What this process alone holds while its session lives: a lock, permits, items in flight."""

    __slots__ = ("count", "expirations", "fence", "handle", "id", "lost", "thread")

    def __init__(self, handle: Handle, id_: bytes, fence: int, expirations: int) -> None:
        self.handle: Handle = handle
        self.id: bytes = id_
        self.fence: int = fence
        self.count: int = 1
        self.expirations: int = expirations  # of the session, read before the hold was acquired
        self.lost: bool = False
        self.thread: int = handle.session.identity.key  # which acquired it

    @abstractmethod
    def is_valid(self) -> bool:
        """Return whether the server still has this hold. 1 round trip."""

    def is_of_the_dead(self) -> bool:
        """Return whether others declared this process dead since it was acquired: it may still be
        there, and is given to others.
        """
        names = self.handle.session.registration.names
        return session_of(self.id) != names[self.handle.keys.prefix]

    def is_of_this_thread(self) -> bool:
        """Return whether this thread acquired it."""
        return self.thread == self.handle.session.identity.key

    def is_unused(self) -> bool:
        """Return whether nothing is held any more, and only the way to do so is remembered."""
        return False

    def release_at_exit(self) -> None:  # noqa: B027 - most need nothing of their own
        """Release it, if that is not done along with the places where it lies; no-op if it is
        lost. Up to 1 round trip.
        """

    def lapse(self) -> int:
        """Take note that the session lapsed in the partition of the object: this is lost. Return
        how many holds that were.
        """
        lost, self.lost = not self.lost, True
        return int(lost)

    def refresh(self) -> None:
        """Find out whether it was lost, if that may be so. No round trip, nearly always."""
        session = self.handle.session
        keys = self.handle.keys
        if time.monotonic() > session.registration.memberships[keys.prefix].valid_until:
            session.ensure_registered(keys)

    def lease_lost(self, operation: str) -> LeaseLost:
        """Return the error for a hold that was lost."""
        session = self.handle.session
        keys = self.handle.keys
        reason = session.registration.lapse_reason(keys.prefix, session.lease)
        return LeaseLost(
            f"{describe(operation, keys.ident)}: this process {reason}, and what it "
            "held was released"
        )
