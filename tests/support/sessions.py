"""The records of sessions at a server: reading them, and that of one that is dead."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = [
    "add_dead_session",
    "beat",
    "close_gates",
    "connections",
    "expirations",
    "expire",
    "forget_records",
    "is_unsettled",
    "records",
    "settle_everywhere",
    "valid_until",
]

DEAD_PID = 2**22 - 1
"""No process has it: it is the largest there may be, and pids are given in turn."""


class AnyServer(Protocol):
    """A server that takes commands."""

    def command(self, *args: Any) -> Any: ...
    def keys(self, pattern: str = "*") -> list[bytes]: ...


def records(server: AnyServer) -> list[dict[bytes, bytes]]:
    """Return the fields of each record of a session."""
    found = [server.command("HGETALL", key) for key in server.keys("*}:s:*")]
    return [dict(zip(each[::2], each[1::2], strict=True)) for each in found if each]


def connections(server: AnyServer) -> list[set[bytes]]:
    """Return the client ids of the connections that each record names."""
    return [set(each[b"c"].split(b",")) for each in records(server)]


def add_dead_session(server: AnyServer, sessions: bytes, name: str) -> None:
    """Add the record of a session of another host whose only connection has ended."""
    facts = server.command("INFO", "server").splitlines()
    run = next(line[7:] for line in facts if line.startswith(b"run_id:"))
    server.command(
        "HSET", sessions + b":" + name.encode(), "b", 1, "r", run, "c", "999999",
        "h", "elsewhere", "p", f"{DEAD_PID} 1", "g", 500, "l", 30000, "n", "elsewhere",
    )  # fmt: skip
    server.command("PEXPIRE", sessions + b":" + name.encode(), 60_000)


def valid_until(session: Any) -> float:
    """Until when nobody can declare a session dead, where that is longest."""
    return float(max(each.valid_until for each in session.registration.memberships.values()))


def expire(session: Any) -> None:
    """As if it might have been declared dead everywhere."""
    for each in session.registration.memberships.values():
        each.valid_until = 0.0


def expirations(session: Any) -> int:
    """How often a session lapsed, or settled, where that was most often."""
    return int(max(each.expirations for each in session.registration.memberships.values()))


def forget_records(session: Any) -> None:
    """As if the session had entered nowhere: the server was emptied."""
    for each in session.registration.memberships.values():
        each.key, each.valid_until = b"", 0.0
    session.registration._used.clear()


def beat(session: Any) -> None:
    """Send the heartbeats of a session, to each of its servers."""
    for presence in session.registration.at_work():
        session.registration.heartbeat(presence)


def close_gates(session: Any) -> None:
    """As if each server had gone back; the background thread is to settle."""
    for presence in session.registration.at_work():
        session.registration._close_gate(presence)
    session.heartbeat.wake()


def is_unsettled(session: Any) -> bool:
    """Whether the session has to settle at a server."""
    return any(presence.is_unsettled for presence in session.registration.at_work())


def settle_everywhere(session: Any) -> None:
    """As if each server had gone back."""
    for presence in session.registration.at_work():
        session.registration._close_gate(presence)
        session.settling.settle(presence, 0)
