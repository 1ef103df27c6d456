"""What happened to a guarded thing, told by those who use it, in the order and by the clock of the
server, which the code under test has no part in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from tests.support.raw import RawClient

__all__ = ["BEGINNING", "Entry", "EventLog", "is_after", "seconds"]

BEGINNING = "0-0"


def seconds(id_: str) -> float:
    """When a line was written, exact to the millisecond."""
    return int(id_.partition("-")[0]) / 1000


def is_after(id_: str, other: str) -> bool:
    return [int(part) for part in id_.split("-")] > [int(part) for part in other.split("-")]


class Entry(NamedTuple):
    """One line: who did what, with which fencing token."""

    id: str
    what: str
    pid: int
    token: int

    @property
    def at(self) -> float:
        return seconds(self.id)


class EventLog:
    """One thing's log, written through a connection of the writer's own."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._stream = f"log of {name}"
        self.raw = RawClient(url, timeout=30.0)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.raw.close()

    def append(self, what: str, token: int = 0, pid: int | None = None) -> str:
        """Write a line; its id."""
        return self.append_many([(what, os.getpid() if pid is None else pid)], token)[-1]

    def append_many(self, lines: Iterable[tuple[str, int]], token: int = 0) -> list[str]:
        commands = [("XADD", self._stream, "*", what, f"{pid} {token}") for what, pid in lines]
        return [entry.decode() for entry in self.raw.pipeline(*commands)]

    def read(self, after: str = BEGINNING) -> list[Entry]:
        """All lines behind one."""
        return self._entries(self.raw.call("XRANGE", self._stream, f"({after}", "+"))

    def wait(self, after: str, seconds: float) -> list[Entry]:
        """The lines behind one, as soon as there is any; none after so many seconds."""
        milliseconds = max(1, round(seconds * 1000))
        found = self.raw.call("XREAD", "BLOCK", milliseconds, "STREAMS", self._stream, after)
        return self._entries(found[0][1]) if found else []

    def send_order(self, whom: object, order: str) -> None:
        self.raw.call("RPUSH", f"orders of {self._name} for {whom}", order)

    def next_order(self, whom: object) -> str:
        """The next order, for which one may wait long."""
        while (found := self.raw.call("BLPOP", f"orders of {self._name} for {whom}", 20)) is None:
            pass
        return str(found[1].decode())

    def clear_orders(self, whom: object) -> None:
        self.raw.call("DEL", f"orders of {self._name} for {whom}")

    @staticmethod
    def _entries(rows: list[tuple[bytes, list[bytes]]]) -> list[Entry]:
        entries = []
        for id_, (what, rest) in rows:
            pid, token = rest.split()
            entries.append(Entry(id_.decode(), what.decode(), int(pid), int(token)))
        return entries
