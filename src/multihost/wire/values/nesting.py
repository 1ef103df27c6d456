"""Proxies inside values: what a thread notes while it pickles or unpickles for a container."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Home", "home", "pickle_for", "pickled", "unpickle_for"]


class Home(Protocol):
    """Where the containers of a codec live."""

    @property
    def server(self) -> object: ...


class _Inside(threading.local):
    """What this thread is pickling or unpickling for a container."""

    home: Any = None
    links: dict[str, None] | None = None
    proxies = 0


_inside = _Inside()


def pickled(ident: str, unnamed: bool, place: object) -> bool:
    """A proxy of an object at ``place`` was pickled; whether for a container at the same place."""
    inside = _inside
    if inside.links is None:
        return False
    inside.proxies += 1
    if inside.home is None or inside.home.server != place:
        return False
    if unnamed:
        inside.links[ident] = None
    return True


def home() -> Any:
    """Where the container lives whose value this thread is unpickling; None outside of one."""
    return _inside.home


def pickle_for(
    home: Home | None, pickler: Callable[[Any], Any], value: object
) -> tuple[Any, dict[str, None], int]:
    """What ``pickler(value)`` returns, the unnamed objects at home it refers to, and how many
    proxies were pickled.
    """
    inside = _inside
    outer = inside.home, inside.links, inside.proxies
    links: dict[str, None] = {}
    inside.home, inside.links, inside.proxies = home, links, 0
    try:
        return pickler(value), links, inside.proxies
    finally:
        inside.home, inside.links, inside.proxies = outer


def unpickle_for(home: Home | None, unpickler: Callable[[bytes], Any], data: bytes) -> Any:
    """What ``unpickler(data)`` returns; proxies among it that have no address are at home."""
    inside = _inside
    outer, inside.home = inside.home, home
    try:
        return unpickler(data)
    finally:
        inside.home = outer
