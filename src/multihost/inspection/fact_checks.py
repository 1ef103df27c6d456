"""Checks of what a server reports of itself: version, memory, persistence, replicas, clients."""

from __future__ import annotations

from collections.abc import Iterator

from multihost.inspection.findings import Finding
from multihost.inspection.server_facts import Facts
from multihost.oldest import is_too_old
from multihost.wire.script import UNLIKE
from multihost.wire.stored import number

__all__ = ["check_facts"]

NEARLY = 0.9
LAG = 5  # seconds
NAMES = {
    "valkey_version": "Valkey",
    "dragonfly_version": "Dragonfly",
    "garnet_version": "Garnet",
    "kvrocks_version": "Kvrocks",
    "redis_version": "Redis",
}
"""Servers, by the field of INFO with their own version: that of Redis is what they are like."""


def check_facts(facts: Facts) -> Iterator[Finding]:
    """Yield the findings. No round trip."""
    yield from _server(facts)
    yield from _eviction(facts)
    yield from _memory(facts)
    yield from _persistence(facts)
    yield from _replicas(facts)
    yield from _clients(facts)


def _server(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    if not info:
        yield Finding(
            "version", "unknown", "INFO is not permitted", "allow it: ACL SETUSER <user> +info"
        )
        return
    name, version = next(
        ((name, info[field]) for field, name in NAMES.items() if field in info), ("Redis", "")
    )
    if is_too_old(info.get("redis_version", "")):
        yield Finding(
            "version", "problem", f"{name} {version}", "use Redis 6.2 or newer, or Valkey"
        )
    else:
        yield Finding("version", "ok", f"{name} {version}")
    for reason, is_unlike in UNLIKE.items():
        if is_unlike(info):
            why, _, advice = reason.partition("; ")
            yield Finding("server", "problem", f"it {why}", advice)
    if "dragonfly_version" in info:
        yield Finding(
            "server",
            "note",
            "Dragonfly runs one script at a time, since scripts use keys that they do not declare",
            "use Redis or Valkey for more throughput",
        )
    if info.get("role") == "slave":
        yield Finding(
            "role", "problem", "the server is a replica and takes no writes", "use its primary"
        )


def _eviction(facts: Facts) -> Iterator[Finding]:
    policy = facts.info.get("maxmemory_policy") or facts.settings.get("maxmemory-policy")
    if policy is None:
        yield Finding(
            "eviction",
            "unknown",
            "neither INFO nor CONFIG is permitted",
            "make sure that maxmemory-policy is noeviction",
        )
    elif policy == "noeviction":
        yield Finding("eviction", "ok", "noeviction: a full server refuses writes, and reports it")
    else:
        yield Finding(
            "eviction",
            "problem",
            f"{policy}: a full server silently deletes objects and locks",
            "CONFIG SET maxmemory-policy noeviction",
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    if "used_memory" not in info:
        yield Finding("memory", "unknown", "INFO is not permitted")
        return
    used = _number(info["used_memory"])
    most = _number(info.get("maxmemory") or facts.settings.get("maxmemory"))
    if not most:
        yield Finding(
            "memory",
            "note",
            f"{_bytes(used)} used, without a limit: a leak fills the whole machine",
            "CONFIG SET maxmemory <bytes>, below what the machine has",
        )
    elif used > NEARLY * most:
        yield Finding(
            "memory",
            "problem",
            f"{_bytes(used)} of {_bytes(most)} used: writes will soon be refused",
            "raise maxmemory; multihost ls --memory shows what uses it, multihost gc the garbage",
        )
    else:
        yield Finding("memory", "ok", f"{_bytes(used)} of {_bytes(most)} used")


def _persistence(facts: Facts) -> Iterator[Finding]:
    info, settings = facts.info, facts.settings
    if "aof_enabled" not in info:
        yield Finding("persistence", "unknown", "INFO is not permitted")
        return
    if info["aof_enabled"] == "1":
        fsync = settings.get("appendfsync", "everysec")
        lost = {
            "always": "a crash loses nothing that was acknowledged",
            "no": "a crash of the machine loses what was not written to disk yet",
        }.get(fsync, "a crash of the machine loses up to a second")
        if info.get("aof_last_write_status", "ok") != "ok":
            yield Finding(
                "persistence",
                "problem",
                "the append-only file cannot be written: the server refuses writes",
                "see the server's log; is the disk full?",
            )
        else:
            yield Finding("persistence", "ok", f"append-only file, {fsync}: {lost}")
    elif settings.get("save"):
        yield Finding(
            "persistence",
            "note",
            f"snapshots (save {settings['save']}): a crash loses what changed since the last one, "
            "and a lock may have two holders",
            "CONFIG SET appendonly yes",
        )
    elif "save" in settings:
        yield Finding(
            "persistence",
            "note",
            "none: a restarted server is empty, and objects raise ObjectGone",
            "CONFIG SET appendonly yes, if they are to outlive a restart",
        )
    else:
        yield Finding(
            "persistence",
            "note",
            "no append-only file; CONFIG does not report whether there are snapshots",
            "set appendonly yes",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(
            "snapshots",
            "problem",
            "the last snapshot failed: the server may refuse writes",
            "see the server's log; is the disk full, or memory short?",
        )


def _replicas(facts: Facts) -> Iterator[Finding]:
    replicas = _number(facts.info.get("connected_slaves"))
    least = facts.settings.get("min-replicas-to-write")
    found = f"{replicas} connected, min-replicas-to-write {least}"
    if least is not None and _number(least) > replicas:
        yield Finding(
            "replicas",
            "problem",
            f"{found}: the server refuses writes",
            "start the replicas, or lower min-replicas-to-write",
        )
    elif replicas and least == "0":
        yield Finding(
            "replicas",
            "note",
            f"{found}: after a failover the last writes may be missing, and a lock may have two "
            "holders",
            "CONFIG SET min-replicas-to-write 1, and two replicas or more",
        )
    elif replicas and least is None:
        yield Finding(
            "replicas", "unknown", f"{replicas} connected; min-replicas-to-write is not reported"
        )
    elif replicas and _number(least) == replicas:
        yield Finding(
            "replicas",
            "note",
            f"{found}: the server refuses writes as soon as one is missing, and so after each "
            "failover until another has come",
            "start one more replica, or lower min-replicas-to-write",
        )
    elif replicas:
        yield Finding("replicas", "ok", found)
    yield from _followers(facts, replicas)


def _followers(facts: Facts, replicas: int) -> Iterator[Finding]:
    """How far the replicas are behind, and what they answer when they are alone."""
    behind = []
    for index in range(replicas):
        fields = facts.info.get(f"slave{index}", "").split(",")
        row = dict(field.partition("=")[::2] for field in fields)
        if row.get("state", "online") != "online" or _number(row.get("lag")) > LAG:
            behind.append(f"{row.get('ip')}:{row.get('port')}")
    if behind:
        yield Finding(
            "lag",
            "note",
            f"{', '.join(behind)} did not confirm anything for {LAG} s: what was written since "
            "would be lost with the master",
            "see the log of the replica, and the network between them",
        )
    if replicas and facts.settings.get("replica-serve-stale-data") == "yes":
        yield Finding(
            "stale data",
            "note",
            "replica-serve-stale-data yes: a master that was demoted and has not found the new one "
            "answers reads with old data, until its clients have left it",
            "CONFIG SET replica-serve-stale-data no, on every server",
        )


def _clients(facts: Facts) -> Iterator[Finding]:
    info, settings = facts.info, facts.settings
    most = _number(info.get("maxclients") or settings.get("maxclients"))
    if "connected_clients" not in info or not most:
        yield Finding("clients", "unknown", "neither INFO nor CONFIG is permitted")
    else:
        connected = _number(info["connected_clients"])
        found = f"{connected} of {most} connected; multihost uses one for each thread that calls"
        if connected > NEARLY * most:
            yield Finding("clients", "problem", found, "raise maxclients")
        else:
            yield Finding("clients", "ok", found)
    timeout = settings.get("timeout")
    if timeout is None:
        yield Finding("timeout", "unknown", "CONFIG is not permitted")
    elif timeout == "0":
        yield Finding("timeout", "ok", "idle connections stay open")
    else:
        yield Finding(
            "timeout",
            "note",
            f"connections that are idle for {timeout} s are closed, and opened again",
            "CONFIG SET timeout 0",
        )


def _number(reported: str | None) -> int:
    """Return a number that a server reports; 0 for what is none."""
    return number((reported or "").encode()) or 0


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
