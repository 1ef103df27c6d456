"""Keys without pickle: what a manager with a serializer reads.

``canonical`` writes a key as a piece of a pickle. Of its opcodes, this reads those of plain values,
tuples and frozensets, and nothing that names a class, calls, copies or refers back: time and
memory grow with the number of bytes, whoever wrote them.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any

from multihost.errors import BadPayload

__all__ = [
    "FRAME",
    "MARK",
    "MAX_DEPTH",
    "SCALARS",
    "SINCE_MARK",
    "Cursor",
    "check_hashes",
    "read_key",
    "read_keys",
]

MAX_DEPTH = 100
"""Levels of tuples and the like. Deeper ones end the interpreter when they are hashed."""
MAX_PARTS = 10_000
"""The most opcodes of one key."""
MAX_COLLISIONS = 100
"""Beyond so many, equal hashes are no chance."""

MARK, CLASS, FRAME = pickle.MARK[0], pickle.STACK_GLOBAL[0], pickle.FRAME[0]


class Cursor:
    """Bytes that are read from left to right, and never beyond their end."""

    __slots__ = ("_data", "place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def at_end(self) -> bool:
        """Return whether all bytes were read."""
        return self.place == len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises ValueError if there are fewer."""
        start, end = self.place, self.place + size
        if end > len(self._data):
            raise ValueError("it ends too early")
        self.place = end
        return self._data[start:end]

    def number(self, size: int) -> int:
        """Return the next bytes as a number."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        """Return the bytes up to the next line feed, at most 20."""
        end = self._data.find(b"\n", self.place, self.place + 21)
        if end < 0:
            raise ValueError("a number in it has no end")
        return self.take(end + 1 - self.place)[:-1]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _double(data: bytes) -> float:
    value: float = struct.unpack(">d", data)[0]
    return value


SCALARS: dict[int, Callable[[Cursor], object]] = {
    pickle.NONE[0]: lambda _: None,
    pickle.NEWTRUE[0]: lambda _: True,
    pickle.NEWFALSE[0]: lambda _: False,
    pickle.INT[0]: lambda cursor: int(cursor.line()),
    pickle.LONG1[0]: lambda cursor: pickle.decode_long(cursor.take(cursor.number(1))),
    pickle.LONG4[0]: lambda cursor: pickle.decode_long(cursor.take(cursor.number(4))),
    pickle.BINFLOAT[0]: lambda cursor: _double(cursor.take(8)),
    pickle.SHORT_BINUNICODE[0]: lambda cursor: _text(cursor.take(cursor.number(1))),
    pickle.BINUNICODE[0]: lambda cursor: _text(cursor.take(cursor.number(4))),
    pickle.SHORT_BINBYTES[0]: lambda cursor: cursor.take(cursor.number(1)),
    pickle.BINBYTES[0]: lambda cursor: cursor.take(cursor.number(4)),
}
"""What is one opcode and its argument. They raise ValueError."""


def check_hashes(members: list[Any]) -> list[Any]:
    """Return members of a set or keys of a dict. Raises ValueError if they were chosen to have one
    hash: each would be compared with each.
    """
    if len(set(map(hash, members))) + MAX_COLLISIONS < len(members):
        raise ValueError("too many keys, or members of a set, have the same hash")
    return members


SINCE_MARK: dict[int, Callable[[list[Any]], object]] = {
    pickle.TUPLE[0]: tuple,
    pickle.FROZENSET[0]: lambda members: frozenset(check_hashes(members)),
}
"""What is made of the values since a mark."""


def read_key(field: bytes) -> Any:
    """Return the key of a field or an original form. Raises BadPayload."""
    try:
        if field[:1] == pickle.SHORT_BINUNICODE and field[1:2] == bytes((len(field) - 2 & 0xFF,)):
            return _text(field[2:])  # as nearly all keys
        return _read(Cursor(field))
    except BadPayload:
        raise
    except ValueError as error:
        raise BadPayload(f"a stored key cannot be read: {error}") from None


def read_keys(fields: Iterable[bytes]) -> list[Any]:
    """Return keys of one dict, or members of one set. Raises BadPayload."""
    keys = list(map(read_key, fields))
    try:
        return check_hashes(keys)
    except ValueError as error:
        raise BadPayload(f"the stored keys cannot be read: {error}") from None


def _read(cursor: Cursor) -> Any:
    levels: list[list[Any]] = [[]]
    for _ in range(MAX_PARTS):
        if cursor.at_end():
            break
        opcode = cursor.number(1)
        if (scalar := SCALARS.get(opcode)) is not None:
            levels[-1].append(scalar(cursor))
        elif opcode == MARK:
            levels.append([])
            if len(levels) > MAX_DEPTH:
                raise ValueError(f"it has more than {MAX_DEPTH} levels")
        elif (make := SINCE_MARK.get(opcode)) is not None and len(levels) > 1:
            levels[-2].append(make(levels.pop()))
        elif opcode == FRAME:
            cursor.take(8)  # the length of what follows
        elif opcode == CLASS:
            name = ".".join(map(str, levels[-1][-2:]))
            raise BadPayload(
                f"a key refers to {name}, which the serializer of this manager does not read"
            )
        else:
            raise ValueError(f"it has a part {opcode:#04x}, which no key of plain values has")
    if not cursor.at_end():
        raise ValueError(f"it has more than {MAX_PARTS:,} parts")
    if len(levels) != 1 or len(levels[0]) != 1:
        raise ValueError("it is not one value")
    return levels[0][0]
