"""The record of a session: what other processes see of one that lives, and judge it by.

There is one in each partition in which the process holds or waits for something, under a name that
is used once: ``<sid>~<number>``. That the record is there says that the session is alive; its TTL
of a day says nothing, it is for garbage. See :mod:`multihost.wire.session.verdicts` for how one is
found to be dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from multihost.wire.link import Command

__all__ = ["SessionRecord"]

# As in lua/lib/session_fields, in the order in which scripts return them.
_FIELDS = (b"b", b"r", b"c", b"h", b"p", b"g", b"l", b"n")


class SessionRecord(NamedTuple):
    """What is stored of a session."""

    beats: int
    """A counter that each heartbeat raises."""
    run: bytes
    """Run id of the server that numbered the connections."""
    connections: frozenset[bytes]
    """Client ids of its connections; empty if one is not known."""
    host: bytes
    """Identity of its host, see :mod:`multihost.wire.session.process`; empty if not known."""
    pid: int
    start: int
    """When the process started, in ticks; 0 if not known."""
    grace: float
    """Seconds in which it is back after all its connections have ended."""
    lease: float
    """Seconds without a heartbeat after which it is dead."""
    hostname: str

    @classmethod
    def of(cls, fields: Sequence[bytes | None]) -> SessionRecord | None:
        """Return the record in the reply to :meth:`command`, or in that of a script; None if there
        is none.
        """
        if fields[0] is None:
            return None
        beats, run, connections, host, process, grace, lease, hostname = (f or b"" for f in fields)
        pid, _, start = process.partition(b" ")
        return cls(
            int(beats),
            run,
            frozenset(connections.split(b",")) - {b""},
            host,
            int(pid or 0),
            int(start or 0),
            int(grace or 0) / 1000,
            int(lease or 0) / 1000,
            hostname.decode("utf-8", "replace"),
        )

    @staticmethod
    def command(key: bytes) -> Command:
        """Return the command that reads one."""
        return (b"HMGET", key, *_FIELDS)
