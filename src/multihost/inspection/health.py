"""Examining whether a server is fit for multihost."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from multihost.errors import AccessDenied, LinkError, ServerUnfit
from multihost.inspection import permissions, server_facts
from multihost.inspection.cluster_checks import check_clocks, check_cluster, check_sentinels
from multihost.inspection.fact_checks import check_facts
from multihost.inspection.findings import Finding
from multihost.wire.keys import names, prefix
from multihost.wire.link import Command, Link
from multihost.wire.script import probe
from multihost.wire.session import Session

__all__ = ["examine", "merged"]

ROUND_TRIPS = 100
SLOW = 0.005  # seconds
SKEW = 1.0


def examine(session: Session) -> list[Finding]:
    """Return the findings of all checks. About 210 round trips, 100 more for each further server;
    nothing is changed.
    """
    servers = {_name(each): each for each in session.link.masters()}
    facts = {name: server_facts.facts(link) for name, link in servers.items()}
    return [
        *merged({name: [*check_facts(each)] for name, each in facts.items()}),
        *_cluster(session.link, list(facts.values())),
        *(check_sentinels(sentinel) if (sentinel := session.link.sentinel_facts()) else ()),
        _permissions(session),
        *_latency(session, servers),
        *_clock(servers),
    ]


def _name(link: Link) -> str:
    """Return how a server is called where there are several."""
    return "" if link.node is None else "{}:{}".format(*link.node)


def merged(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return the findings at several servers: once what is the same everywhere, else with the name
    of the server.
    """
    counts = Counter(each for findings in found.values() for each in findings)
    return [
        replace(each, check=f"{each.check} {at}") if counts[each] < len(found) else each
        for index, (at, findings) in enumerate(found.items())
        for each in findings
        if not index or counts[each] < len(found)
    ]


def _cluster(link: Link, facts: Sequence[server_facts.Facts]) -> Iterator[Finding]:
    info = facts[0].info
    if not link.guarded:
        modes = info.get("redis_mode"), info.get("server_mode")
        if "cluster" in modes or info.get("cluster_enabled") == "1":
            yield Finding(
                "cluster",
                "problem",
                "the server is a node of a cluster, and the address leads to that one only",
                "use redis+cluster:// or rediss+cluster://",
            )
        return
    views = [each.nodes for each in facts]
    if all(views):
        yield from check_cluster(views, facts[0].settings.get("cluster-require-full-coverage"))
    else:
        yield Finding("cluster", "unknown", "CLUSTER NODES is not permitted")


def _permissions(session: Session) -> Finding:
    try:
        lane = session.link.lane(prefix(session.namespace, 0))
        found = permissions.permissions(lane, session.namespace)
    except LinkError as error:  # the server refuses for now, which another finding is about
        return Finding("permissions", "unknown", f"they cannot be tried: {error}")
    if found.keys_refused:
        return Finding(
            "permissions",
            "problem",
            f"keys of the namespace {session.namespace!r} are refused",
            f"ACL SETUSER <user> ~{{{session.namespace}:[0-9][0-9]}}*",
        )
    if found.missing:
        more = "" if found.is_known else " (others were not tried)"
        return Finding(
            "permissions",
            "problem",
            _without(found.missing, found.unknown, " ") + more,
            _advice(found.missing, found.unknown),
        )
    if found.missing_optional:
        lacks = dict.fromkeys(permissions.OPTIONAL[name] for name in found.missing_optional)
        return Finding(
            "permissions",
            "note",
            f"{_without(found.missing_optional, found.unknown, ', ')}: {'; '.join(lacks)}",
            _advice(found.missing_optional, found.unknown),
        )
    count = len(permissions.needed())
    return Finding("permissions", "ok", f"all {count} commands, and keys of the namespace")


def _without(missing: Sequence[str], unknown: frozenset[str], comma: str) -> str:
    """Return who is to blame for which of the commands that are missing."""
    refused = [name for name in missing if name not in unknown]
    parts = [f"the user may not run {comma.join(refused)}"] if refused else []
    lacking = [name for name in missing if name in unknown]
    if lacking:
        parts.append(f"the server, or a proxy before it, does not know {comma.join(lacking)}")
    return ", and ".join(parts)


def _advice(missing: Sequence[str], unknown: frozenset[str]) -> str:
    allowed = [_allow(name) for name in missing if name not in unknown]
    if allowed:
        return "ACL SETUSER <user> " + " ".join(allowed)
    return "connect to the server itself, or use one that has them"


def _allow(name: str) -> str:
    return "+" + name.lower().replace(" ", "|")


def _latency(session: Session, servers: Mapping[str, Link]) -> Iterator[Finding]:
    key = names(session.namespace, 0)
    script = (b"EVAL", probe.source, b"1", key)
    checks: list[tuple[str, Link, Command]] = [
        (f"round trip {name}".rstrip(), link, (b"PING",)) for name, link in servers.items()
    ]
    checks.append(("script", session.link.lane(prefix(session.namespace, 0)), script))
    for check, link, command in checks:
        try:
            taken = server_facts.round_trips(link, command, ROUND_TRIPS)
        except AccessDenied:
            yield Finding(check, "unknown", f"{command[0].decode()} is not permitted")
            continue
        except ServerUnfit as error:
            yield Finding(check, "unknown", f"it cannot be tried: {error}")
            continue
        half, most = statistics.median(taken), taken[-1 - ROUND_TRIPS // 100]
        found = f"p50 {half * 1e3:.2f} ms, p99 {most * 1e3:.2f} ms"
        if half > SLOW:
            yield Finding(
                check,
                "note",
                f"{found}: every call takes at least as long",
                "move the server closer, or call less often: put_many, get_many, update, copy",
            )
        else:
            yield Finding(check, "ok", found)


def _clock(servers: Mapping[str, Link]) -> Iterator[Finding]:
    offsets = {name: server_facts.clock_offset(link) for name, link in servers.items()}
    yield from check_clocks(offsets)
    ahead = max(offsets.values(), key=abs)
    if abs(ahead) > SKEW:
        yield Finding(
            "clock",
            "note",
            f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine: leases do "
            "not depend on that, but times that are shown are the server's",
            "run a time service on both machines",
        )
    else:
        yield Finding("clock", "ok", f"{abs(ahead) * 1e3:.0f} ms from this machine's")
