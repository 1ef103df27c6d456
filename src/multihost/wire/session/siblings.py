"""Seeing the end of other processes of this host: the only evidence that is immediate and certain.

The kernel tells a process of the end of another one, whatever becomes of its connections: by a
descriptor of the process (``pidfd_open``), or by a ``kqueue`` on a Mac. Evidence of an end is only
that: the descriptor is readable, there is no such process, or one that started at another time.
What cannot be read is no evidence.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterable

from multihost.wire.session.process import host_identity, start_of
from multihost.wire.session.record import SessionRecord

__all__ = ["Siblings"]

MAX_WATCHED = 64  # processes; each takes a descriptor
UNUSED = 10.0  # seconds after which one that nobody asks for makes room

Process = tuple[int, int]
"""Pid, and when it started."""


class Siblings:
    """The processes of this host that a session watches. For its background thread."""

    def __init__(self) -> None:
        self._host = host_identity()
        self._fds: dict[Process, int] = {}
        self._used: dict[Process, float] = {}
        self._queue = _ProcessQueue() if sys.platform == "darwin" else None

    @property
    def fds(self) -> set[int]:
        """What is readable when a process that is watched has ended."""
        return {self._queue.fileno()} if self._queue is not None else set(self._fds.values())

    def has_ended(self, record: SessionRecord) -> bool | None:
        """Return whether the process of a session has ended; None if this one cannot see that. It
        is watched from then on.
        """
        if not self._host or record.host != self._host or record.pid <= 0:
            return None
        process = record.pid, record.start
        self._used[process] = time.monotonic()
        if process not in self._fds:
            self._make_room()
            if len(self._fds) >= MAX_WATCHED:
                del self._used[process]
                return None
            fd = self._open(process)
            if fd is None:
                del self._used[process]
                return None
            if fd < 0:
                del self._used[process]
                return True
            self._fds[process] = fd
        if process in self._ended():
            self.forget([process])
            return True
        return False

    def _open(self, process: Process) -> int | None:
        """Return a descriptor of a process; -1 if it has ended, None if there is no way to know."""
        pid, start = process
        try:
            fd = os.pidfd_open(pid) if self._queue is None else self._queue.add(pid)
        except ProcessLookupError:
            return -1
        except (OSError, AttributeError):  # not permitted, no descriptor left, or an old kernel
            return None
        # In this order: what the descriptor is of cannot be another one later.
        found = start_of(pid)
        if start and found and found != start:
            self._close(fd)
            return -1
        return fd

    def _ended(self) -> set[Process]:
        """Return those that have ended."""
        if self._queue is not None:
            gone = self._queue.ended()
            return {process for process in self._fds if process[0] in gone}
        poll = select.poll()
        for fd in self._fds.values():
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(0)}
        return {process for process, fd in self._fds.items() if fd in ready}

    def _make_room(self) -> None:
        unused = time.monotonic() - UNUSED
        self.forget([process for process, used in self._used.items() if used < unused])

    def forget_ended(self) -> None:
        """Watch those no more that have ended: they would be readable for ever, though nobody may
        ask for them again. Who does finds no such process.
        """
        self.forget(self._ended())

    def forget(self, processes: Iterable[Process]) -> None:
        """Watch these no more."""
        for process in processes:
            self._used.pop(process, None)
            watched = (process,) if process in self._fds else ()
            fds = map(self._fds.pop, watched)
            # In one bytecode: a signal handler may raise between two, and nobody would close it.
            deque(fds if self._queue is not None else map(os.close, fds), maxlen=0)

    def _close(self, fd: int) -> None:
        if self._queue is None:
            os.close(fd)

    def close(self) -> None:
        """Watch nothing any more: the session ends, or this is a forked child."""
        self.forget(list(self._fds))
        if self._queue is not None:
            self._queue.close()


class _ProcessQueue:
    """The same for a Mac."""

    def __init__(self) -> None:
        self._kqueue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
        self._gone: set[int] = set()

    def fileno(self) -> int:
        return int(self._kqueue.fileno())

    def add(self, pid: int) -> int:
        """Watch a process; return its pid. Raises ProcessLookupError."""
        event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
            pid,
            select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
            select.KQ_EV_ADD | select.KQ_EV_ONESHOT,  # type: ignore[attr-defined,unused-ignore]
            select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
        )
        self._gone.discard(pid)
        self._kqueue.control([event], 0, 0)
        return pid

    def ended(self) -> set[int]:
        """Return those that have ended."""
        self._gone.update(event.ident for event in self._kqueue.control(None, MAX_WATCHED, 0))
        return self._gone

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._kqueue.close()
