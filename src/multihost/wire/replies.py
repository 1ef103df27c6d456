"""Error replies of the server and the exceptions they become."""

from __future__ import annotations

import re
from collections.abc import Sequence

from multihost.errors import (
    AccessDenied,
    BadPayload,
    InternalError,
    MultihostError,
    ObjectGone,
    ServerFull,
    ServerUnfit,
    ShutDown,
)

__all__ = ["MustRetain", "ReplyError", "command_error", "to_exception", "pairs"]

# What servers say when a script uses what its caller may not: until Redis 7.0, and since.
FORBIDDEN = ("The user executing the script", "ACL failure in script")
# How Redis 6.2 reports what a command in a script said.
IN_SCRIPT = re.compile(r"ERR Error running script \(.*?: -?(([A-Z]{3,})\b.*)", re.DOTALL)
# How a server reports that it refused the end of a transaction.
ABORTED = re.compile(r"EXECABORT .*? because of: (([A-Z]{3,})\b.*)", re.DOTALL)
TRANSIENT = frozenset(
    {"LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "UNBLOCKED"}
)


class ReplyError(Exception):
    """An error reply as it came; it never leaves ``wire``."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]

    @property
    def is_transient(self) -> bool:
        """Whether the server says «not now»: nothing was executed, and asking again may succeed."""
        return self.code in TRANSIENT


class MustRetain(MultihostError):
    """The container must own what the value refers to first; nothing was changed."""


def to_exception(error: ReplyError, operation: str, subject: str) -> Exception:
    """The exception for an error reply to ``operation`` on ``subject``."""
    code, text = error.code, str(error)
    if wrapped := IN_SCRIPT.match(text) or ABORTED.match(text):
        code, text = wrapped[2], wrapped[1]
    where = f"{operation} on {subject}"
    match code:
        case "GONE":
            return ObjectGone(
                f"{where}: the object was deleted, or its lease ran out; create it again"
            )
        case "SHUTDOWN":
            return ShutDown(f"{subject} was shut down: it takes no more items, and has none left")
        case "RETAIN":
            return MustRetain()
        case "OOM":
            return ServerFull(f"{where}: the server has reached maxmemory; nothing was changed")
        case "NOPERM" | "NOAUTH" | "WRONGPASS":
            return AccessDenied(f"{where}: the server refuses: {text}")
        case "ERR" if any(mark in text for mark in FORBIDDEN):
            return AccessDenied(f"{where}: the server refuses: {text.removeprefix('ERR ')}")
        case "WRONGTYPE":
            return BadPayload(f"{where}: the stored data was changed by another program: {text}")
        case "MISCONF":
            return ServerUnfit(f"{where}: the server refuses writes: {text}")
        case _:
            return InternalError(f"{where}: {text}")


def command_error(error: ReplyError, command: Sequence[bytes]) -> Exception:
    """Return the exception that users see for an error reply to a plain command."""
    subject = command[1].decode("utf-8", "replace") if len(command) > 1 else "the server"
    return to_exception(error, command[0].decode().lower(), subject)


def pairs(reply: object) -> dict[bytes, bytes]:
    """The reply to HGETALL: a map in RESP3, a list of pairs in RESP2."""
    if isinstance(reply, dict):
        return reply
    assert isinstance(reply, list)
    return dict(zip(reply[0::2], reply[1::2], strict=True))
