"""How a process comes to a pool: the way to the server, and which pool there."""

from __future__ import annotations

from typing import Any

from multihost.wire.identity import name_of, named
from multihost.wire.keys import check_name
from multihost.wire.session import Handle, Session, registry

__all__ = ["PoolReference", "session_of"]


class PoolReference:
    """Which pool. It can be pickled, and then holds no secret, but for a child that is spawned."""

    def __init__(self, session: Session, ident: str) -> None:
        self.session = session
        self.ident = ident

    def handle(self) -> Handle:
        """For this process. It keeps nothing alive."""
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


def session_of(manager: Any) -> Session:
    """The session of a manager, if pools can be had there."""
    session: Session = manager.runtime.session
    if session.codec.serializer is not None:
        raise ValueError(
            "a pool pickles functions and their results, and this manager does not pickle: use a "
            "manager with the default serializer"
        )
    if str(session.link.address).startswith("fake:"):
        raise ValueError("a fakeredis lives in one process, and a pool in several: use a server")
    return session


def ident_of(name: str) -> str:
    """The ident of a named pool."""
    return named(check_name(name))
