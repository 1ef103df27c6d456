"""The text of the scripts: Lua files with their includes put in.

``lua/<type>/<verb>.lua`` is a script, ``lua/lib/<name>.lua`` a fragment. A line
``-- @include lib/<name>`` stands for the fragment. Comments and empty lines are not sent to the
server, so the lines that it counts are not those of the file: :meth:`Source.locate` finds those.

A line ``local NAME = 'text'``, or of a number, binds a constant: the server gets the value in place
of the name, which so costs nothing when a script runs.

One comment is sent, as the first line: scripts derive keys that a call does not declare, which
Dragonfly permits by that line alone.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["BadScript", "Source", "all_names", "expand"]

_FLAGS = "--!df flags=allow-undeclared-keys"
_LUA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "lua")
_INCLUDE = r"^( *)-- @include (lib/\w+)$"
_CONSTANT = r"^ *local ([A-Z_]+) = ('[^']*'|\d+)(?: +--.*)?$"
_WORD = r"'[^']*'|\b[A-Z_]+\b"


class BadScript(Exception):
    """A Lua file breaks the rules for includes or the contract of its header."""


class Source(NamedTuple):
    """A script as the server gets it."""

    name: str
    file: str
    """The text of the script's own file."""
    code: str
    """What is sent: the flags, and the file with its includes, without comments."""
    lines: tuple[tuple[str, int], ...]
    """File and line of each line of ``code``."""

    def locate(self, line: int) -> str:
        """Return file and line, such as ``lib/refs.lua:40``, of a line that the server reports."""
        if not 1 <= line <= len(self.lines):
            return f"{self.name}.lua"
        name, number = self.lines[line - 1]
        return f"{name}.lua:{number}"

    def behind(self, prelude: Source) -> Source:
        """Return this script with another one in front."""
        return self._replace(code=prelude.code + self.code, lines=prelude.lines + self.lines)


def all_names() -> list[str]:
    """Return the names of all scripts, such as ``dict/set``."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.lua')}"
        for folder in os.scandir(_LUA)
        if folder.is_dir() and folder.name != "lib"
        for file in os.scandir(folder)
        if file.name.endswith(".lua")
    )


def expand(name: str) -> Source:
    """Read a script and put each include in once.

    An include inside a block is put in again for each block: it exists in that block alone, with
    what it includes itself, and costs nothing where the block is not entered. Raises
    :class:`BadScript` if includes form a cycle, or if a constant has two values.
    """
    files: dict[str, str] = {}
    constants: dict[str, str] = {}

    def lines_of(
        name: str, stack: tuple[str, ...], included: set[str]
    ) -> Iterator[tuple[str, int, str]]:
        stack = (*stack, name)
        if name not in files:
            files[name] = _read(name)
        for number, line in enumerate(files[name].splitlines(), 1):
            bare = line.lstrip()
            if bare.startswith("--"):
                match = re.match(_INCLUDE, line) if "@include" in bare else None
                if match is None:
                    continue
                indent, fragment = match.groups()
                if fragment in stack:
                    raise BadScript(f"includes form a cycle: {' -> '.join((*stack, fragment))}")
                if indent:
                    yield from lines_of(fragment, stack, set(included))
                elif fragment not in included:
                    included.add(fragment)
                    yield from lines_of(fragment, stack, included)
            elif bare.startswith("local ") and (match := re.match(_CONSTANT, line)):
                constant, value = match.groups()
                if constants.setdefault(constant, value) != value:
                    raise BadScript(f"{constant} is {constants[constant]} and {value}")
            elif bare:
                yield name, number, line

    expanded = list(lines_of(name, (), set()))
    code = "".join(f"{line}\n" for _, _, line in expanded)
    code = re.sub(_WORD, lambda found: constants.get(found[0], found[0]), code)
    lines = (name, 1), *((file, number) for file, number, _ in expanded)
    return Source(name, files[name], f"{_FLAGS}\n{code}", lines)


@functools.lru_cache(maxsize=64)  # scripts include the same fragments
def _read(name: str) -> str:
    with open(os.path.join(_LUA, f"{name}.lua"), encoding="utf-8") as file:
        return file.read()
