"""Waking a thread that waits for a socket, too."""

from __future__ import annotations

import contextlib
import os
import select

__all__ = ["WakeupPipe"]


class WakeupPipe:
    """A pipe to oneself. It takes no lock: finalizers and signal handlers may ring."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._pending = False
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._watched = -1

    def wake(self) -> None:
        if not self._pending:
            self._pending = True
            with contextlib.suppress(OSError):  # closed, or full of rings
                os.write(self._in, b".")

    def wait(self, seconds: float, fd: int = -1) -> bool:
        """Wait for a ring, or until ``fd`` can be read; whether that is so."""
        if fd != self._watched:
            if self._watched >= 0:
                self._poll.unregister(self._watched)
            if fd >= 0:
                self._poll.register(fd, select.POLLIN | select.POLLHUP | select.POLLERR)
            self._watched = fd
        ready = {each for each, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        if self._out in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._out, 4096)
            # Not before: one that writes in between would be the last one ever to be heard. What it
            # rings for is there by now, and is found after this.
            self._pending = False
        return fd in ready

    def close(self) -> None:
        self._pending = True  # the numbers of the pipe may be used by others soon
        ends, self._in, self._out = {self._in, self._out} - {-1}, -1, -1
        for fd in ends:  # none for a second time: a forked child closes what its parent had
            os.close(fd)
