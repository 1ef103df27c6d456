"""The text of the scripts: Lua files with their includes put in.

``lua/<type>/<verb>.lua`` is a script, ``lua/lib/<name>.lua`` a fragment. A line
``-- @include lib/<name>`` stands for the fragment. Comments and empty lines are not sent to the
server, so the lines that it counts are not those of the file: :meth:`Source.locate` finds those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["BadScript", "Source", "all_names", "expand"]

_LUA = Path(__file__).parents[1] / "lua"
_INCLUDE = re.compile(r"^( *)-- @include (lib/\w+)$")


class BadScript(Exception):
    """A Lua file breaks the rules for includes or the contract of its header."""


class Source(NamedTuple):
    """A script as the server gets it."""

    name: str
    file: str
    """The text of the script's own file."""
    code: str
    """What is sent: with the includes, without comments."""
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
        for folder in _LUA.iterdir()
        if folder.is_dir() and folder.name != "lib"
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    )


def expand(name: str) -> Source:
    """Read a script and put each include in once.

    An include inside a block is put in again for each block: it exists in that block alone, and
    costs nothing where the block is not entered. Raises :class:`BadScript` if includes form a
    cycle.
    """
    files: dict[str, str] = {}
    included: set[str] = set()

    def lines_of(name: str, stack: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
        stack = (*stack, name)
        if name not in files:
            files[name] = _read(name)
        for number, line in enumerate(files[name].splitlines(), 1):
            if match := _INCLUDE.match(line):
                indent, fragment = match.groups()
                if fragment in stack:
                    raise BadScript(f"includes form a cycle: {' -> '.join((*stack, fragment))}")
                if indent or fragment not in included:
                    if not indent:
                        included.add(fragment)
                    yield from lines_of(fragment, stack)
            elif not line.lstrip().startswith("--") and line.strip():
                yield name, number, line

    expanded = list(lines_of(name, ()))
    code = "\n".join(line for _, _, line in expanded) + "\n"
    return Source(name, files[name], code, tuple((file, number) for file, number, _ in expanded))


def _read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text("utf-8")
