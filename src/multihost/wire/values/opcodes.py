"""Simple values as single pickle opcodes: any run of them is a pickle without memo."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any

from multihost.errors import PayloadTooLarge

__all__ = [
    "HEADER",
    "INT64",
    "LIMIT",
    "PLAIN",
    "SIMPLE",
    "check_size",
    "encode_float",
    "encode_int",
    "encode_long",
    "encode_str",
    "spellings",
]

LIMIT = 512 * 1024 * 1024
"""The longest string a server accepts, in bytes."""

HEADER = b"\x80\x05"

PLAIN = frozenset(
    b"\x8cX\x8dCB\x8eGN\x88\x89\x8a\x8b"
)  # opcodes of values that are pickled on their own
INT64 = 1 << 63
"""One more than the largest int that the server can add to."""

_SHORT_STR = [b"\x8c" + bytes((n,)) for n in range(256)]
_SHORT_BYTES = [b"C" + bytes((n,)) for n in range(256)]
_pack_double = struct.Struct(">d").pack
_pack_length = struct.Struct("<I").pack


def check_size(size: int) -> None:
    """Raise PayloadTooLarge if a server would not accept so many bytes."""
    if size > LIMIT - 64:
        raise PayloadTooLarge(
            f"the value takes {size:,} bytes; a server accepts {LIMIT:,} at most: "
            "store it in parts (nothing was changed)"
        )


def encode_str(value: str) -> bytes:
    """Return a str in UTF-8, with lone surrogates as they are."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = value.encode("utf-8", "surrogatepass")
    size = len(data)
    if size < 256:
        return _SHORT_STR[size] + data
    check_size(size)
    return b"X" + _pack_length(size) + data


def encode_bytes(value: bytes) -> bytes:
    """Return bytes as they are, behind their opcode."""
    size = len(value)
    if size < 256:
        return _SHORT_BYTES[size] + value
    check_size(size)
    return b"B" + _pack_length(size) + value


def encode_int(value: int) -> bytes:
    """Return decimal text up to 64 bits, so that the server can add to it."""
    return b"%d" % value if -INT64 <= value < INT64 else encode_long(value)


def encode_long(value: int) -> bytes:
    """Return any int as an opcode."""
    data = pickle.encode_long(value)
    return (
        b"\x8a" + bytes((len(data),)) if len(data) < 256 else b"\x8b" + _pack_length(len(data))
    ) + data


def encode_float(value: float) -> bytes:
    """Return a float in eight bytes, exact."""
    return b"G" + _pack_double(value)


_CONSTANTS = {None: b"N", True: b"\x88", False: b"\x89"}

SIMPLE: dict[type, Callable[[Any], bytes]] = {
    str: encode_str,
    bytes: encode_bytes,
    int: encode_int,
    float: encode_float,
    bool: _CONSTANTS.__getitem__,
    type(None): _CONSTANTS.__getitem__,
}


def spellings(value: object) -> tuple[bytes, ...] | None:
    """Return how all values of these types are stored that equal ``value``; None if that has
    another type, whose ``==`` only Python knows.
    """
    kind = type(value)
    if kind in (str, bytes, type(None)):
        return (SIMPLE[kind](value),)
    if not isinstance(value, (int, float)) or kind not in (int, bool, float):
        return None
    forms = []
    real = _equal_float(value)
    if real is not None:
        forms.append(encode_float(real))
        if real == 0.0:
            forms.append(encode_float(-real))
    if not isinstance(value, float) or value.is_integer():
        forms.append(encode_int(int(value)))
    if value in (0, 1):
        forms.append(_CONSTANTS[bool(value)])
    return tuple(forms)


def _equal_float(number: float) -> float | None:
    """Return the float that equals a number; None if there is none, as for a NaN."""
    try:
        real = float(number)
    except OverflowError:
        return None
    return real if real == number else None
