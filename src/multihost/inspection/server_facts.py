"""What a server reports of itself, how fast it answers, and its clock."""

from __future__ import annotations

import time
from typing import NamedTuple

from multihost.wire.link import Command, Link
from multihost.wire.printable import printable
from multihost.wire.replies import ReplyError, microseconds, pairs
from multihost.wire.script import info as parse_info

__all__ = ["Facts", "clock_offset", "facts", "round_trips", "size"]

SETTINGS = (
    "appendfsync",
    "cluster-require-full-coverage",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "replica-serve-stale-data",
    "save",
    "timeout",
)


class Facts(NamedTuple):
    """INFO and CONFIG, printable, each empty if the user may not read it."""

    info: dict[str, str]
    settings: dict[str, str]
    nodes: str = ""
    """CLUSTER NODES, empty where there is no cluster, or that is refused."""


def facts(link: Link) -> Facts:
    """Return INFO and CONFIG of the server, and how it sees its cluster. 1 round trip."""
    commands: list[Command] = [(b"INFO", b"everything")]
    commands += [(b"CONFIG", b"GET", name.encode()) for name in SETTINGS]
    if link.guarded:
        commands.append((b"CLUSTER", b"NODES"))
    info, *found = link.pipeline_raw(commands)
    nodes = found.pop() if link.guarded else None
    reported: dict[str, str] = {}
    if not isinstance(info, ReplyError):
        reported = parse_info(link, info.decode("utf-8", "replace"))
    settings: dict[str, str] = {}
    for reply in found:
        if not isinstance(reply, ReplyError):
            found_here = {printable(k): printable(v) for k, v in pairs(reply).items()}
            settings |= {k: v for k, v in found_here.items() if link.redact(v) == v}
    seen = nodes.decode("utf-8", "replace") if isinstance(nodes, bytes) else ""
    return Facts(reported, settings, "\n".join(map(printable, seen.splitlines())))


def round_trips(link: Link, command: Command, count: int) -> list[float]:
    """Return how long replies to the command take, in seconds, sorted; ``count`` round trips."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        link.execute(*command)
        found.append(time.perf_counter() - started)
    return sorted(found)


def clock_offset(link: Link) -> float:
    """Return how many seconds the server's clock is ahead of ours. 1 round trip."""
    started = time.time()
    found = microseconds(link.execute(b"TIME"))
    return found / 1e6 - (started + time.time()) / 2


def size(link: Link) -> int | None:
    """Return the number of keys in the database, None if it is not reported. 1 round trip."""
    (reply,) = link.pipeline_raw([(b"DBSIZE",)])
    return None if isinstance(reply, ReplyError) else int(reply)
