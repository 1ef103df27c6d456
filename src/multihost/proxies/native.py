"""NativeProxy, the reference to an object that is stored on the server itself."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.proxies.base import BaseProxy, Token, received, session_of
from multihost.wire.ops import object as ops
from multihost.wire.session import Handle

__all__ = ["NativeProxy"]


class NativeProxy(BaseProxy):
    """A reference to an object on the server: every method is a call to the server.

    **If a holder dies** its proxies no longer count: an unnamed object without other holders is
    deleted a lease and a minute later.
    **Differs from multiprocessing**: no server process holds the object, so it does not end with
    one.
    """

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        self._bind(handle, token, manager)

    def _delete(self) -> None:
        ops.delete(self._handle)

    def _length(self) -> int:
        return len(self)  # type: ignore[arg-type]

    def _getvalue(self) -> Any:
        raise RemoteError(f"a {type(self).__name__} has no plain value: use its methods")

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call an exposed method by its name."""
        if methodname in ("__str__", "__repr__", "#STR"):
            return self._show()
        if methodname == "#GETVALUE":
            return self._getvalue()
        if methodname not in self._exposed_:
            raise RemoteError(
                f"AttributeError: method {methodname!r} of {self._typeid_!r} object is not exposed"
            )
        return getattr(type(self), methodname)(self, *args, **(kwds or {}))

    def _show(self) -> str:
        return str(self._getvalue())

    @property
    def _label(self) -> str:
        """What ``_show()`` calls an object that has no plain value."""
        return self._token.ident if self._name is None else repr(self._name)

    def __reduce__(self) -> tuple[Callable[..., BaseProxy], tuple[Any, ...]]:
        return rebuild, (type(self), *self._reference())


def rebuild(
    cls: type[NativeProxy], token: Token, inherited: bytes | None = None, gift: str | None = None
) -> NativeProxy:
    """Return a proxy for a pickle of one."""
    session = session_of(token, inherited)
    origin = token.origin or session.origin
    return received(cls(session.handle(token.ident), token._replace(origin=origin)), gift)
