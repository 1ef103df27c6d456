"""Canonical fields: equal keys give equal bytes.

Each encoder returns the field of a key and its original form. The latter is empty where the field
is enough to restore the key. What is read back is a piece of a pickle without memo.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from multihost.errors import BadPayload
from multihost.wire.values.nesting import pickle_for
from multihost.wire.values.opcodes import INT64, SIMPLE, encode_float, encode_long

__all__ = ["Canonical", "PlainUnpickler", "canonical"]


Canonical = tuple[bytes, bytes]
"""Field and original form of a key."""


def _field_int(key: int) -> Canonical:
    return (b"I%d\n" % key if -INT64 <= key < INT64 else encode_long(key)), b""


def _field_bool(key: bool) -> Canonical:
    return (b"I1\n", b"\x88") if key else (b"I0\n", b"\x89")


def _field_float(key: float) -> Canonical:
    if math.isfinite(key) and key.is_integer():
        return _field_int(int(key))[0], encode_float(key)
    if math.isnan(key):
        return _unequal(), encode_float(key)
    return encode_float(key), b""


def _unequal() -> bytes:
    """Return a field for a key that equals nothing, not even itself when it is read back."""
    return b"?" + os.urandom(16)


def _field_rational(key: Decimal | Fraction) -> Canonical:
    original = _fragment(key)
    if isinstance(key, Decimal) and not key.is_finite():
        hash(key)  # raises for a signalling NaN, as a dict does
        return (_unequal() if key.is_nan() else encode_float(float(key))), original
    numerator, denominator = key.as_integer_ratio()
    if denominator == 1:
        return _field_int(numerator)[0], original
    with contextlib.suppress(OverflowError):
        if Fraction(nearest := numerator / denominator) == key:
            return encode_float(nearest), original
    return b"Q%d/%d\n" % (numerator, denominator), original


def _field_complex(key: complex) -> Canonical:
    if key.imag == 0:
        return _field_float(key.real)[0], _fragment(key)
    if key != key:
        return _unequal(), _fragment(key)
    return b"c" + encode_float(key.real + 0.0) + encode_float(key.imag + 0.0), _fragment(key)


def _field_tuple(key: tuple[object, ...]) -> Canonical:
    parts = [canonical(item) for item in key]
    field = b"(%bt" % b"".join([part for part, _ in parts])
    if not any(original for _, original in parts):
        return field, b""
    return field, b"(%bt" % b"".join([original or part for part, original in parts])


def _field_frozenset(key: frozenset[object]) -> Canonical:
    parts = sorted(canonical(item) for item in key)
    field = b"(%b\x91" % b"".join([part for part, _ in parts])
    if not any(original for _, original in parts):
        return field, b""
    return field, b"(%b\x91" % b"".join([original or part for part, original in parts])


def _field_constant(key: object) -> Canonical:
    return SIMPLE[type(key)](key), b""


FIELDS: dict[type, Callable[[Any], Canonical]] = {
    str: _field_constant,
    bytes: _field_constant,
    type(None): _field_constant,
    int: _field_int,
    bool: _field_bool,
    float: _field_float,
    complex: _field_complex,
    Decimal: _field_rational,
    Fraction: _field_rational,
    tuple: _field_tuple,
    frozenset: _field_frozenset,
}


# An instance of a subclass as an instance of the base, whatever the subclass overrides.
_AS_BASE: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: lambda key: bytes(memoryview(key)),
    int: int.__index__,
    float: float.__float__,
    complex: complex.__pos__,
    Decimal: Decimal,
    Fraction: Fraction,
    tuple: lambda key: tuple.__getitem__(key, slice(None)),
    frozenset: lambda key: frozenset(frozenset.__iter__(key)),
}


def canonical(key: object) -> Canonical:
    """Return field and original form of a key. Raises TypeError if the object cannot be one."""
    encode = FIELDS.get(type(key))
    return encode(key) if encode is not None else _field_other(key)


def _same(cls: Any, base: Any) -> bool:
    return cls.__eq__ is base.__eq__ and cls.__hash__ is base.__hash__


def _field_other(key: object) -> Canonical:
    hash(key)  # raises the TypeError of a dict
    cls = type(key)
    for base in cls.__mro__[1:-1]:
        # A subclass that compares as its base does (an IntEnum, a named tuple) has its field.
        if base in FIELDS and _same(cls, base):
            return FIELDS[base](_AS_BASE[base](key))[0], _fragment(key)
    return _fragment(key), b""


def _fragment(key: object) -> bytes:
    """Return a pickle without memo, header and end: equal state gives equal bytes, and it can be
    part of another pickle.
    """
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.fast = True
    if pickle_for(None, pickler.dump, key)[2]:
        raise TypeError(
            "a proxy equals only itself: it cannot be a key of a dict or a member of a set"
        )
    return buffer.getvalue()[2:-1]


class PlainUnpickler(pickle.Unpickler):
    """Reads keys for a manager with a serializer: data only, no classes and no calls."""

    def find_class(self, module: str, name: str) -> Any:
        raise BadPayload(
            f"a key refers to {module}.{name}, which the serializer of this manager does not read"
        )
