"""Whether a server can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multihost.errors import ServerUnfit
from multihost.wire.replies import ReplyError, to_exception

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["check_server"]

OLDEST = (6, 2)


def check_server(link: Link, probe: bytes) -> None:
    """Raise :class:`ServerUnfit` for a server that lacks what this library needs."""
    facts = dict(
        line.split(":", 1) for line in _optional(link, b"INFO").splitlines() if ":" in line
    )
    version = facts.get("redis_version", "")
    if version and tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise ServerUnfit(
            f"the server at {link.address} is version {version}; multihost needs 6.2 or newer"
        )
    if facts.get("redis_mode") == "cluster":
        raise ServerUnfit(
            f"the server at {link.address} is part of a cluster, which is not supported yet"
        )
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServerUnfit(
            f"the server at {link.address} may evict objects (maxmemory-policy {policy}); "
            "set maxmemory-policy to noeviction"
        )
    try:
        link.execute_raw(b"EVAL", b"return redis.call('EXISTS', KEYS[1])", b"1", probe)
    except ReplyError as error:
        raise to_exception(error, "the first script", str(link.address)) from None


def _optional(link: Link, *command: bytes) -> str:
    """The reply to a command that some servers do not have or do not permit."""
    try:
        reply = link.execute_raw(*command)
    except ReplyError as error:
        if error.code in ("ERR", "NOPERM", "unknown"):
            return ""
        raise
    return reply.decode() if isinstance(reply, bytes) else ""
