"""What is left on a server when everybody has gone."""

from __future__ import annotations

import contextlib
import re

from tests.support.server import Server
from tests.support.waiting import wait_until

__all__ = ["blocked", "nothing_left"]

# What a killed process cannot take along goes by itself: the record of its last request within a
# minute, its session with the lease, tokens that nobody took within a minute. The mark by which
# those who wait learn that a queue was deleted is there for a second. What was said last to a host,
# or by one that was killed, expires within a minute.
TEMPORARY = re.compile(
    rb"\{[^{}]+:\d\d\}:"
    rb"(?:r:[^:]+|s:[^:]+|h:[^:]+:[ab]:[^:]+|[nuh]:.+:(?:tokens(?::\w+)?|items))"
)
MINUTE_MS = 60_000


def nothing_left(server: Server, within: float = 0.0) -> None:
    """No client, and no key but those that expire within a minute and that nobody renews.

    What the dead had a lease for has so many seconds to go.
    """
    wait_until(lambda: not connected(server), 5.0, "all clients have gone")
    if within:
        with contextlib.suppress(AssertionError):  # what is left is told below
            wait_until(lambda: _left(server) == ([], []), within)
    lasting, strange = _left(server)
    assert not lasting and not strange, (lasting, strange)


def _left(server: Server) -> tuple[list[bytes], list[bytes]]:
    """Keys that stay, and keys that are not of a kind that may be left."""
    keys = server.keys("{*}:*")
    ttls = server.commands(*(("PTTL", key) for key in keys)) if keys else []
    left = {key: ttl for key, ttl in zip(keys, ttls, strict=True) if ttl != -2}
    lasting = [key for key, ttl in left.items() if not 0 <= ttl <= MINUTE_MS]
    return lasting, [key for key in left if not TEMPORARY.fullmatch(key)]


def connected(server: Server) -> list[dict[str, str]]:
    """The connections of the code under test."""
    return [row for row in server.clients() if row["name"] == "multihost"]


def blocked(server: Server) -> int:
    """How many of those are blocked."""
    return sum("b" in row["flags"] for row in connected(server))
