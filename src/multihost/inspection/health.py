"""Examining whether a server is fit for multihost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from multihost.errors import AccessDenied, LinkError
from multihost.inspection import permissions, server_facts
from multihost.inspection.fact_checks import check_facts
from multihost.inspection.findings import Finding
from multihost.wire.keys import names
from multihost.wire.script import probe
from multihost.wire.session import Session

__all__ = ["examine"]

ROUND_TRIPS = 100
SLOW = 0.005  # seconds
SKEW = 1.0


def examine(session: Session) -> list[Finding]:
    """Return the findings of all checks. About 210 round trips; nothing is changed."""
    return [
        *check_facts(server_facts.facts(session.link)),
        _permissions(session),
        *_latency(session),
        _clock(session),
    ]


def _permissions(session: Session) -> Finding:
    try:
        found = permissions.permissions(session.link, session.namespace)
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
        missing = " ".join(found.missing)
        more = "" if found.is_known else " (others were not tried)"
        return Finding(
            "permissions",
            "problem",
            f"the user may not run {missing}{more}",
            "ACL SETUSER <user> " + " ".join(_allow(name) for name in found.missing),
        )
    if found.missing_optional:
        lacks = dict.fromkeys(permissions.OPTIONAL[name] for name in found.missing_optional)
        return Finding(
            "permissions",
            "note",
            f"the user may not run {', '.join(found.missing_optional)}: {'; '.join(lacks)}",
            "ACL SETUSER <user> " + " ".join(_allow(name) for name in found.missing_optional),
        )
    count = len(permissions.needed())
    return Finding("permissions", "ok", f"all {count} commands, and keys of the namespace")


def _allow(name: str) -> str:
    return "+" + name.lower().replace(" ", "|")


def _latency(session: Session) -> Iterator[Finding]:
    script = (b"EVAL", probe.source, b"1", names(session.namespace, 0))
    checks = ("round trip", (b"PING",)), ("script", script)
    for check, command in checks:
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
                f"{found}: every call takes at least as long",
                "move the server closer, or call less often: put_many, get_many, update, copy",
            )
        else:
            yield Finding(check, "ok", found)


def _clock(session: Session) -> Finding:
    ahead = server_facts.clock_offset(session.link)
    if abs(ahead) > SKEW:
        return Finding(
            "clock",
            "note",
            f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine: leases do "
            "not depend on that, but times that are shown are the server's",
            "run a time service on both machines",
        )
    return Finding("clock", "ok", f"{abs(ahead) * 1e3:.0f} ms from this machine's")
