"""The links to the parts of a cluster: a lane to one partition, a branch to one server.

They share all connections of the whole, and have none of their own. What a server answers to calls
that belong elsewhere only a lane follows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multihost.wire.link.channel import Channel, ConnectionBroken, Node, Reply
from multihost.wire.link.cluster.redirects import asks, redirected, with_asking
from multihost.wire.link.fence import Fence
from multihost.wire.link.link import Link
from multihost.wire.link.opening import Outage
from multihost.wire.link.patience import stood_still
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.repeating import BACKOFF
from multihost.wire.replies import ReplyError

if TYPE_CHECKING:
    from multihost.wire.link.cluster.link import ClusterLink

__all__ = ["Branch", "Lane", "Server", "shared"]

HOPS = 5  # redirects that are followed without a pause
AGAIN = 0.1  # seconds before the next question, where many attempts fail
TOLD = 1.0  # seconds for which one redirect says enough: nobody is asked about the others


class Server:
    """One server of a cluster, as this process knows it."""

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.fence: Fence = Fence()
        self.outage: Outage = Outage()


class _Shared:
    """An attribute that is that of the whole."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, branch: Any, owner: type) -> Any:
        return getattr(branch.whole, self._name)

    def __set__(self, branch: Any, value: Any) -> None:
        setattr(branch.whole, self._name, value)


def shared() -> Any:
    """Return an attribute that is that of the whole."""
    return _Shared()


class Branch(Link):
    """Sends to one server. Redirects are replies like others."""

    guarded = True
    address, redact, timeout, reconnect_timeout = shared(), shared(), shared(), shared()
    on_open, on_move, lookout, _route = shared(), shared(), shared(), shared()
    disconnects, _last_break, _reply_off = shared(), shared(), shared()
    _closed, _closer, _closing = shared(), shared(), shared()
    _connections, _idle, _reply_keys = shared(), shared(), shared()

    def __init__(self, whole: ClusterLink, threads: Any) -> None:
        # Not that of a link: it has neither connections nor an address of its own.
        self.whole: ClusterLink = whole
        self.begin(threads)

    def begin(self, threads: Any) -> None:
        """Have no connections: at first, and in a forked child."""
        self._threads = threads  # not by way of the whole: every call uses it
        self._blocked = set()
        self.lead_to(None)

    def lead_to(self, server: Server | None) -> None:
        """Send to that server from now on."""
        self._outage = Outage() if server is None else server.outage
        self.fence = Fence() if server is None else server.fence
        self.node = None if server is None else server.node

    def lane(self, prefix: bytes) -> Link:
        return self.whole.lane(prefix)

    def masters(self) -> Sequence[Link]:
        return self.whole.masters()

    # connections

    def checkout(self) -> PinnedConnection:
        try:
            connection = self._threads.free.pop()
        except IndexError:
            connection = self.whole.new_connection()
        if connection.node is not self.node:
            connection.turn_to(self.node)
        return connection

    def new_connection(self) -> PinnedConnection:
        return self.whole.new_connection()

    def peek(self) -> PinnedConnection:
        connection = super().peek()
        connection.turn_to(self.node)
        return connection

    def current_channel(self) -> Channel | None:
        free = self._threads.free
        return free[-1].channel_to(self.node) if free else None

    def disconnect_current(self) -> None:
        if self._threads.free:
            self.disconnect(self.peek(), is_idle=True)

    def open_channels(self) -> list[Channel]:
        return [each for each in self.whole.open_channels() if each.node == self.node]

    def fence_at(self, node: Node | None) -> Fence:
        return self.fence if node in (None, self.node) else self.whole.fence_at(node)

    def ensure_connected(self, connection: PinnedConnection) -> Channel:
        connection.turn_to(self.node)
        return connection.channel or self._open(connection)

    def _open(self, connection: PinnedConnection, limit: float | None = None) -> Channel:
        if self.is_closed:
            raise self.closed from None
        connection.turn_to(self.node)
        try:
            return connection.channel or super()._open(connection, limit)
        except (ConnectionBroken, OSError):
            self.whole.refresh(AGAIN, elsewhere=True)  # the next attempt may find another one
            raise

    def _connect(self, connection: PinnedConnection, limit: float) -> Channel:
        # To where it was turned: by now the partition may be elsewhere.
        if connection.node is None:
            raise ConnectionBroken("no server of the cluster has the partition")
        return self.whole.open_at(connection.node, limit)

    def _send_many(self, connection: PinnedConnection, requests: bytes, count: int) -> list[Reply]:
        connection.turn_to(self.node)
        return super()._send_many(connection, requests, count)

    def send_once(self, requests: bytes, count: int) -> list[Reply] | None:
        """Send packed requests that may be repeated, once; return their replies, errors among them,
        and None if the connection broke.
        """
        connection = self.checkout()
        try:
            return self.ensure_connected(connection).exchange_many(requests, count)
        except ConnectionBroken:
            self.disconnect(connection)
            self.note_break()
            self.disconnects += 1
            connection.repeats += 1
            return None
        except BaseException:
            self.disconnect(connection)
            raise
        finally:
            self.checkin(connection)

    def close(self) -> None:
        self.whole.close()

    def close_now(self) -> None:
        self.whole.close_now()


class Lane(Branch):
    """Sends to the server that has one slot, and so the keys of a partition, wherever that goes.

    Each request that is sent again elsewhere counts as one that a break made necessary.
    """

    def __init__(self, whole: ClusterLink, threads: Any, slot: int) -> None:
        self.slot: int = slot
        super().__init__(whole, threads)

    def begin(self, threads: Any) -> None:
        super().begin(threads)
        self.whole.place(self)

    def _open(self, connection: PinnedConnection, limit: float | None = None) -> Channel:
        if self.node is None:
            self.whole.refresh()
        return super()._open(connection, limit)

    def lead_to(self, server: Server | None) -> None:
        super().lead_to(server)
        for connection in self.blocked:  # the server that they wait at may not tell them
            channel = connection.channel
            if channel is not None and channel.node != self.node:
                channel.interrupt()

    # what the server answers to what belongs elsewhere

    def is_unavailable(self, reply: Reply) -> bool:
        return type(reply) is ReplyError and (reply.is_transient or reply.code in ("MOVED", "ASK"))

    def _heed(self, error: ReplyError, asked: Node | None) -> None:
        """Learn from an error reply of a server where the slot is."""
        if error.code == "MOVED" and asked is not None:
            self.whole.moved(self.slot, redirected(error, asked, self.whole.remap))
            self.whole.refresh(TOLD)  # where others went that moved along with it
        elif error.has_moved or error.code == "CLUSTERDOWN":
            self.whole.refresh()

    def _retry_while_unavailable(
        self,
        connection: PinnedConnection,
        requests: bytes,
        error: ReplyError,
        replies: list[Reply],
    ) -> list[Reply]:
        begun, hops = time.monotonic(), 0
        pause, longest = BACKOFF
        while True:
            self._heed(error, connection.node)
            if error.has_moved:
                self.disconnect(connection)
            asked, hops = asks(requests, replies), hops + 1
            if hops > HOPS or not (asked or error.code == "MOVED"):
                paused = time.monotonic()
                if paused + pause >= self.patience_ends(begun):
                    return [_at_last(reply) for reply in replies]
                self._closing.wait(pause)
                begun += stood_still(paused, pause)
                pause = min(2 * pause, longest)
            self.disconnects += 1  # a part may have been executed: as behind a break
            connection.repeats += 1
            sent = time.monotonic()
            if asked:
                replies = self._ask_once(connection, asked, requests, len(replies))
            else:
                replies = self._send_many(connection, requests, len(replies))
            begun += stood_still(sent, self.timeout)
            for reply in replies:
                if type(reply) is ReplyError:
                    reply.is_repeated = True
            found = next((reply for reply in replies if self.is_unavailable(reply)), None)
            if found is None:
                return replies
            error = found

    def _ask_once(
        self, connection: PinnedConnection, error: ReplyError, requests: bytes, count: int
    ) -> list[Reply]:
        """Send requests to the server to which the slot is about to go; do not check the connection
        in.
        """
        here = connection.node or ("", 0)
        branch = self.whole.branch(redirected(error, here, self.whole.remap))
        packed, own = with_asking(requests)
        try:
            channel = branch.ensure_connected(connection)
            replies = channel.exchange_many(packed, max(own) + 1)
        except ConnectionBroken as broken:
            branch.disconnect(connection)
            return self._reconnect_and_resend(connection, requests, count, broken)
        except BaseException:
            self.recycle(connection)
            raise
        connection.turn_to(self.node)
        return [replies[index] for index in own]

    # exchanges of a waiter: what belongs elsewhere is a break to it

    def exchange_blocking(
        self,
        connection: PinnedConnection,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        connection.turn_to(self.node)
        replies = super().exchange_blocking(connection, requests, seconds, count, grace)
        if ReplyError in map(type, replies):
            replies = [self._of_waiter(connection, reply) for reply in replies]
        return replies

    def send_and_pop(self, connection: PinnedConnection, request: bytes) -> Reply:
        connection.turn_to(self.node)
        reply = super().send_and_pop(connection, request)
        return reply if type(reply) is not ReplyError else self._of_waiter(connection, reply)

    def try_once(
        self, connection: PinnedConnection, request: bytes, limit: float | None = None
    ) -> Reply:
        connection.turn_to(self.node)
        reply = super().try_once(connection, request, limit)
        return reply if type(reply) is not ReplyError else self._of_waiter(connection, reply)

    def _of_waiter(self, connection: PinnedConnection, reply: Reply) -> Reply:
        """Return a reply to a waiter. Raises ConnectionBroken if the slot is elsewhere: it connects
        again. While the slot is about to go it tries again here.
        """
        if type(reply) is not ReplyError:
            return reply
        if reply.code == "MOVED" or reply.has_moved:
            self._heed(reply, connection.node)
            self.disconnect(connection, is_idle=True)
            self.note_break()
            raise ConnectionBroken(f"the server does not have the partition any more ({reply})")
        return _at_last(reply)


def _at_last(reply: Reply) -> Reply:
    """Return what a redirect means that is not followed."""
    if type(reply) is ReplyError and reply.code in ("MOVED", "ASK"):
        return ReplyError(f"TRYAGAIN the cluster says {reply}")
    return reply
