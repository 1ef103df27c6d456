"""The records of sessions at a server: reading them, and that of one that is dead."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["add_dead_session", "connections", "records"]

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
