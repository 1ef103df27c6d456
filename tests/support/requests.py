"""Whose a request is: that of a call, or of the session in the background."""

from __future__ import annotations

import functools
import hashlib

from multihost.wire.script import source

__all__ = ["foreground", "script_of"]

BACKGROUND = frozenset(
    {
        "hold/announce",
        "hold/reap",
        "condition/reap",
        "barrier/reap",
        "object/renew",
        "object/drop",
        "object/let_go",
    }
)


@functools.cache
def _digests() -> dict[bytes, str]:
    names = source.all_names()
    return {
        hashlib.sha1(source.expand(name).code.encode()).hexdigest().encode(): name for name in names
    }


def script_of(args: list[bytes]) -> str:
    """The name of the script that a request runs, or nothing."""
    if args[0] == b"EVALSHA":
        return _digests().get(args[1], "")
    if args[0] == b"EVAL":
        return _digests().get(hashlib.sha1(args[1]).hexdigest().encode(), "")
    return ""


def foreground(args: list[bytes]) -> bool:
    """Whether a request is one of the operation itself, not of the background thread."""
    name = script_of(args)
    if args[0] == b"CLIENT":
        return False
    if name:
        return name not in BACKGROUND and not name.startswith(("session/", "collect/"))
    if any(b":ring:" in key for key in args[1:2]):  # what sessions say to those of their host
        return False
    return args[0] not in (b"TIME", b"INFO")
