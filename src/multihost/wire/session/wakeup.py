"""Waking a thread that waits for file descriptors (the self-pipe trick)."""

from __future__ import annotations

import contextlib
import os
import select
from multiprocessing.connection import Connection, Pipe

__all__ = ["WakeupPipe", "WakeupSender"]

_READ_SIZE = 1 << 16  # all that a pipe holds


class WakeupPipe:
    """A pipe to oneself. One thread waits; any thread, finalizer or signal handler wakes it.

    The waiting thread calls :meth:`wait`, or passes the pipe itself to ``select`` or
    :func:`multiprocessing.connection.wait` and calls :meth:`drain` afterwards. Wake-ups carry
    nothing and are not counted: set what they are for before :meth:`wake`, and check it after the
    wait.

    After a fork both processes have the same pipe. A child that has no use for it closes its copy,
    which leaves the parent's open; it must not wait or wake, which would disturb the parent. See
    :meth:`sender` for children that are to wake their parent.
    """

    __slots__ = ("__weakref__", "_in", "_out", "_pending", "_poll", "_sender", "_watched")

    def __init__(self) -> None:
        # Objects, not numbers: they are closed, if a signal handler raises before there is a pipe.
        self._out, self._in = Pipe(duplex=False)
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._pending = False  # a wake-up was written, or will be, and is not yet read
        self._sender: WakeupSender | None = None
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._watched: frozenset[int] = frozenset()

    def fileno(self) -> int:
        """Return the descriptor that is readable after a wake-up; -1 if the pipe is closed."""
        return -1 if self._out.closed else self._out.fileno()

    def wake(self) -> None:
        """End the wait, or the next one. Takes no lock and never blocks; no-op if closed."""
        if not self._pending:
            self._pending = True
            with contextlib.suppress(OSError):  # closed meanwhile, or full
                os.write(self._in.fileno(), b".")

    def sender(self) -> WakeupSender:
        """Return what wakes this thread from other processes; always the same object."""
        if self._sender is None:
            self._sender = WakeupSender(self._in.fileno())
        return self._sender

    def wait(self, seconds: float, fds: frozenset[int] = frozenset()) -> set[int]:
        """Wait for a wake-up, for one of ``fds`` or until time is up; return those that are
        readable.
        """
        if fds != self._watched:
            for fd in self._watched - fds:
                self._poll.unregister(fd)
            for fd in fds - self._watched:
                self._poll.register(fd, select.POLLIN | select.POLLHUP | select.POLLERR)
            self._watched = fds
        ready = {each for each, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        # Also if nothing was written: an exception of a signal handler may have come in between the
        # flag and the write, and no other wake-up would be written.
        self.drain()
        return ready & fds

    def drain(self) -> None:
        """Read all wake-ups that were written."""
        with contextlib.suppress(OSError):  # empty, or closed by a finalizer in this thread
            os.read(self._out.fileno(), _READ_SIZE)
        # In this order. With the flag reset first, a byte written in between would be read with the
        # flag left set, and no wake-up would be written any more. What a wake-up that this order
        # skips is for was set before it, and is checked after this.
        self._pending = False

    def close(self) -> None:
        """Close both ends; repeatable."""
        self._pending = True  # other files may get the numbers of the pipe: write nothing any more
        self._in.close()
        self._out.close()
        if self._sender is not None:
            self._sender.close()


class WakeupSender:
    """The writing end of a :class:`WakeupPipe` for other processes.

    It survives a fork, and can be pickled for a child that is being spawned. It keeps no flag, as
    no other process can see when the pipe is drained.
    """

    def __init__(self, fd: int) -> None:
        self._in = Connection(os.dup(fd), readable=False)

    def wake(self) -> None:
        """End the wait, or the next one. Takes no lock and never blocks; no-op if closed."""
        with contextlib.suppress(OSError):  # closed; full; or the waiting process has ended
            os.write(self._in.fileno(), b".")

    def close(self) -> None:
        """Close this process's copy; repeatable."""
        self._in.close()
