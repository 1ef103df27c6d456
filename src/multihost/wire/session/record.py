"""The record of a session: what other processes see of one that lives, and judge it by.

There is one in each partition in which the process holds or waits for something, under a name that
is used once: ``<sid>~<number>``. That the record is there says that the session is alive; its TTL
of a day says nothing, it is for garbage. See :mod:`multihost.wire.session.verdicts` for how one is
found to be dead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from multihost.wire.link import Command, Link
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.stored import number

__all__ = ["LARGEST_PID", "UNKNOWN", "SessionRecord", "stored_record", "stored_records"]

LONGEST = 1000  # bytes of a field
LARGEST_PID = 2**31 - 1  # what the kernel can be asked for

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
    def of(cls, fields: Any) -> SessionRecord | None:
        """Return the record in the reply to :meth:`command`, or in that of a script; None if there
        is none, :data:`UNKNOWN` for anything else: the session is alive while its key is there.
        """
        if isinstance(fields, list) and len(fields) == len(_FIELDS) and fields[0] is None:
            return None
        try:
            return cls._parse(fields)
        except (ValueError, TypeError):
            return UNKNOWN

    @classmethod
    def _parse(cls, fields: Any) -> SessionRecord:
        beats, run, connections, host, process, grace, lease, hostname = (f or b"" for f in fields)
        if any(len(each) > LONGEST for each in (run, connections, host, process, hostname)):
            raise ValueError
        pid, _, start = process.partition(b" ")
        if _count(pid) > LARGEST_PID:
            raise ValueError
        return cls(
            _count(beats),
            run,
            frozenset(connections.split(b",")) - {b""},
            host,
            _count(pid),
            _count(start),
            _count(grace) / 1000,
            _count(lease) / 1000,
            hostname.decode("utf-8", "replace"),
        )

    @staticmethod
    def command(key: bytes) -> Command:
        """Return the command that reads one."""
        return (b"HMGET", key, *_FIELDS)


def _count(stored: bytes) -> int:
    found = number(stored or b"0")
    if found is None:
        raise ValueError
    return found


UNKNOWN = SessionRecord(0, b"", frozenset(), b"", 0, 0, math.inf, math.inf, "(damaged)")
"""Of a session whose key another program has altered."""


def stored_records(link: Link, keys: Sequence[bytes]) -> list[SessionRecord | None]:
    """Return the records with these keys. 1 round trip, none for no keys."""
    commands = [SessionRecord.command(key) for key in keys]
    replies = link.pipeline_raw(commands)
    for reply, command in zip(replies, commands, strict=True):
        if isinstance(reply, ReplyError) and reply.code != "WRONGTYPE":
            raise command_error(reply, command)
    return [SessionRecord.of(reply) for reply in replies]


def stored_record(link: Link, key: bytes) -> SessionRecord | None:
    """Return the record with this key. 1 round trip."""
    return stored_records(link, [key])[0]
