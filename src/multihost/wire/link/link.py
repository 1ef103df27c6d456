"""Connections to one server, and the only place that retries.

A thread has one connection of its own, pinned, opened at its first call and closed when the thread
ends. A broken connection is opened again and the command sent again, until ``patience`` seconds
have passed. That is exact because every command sent here may be repeated: reads by nature, scripts
that write because they carry a request number (see ``lua/lib/reply_cache.lua``), which the :class:`Caller`
hands out.
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
from multihost.wire.link.channel import Broken, Channel, Late, Reply
from multihost.wire.link.connect import opener_for
from multihost.wire.link.fitness import check_server
from multihost.wire.link.pinned import Caller, PinnedConnections
from multihost.wire.link.resp import Command, pack, pack_all
from multihost.wire.replies import ReplyError, failed

__all__ = ["SKIP", "Link"]

RECORD_SECONDS = 60.0  # how long the server knows a request, see lua/lib/reply_cache.lua
BACKOFF = (0.005, 0.25)  # first and longest pause between attempts to connect, in seconds


SKIP = pack((b"CLIENT", b"REPLY", b"SKIP"))


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
        patience: float = 10.0,
        opener: Callable[[float], Channel] | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.patience = patience
        self._closed: ManagerClosed | None = None
        self._opener = opener or opener_for(address, credentials)
        self._begin()
        _links.add(self)

    def _begin(self) -> None:
        """The state that a forked child must not share with its parent."""
        super()._begin()
        self._closing = threading.Event()
        self._doubted = -RECORD_SECONDS
        self.breaks = 0
        self._quiet: bool | None = None
        self._blocked: set[Caller] = set()

    # calls

    def ask(self, *command: bytes) -> Reply:
        """Send a command that may be repeated; return its reply or raise :class:`ReplyError`."""
        return self.exchange(self.take(), pack(command))

    def call(self, *command: bytes) -> Reply:
        """The same, but an error reply becomes the exception that users see."""
        try:
            return self.exchange(self.take(), pack(command))
        except ReplyError as error:
            raise failed(error, command) from None

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands that may be repeated in one write; return their replies."""
        replies = self.exchange_many(self.take(), pack_all(commands), len(commands))
        for reply, command in zip(replies, commands, strict=True):
            if type(reply) is ReplyError:
                raise failed(reply, command)
        return replies

    def replies(self, commands: Sequence[Command]) -> list[Reply]:
        """The same, with errors as :class:`ReplyError` among the replies."""
        return self.exchange_many(self.take(), pack_all(commands), len(commands))

    def exchange(
        self, caller: Caller, request: bytes, unknown: Callable[[], bytes] | None = None
    ) -> Reply:
        """Send one packed command that may be repeated; return its reply or raise ReplyError.

        ``unknown`` tells what to send instead if the server does not know the script.
        """
        try:
            reply = (caller.channel or self._connect(caller)).exchange(request)
        except Broken as error:
            self._doubted = time.monotonic()
            (reply,) = self._again(caller, request, 1, error)
        except BaseException:
            self.retire(caller)
            raise
        if type(reply) is ReplyError:
            if reply.passing:
                (reply,) = self._wait_for(caller, request, 1, reply)
            if unknown is not None and type(reply) is ReplyError and reply.code == "NOSCRIPT":
                return self.exchange(caller, unknown())
        self._threads.stack.append(caller)
        if type(reply) is ReplyError:
            raise reply
        return reply

    def exchange_many(self, caller: Caller, requests: bytes, count: int) -> list[Reply]:
        """Send packed commands that may be repeated; return their replies, errors among them."""
        try:
            replies = (caller.channel or self._connect(caller)).exchange_many(requests, count)
        except Broken as error:
            self._doubted = time.monotonic()
            replies = self._again(caller, requests, count, error)
        except BaseException:
            self.retire(caller)
            raise
        if ReplyError in map(type, replies):
            passing = next((r for r in replies if type(r) is ReplyError and r.passing), None)
            if passing is not None:
                replies = self._wait_for(caller, requests, count, passing)
        self._threads.stack.append(caller)
        return replies

    def blocked(
        self,
        caller: Caller,
        requests: bytes,
        seconds: float | None,
        quiet: bool = False,
        count: int = 3,
        overdue: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` commands in one write, of which one blocks, not the first; wait
        ``seconds`` for that, None: as long as for any other, then nudge the server and wait
        ``overdue`` seconds more. If ``quiet``, which :meth:`may_be_quiet` must allow, the first is
        not answered: that saves whoever has to wait from being woken for it.

        Returns the replies, errors among them; after an error or a zero of the first the others are
        not waited for. Breaks are for the one who waits: raises :class:`Broken`, and the connection
        is closed. The caller is not given back.
        """
        channel = self.opened(caller)
        self._blocked.add(caller)
        try:
            replies = channel.block(
                SKIP + requests if quiet else requests, seconds, quiet, count, overdue
            )
        except Broken as error:
            self.drop(caller)
            if not isinstance(error, Late):
                self._doubted = time.monotonic()
            raise
        finally:
            self._blocked.discard(caller)
        if len(replies) < count:
            self.drop(caller)
        return replies

    def converse(self, caller: Caller, request: bytes) -> Reply:
        """Send commands in one write, of which the last blocks and no other is answered. Breaks are
        for the one who waits, as in :meth:`blocked`.
        """
        channel = caller.channel or self._connect(caller)
        self._blocked.add(caller)
        try:
            return channel.exchange(request)
        except Broken as error:
            self.drop(caller)
            if not isinstance(error, Late):
                self._doubted = time.monotonic()
            raise
        finally:
            self._blocked.discard(caller)

    def rouse(self) -> None:
        """Break the connections of all who are blocked: let them look again."""
        for caller in list(self._blocked):
            channel = caller.channel
            if channel is not None:
                channel.break_off()

    def may_be_quiet(self) -> bool:
        """Whether the server lets a client do without a reply. Asks once."""
        if self._quiet is None:
            try:
                self._quiet = self.ask(b"CLIENT", b"REPLY", b"ON") == b"OK"
            except ReplyError:
                self._quiet = False
        return self._quiet

    def opened(self, caller: Caller) -> Channel:
        """The connection of a caller, which is opened if need be. Raises :class:`Broken`."""
        return caller.channel or self._connect(caller)

    def once(self, caller: Caller, request: bytes) -> Reply:
        """Send one command in the manner of :meth:`blocked`; returns errors, too."""
        channel = caller.channel or self._connect(caller)
        try:
            return channel.exchange(request)
        except Broken:
            self.drop(caller)
            self._doubted = time.monotonic()
            raise

    def revive(self, caller: Caller, cause: Broken, patience: float) -> None:
        """Connect again after a break; look for the server up to ``patience`` seconds."""
        self._again(caller, pack((b"PING",)), 1, cause, patience, keep=True)

    def pause(self) -> None:
        """Let a moment pass before asking a server again that said «not now»."""
        self._closing.wait(BACKOFF[1] / 5)

    # connections

    def doubt(self) -> None:
        """A connection broke: an attempt may still be under way."""
        self._doubted = time.monotonic()

    def look_for(self, caller: Caller, request: bytes, cause: Broken) -> None:
        """Connect again after a break, and send something that may be repeated."""
        self._again(caller, request, 1, cause)

    def connect(self, probe: bytes) -> None:
        """Open this thread's connection and see whether the server can be used. Raises
        :class:`LinkError`.

        ``probe`` is a key that must be readable.
        """
        caller = self.take()
        try:
            self._connect(caller)
        except Broken as error:
            self.retire(caller)
            raise unreachable(self.address, error) from error
        except BaseException:
            self.retire(caller)
            raise
        self._threads.stack.append(caller)
        if not self.address.is_embedded:
            check_server(self, probe)

    def _connect(self, caller: Caller) -> Channel:
        if self._closed is not None:
            raise self.closed
        try:
            caller.channel = channel = self._opener(self.timeout)
        except OSError as error:
            if isinstance(error, LinkError):
                raise
            kind = Late if isinstance(error, TimeoutError) else Broken
            raise kind(str(error) or type(error).__name__) from error
        if self._closed is not None:  # closed while connecting: close() may have missed this one
            channel.close()
            raise self.closed
        return channel

    def _again(
        self,
        caller: Caller,
        requests: bytes,
        count: int,
        cause: Broken,
        patience: float | None = None,
        *,
        keep: bool = False,
    ) -> list[Reply]:
        """Look for the server until patience ends, and send the commands again."""
        begun, given = time.monotonic(), patience
        self.breaks += 1
        sent = caller.channel is not None
        pause, longest = BACKOFF
        try:
            if sent and isinstance(cause, Late) and self.timeout + self.patience > RECORD_SECONDS:
                # The server may have forgotten the request by now and would execute it again.
                raise LinkLost(
                    f"the server at {self.address} did not answer within {self.timeout:g} s: "
                    "whether the call took effect is unknown"
                ) from cause
            while True:
                if caller.channel is not None:
                    caller.channel.close()
                    caller.channel = None
                try:
                    channel = self._connect(caller)
                    sent = True
                    return channel.exchange_many(requests, count)
                except Broken as error:
                    cause = error
                patience = self.patience if given is None else given  # who leaves has none
                if time.monotonic() + pause > begun + patience:
                    if sent and patience:
                        raise LinkLost(
                            f"the connection to {self.address} broke and did not come back within "
                            f"{patience:.4g} s: whether the call took effect is unknown: {cause}"
                        ) from cause
                    raise unreachable(self.address, cause) from cause
                self._closing.wait(pause * (0.5 + random.random() / 2))
                pause = min(2 * pause, longest)
        except BaseException:
            if keep:
                self.drop(caller)
            else:
                self.retire(caller)
            raise

    def _wait_for(
        self, caller: Caller, requests: bytes, count: int, error: ReplyError
    ) -> list[Reply]:
        """Ask again while the server says «not now»."""
        deadline = time.monotonic() + self.patience
        pause, longest = BACKOFF
        while time.monotonic() + pause < deadline:
            self._closing.wait(pause)
            pause = min(2 * pause, longest)
            try:
                replies = (caller.channel or self._connect(caller)).exchange_many(requests, count)
            except Broken as broken:
                replies = self._again(caller, requests, count, broken)
            except BaseException:
                self.retire(caller)
                raise
            if not any(type(reply) is ReplyError and reply.passing for reply in replies):
                return replies
        self._threads.stack.append(caller)
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
        in_doubt = time.monotonic() - self._doubted < RECORD_SECONDS
        records = [] if in_doubt else list(self._records)
        caller = self.take()
        try:
            if records:
                channel = caller.channel or self._connect(caller)
                channel.exchange(pack((b"UNLINK", *records)))
        except (Broken, LinkError):
            pass  # they expire by themselves within a minute
        finally:
            self.retire(caller)
            self.abandon()

    def abandon(self) -> None:
        """Close every connection without a word to the server."""
        self._closed = ManagerClosed(
            f"the manager of {self.address} was shut down: its objects cannot be used any more"
        )
        self._closing.set()
        for caller in list(self._callers):
            if caller.channel is not None:
                caller.channel.shut()
        _links.discard(self)

    def _forked(self) -> None:
        """In a forked child: leave the parent's connections alone and begin afresh."""
        for caller in self._callers:
            if caller.channel is not None:
                caller.channel.close()
                caller.channel = None
        closed = self._closed
        self._begin()
        self._closed = closed


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for link in list(_links):
        link._forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
