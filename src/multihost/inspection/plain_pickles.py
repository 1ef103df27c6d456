"""Pickles of plain values, read without pickle: lists, dicts and sets of numbers and texts.

A pickle is a program. Of its opcodes, this executes those that the pickler writes for values of
builtin types. A container is built once, when it is complete, and so contains no part of which it
is one. Time and memory grow with the number of bytes, whoever wrote them: levels, parts, and what
is shown repeatedly are bounded.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from multihost.wire.values.plain import (
    FRAME,
    MARK,
    MAX_DEPTH,
    SCALARS,
    SINCE_MARK,
    Cursor,
    check_hashes,
)

__all__ = ["read"]

MAX_PARTS = 20_000
"""The most opcodes of a value."""
MAX_WORK = 1_000_000
"""Bytes that may be hashed or shown once more beyond ten times all of them: what contains a part
handles all of that, and a value may refer to one of its parts twice.
"""

Build = Callable[[list[Any]], Any]


def _set(members: list[Any]) -> set[Any]:
    return set(check_hashes(members))


def _dict(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(check_hashes(flat[0::2]), flat[1::2], strict=True))


PROTO, STOP, MEMOIZE = pickle.PROTO[0], pickle.STOP[0], pickle.MEMOIZE[0]
GET = {pickle.BINGET[0]: 1, pickle.LONG_BINGET[0]: 4}
MORE_SCALARS: dict[int, Callable[[Cursor], object]] = SCALARS | {
    pickle.BININT1[0]: lambda cursor: cursor.number(1),
    pickle.BININT2[0]: lambda cursor: cursor.number(2),
    pickle.BININT[0]: lambda cursor: int.from_bytes(cursor.take(4), "little", signed=True),
    pickle.BYTEARRAY8[0]: lambda cursor: bytearray(cursor.take(cursor.number(8))),
}
EMPTY: dict[int, Build] = {
    pickle.EMPTY_LIST[0]: list,
    pickle.EMPTY_DICT[0]: _dict,
    pickle.EMPTY_SET[0]: _set,
}
TUPLES = {
    pickle.EMPTY_TUPLE[0]: 0,
    pickle.TUPLE1[0]: 1,
    pickle.TUPLE2[0]: 2,
    pickle.TUPLE3[0]: 3,
}
ADD: dict[int, tuple[int | None, Build]] = {
    pickle.APPEND[0]: (1, list),
    pickle.APPENDS[0]: (None, list),
    pickle.SETITEM[0]: (2, _dict),
    pickle.SETITEMS[0]: (None, _dict),
    pickle.ADDITEMS[0]: (None, _set),
}
"""How many values are added to what; None for those since the last mark."""


class _Node:
    """A value, or the parts of a container that is not complete; its size and its levels."""

    __slots__ = ("build", "levels", "size", "value")

    def __init__(self, value: Any, size: int, build: Build | None = None) -> None:
        self.value = value
        self.size = size
        self.build = build
        self.levels = 0

    def complete(self) -> Any:
        """Return the value; nothing is added to it any more."""
        if self.build is not None:
            self.value, self.build = self.build(self.value), None
        return self.value


class _Reader:
    """Executes one pickle, or a piece of one. Raises ValueError or TypeError."""

    def __init__(self, data: bytes) -> None:
        self._cursor = Cursor(data)
        self._work = 10 * len(data) + MAX_WORK
        self._stack: list[_Node] = []
        self._marks: list[int] = []
        self._memo: list[_Node] = []

    def run(self) -> Any:
        """Return the value."""
        for _ in range(MAX_PARTS):
            if self._cursor.at_end():
                break
            opcode = self._cursor.number(1)
            if opcode == STOP:
                break
            self._step(opcode)
        if not self._cursor.at_end() or self._marks or len(self._stack) != 1:
            raise ValueError(f"not one value of at most {MAX_PARTS:,} parts")
        return self._stack[0].complete()

    def _step(self, opcode: int) -> None:
        if (scalar := MORE_SCALARS.get(opcode)) is not None:
            start = self._cursor.place
            value = scalar(self._cursor)
            self._stack.append(_Node(value, self._cursor.place - start + 1))
        elif opcode in EMPTY:
            self._stack.append(_Node([], 1, EMPTY[opcode]))
        elif opcode in ADD:
            count, build = ADD[opcode]
            parts = self._since_mark() if count is None else self._last(count)
            self._add(build, parts)
        elif opcode in TUPLES:
            self._push(tuple, self._last(TUPLES[opcode]))
        elif opcode in SINCE_MARK:
            self._push(SINCE_MARK[opcode], self._since_mark())
        elif opcode == MARK:
            self._marks.append(len(self._stack))
        elif opcode == MEMOIZE:
            self._memo += self._stack[-1:]
        elif opcode in GET:
            number = self._cursor.number(GET[opcode])
            self._stack += self._memo[number : number + 1]
        elif opcode == PROTO:
            self._cursor.take(1)
        elif opcode == FRAME:
            self._cursor.take(8)  # the length of what follows
        else:
            raise ValueError(f"opcode {opcode:#04x}")

    def _last(self, count: int) -> list[_Node]:
        place = len(self._stack) - count
        if place < (self._marks[-1] if self._marks else 0):
            raise ValueError("a mark or the end between parts")
        parts = self._stack[place:]
        del self._stack[place:]
        return parts

    def _since_mark(self) -> list[_Node]:
        if not self._marks:
            raise ValueError("no mark")
        parts = self._last(len(self._stack) - self._marks[-1])
        self._marks.pop()
        return parts

    def _push(self, build: Build, parts: list[_Node]) -> None:
        self._stack.append(_Node([], 1, build))
        self._add(build, parts)
        self._stack[-1].complete()

    def _add(self, build: Build, parts: list[_Node]) -> None:
        values = [part.complete() for part in parts]
        (container,) = self._last(1)
        if container.build is not build:
            raise ValueError("a part is added to what is complete, or another kind")
        size = sum(part.size for part in parts)
        self._work -= size
        container.value += values
        container.size += size
        container.levels = max([container.levels, *(part.levels + 1 for part in parts)])
        if self._work < 0 or container.levels > MAX_DEPTH:
            raise ValueError("too many levels, or repetitions")
        self._stack.append(container)


def read(data: bytes) -> Any:
    """Return the value of a pickle, or of a piece of one. Raises ValueError for what names a class,
    and for what is damaged.
    """
    try:
        return _Reader(data).run()
    except TypeError:  # a list as a key
        raise ValueError("a part that cannot be a key") from None
