"""Proxies inside values.

While a thread pickles a value for a container, the proxies in it report here which objects they
refer to: the container has to keep those alive. While it unpickles one, they ask here where the
container is: a proxy of an object on the same server is stored without an address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from multihost.patching import on_patch, per_thread

__all__ = ["Home", "home", "is_nested", "pickle_for", "pickled", "unpickle_for"]


class Home(Protocol):
    """What the containers of a codec have in common: their server."""

    @property
    def server(self) -> object: ...


class _Inside:
    """The container for which this thread is pickling or unpickling."""

    home: Any = None
    links: dict[str, None] | None = None
    proxies = 0


_inside = per_thread(_Inside)


def _after_patch() -> None:
    global _inside
    _inside = per_thread(_Inside)


on_patch(_after_patch)


def pickled(ident: str, unnamed: bool, server: object) -> bool:
    """Report that a proxy of an object on ``server`` was pickled; return True if it is for a
    container on the same one.
    """
    inside = _inside
    if inside.links is None:
        return False
    inside.proxies += 1
    if inside.home is None or inside.home.server != server:
        return False
    if unnamed:
        inside.links[ident] = None
    return True


def is_nested() -> bool:
    """Return whether this thread is pickling a value for a container, on whatever server."""
    return _inside.links is not None


def home() -> Any:
    """Return the home of the container whose value this thread is unpickling, None outside."""
    return _inside.home


def pickle_for(
    home: Home | None, pickler: Callable[[Any], Any], value: object
) -> tuple[Any, dict[str, None], int]:
    """Return the result of ``pickler(value)``, the unnamed objects at home that it refers to, and
    the number of proxies that were pickled.
    """
    inside = _inside
    outer = inside.home, inside.links, inside.proxies
    links: dict[str, None] = {}
    try:
        inside.home, inside.links, inside.proxies = home, links, 0
        return pickler(value), links, inside.proxies
    finally:
        inside.home, inside.links, inside.proxies = outer


def unpickle_for(home: Home | None, unpickler: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the result of ``unpickler(data)``; proxies in it that have no address are at home."""
    inside = _inside
    outer = inside.home
    try:
        inside.home = home
        return unpickler(data)
    finally:
        inside.home = outer
