"""Which tasks fail: workers tell the process that started them, by a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import select
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple

__all__ = ["Failure", "FailurePipe", "FailureSender"]

READ_SIZE = 1 << 16  # all that a pipe holds
LENGTH = 4  # bytes in front of a message


class Failure(NamedTuple):
    """A task that raised an exception: its worker, the name of its function, and the traceback."""

    pid: int
    task: str
    traceback: str


class FailurePipe:
    """The reading end. What workers write while the pipe is full is lost: they do not wait."""

    def __init__(self) -> None:
        self._out, end = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(end, False)
        self._received = b""
        self.sender: FailureSender = FailureSender(Connection(end, readable=False))

    def fileno(self) -> int:
        """Return the descriptor that is readable when a task has failed."""
        return self._out

    def read(self) -> list[Failure]:
        """Return the failures that were not read yet, without waiting for some."""
        with contextlib.suppress(BlockingIOError):
            self._received += os.read(self._out, READ_SIZE)
        found = []
        while (start := self._received[:LENGTH]) and len(start) == LENGTH:
            end = LENGTH + int.from_bytes(start, "big")
            if len(self._received) < end:
                break
            found.append(Failure(*json.loads(self._received[LENGTH:end])))
            self._received = self._received[end:]
        return found

    def close(self) -> None:
        """Close both ends."""
        os.close(self._out)
        self.sender.close()


class FailureSender:
    """The writing end, for workers: it survives a fork, and can be pickled for a spawned child."""

    def __init__(self, end: Connection) -> None:
        self._end = end

    def send(self, task: str, error: BaseException) -> None:
        """Tell of a failed task. A message is written whole or not at all: several workers write to
        the pipe, and may be killed.
        """
        text = "".join(traceback.format_exception(error))
        room = select.PIPE_BUF - LENGTH
        while True:
            message = json.dumps([os.getpid(), task[:200], text]).encode()
            if len(message) <= room:
                break
            text = "..." + text[3 + max(1, len(text) // 8) :]  # its end says most
        with contextlib.suppress(OSError):  # full; or the other process has ended
            os.write(self._end.fileno(), len(message).to_bytes(LENGTH, "big") + message)

    def close(self) -> None:
        """Close this end."""
        self._end.close()
