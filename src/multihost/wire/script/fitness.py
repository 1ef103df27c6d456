"""Checks that a server can be used: version, mode, eviction policy, and that it runs scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from multihost.errors import ServerUnfit
from multihost.oldest import OLDEST, is_too_old
from multihost.wire.link import Link
from multihost.wire.printable import printable
from multihost.wire.refusals import IN_CLUSTER, NO_SUCH_COMMAND, NOT_PERMITTED
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.script.script import Script

__all__ = ["UNLIKE", "check_server", "info", "probe"]

probe: Script = Script("server/probe")
"""The simplest script. Its key is that of the names in a partition."""


UNLIKE: dict[str, Callable[[Mapping[str, str]], bool]] = {
    "is an active replica of KeyDB: several servers take writes, and a lock may have two holders; "
    "set active-replica to no": lambda info: info.get("role") in ("active-replica", "multi-master"),
    "is Garnet, which isolates a script only on the keys that it declares: two calls may change an "
    "object at once; use Redis or Valkey": lambda info: "garnet_version" in info,
}
"""Servers that answer as Redis does, and break what is promised: why, and how their INFO tells."""


def check_server(link: Link, names: bytes) -> None:
    """Raise :class:`ServerUnfit` for a server that cannot be used, AccessDenied if it does not
    permit to run scripts on the key ``names``. 1 round trip for each server, and one.
    """
    for each in link.masters():
        _check_facts(each)
    probe.run_readonly(link, [names])


def _check_facts(link: Link) -> None:
    facts = info(link, _optional(link, b"INFO"))
    version = facts.get("redis_version", "")
    if is_too_old(version):
        raise ServerUnfit(
            f"the server at {link.address} is version {version}; multihost needs "
            f"{'.'.join(map(str, OLDEST))} or newer"
        )
    for reason, is_unlike in UNLIKE.items():
        if is_unlike(facts):
            raise ServerUnfit(f"the server at {link.address} {reason}")
    # Valkey from 8 on may say server_mode, and not every server says either.
    modes = facts.get("redis_mode"), facts.get("server_mode")
    in_cluster = "cluster" in modes or facts.get("cluster_enabled") == "1"
    if in_cluster and not link.guarded:
        raise ServerUnfit(f"the server at {link.address}: {IN_CLUSTER.text}")
    if facts.get("role") == "slave" and facts.get("slave_read_only") != "0":
        master = f"{facts.get('master_host')}:{facts.get('master_port')}"
        raise ServerUnfit(
            f"the server at {link.address} is a replica, which takes no writes; "
            f"connect to its master, which is {master}"
        )
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServerUnfit(
            f"the server at {link.address} may evict objects (maxmemory-policy {policy}); "
            "set maxmemory-policy to noeviction"
        )


def info(link: Link, text: str) -> dict[str, str]:
    """Return the reply to INFO as a dict, printable, without lines that repeat a password."""
    lines = (line for line in text.splitlines() if ":" in line and link.redact(line) == line)
    return dict(printable(line).split(":", 1) for line in lines)


def _optional(link: Link, *command: bytes) -> str:
    """Return the reply to a command, or "" where servers do not have or do not permit it."""
    try:
        reply = link.execute_raw(*command)
    except ReplyError as error:
        refusal = error.refusal
        if refusal is None or refusal in (NO_SUCH_COMMAND, NOT_PERMITTED):
            return ""
        raise command_error(error, command) from None
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
