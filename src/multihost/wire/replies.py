"""Reply codes of the scripts; error replies of the server, and the exceptions they become."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from multihost.errors import InternalError, MultihostError, ObjectGone, ServerFull, ShutDown
from multihost.wire.printable import printable
from multihost.wire.refusals import ALTERED, Passes, Refusal, look_up
from multihost.wire.stored import number
from multihost.wire.subject import describe

__all__ = [
    "ACT",
    "BROKEN",
    "CHANGED",
    "COMPARE",
    "CUT",
    "EMPTY",
    "EXCEEDED",
    "EXISTS",
    "GONE",
    "NOT_HELD",
    "NO_SPACE",
    "OK",
    "OPEN",
    "PASS",
    "SET",
    "TOO_LONG",
    "UNSET",
    "WAIT",
    "WRONG_SIZE",
    "MustKeep",
    "ReplyError",
    "altered",
    "command_error",
    "counted",
    "integer",
    "microseconds",
    "misread",
    "row",
    "pairs",
    "stored_number",
    "text",
    "texts",
    "to_exception",
]

# -- reply codes: what the reply of a script starts with. lua/lib/codes.lua has the same ones, each
# with this one meaning. When a script returns nil instead, its header says.

OK = b"."
"""Done. What the operation returns follows."""
CUT = b"!"
"""Done, and a container without a lease let go of objects, which are left to the collector. What
the operation returns follows."""
EXISTS = b"="
"""Nothing was stored: there is an object of that name, or a value of that key, which follows."""
NOT_HELD = b"?"
"""Nothing was changed: the session does not hold, or no longer, what it gives back."""
EXCEEDED = b">"
"""Nothing was changed: a bounded semaphore would exceed its initial value."""
WRONG_SIZE = b"#"
"""Nothing was changed: the number of values is not the size of the slice, which follows."""
COMPARE = b"<"
"""Not stored: the client has to compare the item with those of the queue, whose kind follows."""
CHANGED = b"~"
"""Not stored: the queue has changed since the client compared."""
NO_SPACE = b"|"
"""Not stored: no score is free between the two neighbours."""
SET = b"1"
"""The event is set, or was since."""
UNSET = b"-"
"""The event is not set. How often it was follows."""
OPEN = b"open"
"""The generation of the barrier was let pass."""
BROKEN = b"broken"
"""The barrier is broken."""
WAIT = b"wait"
"""The party waits for others."""
PASS = b"pass"
"""The party is the last one and lets all others pass."""
ACT = b"act"
"""The party is the last one and runs the action, which follows."""
EMPTY = b"empty"
"""The list has no elements."""
TOO_LONG = b"long"
"""Nothing was changed: no list can be that long."""

# -- error replies

# A line of a script, as each server writes it. Redis 6.2: "ERR Error running script (call to
# f_<sha>): @user_script:3: user_script:3: <what>"; Redis 7: "ERR user_script:3: <what> script:
# <sha>, on @user_script:3."; Valkey: the same without the sha; fakeredis as the first, with
# '@user_script:?: [string "<python>"]:3: '.
SCRIPT_LINE = r'(?:@?user_script: ?|\[string "<python>"\]:)(\d+)'
# All that surrounds what happened.
SCRIPT_FRAME = (
    r"(?s)Error running script \(call to f_\w*\): | script: (?:\w+, )?on @user_script:\d+\.?$"
    r"|(?:@?user_script: ?|\[string \"<python>\"\]:)[\d?]+: ?|\nstack traceback:.*"
)
# The error of the command that failed: Redis 6.2 puts ERR and where it was in front, and a server
# that refused the end of a transaction EXECABORT.
WRAPPED = r"(?s)(?:ERR Error running script \(.*?|EXECABORT .*? because of): -?([A-Z]{3,}\b.*)"


class ReplyError(Exception):
    """An error reply of the server, unchanged. It never leaves ``wire``."""

    is_repeated: bool = False
    """Whether the request had been sent before: that attempt may have been executed."""

    @property
    def core(self) -> str:
        """The text without what servers put in front of the error of a command in a script or a
        transaction.
        """
        text = str(self)
        wrapped = re.match(WRAPPED, text)
        return wrapped[1] if wrapped else text

    @property
    def code(self) -> str:
        """The error code: the first word."""
        return self.core.partition(" ")[0]

    @property
    def refusal(self) -> Refusal | None:
        """What the server means; None for an error of a script, or one that multihost made."""
        core = self.core
        return look_up(core.partition(" ")[0], core)

    @property
    def is_transient(self) -> bool:
        """True if the server is unavailable for the moment: nothing was executed, and the same
        request may succeed later.
        """
        refusal = self.refusal
        return refusal is not None and refusal.passes is Passes.SOON

    @property
    def passes(self) -> bool:
        """True for what is transient, and for what ends when somebody does something about it."""
        refusal = self.refusal
        return refusal is not None and refusal.passes is not Passes.NEVER

    @property
    def has_moved(self) -> bool:
        """True if the address may lead to another server by now, which would not refuse."""
        refusal = self.refusal
        return refusal is not None and refusal.has_moved


GONE = ReplyError("GONE the object does not exist")


class MustKeep(MultihostError):
    """What the value refers to has to be kept first, in this epoch or a later one; nothing was
    changed.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch: int = epoch


def to_exception(
    error: ReplyError, operation: str, subject: str, locate: Callable[[int], str] | None = None
) -> Exception:
    """Return the exception for an error reply to ``operation`` on ``subject``.

    ``locate`` returns file and line of a line of the script that was run, where the server reports
    one.
    """
    what = describe(operation, subject)
    match error.code:
        case "GONE":
            return ObjectGone(
                f"{what}: the object was deleted, or its lease ran out; create it again"
            )
        case "SHUTDOWN":
            return ShutDown(f"{what} was shut down: it takes no more items, and has none left")
        case "KEEP":
            epoch = number(error.core.partition(" ")[2].encode())
            return MustKeep(epoch or 0)
    text = printable(re.sub(SCRIPT_FRAME, "", error.core))
    refusal = error.refusal
    if refusal is not None:
        known = refusal.exception is ServerFull and not error.is_repeated
        outcome = "; nothing was changed" if known else ""
        return refusal.exception(f"{what}: {refusal.text}{outcome} ({text.removeprefix('ERR ')})")
    if line := re.search(SCRIPT_LINE, str(error)):
        place = locate(int(line[1])) if locate is not None else f"line {line[1]} of the script"
        text = f"{place}: {text.removeprefix('ERR ')}"
    return InternalError(f"{what}: {text} (in {operation})")


def command_error(error: ReplyError, command: Sequence[bytes]) -> Exception:
    """Return the exception that users see for an error reply to a plain command."""
    key = 3 if command[0] in (b"EVAL", b"EVALSHA") else 1
    subject = command[key].decode("utf-8", "replace") if len(command) > key else "the server"
    return to_exception(error, command[0].decode().lower(), subject)


def altered(operation: str, subject: str, what: str) -> Exception:
    """Return the exception for something of an object that cannot be read."""
    return ALTERED.exception(f"{describe(operation, subject)}: {ALTERED.text} ({what})")


def stored_number(operation: str, subject: str, stored: bytes | None, what: str) -> int:
    """Return a number that scripts store, 0 for None. Raises BadPayload if it is none."""
    if stored is None:
        return 0
    found = number(stored)
    if found is None:
        raise altered(operation, subject, f"{what} is no number")
    return found


def pairs(reply: object) -> dict[bytes, bytes]:
    """Return the reply to HGETALL as a dict: it is a map in RESP3, a flat list in RESP2."""
    if isinstance(reply, dict):
        return reply
    found = texts("server/read", "the server", reply)
    if len(found) % 2:
        raise misread("server/read", "the server")
    return dict(zip(found[0::2], found[1::2], strict=True))


# What a reply has to be, where anything else would be an error of Python's. A server does not reply
# like that, but something may stand between, or what is stored may have been altered.


def misread(operation: str, subject: str) -> Exception:
    """Return the exception for a reply that is none to what was asked."""
    return altered(operation, subject, "the reply is none to what was asked")


def integer(operation: str, subject: str, reply: object) -> int:
    """Return a reply that is a number. Raises BadPayload for anything else."""
    if not isinstance(reply, int) or abs(reply) >= 1 << 63:
        raise misread(operation, subject)
    return reply


def counted(operation: str, subject: str, reply: object) -> int:
    """Return a reply that says how many there are. Raises BadPayload for anything else."""
    if not isinstance(reply, int) or not 0 <= reply < 1 << 63:
        raise misread(operation, subject)
    return reply


def row(operation: str, subject: str, reply: object, size: int) -> list[Any]:
    """Return a reply that is a list of so many. Raises BadPayload for anything else."""
    if not isinstance(reply, list) or len(reply) != size:
        raise misread(operation, subject)
    return reply


def text(operation: str, subject: str, reply: object) -> bytes:
    """Return a reply that is a value. Raises BadPayload for anything else."""
    if not isinstance(reply, bytes):
        raise misread(operation, subject)
    return reply


def texts(operation: str, subject: str, reply: object) -> list[bytes]:
    """Return a reply that is a list or a set of values. Raises BadPayload for anything else."""
    if not isinstance(reply, list | set) or not {*map(type, reply)} <= {bytes}:
        raise misread(operation, subject)
    return list(reply) if isinstance(reply, set) else reply


def microseconds(reply: object) -> int:
    """Return the time in the reply to TIME. Raises BadPayload for anything else."""
    what = "server/time", "the server"
    seconds, micros = (stored_number(*what, each, "the time") for each in row(*what, reply, 2))
    return seconds * 1000000 + micros
