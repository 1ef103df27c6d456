"""A reference to a pool: the session at its server, and its ident there."""

from __future__ import annotations

from typing import Any

from multihost.runtime import RuntimeOwner
from multihost.wire.identity import check_name, name_of, named
from multihost.wire.session import Handle, Session, registry

__all__ = ["PoolReference", "ident_of", "session_of"]


class PoolReference:
    """A pool. It can be pickled, without a secret unless for a child that is being spawned."""

    def __init__(self, session: Session, ident: str) -> None:
        self.session = session
        self.ident = ident

    def handle(self) -> Handle:
        """Return a handle of this process. It keeps nothing alive."""
        return self.session.handle(self.ident)

    @property
    def name(self) -> str | None:
        """The name of the pool, None if it has none."""
        return name_of(self.ident)

    def __reduce__(self) -> Any:
        session = self.session
        return _found, (session.origin, self.ident, registry.inherited_credentials(session))


def _found(origin: registry.Origin, ident: str, inherited: bytes | None) -> PoolReference:
    return PoolReference(registry.find(origin, inherited), ident)


def session_of(manager: RuntimeOwner) -> Session:
    """Return the session of a manager. Raises ValueError if no pool is possible there."""
    session = manager.runtime.session
    if session.codec.serializer is not None:
        raise ValueError(
            "a pool pickles functions and their results, and this manager does not pickle: use a "
            "manager with the default serializer"
        )
    if str(session.link.address).startswith("fake:"):
        raise ValueError("a fakeredis lives in one process, and a pool in several: use a server")
    return session


def ident_of(name: str) -> str:
    """Return the ident of a named pool."""
    return named(check_name(name))
