"""What is left on a server when everybody has gone."""

from __future__ import annotations

import re

from multihost.wire.session.session import RESERVE
from tests.support.leaks import is_listed
from tests.support.server import Server
from tests.support.waiting import wait_until

__all__ = ["blocked", "nothing_left"]

# What a killed process cannot take along goes by itself: the record of its last request within a
# minute, that of its session and its place in the ring, where nobody looked, within a day, tokens
# that nobody took within a minute. The mark by which those who wait learn that a queue or a lock
# was deleted is there for a second. What was said last to a host, or by one that was killed,
# expires within a minute.
TEMPORARY = re.compile(
    rb"\{[^{}]+:\d\d\}:"
    rb"(?:r:[^:]+|h:[^:]+:(?:req|res):[^:]+|[nuh]:.+:(?:tokens(?::\w+)?|items|free))"
)
SESSION = re.compile(rb"\{[^{}]+:\d\d\}:(?:s:[^:]+|ring:.+)")
# Whose lists of unnamed objects may outlive them: the next process of the namespace needs that.
LISTS = re.compile(rb"\{[^{}]+:\d\d\}:lists")
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def nothing_left(server: Server, lease: float = 0.0) -> None:
    """No client, and no key but those that expire within a minute; what the dead had a lease for,
    within that and the reserve, and their sessions within a day. When all clients have gone nobody
    renews it: there is nothing to wait for.
    """
    wait_until(lambda: not connected(server), what="all clients have gone")
    keys = server.keys("{*}:*")
    ttls = server.commands(*(("PTTL", key) for key in keys)) if keys else []
    left = {key: ttl for key, ttl in zip(keys, ttls, strict=True) if ttl != -2}
    lasting = {
        key: ttl
        for key, ttl in left.items()
        if not (0 <= ttl <= longest(key, lease) or LISTS.fullmatch(key) or is_listed(server, key))
    }
    assert not lasting, lasting


def longest(key: bytes, lease: float) -> float:
    """For how many milliseconds a key may be there after the end of those who used it."""
    if SESSION.fullmatch(key):
        return DAY_MS
    of_object = (lease + max(RESERVE, lease / 3)) * 1000 if lease else 0.0
    return max(MINUTE_MS * bool(TEMPORARY.fullmatch(key)), of_object)


def connected(server: Server) -> list[dict[str, str]]:
    """The connections of the code under test."""
    return [row for row in server.clients() if row["name"] == "multihost"]


def blocked(server: Server) -> int:
    """How many of those are blocked."""
    return sum("b" in row["flags"] for row in connected(server))
