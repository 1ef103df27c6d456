"""The header of a script: the contract between the Lua file and its callers.

It names the keys and arguments in their order, what the script returns and which errors it
reports. :func:`parse` compares it with the bindings below it (``local data = KEYS[1]``), and
:class:`~multihost.wire.script.Script` with each call.

A name with ``...`` stands for any number of keys or arguments. A name with a colon
(``data:index``, ``partition:kept``) is a key that the script derives from another one: it is not
passed.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from multihost.wire.script.source import BadScript, expand

__all__ = ["ArityError", "Header", "arity", "check", "parse"]

_SECTION = r"^-- ([A-Z]{3,})\b(.*)$"
_ENTRY = r"^--   (\S+)\s"
_BINDING = r"^local ([\w, ]+) = ((?:KEYS|ARGV)\[\d+\](?:, (?:KEYS|ARGV)\[\d+\])*)$"
_SECTIONS = ("KEYS", "ARGV", "RETURNS", "ERRORS")


class ArityError(TypeError):
    """A call passes the wrong number of keys or arguments. Nothing was sent."""


class Header(NamedTuple):
    """The contract of one script."""

    name: str
    summary: str
    keys: tuple[str, ...]
    args: tuple[str, ...]

    @property
    def writes(self) -> bool:
        """True if the script must run only once: its first key holds the last request of the
        connection with the reply to it, its first argument is the number of this request.
        """
        return self.keys[:1] == ("reply_cache",)

    @property
    def passed_keys(self) -> tuple[str, ...]:
        """The keys that a call passes."""
        return tuple(entry for entry in self.keys if ":" not in entry)

    @property
    def passed_args(self) -> tuple[str, ...]:
        """The arguments that a call passes: all but the request number."""
        return self.args[1:] if self.writes else self.args

    def check_args(self, count: int) -> None:
        """Raise :class:`ArityError` if a call passes the wrong number of arguments."""
        _check_count(self.name, "argument", self.passed_args, count)

    def check_keys(self, count: int) -> None:
        """Raise :class:`ArityError` if a call passes the wrong number of keys."""
        _check_count(self.name, "key", self.passed_keys, count)


def arity(names: tuple[str, ...]) -> range:
    """Return the numbers of keys or arguments that fit those names."""
    least = sum("..." not in name for name in names)
    return range(least, least + 1 if least == len(names) else sys.maxsize)


def _check_count(script: str, kind: str, names: tuple[str, ...], count: int) -> None:
    numbers = arity(names)
    if count in numbers:
        return
    least = numbers.start
    wanted = f"{'at least ' if len(numbers) > 1 else ''}{least} {kind}{'' if least == 1 else 's'}"
    listed = f" ({', '.join(names)})" if names else ""
    raise ArityError(f"the script {script} takes {wanted}{listed}, not {count}: nothing was sent")


def check(name: str) -> Header:
    """Return the header of a script; raise :class:`BadScript` if it breaks its contract."""
    source = expand(name)
    return parse(name, source.file, source.code)


def parse(name: str, text: str, code: str = "") -> Header:
    """Return the header of a script, after comparing it with the bindings below it.

    ``code`` is the script with its includes: it shows which keys the script derives. Raises
    :class:`BadScript`.
    """
    comment: list[str] = []
    body: list[str] = []
    for line in text.splitlines():
        (body if body or not line.startswith("--") else comment).append(line)
    try:
        header = _header(name, comment)
        _check_bindings(header, body)
        _check_derived(header, code)
    except BadScript as problem:
        raise BadScript(f"{name}.lua: {problem}") from None
    return header


def _header(name: str, comment: list[str]) -> Header:
    start = f"-- {name}: "
    if not comment or not comment[0].startswith(start):
        raise BadScript(f"the first line must start with {start!r}")
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in comment[1:]:
        if match := re.match(_SECTION, line):
            current = sections.setdefault(match[1], [])
        elif current is not None and (match := re.match(_ENTRY, line + " ")):
            current.append(match[1])
    for section in _SECTIONS:
        if section not in sections:
            raise BadScript(f"the header has no {section}")
    if tuple(section for section in sections if section in _SECTIONS) != _SECTIONS:
        raise BadScript(f"the sections of the header must be in the order {' '.join(_SECTIONS)}")
    summary = comment[0].removeprefix(start)
    return Header(name, summary, tuple(sections["KEYS"]), tuple(sections["ARGV"]))


def _check_bindings(header: Header, body: list[str]) -> None:
    bound: dict[str, list[str]] = {"KEYS": [], "ARGV": []}
    rest = []
    for line in body:
        match = re.match(_BINDING, line) if line.startswith("local ") else None
        if match is None:
            rest.append(line)
            continue
        for local, value in zip(match[1].split(", "), match[2].split(", "), strict=True):
            kind, index = value[:4], int(value[5:-1])
            if index != len(bound[kind]) + 1:
                raise BadScript(f"{value} is bound out of order")
            bound[kind].append(local)
    for kind, listed in (("KEYS", header.keys), ("ARGV", header.args)):
        wanted = [entry for entry in listed if "..." not in entry and ":" not in entry]
        if bound[kind] != wanted:
            raise BadScript(f"the header names {kind} {wanted}, the code binds {bound[kind]}")
        if not any("..." in entry for entry in listed):
            for line in rest:
                if kind in line and re.search(rf"\b{kind}\b", line):
                    raise BadScript(f"{kind} is used outside the bindings: {line.strip()!r}")
    if ("reply_cache" in header.keys) != ("request" in header.args) or (
        header.writes and header.args[:1] != ("request",)
    ):
        raise BadScript(
            "reply_cache and request go together, as the first key and the first argument"
        )


def _check_derived(header: Header, code: str) -> None:
    """Check that each key derived from another one is in the header, as ``data:suffix``, and each
    of its partition as ``partition:suffix``.
    """
    of_any = not any(entry.startswith("data") for entry in header.keys)  # of the partition
    for suffix in re.findall(r"data \.\. '(:\w+)'", code):
        if not any(entry.endswith(suffix) or (of_any and ":u:" in entry) for entry in header.keys):
            raise BadScript(f"it uses data{suffix}, which the header does not name")
    for suffix in re.findall(r"partition \.\. '(\w+)'", code):
        if f"partition:{suffix}" not in header.keys:
            raise BadScript(f"it uses partition:{suffix}, which the header does not name")
