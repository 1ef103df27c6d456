"""Values and keys that are easily mistaken for each other."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple


class Point(NamedTuple):
    x: int
    y: int


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    A = "a"


class Unhashable:
    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, Unhashable)

    def __repr__(self):
        return "Unhashable()"


class Number:
    """An index that is no int."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __repr__(self):
        return f"Number({self.value})"


class BadIndex:
    def __index__(self):
        raise ZeroDivisionError("no index today")


class Named:
    """Equal by name, as many classes of users are."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return type(other) is Named and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f"Named({self.name!r})"


class IntSubclass(int):
    pass


class StrSubclass(str):
    __slots__ = ()


class SetSubclass(set):
    pass


HASHABLE = [
    *(0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, 2**3000),
    *(True, False, None),
    *(0.0, -0.0, 1.0, -1.0, 0.1, 1.5, 1e308, 5e-324, 2.0**63, 2.0**64, 1e300, float(2**53)),
    *(float("inf"), float("-inf")),
    *("", "a", "1", "é", "日本", "\x00", "\ud800", "a\udfff", "x" * 300, "y" * 100_000),
    *(b"", b"a", b"\x00\xff", b"z" * 300, b"1"),
    *((), (1,), (1, (2.0, "x", None)), (True,), (1.0,), ((), ((),))),
    *(frozenset(), frozenset({1}), frozenset({1, "a", (2,)}), frozenset({frozenset({1})})),
    *(1 + 0j, 1 + 2j, 0.5j, Decimal(1), Decimal("1.50"), Decimal("0.1"), Decimal("Infinity")),
    *(Fraction(1, 3), Fraction(1, 2), Fraction(4, 2)),
    *(Color.RED, Color.BLUE, Level.LOW, Level.HIGH, Word.A, Point(1, 2), (1, 2)),
    *(dt.date(2020, 1, 2), dt.timedelta(1), uuid.UUID(int=5), range(3), Ellipsis),
    *(IntSubclass(7), 7, StrSubclass("sub"), "sub", Named("n"), int, len),
]

# Every group holds keys that are equal.
EQUAL = [
    [1, True, 1.0, 1 + 0j, Decimal(1), Fraction(1), Level.LOW, IntSubclass(1)],
    [0.0, -0.0, 0, False, Decimal("-0")],
    [0.5, Decimal("0.5"), Fraction(1, 2), 0.5 + 0j],
    [2**63, 2.0**63, Decimal(2**63), Fraction(2**63)],
    ["a", Word.A, StrSubclass("a")],
    [(1, 2), Point(1, 2), (True, 2.0), (1.0, 2)],
    [((1,), frozenset({1.0})), ((1.0,), frozenset({True}))],
    [frozenset({1, 2}), frozenset({2.0, True})],
    [float("inf"), Decimal("Infinity")],
    [Named("same"), Named("same")],
    [dt.timedelta(days=1), dt.timedelta(hours=24)],
]

VALUES = [
    *HASHABLE,
    float("nan"),
    *([], [1, [2, [3]]], {}, {"a": {"b": [1.0, None]}}, set(), {1, 2}, bytearray(b"ab")),
    *([True, 1, 1.0, -0.0], {1: 2, (3,): {4}}, [float("nan")], slice(1, 2, 3), Unhashable()),
]

UNHASHABLE = [[], {}, set(), [1], (1, []), ((), ({},)), bytearray(b"x"), Unhashable()]
