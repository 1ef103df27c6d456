"""Connections that are pinned to threads, and the request numbers that go over them.

A thread takes a connection for each exchange (:meth:`PinnedConnections.checkout`) and gives it back
(``checkin``). Nearly always that is the same one. A signal handler or a finalizer that interrupts
an exchange finds the connection checked out and gets another one; so no reply is ever taken for
that to another request. When a thread ends its connections are closed, and their names and numbers
go to the next thread that needs one.

A connection that is checked out belongs to the frames that refer to it, and to nothing else. So an
exception may come at any bytecode (a signal handler raises): when the frames are gone, and the
connection was not checked in, its finalizer closes it.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref

from multihost.patching import per_thread
from multihost.weak import WeakMembers
from multihost.wire.link.channel import Channel, Node
from multihost.wire.link.fence import Fence
from multihost.wire.link.resp import pack_args

__all__ = ["SHORTEST", "PinnedConnection", "PinnedConnections"]

SHORTEST = 1.0  # seconds: a server far away needs some, however short the patience


class _PackedReplyKeys(dict[bytes, bytes]):
    """Partition -> the reply key of one connection there, packed as an argument of a command.

    At most one for each partition; what is the same for all threads is stored with the objects.
    """

    __slots__ = ("_name", "_reply_keys")

    def __init__(self, name: bytes, reply_keys: dict[bytes, None]) -> None:
        self._name = name
        self._reply_keys = reply_keys

    def __missing__(self, partition: bytes) -> bytes:
        key = partition + self._name
        self._reply_keys[key] = None
        packed = self[partition] = pack_args((key,))
        return packed


class PinnedConnection:
    """A connection to the server, and the numbers of the requests that went over it.

    The server knows it by its name, also after it was opened again. A ``reserved`` one is not given
    to another thread when an exchange fails: its next request, which has the next number, belongs
    to the same operation.

    Where there are several servers it has a channel to each that it was used for, and is turned to
    one of them at a time. Its name and number are the same at all of them: where a partition goes,
    its reply keys go.
    """

    __slots__ = (
        "__weakref__",
        "_link",
        "channel",
        "name",
        "node",
        "others",
        "packed_reply_keys",
        "repeats",
        "reply_keys",
        "reserved",
        "sequence",
    )

    def __init__(
        self,
        name: bytes,
        reply_keys: dict[bytes, None],
        link: weakref.ref[PinnedConnections] | None = None,
        sequence: int = 0,
    ) -> None:
        self.name: bytes = name
        self.sequence: int = sequence
        # How often what was sent over it, and may have been executed, was sent again.
        self.repeats: int = 0
        self.reserved: bool = False
        self.channel: Channel | None = None
        self.node: Node | None = None  # where that leads, of several servers
        self.others: dict[Node, Channel] = {}  # its open channels elsewhere
        self.reply_keys: dict[bytes, None] = reply_keys  # those of all connections of the process
        self.packed_reply_keys: _PackedReplyKeys = _PackedReplyKeys(name, reply_keys)
        self._link = link  # last: a signal handler may raise, and __del__ sees that it is no more

    def reply_key(self, partition: bytes) -> bytes:
        """Return the key of the last request of this connection in a partition, and its reply."""
        key = partition + self.name
        self.reply_keys[key] = None
        return key

    def turn_to(self, node: Node | None) -> None:
        """Have the next exchange go to that server."""
        # A signal handler may raise anywhere in this: no channel is lost, one may be there twice.
        channel = self.channel
        if channel is not None and channel.node is not None:
            self.others[channel.node] = channel
        self.channel = None
        self.node = node
        if node is not None:
            self.channel = self.others.pop(node, None)

    def channel_to(self, node: Node | None) -> Channel | None:
        """Return the open channel to a server, None if there is none."""
        if node is None or node == self.node:
            return self.channel
        return self.others.get(node)

    def open_channels(self) -> list[Channel]:
        """Return its open channels, to all servers."""
        channel, others = self.channel, list(self.others.values())
        return others if channel is None else [channel, *others]

    def __del__(self) -> None:
        # Nothing refers to it: its thread was interrupted while it was checked out.
        if not hasattr(self, "_link"):  # or made
            return
        link = None if self._link is None else self._link()
        if link is not None:
            link.replace_dropped(self)
            return
        for channel in self.open_channels():
            channel.close()


class _ThreadConnections(list[PinnedConnection]):
    """The free connections of one thread. It is deleted with the thread, and recycles them."""

    __slots__ = ("__weakref__", "_link")

    def __init__(self, link: PinnedConnections) -> None:
        self._link = weakref.ref(link)
        link.note_thread(self)

    def __del__(self) -> None:
        if not hasattr(self, "_link"):  # who made it was interrupted
            return
        link = self._link()
        for connection in self:
            if link is not None:
                link.recycle(connection, is_idle=True)
                continue
            for channel in connection.open_channels():
                channel.close()


class _PerThread:
    """The free connections of each thread, a stack."""

    until: float | None = None
    """When its patience with a server that does not answer ends, see :class:`Patience`."""
    attempt: float = SHORTEST
    """Seconds that one attempt may take, however short the patience."""
    confirms: bool = True
    """Whether its calls wait for replicas, where others do."""

    def __init__(self, link: PinnedConnections) -> None:
        self.free = _ThreadConnections(link)


class PinnedConnections:
    """The connections of this process to one server: one for each thread that calls."""

    def _reset(self) -> None:
        """Create the state that a forked child must not share with its parent."""
        self._reply_keys: dict[bytes, None] = {}  # first: those of the parent have another one
        self._name = os.urandom(9).hex().encode()
        self.fence: Fence = Fence()
        self._lock = threading.RLock()  # a signal handler may make a call, too
        self._numbers = itertools.count()
        # Weak: whoever checked one out has the only reference to it.
        self._connections: WeakMembers[PinnedConnection] = WeakMembers()
        self._idle: list[PinnedConnection] = []
        self._free: weakref.WeakValueDictionary[int, _ThreadConnections] = (
            weakref.WeakValueDictionary()
        )
        self._threads = per_thread(_PerThread, self)

    def checkout(self) -> PinnedConnection:
        """Return a connection for one exchange, which checks it in."""
        try:
            return self._threads.free.pop()
        except IndexError:
            return self.new_connection()

    def confirm_nothing(self) -> None:
        """Have no call of this thread wait for replicas: nobody is told of what it does."""
        self._threads.confirms = False

    def checkin(self, connection: PinnedConnection) -> None:
        """Make a connection free for other exchanges of this thread."""
        self._threads.free.append(connection)

    def withdraw(self, connection: PinnedConnection) -> None:
        """Take a connection out of those that are free, where an interrupted exchange may or may
        not have put it.
        """
        free = self._threads.free
        if connection in free:
            free.remove(connection)

    def peek(self) -> PinnedConnection:
        """Return the connection that this thread's next exchange will use."""
        free = self._threads.free
        if not free:
            free.append(self.new_connection())
        return free[-1]

    def current_channel(self) -> Channel | None:
        """Return the channel that this thread's next exchange will use, None if it is not open."""
        free = self._threads.free
        return free[-1].channel if free else None

    def note_thread(self, free: _ThreadConnections) -> None:
        """A thread makes its first call: these are its free connections."""
        self._free[id(free)] = free

    def open_channels(self) -> list[Channel]:
        """Return the open channels of all threads."""
        return [each for connection in self._connections for each in connection.open_channels()]

    def in_use(self) -> set[int]:
        """Return a number for each open connection that is checked out."""
        opened = {id(each) for each in self._connections if each.channel is not None}
        # Of references, since another thread may add one: values() would raise then.
        threads = [free for ref in self._free.valuerefs() if (free := ref()) is not None]
        return opened - {id(each) for free in threads for each in list(free)}

    def writes(self) -> int:
        """Return a number that grows with each request of this process for a script that writes."""
        return sum(connection.sequence for connection in self._connections)

    def client_ids(self, node: Node | None = None) -> list[bytes]:
        """Return the number that the server gave each open connection, empty where not known; with
        a ``node``, of those to that one.
        """
        return [
            channel.client_id for channel in self.open_channels() if node in (None, channel.node)
        ]

    def requests_sent(self) -> int:
        """Return a number that grows with each request of this thread for a script that writes, but
        for one under way.
        """
        return sum(connection.sequence for connection in self._threads.free)

    def note_run(self, run: bytes) -> None:
        """The run of the server is known now: open connections are of that, too."""
        for channel in self.open_channels():
            if not channel.run:
                channel.run = run

    def disconnect(self, connection: PinnedConnection, *, is_idle: bool = False) -> None:
        """Close the channel of a connection; the next exchange opens another one. Unless it is idle
        there may be a request under way.
        """
        channel = connection.channel
        if channel is not None:
            if not is_idle:
                self.fence_at(channel.node).add(channel)
            connection.channel = None
            channel.close()

    def disconnect_all(self, connection: PinnedConnection, *, is_idle: bool = False) -> None:
        """The same for its channels to all servers; a request can only be under way over the one
        that it is turned to.
        """
        self.disconnect(connection, is_idle=is_idle)
        while connection.others:
            connection.others.popitem()[1].close()

    def fence_at(self, node: Node | None) -> Fence:  # noqa: ARG002 - here there is one
        """Return the fence for what broke at a server."""
        return self.fence

    def disconnect_current(self) -> None:
        """Close the channel that this thread's next exchange would use."""
        free = self._threads.free
        if free:
            self.disconnect(free[-1], is_idle=True)

    def recycle(self, connection: PinnedConnection, *, is_idle: bool = False) -> None:
        """Close the channel of a connection, and let the next thread have its name and number."""
        self.disconnect_all(connection, is_idle=is_idle)
        # One that was inherited by a fork has the name of the parent's: it is not used again.
        if connection.reply_keys is self._reply_keys and not connection.reserved:
            self._idle.append(connection)

    def replace_dropped(self, connection: PinnedConnection) -> None:
        """Close the channel of a connection that is about to be destroyed, and let the next thread
        have its name and number.
        """
        number = connection.sequence
        self.disconnect_all(connection)
        if connection.reply_keys is self._reply_keys:
            self._idle.append(
                PinnedConnection(connection.name, self._reply_keys, weakref.ref(self), number)
            )

    def new_connection(self) -> PinnedConnection:
        """Return a connection that no thread has, with the name and number of one that ended."""
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
                self._connections.add(connection)
                return connection
            name = b"r:%b.%d" % (self._name, next(self._numbers))
            connection = PinnedConnection(name, self._reply_keys, weakref.ref(self))
            self._connections.add(connection)
            return connection
