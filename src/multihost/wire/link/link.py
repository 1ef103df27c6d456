"""Connections to one server, and the only place that retries.

A thread has one connection of its own, pinned, opened at its first call and closed when the thread
ends. A broken connection is opened again and the request sent again, for as long as the thread has
patience (:mod:`multihost.wire.link.patience`). That is exact because every request sent here may be
repeated: reads by nature, scripts that write because they carry a request number (see
``lua/lib/reply_cache.lua``), which the :class:`PinnedConnection` counts.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

from multihost.errors import LinkError, ManagerClosed
from multihost.patching import on_patch
from multihost.weak import WeakMembers
from multihost.wire.address import Address, Credentials
from multihost.wire.keys import REPLY_CACHE_SECONDS
from multihost.wire.link.channel import (
    Channel,
    ConnectionBroken,
    ConnectionRefused,
    Node,
    Reply,
    ReplyTimeout,
)
from multihost.wire.link.connect import route_for
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.repeating import RepeatingConnections
from multihost.wire.link.resp import Command, pack, pack_all
from multihost.wire.link.sentinel import Master
from multihost.wire.link.topology import Route
from multihost.wire.link.unreachable import unreachable
from multihost.wire.redaction import Redactor
from multihost.wire.replies import ReplyError, command_error

__all__ = ["REPLY_SKIP", "Link"]

REPLY_SKIP = pack((b"CLIENT", b"REPLY", b"SKIP"))


class Link(RepeatingConnections):
    """All connections of this process to one server.

    ``timeout`` is how long a call tries in all (:mod:`multihost.wire.link.patience`), in seconds;
    one reply may take half of that, to be asked for once more over another connection. With a
    ``reconnect_timeout`` that is how long a call tries, and ``timeout`` how long a reply may take.
    """

    node: Node | None = None
    """Where calls go now; None where there is only one server."""

    replicas: int | Literal["all"] = 0
    """How many replicas have what a call changed before it returns, see
    :class:`multihost.wire.link.replicated.ReplicatedLink`.
    """
    guarded: bool = False
    """Whether each call of a script declares one more key, the guard of its partition."""

    on_move: Callable[[], None] | None = None
    """Called when a partition has another server; any thread, no lock held."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        reconnect_timeout: float | None = None,
        route: Route | None = None,
    ) -> None:
        if reconnect_timeout is None:
            timeout, reconnect_timeout = timeout / 2, timeout
        super().__init__(
            address, timeout, reconnect_timeout, route or route_for(address, credentials)
        )
        self.redact: Redactor = Redactor(credentials.secrets)
        self._reset()
        open_links.add(self)

    def _reset(self) -> None:
        """Create the state that a forked child must not share with its parent."""
        super()._reset()
        self._reply_off: bool | None = None
        self._blocked: set[PinnedConnection] = set()

    # several servers

    def lane(self, prefix: bytes) -> Link:  # noqa: ARG002 - here they all have one
        """Return the link for the keys of one partition. No round trip."""
        return self

    def masters(self) -> Sequence[Link]:
        """Return a link for each server that has keys. No round trip."""
        return (self,)

    def refresh(self, age: float = 0.0) -> bool:  # noqa: ARG002 - here there is one
        """Find out which servers these are, unless that is known since ``age`` seconds ago; return
        whether one answers. 1 round trip of several servers.
        """
        return True

    def sentinel_facts(self) -> dict[str, str]:
        """Return what a Sentinel says of the master, empty where there is none. 1 round trip, to
        the Sentinel.
        """
        topology = self._route.topology
        return topology.facts() if isinstance(topology, Master) else {}

    def leads_to(self, address: Address) -> bool:
        """Return whether that is an address of the same server. No round trip."""
        return address.server == self.address.server

    # commands

    def execute_raw(self, *command: bytes) -> Reply:
        """Send an idempotent command; return its reply or raise :class:`ReplyError`."""
        return self.exchange(self.checkout(), pack(command))

    def execute(self, *command: bytes) -> Reply:
        """Send an idempotent command; an error reply becomes the exception that users see."""
        try:
            return self.exchange(self.checkout(), pack(command))
        except ReplyError as error:
            raise command_error(error, command) from None

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send idempotent commands in one write; return their replies. An error reply becomes the
        exception that users see.
        """
        replies = self.pipeline_raw(commands)
        for reply, command in zip(replies, commands, strict=True):
            if type(reply) is ReplyError:
                raise command_error(reply, command)
        return replies

    def pipeline_raw(self, commands: Sequence[Command]) -> list[Reply]:
        """Send idempotent commands in one write; return their replies, errors among them. 1 round
        trip, none for no commands.
        """
        if not commands:
            return []
        return self.exchange_many(self.checkout(), pack_all(commands), len(commands))

    # exchanges

    def exchange(
        self,
        connection: PinnedConnection,
        request: bytes,
        on_noscript: Callable[[], bytes] | None = None,
    ) -> Reply:
        """Send one packed request that may be repeated; return its reply or raise ReplyError.

        ``on_noscript`` returns what to send instead if the server does not know the script. The
        connection is checked in, and recycled after any other exception.
        """
        # As _send_many(), written out: every call of a proxy comes through here or exchange_many().
        try:
            reply = (connection.channel or self._open(connection)).exchange(request)
        except ConnectionBroken as error:
            (reply,) = self._reconnect_and_resend(connection, request, 1, error)
        except BaseException:
            self.recycle(connection)
            raise
        if type(reply) is ReplyError:
            if self.is_unavailable(reply):
                (reply,) = self._retry_while_unavailable(connection, request, reply, [reply])
            if on_noscript is not None and type(reply) is ReplyError and reply.code == "NOSCRIPT":
                return self.exchange(connection, on_noscript())
        self._threads.free.append(connection)
        if type(reply) is ReplyError:
            raise reply
        return reply

    def exchange_many(
        self, connection: PinnedConnection, requests: bytes, count: int
    ) -> list[Reply]:
        """Send packed requests that may be repeated; return their replies, errors among them.

        The connection is checked in, and recycled after an exception.
        """
        try:  # as _send_many(), written out for the same reason
            channel = connection.channel or self._open(connection)
            replies = channel.exchange_many(requests, count)
        except ConnectionBroken as error:
            replies = self._reconnect_and_resend(connection, requests, count, error)
        except BaseException:
            self.recycle(connection)
            raise
        if ReplyError in map(type, replies):
            transient = next((r for r in replies if self.is_unavailable(r)), None)
            if transient is not None:
                replies = self._retry_while_unavailable(connection, requests, transient, replies)
        self._threads.free.append(connection)
        return replies

    # exchanges of a waiter, which handles breaks itself: they raise ConnectionBroken with the
    # channel closed, and do not check the connection in

    def exchange_blocking(
        self,
        connection: PinnedConnection,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` requests in one write, of which one blocks, not the first; return their
        replies, errors among them. See :meth:`Channel.block` for how long it waits.

        After an error or a zero of the first request the replies to the others do not come.
        """
        channel = connection.channel or self._open(connection)
        self._blocked.add(connection)
        try:
            replies = channel.block(requests, seconds, count, grace)
        except ConnectionBroken as error:
            if grace and isinstance(error, ReplyTimeout):
                error.waited = grace  # the rest was the wait itself
            self._disconnect_blocked(connection, error)
            raise
        finally:
            self._blocked.discard(connection)
        if len(replies) < count:
            self.disconnect(connection)
        return replies

    def send_and_pop(self, connection: PinnedConnection, request: bytes) -> Reply:
        """Send requests in one write, of which the last blocks and no other has a reply; return
        that.
        """
        channel = connection.channel or self._open(connection)
        self._blocked.add(connection)
        try:
            return channel.exchange(request)
        except ConnectionBroken as error:
            self._disconnect_blocked(connection, error)
            raise
        finally:
            self._blocked.discard(connection)

    def try_once(
        self, connection: PinnedConnection, request: bytes, limit: float | None = None
    ) -> Reply:
        """Send one request; return its reply, also an error. Wait up to ``limit`` seconds for it,
        if that is not the usual time.
        """
        channel = connection.channel or self._open(connection)
        try:
            if limit is None:
                return channel.exchange(request)
            channel.limit(min(limit, self.timeout))
            reply = channel.exchange(request)
            channel.limit(self.timeout)
            return reply
        except ConnectionBroken:
            self.disconnect(connection)
            self.note_break()
            raise

    def execute_over(self, channel: Channel | None, command: Command) -> Reply:
        """Send a command over this channel of this thread, once; return its reply, also an error,
        and None if the channel is not open any more.
        """
        connection = self.checkout()
        try:
            if channel is None or connection.channel is not channel:
                return None
            return self.try_once(connection, pack(command))
        except ConnectionBroken:
            return None
        finally:
            self.checkin(connection)

    def fence_broken(self) -> bool:
        """Have the server close the connections that broke; return whether nothing can arrive any
        more that was sent over them until now. 1 round trip, none if none broke.
        """
        fence = self.fence_at(self.node)
        if fence.is_closed:
            return True
        connection = self.checkout()
        try:
            fence.close(self.ensure_connected(connection))
        except ConnectionBroken:
            self.disconnect(connection)
        finally:
            self.checkin(connection)
        return fence.is_closed

    def _disconnect_blocked(self, connection: PinnedConnection, error: ConnectionBroken) -> None:
        self.disconnect(connection)
        if not isinstance(error, ReplyTimeout):  # that is how most waits end whose time is over
            self.note_break()

    @property
    def blocked(self) -> list[PinnedConnection]:
        """The connections on which threads wait."""
        return list(self._blocked)

    def interrupt_blocked(self) -> None:
        """Break the connections of all blocked waiters: they poll again."""
        for connection in self.blocked:
            channel = connection.channel
            if channel is not None:
                channel.interrupt()

    def supports_reply_off(self) -> bool:
        """Return True if the server lets a client do without a reply. 1 round trip, the first
        time.
        """
        if self._reply_off is None:
            try:
                self._reply_off = self.execute_raw(b"CLIENT", b"REPLY", b"ON") == b"OK"
            except ReplyError:
                self._reply_off = False
        return self._reply_off

    def ensure_connected(self, connection: PinnedConnection) -> Channel:
        """Return the channel of a connection, opened if need be. Raises ConnectionBroken."""
        return connection.channel or self._open(connection)

    # connecting

    def connect(self) -> None:
        """Open this thread's connection. Raises :class:`LinkError`."""
        connection = self.checkout()
        try:
            self._open(connection)
        except ConnectionRefused as error:
            self._reconnect_and_resend(connection, pack((b"PING",)), 1, error)
        except ConnectionBroken as error:
            self.recycle(connection)
            raise unreachable(self.address, error) from None
        except BaseException:
            self.recycle(connection)
            raise
        self._threads.free.append(connection)

    # closing

    def close(self) -> None:
        """Delete the reply keys of this link and close every connection. Calls raise from now
        on.
        """
        if self.is_closed:
            return
        # A request that was given up may still arrive: the server must know that it is an old one.
        in_doubt = time.monotonic() - self._last_break < REPLY_CACHE_SECONDS
        reply_keys = [] if in_doubt else list(self._reply_keys)
        try:
            if reply_keys:
                self._unlink(unlink_commands(reply_keys))
        except (ConnectionBroken, LinkError):
            pass  # they expire by themselves within a minute
        finally:
            self.close_now()

    def _unlink(self, commands: Sequence[Command]) -> None:
        """Send what deletes reply keys, once."""
        connection = self.checkout()
        try:
            self.ensure_connected(connection).exchange_many(pack_all(commands), len(commands))
        finally:
            self.recycle(connection)

    def refuse_others(self) -> None:
        """Close the connections of all other threads, whose calls raise from now on. This one may
        clean up before it calls :meth:`close`.
        """
        self._closer = threading.get_ident()
        self._shut_down(self._threads.free)

    def close_now(self) -> None:
        """Close every connection without sending anything."""
        self._closer = 0
        self._shut_down(())
        if self.lookout is not None:
            self.lookout.stop()
        open_links.discard(self)

    def _shut_down(self, spared: Sequence[PinnedConnection]) -> None:
        self._closed = ManagerClosed(
            f"the manager of {self.address} was shut down: its objects cannot be used any more"
        )
        self._closing.set()
        for connection in self._connections:
            if connection not in spared:
                for channel in connection.open_channels():
                    channel.shutdown()

    def after_fork_in_child(self) -> None:
        """Close this end of the parent's connections, and start with none."""
        for connection in self._connections:
            self.disconnect_all(connection)
        if self._route.topology is not None:
            self._route.topology.close()
        closed = self._closed
        self._reset()
        self._closed = closed


def unlink_commands(keys: Sequence[bytes]) -> list[Command]:
    """Return what deletes keys, a command for those of each partition."""
    partitions: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for key in keys:
        partitions[key.partition(b"}")[0]].append(key)
    return [(b"UNLINK", *each) for each in partitions.values()]


open_links: WeakMembers[Link] = WeakMembers()
"""Those of this process, managers and children of a fork alike."""


def _after_fork_in_child() -> None:
    for link in open_links:
        link.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
on_patch(_after_fork_in_child)
