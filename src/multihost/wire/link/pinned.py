"""Connections that are pinned to threads, and the request numbers that go over them."""

from __future__ import annotations

import os
import threading
import weakref

from multihost.wire.link.channel import Channel

__all__ = ["Caller", "PinnedConnections"]


class Caller:
    """One conversation with the server: a connection and the request numbers that go over it.

    One that is ``kept`` is not given to others when an exchange fails: whoever took it goes on with
    its next number.
    """

    __slots__ = ("channel", "kept", "name", "number", "records")

    def __init__(self, name: bytes, records: dict[bytes, None]) -> None:
        self.name = name
        self.number = 0
        self.kept = False
        self.channel: Channel | None = None
        self.records = records

    def record(self, prefix: bytes) -> bytes:
        """The key under which a partition keeps this caller's last request and its answer."""
        key = prefix + self.name
        self.records[key] = None
        return key


class _Stack(list[Caller]):
    """The free callers of one thread. Dies with the thread, and retires them."""

    __slots__ = ("_link",)

    def __init__(self, link: PinnedConnections) -> None:
        self._link = weakref.ref(link)

    def __del__(self) -> None:
        link = self._link()
        for caller in self:
            if link is not None:
                link.retire(caller)
            elif caller.channel is not None:
                caller.channel.close()


class _Threads(threading.local):
    """The stack of each thread."""

    def __init__(self, link: PinnedConnections) -> None:
        self.stack = _Stack(link)


class PinnedConnections:
    """The connections of this process to one server: one for each thread that calls."""

    def _begin(self) -> None:
        """The state that a forked child must not share with its parent."""
        self._name = os.urandom(9).hex().encode()
        self._lock = threading.RLock()  # a signal handler may make a call, too
        self._callers: list[Caller] = []
        self._idle: list[Caller] = []
        self._records: dict[bytes, None] = {}
        self._threads = _Threads(self)

    def take(self) -> Caller:
        """A caller for one exchange, which gives it back.

        Whoever interrupts an exchange (a signal handler, a finalizer) finds it gone and gets
        another.
        """
        try:
            return self._threads.stack.pop()
        except IndexError:
            return self._new_caller()

    def written(self) -> int:
        """A number that grows with every write of this thread, but for one under way."""
        return sum(caller.number for caller in self._threads.stack)

    def give_back(self, caller: Caller) -> None:
        """After :meth:`blocked`: the caller is free for other exchanges of this thread."""
        self._threads.stack.append(caller)

    def reclaim(self, caller: Caller) -> None:
        """Take a caller again that an exchange may have given back just now."""
        stack = self._threads.stack
        if caller in stack:
            stack.remove(caller)

    @staticmethod
    def drop(caller: Caller) -> None:
        """Close the connection of a caller, and keep the caller."""
        channel, caller.channel = caller.channel, None
        if channel is not None:
            channel.close()

    def upcoming(self) -> Caller:
        """The caller that this thread's next call will take."""
        stack = self._threads.stack
        if not stack:
            stack.append(self._new_caller())
        return stack[-1]

    def here(self) -> Channel | None:
        """The connection that this thread's next call will use, None if it is not open."""
        stack = self._threads.stack
        return stack[-1].channel if stack else None

    def hang_up(self) -> None:
        """Close the connection that this thread's next call would use."""
        stack = self._threads.stack
        if stack:
            self.drop(stack[-1])

    def _new_caller(self) -> Caller:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            caller = Caller(b"r:%b.%d" % (self._name, len(self._callers)), self._records)
            self._callers.append(caller)
            return caller

    def retire(self, caller: Caller) -> None:
        """Close the connection of a caller and keep its name and number for the next one."""
        self.drop(caller)
        if (
            caller.records is self._records and not caller.kept
        ):  # otherwise it was inherited: the name is the parent's
            self._idle.append(caller)
