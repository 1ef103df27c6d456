"""What stands for a key in its canonical field, where no object of a builtin type equals it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Global", "Pickled", "Rule", "Structure", "name_of", "owner_of"]

Rule: TypeAlias = Callable[[Any], object]
"""Returns a simpler key that equals a given one, or that one."""


class Structure(NamedTuple):
    """Keys of one kind are equal if their parts are."""

    kind: str
    parts: tuple[object, ...]


class Global(NamedTuple):
    """A class or a function, which a program finds by its name."""

    module: str
    name: str


class Pickled(NamedTuple):
    """A part that equals what pickles to the same bytes."""

    value: object


def name_of(named: Any) -> Global:
    """Return module and name of a class or function. A spawned child knows the main module by
    another name.
    """
    module = named.__module__
    return Global("__main__" if module == "__mp_main__" else module, named.__qualname__)


def owner_of(cls: type, name: str) -> type:
    """Return the class from which another has an attribute that every object has."""
    return next(owner for owner in cls.__mro__ if name in vars(owner))
