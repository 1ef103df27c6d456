"""The global variables that a Lua program reads or writes, from the bytecode of Lua 5.1.

A name that a script does not bind, a misspelled one or one of a fragment that it does not include,
is a global of no value: the server says so only when it comes to that line.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lupa import lua51

__all__ = ["global_names"]

GETGLOBAL, SETGLOBAL = 5, 7


def global_names(source: str) -> set[str]:
    """Return the names of the globals in a program; raise ``LuaError`` if it is none."""
    runtime = lua51.LuaRuntime(encoding="latin-1")
    dump: str = runtime.eval("function(text) return string.dump(assert(loadstring(text))) end")(
        source
    )
    return set(_Chunk(dump.encode("latin-1")).function())


class _Chunk:
    """A reader of what ``string.dump`` returns: a header, and a function with those in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 12  # behind the header
        self._int, self._size, self._instruction = data[7], data[8], data[9]
        assert data[:5] == b"\x1bLua\x51"
        assert data[6] == 1, "not little-endian"

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "little")

    def _string(self) -> str:
        return self._bytes(self._number(self._size))[:-1].decode("latin-1")

    def function(self) -> Iterator[str]:
        self._string()  # name of the source
        self._bytes(2 * self._int + 4)  # lines; upvalues, parameters, varargs, stack
        code = [self._number(self._instruction) for _ in range(self._number(self._int))]
        constants = [self._constant() for _ in range(self._number(self._int))]
        for instruction in code:
            if instruction & 0x3F in (GETGLOBAL, SETGLOBAL):
                yield str(constants[instruction >> 14])
        for _ in range(self._number(self._int)):
            yield from self.function()
        self._bytes(self._int * self._number(self._int))  # lines
        for _ in range(self._number(self._int)):
            self._string()  # locals
            self._bytes(2 * self._int)
        for _ in range(self._number(self._int)):
            self._string()  # upvalues

    def _constant(self) -> str | float | bool | None:
        kind = self._number(1)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self._number(1))
        if kind == 3:
            return float(struct.unpack("<d", self._bytes(8))[0])
        return self._string()
