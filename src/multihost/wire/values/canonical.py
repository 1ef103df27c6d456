"""Canonical fields: equal keys give equal bytes.

Each encoder returns the field of a key and its original form. The latter is empty where the field
is enough to restore the key. What is read back is a piece of a pickle without memo.

A key of any other class has the field of a simpler key that equals it, or that of a structure.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
from collections.abc import Callable
from typing import Any

from multihost.wire.values.nesting import pickle_for
from multihost.wire.values.opcodes import INT64, SIMPLE, encode_float, encode_long, encode_str
from multihost.wire.values.structures.structure import Global, Pickled, Structure

__all__ = ["Canonical", "canonical"]


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


def _field_rational(key: Any) -> Canonical:
    from decimal import Decimal
    from fractions import Fraction

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


def _field_structure(key: Structure) -> Canonical:
    fields = [canonical(part)[0] for part in key.parts]
    # A brace begins no piece of a pickle.
    return b"{%b%d:%b" % (encode_str(key.kind), len(fields), b"".join(fields)), b""


def _field_global(key: Global) -> Canonical:
    return b"%b%b\x93" % (encode_str(key.module), encode_str(key.name)), b""


def _field_pickled(key: Pickled) -> Canonical:
    return _fragment(key.value), b""


FIELDS: dict[type, Callable[[Any], Canonical]] = {
    str: _field_constant,
    bytes: _field_constant,
    type(None): _field_constant,
    int: _field_int,
    bool: _field_bool,
    float: _field_float,
    complex: _field_complex,
    tuple: _field_tuple,
    frozenset: _field_frozenset,
    Structure: _field_structure,
    Global: _field_global,
    Pickled: _field_pickled,
}


def canonical(key: object) -> Canonical:
    """Return field and original form of a key. Raises TypeError if the object cannot be one."""
    encode = FIELDS.get(type(key))
    return encode(key) if encode is not None else _field_other(key)


def _field_other(key: object) -> Canonical:
    from multihost.wire.values.structures.rules import RATIONALS, simpler

    if type(key) in RATIONALS:
        return _field_rational(key)
    hash(key)  # raises the TypeError of a dict
    original = _fragment(key)
    simple = simpler(key)
    if simple is key:
        return original, b""
    field = canonical(simple)[0]
    return field, (b"" if field == original else original)


def _fragment(key: object) -> bytes:
    """Return a pickle without memo, header and end: equal state gives equal bytes, and it can be
    part of another pickle.
    """
    if type(key).__module__ == "pathlib._local":  # a name that only Python 3.13 knows
        path_class = Global("pathlib", type(key).__qualname__)
        return b"%b(%btR" % (_field_global(path_class)[0], encode_str(str(key)))
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.fast = True
    if pickle_for(None, pickler.dump, key)[2]:
        raise TypeError(
            "a proxy equals only itself: it cannot be a key of a dict or a member of a set"
        )
    return buffer.getvalue()[2:-1]
