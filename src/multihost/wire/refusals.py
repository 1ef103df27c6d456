"""What servers answer instead of doing what they were asked to do: one table.

A row has what happened, what can be done about it, and whether it passes: then the same request may
succeed later, for the server executed nothing. It is found by the error code that a reply begins
with, or, where servers have none (``ERR``), by the text. What is in no row, an error of a script or
of its arguments, is a fault of multihost.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from multihost.errors import (
    AccessDenied,
    BadPayload,
    LinkError,
    MultihostError,
    PayloadTooLarge,
    ServerFull,
    ServerUnfit,
)

__all__ = [
    "ALTERED",
    "IN_CLUSTER",
    "NOT_PERMITTED",
    "NO_RESP3",
    "NO_SUCH_COMMAND",
    "Passes",
    "Refusal",
    "look_up",
]


class Passes(enum.Enum):
    """Whether a refusal ends."""

    SOON = enum.auto()
    """By itself, within seconds: every call that may wait tries again."""
    LATER = enum.auto()
    """When somebody has done something about it: who waits already goes on waiting for a while, any
    other call raises at once."""
    NEVER = enum.auto()
    """The same request will be refused again."""


class Refusal(NamedTuple):
    """One kind of refusal."""

    cause: str
    advice: str
    passes: Passes = Passes.NEVER
    exception: type[MultihostError] = LinkError
    has_moved: bool = False
    """Whether the address may lead to another server by now: connect again."""

    @property
    def text(self) -> str:
        """Cause and advice."""
        return f"{self.cause}; {self.advice}" if self.advice else self.cause


IN_CLUSTER = Refusal(
    "it is a node of a cluster",
    "use redis+cluster:// with its address, or with those of several nodes",
    exception=ServerUnfit,
)
NOT_PERMITTED = Refusal(
    "the server refuses a permission",
    "'multihost doctor' names what is missing, the page Operations what is needed",
    exception=AccessDenied,
)
_NOT_LOGGED_IN = Refusal(
    "the server refuses the user name or password",
    "give them in the URL of RedisManager or in MULTIHOST_URL",
    exception=AccessDenied,
)
_TOO_LARGE = Refusal(
    "a value is larger than the server accepts",
    "raise its proto-max-bulk-len, or store smaller values",
    exception=PayloadTooLarge,
)
ALTERED = Refusal(
    "the stored data was changed by another program",
    "delete the object, or restore it",
    exception=BadPayload,
)
_REPLICAS = Refusal(
    "the server refuses writes, since fewer replicas follow it than min-replicas-to-write says",
    "start replicas, or lower min-replicas-to-write",
    Passes.SOON,
)
_FAILING_OVER = Refusal("the server is failing over", "it passes when that is over", Passes.SOON)
_KILLED = Refusal(
    "somebody ended the script by SCRIPT KILL or FUNCTION KILL before it wrote anything",
    "call again",
)
NO_RESP3 = Refusal(
    "the server is not Redis 6.2, Valkey or newer", "use one that is", exception=ServerUnfit
)
NO_SUCH_COMMAND = Refusal(
    "the server lacks a command, or its administrator renamed it",
    "use Redis 6.2, Valkey or newer with all commands",
    exception=ServerUnfit,
)

# By the code that the reply begins with.
_CODES: dict[str, Refusal] = {
    "ASK": IN_CLUSTER,
    "BUSY": Refusal(
        "the server is busy with a script or a module that takes long",
        "SCRIPT KILL ends a script that has not written yet",
        Passes.SOON,
    ),
    "BUSYKEY": ALTERED,
    "CLUSTERDOWN": Refusal("the cluster is down", "CLUSTER INFO says why", Passes.SOON),
    "CROSSSLOT": IN_CLUSTER,
    "DENIED": Refusal(
        "the server serves its own machine only (protected-mode)",
        "give it a password, or set protected-mode to no",
        exception=AccessDenied,
    ),
    "EXECABORT": Refusal(
        "the server refused a part of a transaction", "its log may say why", exception=ServerUnfit
    ),
    "INPROG": _FAILING_OVER,
    "INVALIDOBJ": ALTERED,
    "IOERR": Refusal("the server cannot reach another one", "see its log", Passes.SOON),
    "LOADING": Refusal(
        "the server is loading its data", "it answers when it has read all of it", Passes.SOON
    ),
    "MASTERDOWN": Refusal(
        "the server is a replica that has lost its master",
        "connect to the master",
        Passes.SOON,
        has_moved=True,
    ),
    "MISCONF": Refusal(
        "the server refuses writes, since it cannot save its data",
        "see whether its disk is full, and its log",
        Passes.LATER,
        ServerUnfit,
    ),
    "MOVED": IN_CLUSTER,
    "NOAUTH": _NOT_LOGGED_IN,
    "NOGOODSLAVE": _FAILING_OVER,
    "NOMASTERLINK": _FAILING_OVER,
    "NOPERM": NOT_PERMITTED,
    "NOPROTO": NO_RESP3,
    "NOQUORUM": _FAILING_OVER,
    "NOREPL": _REPLICAS,
    "NOREPLICAS": _REPLICAS,
    "NOSCRIPT": Refusal(
        "the server forgets scripts as soon as they are loaded",
        "see who sends SCRIPT FLUSH",
    ),
    "OOM": Refusal(
        "the server has reached maxmemory",
        "delete something, or raise maxmemory",
        Passes.LATER,
        ServerFull,
    ),
    "READONLY": Refusal(
        "the server is a replica, which takes no writes",
        "connect to its master",
        Passes.SOON,
        has_moved=True,
    ),
    "REDIRECT": Refusal(
        "the server hands its clients over to another one",
        "connect to that if this does not pass",
        Passes.SOON,
        has_moved=True,
    ),
    "TRYAGAIN": Refusal("the cluster is moving the data", "it passes", Passes.SOON),
    "UNBLOCKED": Refusal(
        "the server ended a wait, since it became a replica, or by CLIENT UNBLOCK",
        "call again",
        Passes.SOON,
        has_moved=True,
    ),
    "UNKILLABLE": Refusal(
        "the server is busy with a script that cannot be ended", "it passes", Passes.SOON
    ),
    "WRONGPASS": _NOT_LOGGED_IN,
    "WRONGTYPE": ALTERED,
}

# By the text, where there is no code, or a server spoiled it: Redis 7 cuts the first letter of
# some in a script. The first that matches.
_TEXTS: list[tuple[str, Refusal]] = [
    (r"^ERR WRONGTYPE ", ALTERED),
    (r"not enough good (replicas|slaves)", _REPLICAS),
    (
        r"max number of clients",
        Refusal(
            "the server has as many clients as it may have",
            "raise its maxclients, or close other connections",
            Passes.SOON,
        ),
    ),
    (r"The user executing the script|ACL failure in script", NOT_PERMITTED),
    (r"operation not permitted|no permissions", NOT_PERMITTED),
    (r"invalid password|AUTH .*(without|no) (any )?password", _NOT_LOGGED_IN),
    (r"unauthenticated (multi)?bulk length", _NOT_LOGGED_IN),
    (r"(unknown|unsupported) (Redis |Valkey )?(sub)?command", NO_SUCH_COMMAND),
    (r"command is not (available|supported)|not allowed from script", NO_SUCH_COMMAND),
    (r"invalid (multi)?bulk length|too big m?bulk count", _TOO_LARGE),
    (r"exceeds maximum allowed size", _TOO_LARGE),
    (
        r"DB index|invalid DB",
        Refusal(
            "the server has no database of that number",
            "use a smaller one in the URL, or raise its setting databases",
            exception=ServerUnfit,
        ),
    ),
    (r"cluster mode|non local key|cluster node", IN_CLUSTER),
    (r"failover already in progress|while failing over", _FAILING_OVER),
    (r"killed by user", _KILLED),
    (r"shutting down", Refusal("the server is shutting down", "", Passes.SOON)),
]

# Those of scripts, and what they or their arguments may be to blame for. Any other is the server's.
_OURS = frozenset({"ERR", "GONE", "RETAIN", "SHUTDOWN", "STAGED", "STALE"})
_OTHER = Refusal("the server refuses", "its log may say why", exception=ServerUnfit)
_CODE = r"[A-Z][A-Z0-9_-]{2,}"


def look_up(code: str, text: str) -> Refusal | None:
    """Return what a server means by an error reply; None for one that it cannot be blamed for."""
    refusal = _CODES.get(code)
    if refusal is not None:
        return refusal
    for pattern, refusal in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return refusal
    return _OTHER if code not in _OURS and re.fullmatch(_CODE, code) else None
