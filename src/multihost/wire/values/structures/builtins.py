"""Instances of subclasses that compare as a builtin base does, and numbers of other libraries."""

from __future__ import annotations

import contextlib
import numbers
import operator
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from fractions import Fraction
from typing import Any

from multihost.wire.values.structures.structure import Rule

__all__ = ["BASES", "RATIONALS", "matches", "number"]

RATIONALS: frozenset[type] = frozenset({Decimal, Fraction})
"""What has a field of its own, as the builtin types; its module is seldom needed."""


# Each returns an instance of the base, whatever the subclass overrides.
BASES: Mapping[type, Rule] = {
    str: str.__str__,
    bytes: lambda key: bytes(memoryview(key)),
    int: int.__index__,
    float: float.__float__,
    complex: complex.__pos__,
    Decimal: Decimal,
    Fraction: Fraction,
    tuple: lambda key: tuple.__getitem__(key, slice(None)),
    frozenset: lambda key: frozenset(frozenset.__iter__(key)),
    AbstractSet: frozenset,
}
"""By the class that defines ``__eq__``."""


def matches(simple: object, key: object) -> bool:
    """Return whether a dict would find one of the two by the other."""
    return bool(simple == key) and hash(simple) == hash(key)


_CONVERSIONS: tuple[tuple[type, Rule], ...] = (
    (numbers.Integral, operator.index),
    (numbers.Real, float),
    (numbers.Real, lambda key: Fraction(*key.as_integer_ratio())),
    (numbers.Rational, lambda key: Fraction(int(key.numerator), int(key.denominator))),
    (numbers.Complex, complex),
)


def number(key: Any) -> object:
    """Return the number of a builtin type that a number equals, None if there is none."""
    for kind, convert in _CONVERSIONS:
        if isinstance(key, kind):
            with contextlib.suppress(TypeError, ValueError, OverflowError, AttributeError):
                if matches(simple := convert(key), key):
                    return simple
    return None
