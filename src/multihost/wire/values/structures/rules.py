"""The rule for each class."""

from __future__ import annotations

import enum
import functools
import numbers
import types
from typing import Any

from multihost.wire.values.structures.builtins import BASES, RATIONALS, number
from multihost.wire.values.structures.classes import (
    MUTABLE,
    by_name,
    by_state,
    declared_rule,
    fields_rule,
    has_fields,
    member_of_enum,
    refuse,
)
from multihost.wire.values.structures.moments import MOMENTS
from multihost.wire.values.structures.scientific import numpy_rule, pandas_rule
from multihost.wire.values.structures.standard import STANDARD
from multihost.wire.values.structures.structure import Rule, owner_of

__all__ = ["RATIONALS", "simpler"]


def simpler(key: Any) -> object:
    """Return an equal key that is simpler, or ``key`` if there is none. Raises TypeError for a key
    whose class compares as only Python can.
    """
    return _rule_of(type(key))(key)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=1024)
def _rule_of(cls: type) -> Rule:
    if (rule := declared_rule(cls)) is not None:
        return rule
    owner = owner_of(cls, "__eq__")
    if owner is object:
        return _rule_of_identity(cls)
    if (rule := _rule_by_owner(cls, owner)) is not None:
        if owner in BASES and owner_of(cls, "__hash__") is not owner:
            return _with_hash(rule)
        return rule
    bases = cls.__mro__[cls.__mro__.index(owner) :]
    if any(has_fields(base) or _rule_by_owner(base, base) for base in bases):
        return refuse
    if issubclass(cls, numbers.Number):
        return _number
    return member_of_enum if issubclass(cls, enum.Enum) else by_state


def _rule_by_owner(cls: type, owner: type) -> Rule | None:
    """Return the rule for a class that has the ``__eq__`` of ``owner``, None if there is none."""
    if (rule := BASES.get(owner) or MUTABLE.get(owner)) is not None:
        return rule
    name = f"{owner.__module__}.{owner.__qualname__}"
    if (rule := MOMENTS.get(name) or STANDARD.get(name)) is not None:
        return rule
    match name.partition(".")[0]:
        case "builtins":
            return None if owner is object else _unchanged
        case "numpy":
            return numpy_rule(cls)
        case "pandas":
            return pandas_rule(cls)
    return fields_rule(owner)


def _rule_of_identity(cls: type) -> Rule:
    """Return the rule for a class whose instances equal themselves only."""
    if issubclass(cls, enum.Enum):
        return member_of_enum
    if issubclass(cls, (type, types.FunctionType)):
        return by_name
    return by_state


def _unchanged(key: object) -> object:
    return key


def _number(key: object) -> object:
    simple = number(key)
    return by_state(key) if simple is None else simple


def _with_hash(rule: Rule) -> Rule:
    """Return the rule for a class that has the ``__eq__`` of a base, and a hash of its own."""

    def checked(key: object) -> object:
        simple = rule(key)
        return refuse(key) if hash(simple) != hash(key) else simple

    return checked
