"""Whether a server is fit for multihost, and what to change."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from multihost.errors import AccessDenied
from multihost.inspection import server_facts
from multihost.inspection.server_facts import Facts
from multihost.wire.keys import names
from multihost.wire.script import OLDEST, probe
from multihost.wire.session import Session

__all__ = ["Finding", "Verdict", "examine"]

Verdict = Literal["ok", "note", "problem", "unknown"]

ROUND_TRIPS = 100
SLOW = 0.005  # seconds
SKEW = 1.0
NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined.

    ``verdict`` is "ok"; "note" for what costs something, which may be what you want; "problem" for
    what breaks a promise; "unknown" where the server does not say. ``advice`` is what to change.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(session: Session) -> list[Finding]:
    """Look at everything that matters. About 210 round trips; nothing is changed."""
    facts = server_facts.facts(session.link)
    return [
        *_server(facts),
        *_eviction(facts),
        *_memory(facts),
        *_persistence(facts),
        *_replicas(facts),
        *_clients(facts),
        _permissions(session),
        *_latency(session),
        _clock(session),
    ]


def _server(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    if not info:
        yield Finding(
            "version", "unknown", "INFO is not permitted", "allow it: ACL SETUSER <user> +info"
        )
        return
    if "valkey_version" in info:
        name, version = "Valkey", info["valkey_version"]
    else:
        name, version = "Redis", info.get("redis_version", "")
    spoken = info.get("redis_version", "")
    if spoken and tuple(int(part) for part in spoken.split(".")[:2]) < OLDEST:
        yield Finding(
            "version", "problem", f"{name} {version}", "use Redis 6.2 or newer, or Valkey"
        )
    else:
        yield Finding("version", "ok", f"{name} {version}")
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == "1":
        yield Finding(
            "cluster",
            "problem",
            "the server is part of a cluster, which is not supported yet",
            "use a server with cluster-enabled no",
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
            "see to it yourself that maxmemory-policy is noeviction",
        )
    elif policy == "noeviction":
        yield Finding("eviction", "ok", "noeviction: a full server refuses writes, and says so")
    else:
        yield Finding(
            "eviction",
            "problem",
            f"{policy}: a full server drops objects and locks without a word",
            "CONFIG SET maxmemory-policy noeviction",
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    if "used_memory" not in info:
        yield Finding("memory", "unknown", "INFO is not permitted")
        return
    used = int(info["used_memory"])
    most = int(info.get("maxmemory") or facts.settings.get("maxmemory") or 0)
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
            "raise maxmemory; multihost ls --memory shows what takes it, multihost gc what nobody "
            "needs",
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
            "no": "a crash of the machine loses what the system had not written yet",
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
            "and may give a lock to two",
            "CONFIG SET appendonly yes",
        )
    elif "save" in settings:
        yield Finding(
            "persistence",
            "note",
            "none: a restart begins empty, and objects raise ObjectGone",
            "CONFIG SET appendonly yes, if they are to outlive a restart",
        )
    else:
        yield Finding(
            "persistence",
            "note",
            "no append-only file; whether there are snapshots CONFIG does not say",
            "set appendonly yes",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(
            "snapshots",
            "problem",
            "the last snapshot failed: the server may refuse writes",
            "see the server's log; is the disk full, or the memory short?",
        )


def _replicas(facts: Facts) -> Iterator[Finding]:
    replicas = int(facts.info.get("connected_slaves", 0))
    least = facts.settings.get("min-replicas-to-write")
    if least is not None and int(least) > replicas:
        yield Finding(
            "replicas",
            "problem",
            f"{replicas} connected, min-replicas-to-write {least}: the server refuses writes",
            "start the replicas, or lower min-replicas-to-write",
        )
    elif replicas and least == "0":
        yield Finding(
            "replicas",
            "note",
            f"{replicas} connected, min-replicas-to-write 0: after a failover the last writes may "
            "be missing, and a lock have two holders",
            "CONFIG SET min-replicas-to-write 1",
        )
    elif replicas and least is None:
        yield Finding(
            "replicas", "unknown", f"{replicas} connected; min-replicas-to-write is not told"
        )
    elif replicas:
        yield Finding("replicas", "ok", f"{replicas} connected, min-replicas-to-write {least}")


def _clients(facts: Facts) -> Iterator[Finding]:
    info, settings = facts.info, facts.settings
    most = int(info.get("maxclients") or settings.get("maxclients") or 0)
    if "connected_clients" not in info or not most:
        yield Finding("clients", "unknown", "neither INFO nor CONFIG is permitted")
    else:
        here = int(info["connected_clients"])
        found = f"{here} of {most} connected; multihost takes one for each thread that calls"
        if here > NEARLY * most:
            yield Finding("clients", "problem", found, "raise maxclients")
        else:
            yield Finding("clients", "ok", found)
    timeout = settings.get("timeout")
    if timeout is None:
        yield Finding("timeout", "unknown", "CONFIG is not permitted")
    elif timeout == "0":
        yield Finding("timeout", "ok", "idle connections are kept")
    else:
        yield Finding(
            "timeout",
            "note",
            f"connections that are idle for {timeout} s are closed: each is opened again",
            "CONFIG SET timeout 0",
        )


def _permissions(session: Session) -> Finding:
    found = server_facts.permissions(session.link, session.namespace)
    if found.keys_refused:
        return Finding(
            "permissions",
            "problem",
            f"keys of the namespace {session.namespace!r} are refused",
            f"ACL SETUSER <user> ~{{{session.namespace}:*",
        )
    if found.missing:
        missing = " ".join(found.missing)
        more = "" if found.is_known else " (others were not tried)"
        return Finding(
            "permissions",
            "problem",
            f"the user may not run {missing}{more}",
            "ACL SETUSER <user> " + " ".join(_allow(name) for name in found.missing),
        )
    if found.missing_optional:
        lacks = dict.fromkeys(server_facts.OPTIONAL[name] for name in found.missing_optional)
        return Finding(
            "permissions",
            "note",
            f"the user may not run {', '.join(found.missing_optional)}: {'; '.join(lacks)}",
            "ACL SETUSER <user> " + " ".join(_allow(name) for name in found.missing_optional),
        )
    count = len(server_facts.needed())
    return Finding("permissions", "ok", f"all {count} commands, and keys of the namespace")


def _allow(name: str) -> str:
    return "+" + name.lower().replace(" ", "|")


def _latency(session: Session) -> Iterator[Finding]:
    script = (b"EVAL", probe.source, b"1", names(session.namespace, 0))
    kinds = ("round trip", (b"PING",)), ("script", script)
    for check, command in kinds:
        try:
            taken = server_facts.round_trips(session.link, command, ROUND_TRIPS)
        except AccessDenied:
            yield Finding(check, "unknown", f"{command[0].decode()} is not permitted")
            continue
        half, most = statistics.median(taken), taken[-1 - ROUND_TRIPS // 100]
        found = f"p50 {half * 1e3:.2f} ms, p99 {most * 1e3:.2f} ms"
        if half > SLOW:
            yield Finding(
                check,
                "note",
                f"{found}: every call takes at least that",
                "run the server nearer, or call less often: put_many, get_many, update, copy",
            )
        else:
            yield Finding(check, "ok", found)


def _clock(session: Session) -> Finding:
    ahead = server_facts.clock_offset(session.link)
    if abs(ahead) > SKEW:
        return Finding(
            "clock",
            "note",
            f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine: leases run "
            "on the server's, but times that are shown are its own",
            "run a time service on both",
        )
    return Finding("clock", "ok", f"{abs(ahead) * 1e3:.0f} ms from this machine's")


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
