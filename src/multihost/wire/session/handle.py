"""What operations are given: a handle of an object, and holds that end with the session."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

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


class Handle:
    """One shared object, as the operations take it."""

    __slots__ = ("codec", "command_prefixes", "contended", "keys", "link", "session", "watched")

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session: Session = session
        self.link: Link = session.link
        self.codec: Codec = session.codec.of(keys.ident)
        self.keys: Keys = keys
        # The packed beginnings of script calls on this object: a call appends only its arguments.
        self.command_prefixes: dict[tuple[Script, int], CommandPrefix] = {}
        self.watched: WatchedObject | None = None  # as the janitor sees it, after a first wait
        self.contended: bool = False  # the last thread that waited for it had to wait for another


class Hold(ABC):
    """What this process alone holds while its session lives: a lock, permits, items in flight."""

    __slots__ = ("count", "expirations", "fence", "handle", "id", "lost")

    def __init__(self, handle: Handle, id_: bytes, fence: int, expirations: int) -> None:
        self.handle: Handle = handle
        self.id: bytes = id_
        self.fence: int = fence
        self.count: int = 1
        self.expirations: int = expirations  # of the session, read before the hold was acquired
        self.lost: bool = False

    @abstractmethod
    def is_valid(self) -> bool:
        """Return whether the server still has this hold. 1 round trip."""

    def is_of_the_dead(self) -> bool:
        """Return whether others declared this process dead since it was acquired: it may still be
        there, and is given to others.
        """
        names = self.handle.session.registration.names
        return session_of(self.id) != names[self.handle.keys.prefix]

    @abstractmethod
    def release_at_exit(self) -> None:
        """Release it; no-op if it is lost. 1 round trip."""

    def lapse(self) -> None:
        """Take note that the session lapsed in the partition of the object: this is lost."""
        self.lost = True

    def was_expired(self) -> bool:
        """Return whether a hold that the server does not have was lost by an expired session. 1
        round trip.
        """
        registration = self.handle.session.registration
        self.lost = self.lost or registration.has_expired(self.handle.keys.prefix, self.expirations)
        return self.lost

    def lease_lost(self, operation: str) -> LeaseLost:
        """Return the error for a hold that was lost."""
        session = self.handle.session
        reason = session.registration.lapse_reason(session.lease)
        return LeaseLost(
            f"{describe(operation, self.handle.keys.ident)}: this process {reason}, and what it "
            "held was released"
        )
