"""Connections to one server, and the only place that retries.

A thread has one connection of its own, pinned, opened at its first call and closed when the thread
ends. A broken connection is opened again and the command sent again, until ``patience`` seconds
have passed. That is exact because every command sent here may be repeated: reads by nature, scripts
that write because they carry a request number (see ``lua/lib/reply_cache.lua``), which the
:class:`PinnedConnection` hands out.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from multihost.errors import LinkError, LinkLost, ManagerClosed
from multihost.wire.address import Address, Credentials, unreachable
from multihost.wire.link.channel import Channel, ConnectionBroken, Reply, ReplyTimeout
from multihost.wire.link.connect import connector_for
from multihost.wire.link.fitness import check_server
from multihost.wire.link.pinned import PinnedConnection, PinnedConnections
from multihost.wire.link.resp import Command, pack, pack_all
from multihost.wire.replies import ReplyError, command_error

__all__ = ["REPLY_SKIP", "Link"]

REPLY_CACHE_SECONDS = 60.0  # how long the server knows a request, see lua/lib/reply_cache.lua
BACKOFF = (0.005, 0.25)  # first and longest pause between attempts to connect, in seconds


REPLY_SKIP = pack((b"CLIENT", b"REPLY", b"SKIP"))


class Link(PinnedConnections):
    """All connections of this process to one server.

    ``timeout`` is how long one answer may take, ``patience`` how long a lost server is looked for,
    in seconds.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        reconnect_timeout: float = 10.0,
        connector: Callable[[float], Channel] | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.reconnect_timeout = reconnect_timeout
        self._closed: ManagerClosed | None = None
        self._connector = connector or connector_for(address, credentials)
        self._reset()
        _links.add(self)

    def _reset(self) -> None:
        """The state that a forked child must not share with its parent."""
        super()._reset()
        self._closing = threading.Event()
        self._last_break = -REPLY_CACHE_SECONDS
        self.disconnects: int = 0
        self._reply_off: bool | None = None
        self._blocked: set[PinnedConnection] = set()

    # calls

    def execute_raw(self, *command: bytes) -> Reply:
        """Send a command that may be repeated; return its reply or raise :class:`ReplyError`."""
        return self.exchange(self.checkout(), pack(command))

    def execute(self, *command: bytes) -> Reply:
        """The same, but an error reply becomes the exception that users see."""
        try:
            return self.exchange(self.checkout(), pack(command))
        except ReplyError as error:
            raise command_error(error, command) from None

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands that may be repeated in one write; return their replies."""
        replies = self.exchange_many(self.checkout(), pack_all(commands), len(commands))
        for reply, command in zip(replies, commands, strict=True):
            if type(reply) is ReplyError:
                raise command_error(reply, command)
        return replies

    def pipeline_raw(self, commands: Sequence[Command]) -> list[Reply]:
        """The same, with errors as :class:`ReplyError` among the replies."""
        return self.exchange_many(self.checkout(), pack_all(commands), len(commands))

    def exchange(
        self,
        connection: PinnedConnection,
        request: bytes,
        on_noscript: Callable[[], bytes] | None = None,
    ) -> Reply:
        """Send one packed command that may be repeated; return its reply or raise ReplyError.

        ``unknown`` tells what to send instead if the server does not know the script.
        """
        try:
            reply = (connection.channel or self._connect(connection)).exchange(request)
        except ConnectionBroken as error:
            self._last_break = time.monotonic()
            (reply,) = self._reconnect_and_resend(connection, request, 1, error)
        except BaseException:
            self.recycle(connection)
            raise
        if type(reply) is ReplyError:
            if reply.is_transient:
                (reply,) = self._retry_while_unavailable(connection, request, 1, reply)
            if on_noscript is not None and type(reply) is ReplyError and reply.code == "NOSCRIPT":
                return self.exchange(connection, on_noscript())
        self._threads.free.append(connection)
        if type(reply) is ReplyError:
            raise reply
        return reply

    def exchange_many(
        self, connection: PinnedConnection, requests: bytes, count: int
    ) -> list[Reply]:
        """Send packed commands that may be repeated; return their replies, errors among them."""
        try:
            replies = (connection.channel or self._connect(connection)).exchange_many(
                requests, count
            )
        except ConnectionBroken as error:
            self._last_break = time.monotonic()
            replies = self._reconnect_and_resend(connection, requests, count, error)
        except BaseException:
            self.recycle(connection)
            raise
        if ReplyError in map(type, replies):
            passing = next((r for r in replies if type(r) is ReplyError and r.is_transient), None)
            if passing is not None:
                replies = self._retry_while_unavailable(connection, requests, count, passing)
        self._threads.free.append(connection)
        return replies

    def exchange_blocking(
        self,
        connection: PinnedConnection,
        requests: bytes,
        seconds: float | None,
        skip_first_reply: bool = False,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` commands in one write, of which one blocks, not the first; wait
        ``seconds`` for that, None: as long as for any other, then nudge the server and wait
        ``overdue`` seconds more. If ``quiet``, which :meth:`may_be_quiet` must allow, the first is
        not answered: that saves whoever has to wait from being woken for it.

        Returns the replies, errors among them; after an error or a zero of the first the others are
        not waited for. Breaks are for the one who waits: raises :class:`Broken`, and the connection
        is closed. The caller is not given back.
        """
        channel = self.ensure_connected(connection)
        self._blocked.add(connection)
        try:
            replies = channel.block(
                REPLY_SKIP + requests if skip_first_reply else requests,
                seconds,
                skip_first_reply,
                count,
                grace,
            )
        except ConnectionBroken as error:
            self.disconnect(connection)
            if not isinstance(error, ReplyTimeout):
                self._last_break = time.monotonic()
            raise
        finally:
            self._blocked.discard(connection)
        if len(replies) < count:
            self.disconnect(connection)
        return replies

    def send_and_pop(self, connection: PinnedConnection, request: bytes) -> Reply:
        """Send commands in one write, of which the last blocks and no other is answered. Breaks are
        for the one who waits, as in :meth:`blocked`.
        """
        channel = connection.channel or self._connect(connection)
        self._blocked.add(connection)
        try:
            return channel.exchange(request)
        except ConnectionBroken as error:
            self.disconnect(connection)
            if not isinstance(error, ReplyTimeout):
                self._last_break = time.monotonic()
            raise
        finally:
            self._blocked.discard(connection)

    def interrupt_blocked(self) -> None:
        """Break the connections of all who are blocked: let them look again."""
        for caller in list(self._blocked):
            channel = caller.channel
            if channel is not None:
                channel.interrupt()

    def supports_reply_off(self) -> bool:
        """Whether the server lets a client do without a reply. Asks once."""
        if self._reply_off is None:
            try:
                self._reply_off = self.execute_raw(b"CLIENT", b"REPLY", b"ON") == b"OK"
            except ReplyError:
                self._reply_off = False
        return self._reply_off

    def ensure_connected(self, connection: PinnedConnection) -> Channel:
        """The connection of a caller, which is opened if need be. Raises :class:`Broken`."""
        return connection.channel or self._connect(connection)

    def try_once(self, connection: PinnedConnection, request: bytes) -> Reply:
        """Send one command in the manner of :meth:`blocked`; returns errors, too."""
        channel = connection.channel or self._connect(connection)
        try:
            return channel.exchange(request)
        except ConnectionBroken:
            self.disconnect(connection)
            self._last_break = time.monotonic()
            raise

    def reconnect(
        self, connection: PinnedConnection, cause: ConnectionBroken, timeout: float
    ) -> None:
        """Connect again after a break; look for the server up to ``patience`` seconds."""
        self._reconnect_and_resend(connection, pack((b"PING",)), 1, cause, timeout, keep=True)

    def back_off(self) -> None:
        """Let a moment pass before asking a server again that said «not now»."""
        self._closing.wait(BACKOFF[1] / 5)

    # connections

    def note_break(self) -> None:
        """A connection broke: an attempt may still be under way."""
        self._last_break = time.monotonic()

    def reconnect_and_resend(
        self, connection: PinnedConnection, request: bytes, cause: ConnectionBroken
    ) -> None:
        """Connect again after a break, and send something that may be repeated."""
        self._reconnect_and_resend(connection, request, 1, cause)

    def connect(self, probe: bytes) -> None:
        """Open this thread's connection and see whether the server can be used. Raises
        :class:`LinkError`.

        ``probe`` is a key that must be readable.
        """
        caller = self.checkout()
        try:
            self._connect(caller)
        except ConnectionBroken as error:
            self.recycle(caller)
            raise unreachable(self.address, error) from error
        except BaseException:
            self.recycle(caller)
            raise
        self._threads.free.append(caller)
        if not self.address.is_embedded:
            check_server(self, probe)

    def _connect(self, connection: PinnedConnection) -> Channel:
        if self._closed is not None:
            raise self.closed
        try:
            connection.channel = channel = self._connector(self.timeout)
        except OSError as error:
            if isinstance(error, LinkError):
                raise
            kind = ReplyTimeout if isinstance(error, TimeoutError) else ConnectionBroken
            raise kind(str(error) or type(error).__name__) from error
        if self._closed is not None:  # closed while connecting: close() may have missed this one
            channel.close()
            raise self.closed
        return channel

    def _reconnect_and_resend(
        self,
        connection: PinnedConnection,
        requests: bytes,
        count: int,
        cause: ConnectionBroken,
        timeout: float | None = None,
        *,
        keep: bool = False,
    ) -> list[Reply]:
        """Look for the server until patience ends, and send the commands again."""
        begun, given = time.monotonic(), timeout
        self.disconnects += 1
        sent = connection.channel is not None
        pause, longest = BACKOFF
        try:
            if (
                sent
                and isinstance(cause, ReplyTimeout)
                and self.timeout + self.reconnect_timeout > REPLY_CACHE_SECONDS
            ):
                # The server may have forgotten the request by now and would execute it again.
                raise LinkLost(
                    f"the server at {self.address} did not answer within {self.timeout:g} s: "
                    "whether the call took effect is unknown"
                ) from cause
            while True:
                if connection.channel is not None:
                    connection.channel.close()
                    connection.channel = None
                try:
                    channel = self._connect(connection)
                    sent = True
                    return channel.exchange_many(requests, count)
                except ConnectionBroken as error:
                    cause = error
                timeout = self.reconnect_timeout if given is None else given  # who leaves has none
                if time.monotonic() + pause > begun + timeout:
                    if sent and timeout:
                        raise LinkLost(
                            f"the connection to {self.address} broke and did not come back within "
                            f"{timeout:.4g} s: whether the call took effect is unknown: {cause}"
                        ) from cause
                    raise unreachable(self.address, cause) from cause
                self._closing.wait(pause * (0.5 + random.random() / 2))
                pause = min(2 * pause, longest)
        except BaseException:
            if keep:
                self.disconnect(connection)
            else:
                self.recycle(connection)
            raise

    def _retry_while_unavailable(
        self, connection: PinnedConnection, requests: bytes, count: int, error: ReplyError
    ) -> list[Reply]:
        """Ask again while the server says «not now»."""
        deadline = time.monotonic() + self.reconnect_timeout
        pause, longest = BACKOFF
        while time.monotonic() + pause < deadline:
            self._closing.wait(pause)
            pause = min(2 * pause, longest)
            try:
                replies = (connection.channel or self._connect(connection)).exchange_many(
                    requests, count
                )
            except ConnectionBroken as broken:
                replies = self._reconnect_and_resend(connection, requests, count, broken)
            except BaseException:
                self.recycle(connection)
                raise
            if not any(type(reply) is ReplyError and reply.is_transient for reply in replies):
                return replies
        self._threads.free.append(connection)
        raise LinkError(f"the server at {self.address} does not answer commands: {error}")

    # the end

    @property
    def is_closed(self) -> bool:
        return self._closed is not None

    @property
    def closed(self) -> ManagerClosed:
        """The error for calls after the end."""
        assert self._closed is not None
        return ManagerClosed(*self._closed.args)

    def close(self) -> None:
        """Remove what this link left on the server and close every connection. Calls raise from now
        on.
        """
        if self._closed is not None:
            return
        # An attempt that was given up may still arrive: it must find its record.
        in_doubt = time.monotonic() - self._last_break < REPLY_CACHE_SECONDS
        records = [] if in_doubt else list(self._reply_keys)
        caller = self.checkout()
        try:
            if records:
                channel = caller.channel or self._connect(caller)
                channel.exchange(pack((b"UNLINK", *records)))
        except (ConnectionBroken, LinkError):
            pass  # they expire by themselves within a minute
        finally:
            self.recycle(caller)
            self.close_now()

    def close_now(self) -> None:
        """Close every connection without a word to the server."""
        self._closed = ManagerClosed(
            f"the manager of {self.address} was shut down: its objects cannot be used any more"
        )
        self._closing.set()
        for caller in list(self._connections):
            if caller.channel is not None:
                caller.channel.shutdown()
        _links.discard(self)

    def _after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone and begin afresh."""
        for caller in self._connections:
            if caller.channel is not None:
                caller.channel.close()
                caller.channel = None
        closed = self._closed
        self._reset()
        self._closed = closed


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for link in list(_links):
        link._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
