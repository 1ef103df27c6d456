"""The minute for which unnamed objects are there beyond a lease: tests do not wait for it."""

from __future__ import annotations

from typing import Any, Protocol

from multihost.wire.session.session import RESERVE
from tests.support.cluster import ClusterCommands

__all__ = ["spend_reserve"]

LONGEST_LEASE = 30.0  # seconds; whose lease is longer does not go within a test

SPEND = """
local reserve, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, key in ipairs(redis.call('KEYS', ARGV[3])) do
  local left = redis.call('PTTL', key)
  if left > lease and left <= reserve + lease then
    redis.call('PEXPIRE', key, math.max(left - reserve, 1))
  end
end
"""


class AnyServer(Protocol):
    """A server that takes commands."""

    def command(self, *args: Any) -> Any: ...


def spend_reserve(server: AnyServer, pattern: str = "*}:u:*") -> None:
    """Have unnamed objects go a lease after they were renewed last, as if an outage had used up the
    rest of their time. Those that are renewed have it again, until this is called again.
    """
    milliseconds = int(RESERVE * 1000), int(LONGEST_LEASE * 1000)
    ask = server.each if isinstance(server, ClusterCommands) else server.command
    ask("EVAL", SPEND, 0, *milliseconds, pattern)
