"""What a body did, call by call, in a form that two managers can be compared by."""

from __future__ import annotations

import array
import re
import sys
from collections.abc import Callable, Iterator
from multiprocessing.managers import BaseProxy as TheirProxy
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.managers import BaseProxy as OurProxy

__all__ = ["Body", "Transcript", "bodies", "compare", "plain"]

DEPTH = 5
ADDRESS = re.compile(r"0x[0-9a-f]+")

Body = Callable[[Any, "Transcript"], None]


def plain(thing: Any, depth: int = 0) -> Any:
    """The exact type and content of anything, comparable by ``==``: 1, 1.0 and True differ here,
    NaN equals NaN, and a proxy is what it refers to.
    """
    cls = type(thing)
    name = cls.__name__
    if depth > DEPTH:
        return (name, "...")
    deeper = depth + 1
    if isinstance(thing, Iterator):
        return ("iterator", [plain(item, deeper) for item in thing])
    if isinstance(thing, (TheirProxy, OurProxy)):
        return ("proxy", name, plain(thing._getvalue(), deeper))
    if cls is dict:
        return (name, [(plain(k, deeper), plain(v, deeper)) for k, v in thing.items()])
    if cls in (list, tuple):
        return (name, [plain(item, deeper) for item in thing])
    if cls in (set, frozenset):
        return (name, sorted(repr(plain(item, deeper)) for item in thing))
    if cls is array.array:
        return (name, thing.typecode, list(map(repr, thing)))
    return (f"{cls.__module__}.{cls.__qualname__}", ADDRESS.sub("0x...", repr(thing)))


def raised(error: BaseException, text: bool = True) -> tuple[Any, ...]:
    """The type of an exception, its arguments and its text."""
    cls = type(error)
    name = f"raises {cls.__module__}.{cls.__qualname__}"
    if not text or isinstance(error, RemoteError):  # the text of which is the server's traceback
        return (name,)
    if isinstance(error, KeyError):  # its text is the key, in which a set has no order
        return (name, plain(error.args))
    return (name, plain(error.args), ADDRESS.sub("0x...", str(error)))


class Transcript:
    """Call it with an action: it records what comes out, and returns the result, if any."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def __call__(self, action: Callable[..., Any], /, *args: Any, **kwds: Any) -> Any:
        return self._record(True, action, args, kwds)

    def type_only(self, action: Callable[..., Any], /, *args: Any, **kwds: Any) -> Any:
        """For errors that Python words itself: a wrong number of arguments for a function in C or
        in Python.
        """
        return self._record(False, action, args, kwds)

    def _record(self, text: bool, action: Callable[..., Any], args: Any, kwds: Any) -> Any:
        frame = sys._getframe(2)
        where = f"line {frame.f_lineno}, call {len(self.lines)}"
        try:
            result = action(*args, **kwds)
        except Exception as error:
            self.lines.append((where, raised(error, text)))
            return None
        self.lines.append((where, plain(result)))
        return result


def write(body: Body, manager: Any) -> list[tuple[str, Any]]:
    transcript = Transcript()
    body(manager, transcript)
    return transcript.lines


def compare(theirs: list[tuple[str, Any]], ours: list[tuple[str, Any]]) -> list[str]:
    """Where two transcripts differ."""
    found = [
        f"{where}:\n    theirs {expected!r:.1500}\n    ours at {at}\n           {got!r:.1500}"
        for (where, expected), (at, got) in zip(theirs, ours, strict=False)
        if (where, expected) != (at, got)
    ]
    if len(theirs) != len(ours):
        found.append(f"{len(theirs)} calls there, {len(ours)} here")
    return found


def bodies(namespace: dict[str, Any]) -> list[Any]:
    """Every ``body_...`` of a module, as parameters."""
    import pytest

    return [
        pytest.param(value, id=name.removeprefix("body_"))
        for name, value in namespace.items()
        if name.startswith("body_")
    ]
