"""Connections that are pinned to threads, and the request numbers that go over them."""

from __future__ import annotations

import os
import threading
import weakref

from multihost.wire.link.channel import Channel

__all__ = ["PinnedConnection", "PinnedConnections"]


class PinnedConnection:
    """One conversation with the server: a connection and the request numbers that go over it.

    One that is ``kept`` is not given to others when an exchange fails: whoever took it goes on with
    its next number.
    """

    __slots__ = ("channel", "name", "reply_keys", "reserved", "sequence")

    def __init__(self, name: bytes, records: dict[bytes, None]) -> None:
        self.name: bytes = name
        self.sequence: int = 0
        self.reserved: bool = False
        self.channel: Channel | None = None
        self.reply_keys: dict[bytes, None] = records

    def reply_key(self, prefix: bytes) -> bytes:
        """The key under which a partition keeps this caller's last request and its answer."""
        key = prefix + self.name
        self.reply_keys[key] = None
        return key


class _ThreadConnections(list[PinnedConnection]):
    """The free callers of one thread. Dies with the thread, and retires them."""

    __slots__ = ("_link",)

    def __init__(self, link: PinnedConnections) -> None:
        self._link = weakref.ref(link)

    def __del__(self) -> None:
        link = self._link()
        for caller in self:
            if link is not None:
                link.recycle(caller)
            elif caller.channel is not None:
                caller.channel.close()


class _PerThread(threading.local):
    """The stack of each thread."""

    def __init__(self, link: PinnedConnections) -> None:
        self.free = _ThreadConnections(link)


class PinnedConnections:
    """The connections of this process to one server: one for each thread that calls."""

    def _reset(self) -> None:
        """The state that a forked child must not share with its parent."""
        self._name = os.urandom(9).hex().encode()
        self._lock = threading.RLock()  # a signal handler may make a call, too
        self._connections: list[PinnedConnection] = []
        self._idle: list[PinnedConnection] = []
        self._reply_keys: dict[bytes, None] = {}
        self._threads = _PerThread(self)

    def checkout(self) -> PinnedConnection:
        """A caller for one exchange, which gives it back.

        Whoever interrupts an exchange (a signal handler, a finalizer) finds it gone and gets
        another.
        """
        try:
            return self._threads.free.pop()
        except IndexError:
            return self._new_connection()

    def requests_sent(self) -> int:
        """A number that grows with every write of this thread, but for one under way."""
        return sum(caller.sequence for caller in self._threads.free)

    def checkin(self, connection: PinnedConnection) -> None:
        """After :meth:`blocked`: the caller is free for other exchanges of this thread."""
        self._threads.free.append(connection)

    def withdraw(self, connection: PinnedConnection) -> None:
        """Take a caller again that an exchange may have given back just now."""
        stack = self._threads.free
        if connection in stack:
            stack.remove(connection)

    @staticmethod
    def disconnect(connection: PinnedConnection) -> None:
        """Close the connection of a caller, and keep the caller."""
        channel, connection.channel = connection.channel, None
        if channel is not None:
            channel.close()

    def peek(self) -> PinnedConnection:
        """The caller that this thread's next call will take."""
        stack = self._threads.free
        if not stack:
            stack.append(self._new_connection())
        return stack[-1]

    def current_channel(self) -> Channel | None:
        """The connection that this thread's next call will use, None if it is not open."""
        stack = self._threads.free
        return stack[-1].channel if stack else None

    def disconnect_current(self) -> None:
        """Close the connection that this thread's next call would use."""
        stack = self._threads.free
        if stack:
            self.disconnect(stack[-1])

    def _new_connection(self) -> PinnedConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            caller = PinnedConnection(
                b"r:%b.%d" % (self._name, len(self._connections)), self._reply_keys
            )
            self._connections.append(caller)
            return caller

    def recycle(self, connection: PinnedConnection) -> None:
        """Close the connection of a caller and keep its name and number for the next one."""
        self.disconnect(connection)
        if (
            connection.reply_keys is self._reply_keys and not connection.reserved
        ):  # otherwise it was inherited: the name is the parent's
            self._idle.append(connection)
