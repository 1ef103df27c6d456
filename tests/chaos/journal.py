"""What everybody does, in one file for each object: a line is appended by one write, so the order
of the lines is that of the machine, and nothing of it goes back with the server.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

__all__ = ["Journal", "Line"]


class Line(NamedTuple):
    """Who did what when, by the clock of the machine; ``value`` is a number that belongs to it."""

    at: float
    pid: int
    what: str
    value: int
    text: str = ""


class Journal:
    """The lines about one object."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def note(self, what: str, value: int = 0, text: str = "", pid: int = 0) -> None:
        """Append a line. Who is killed in the middle of it has written it, or has not."""
        plain = text.encode("unicode_escape").decode()
        fields = (time.monotonic(), pid or os.getpid(), what, value, plain)
        os.write(self._file, ("\t".join(map(str, fields)) + "\n").encode())

    def read(self) -> list[Line]:
        """Return all lines, in their order."""
        with open(self.path, encoding="ascii") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines]
        return [
            Line(float(at), int(pid), what, int(value), text.encode().decode("unicode_escape"))
            for at, pid, what, value, text in rows
        ]

    def close(self) -> None:
        os.close(self._file)
