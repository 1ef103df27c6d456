"""Requests that are sent again: behind a break, and while a server says that it is unavailable."""

from __future__ import annotations

import math
import random
import threading
import time

from multihost.errors import LinkLost
from multihost.wire.keys import REPLY_CACHE_SECONDS
from multihost.wire.link.channel import ConnectionBroken, Reply, ReplyTimeout
from multihost.wire.link.opening import OpenedConnections
from multihost.wire.link.patience import stood_still
from multihost.wire.link.pinned import SHORTEST, PinnedConnection
from multihost.wire.link.resp import pack
from multihost.wire.replies import ReplyError

__all__ = ["RepeatingConnections"]

BACKOFF = (0.005, 0.25)  # first and longest pause between attempts to connect, in seconds

_random = random.SystemRandom().random  # a seeded generator of the program stays reproducible


class RepeatingConnections(OpenedConnections):
    """The connections of this process to one server, over which requests may be sent again."""

    def _reset(self) -> None:
        """Create the state that a forked child must not share with its parent."""
        super()._reset()
        self._closing = threading.Event()
        self._last_break = -REPLY_CACHE_SECONDS
        self.disconnects: int = 0

    def _send_many(self, connection: PinnedConnection, requests: bytes, count: int) -> list[Reply]:
        """Send packed requests that may be repeated; do not check the connection in."""
        try:
            channel = connection.channel or self._open(connection)
            return channel.exchange_many(requests, count)
        except ConnectionBroken as error:
            return self._reconnect_and_resend(connection, requests, count, error)
        except BaseException:
            self.recycle(connection)
            raise

    def reconnect(
        self, connection: PinnedConnection, cause: ConnectionBroken, timeout: float
    ) -> None:
        """Connect again after a break; try for up to ``timeout`` seconds."""
        self._reconnect_and_resend(connection, pack((b"PING",)), 1, cause, timeout, keep=True)

    def reconnect_and_resend(
        self, connection: PinnedConnection, request: bytes, cause: ConnectionBroken
    ) -> None:
        """Connect again after a break, and send a request that may be repeated."""
        self._reconnect_and_resend(connection, request, 1, cause)

    def is_unavailable(self, reply: Reply) -> bool:
        """Return whether the same request may succeed later, or elsewhere."""
        return type(reply) is ReplyError and reply.is_transient

    def note_break(self) -> None:
        """A connection broke: its last request may still be under way."""
        self._last_break = time.monotonic()

    def pause_for(self, connection: PinnedConnection, error: ReplyError) -> None:
        """Wait a moment because of an error that passes, before more is sent again."""
        self.disconnects += 1
        connection.repeats += 1
        if error.has_moved:
            self.disconnect(connection, is_idle=True)
        self.back_off()

    def back_off(self) -> None:
        """Wait a moment before a server that is unavailable gets another request."""
        self._closing.wait(BACKOFF[1] / 5)

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
        """Try to connect until the timeout, and send the requests again; return their replies.

        Without a ``timeout`` it is that of the link. If it fails the connection is recycled, with
        ``keep`` only disconnected.
        """
        begun = self._last_break = time.monotonic()
        self.disconnects += 1
        connection.repeats += 1
        sent = not cause.while_connecting
        if cause.waited is not None:
            begun -= cause.waited
        elif isinstance(cause, ReplyTimeout):
            begun -= self.timeout
        given = math.inf if timeout is None else begun + timeout
        pause, longest = BACKOFF
        try:
            if (
                sent
                and isinstance(cause, ReplyTimeout)
                and max(self.timeout, self.reconnect_timeout) + SHORTEST > REPLY_CACHE_SECONDS
            ):
                # The server may have forgotten the request by now and would execute it again.
                raise LinkLost(
                    f"the server at {self.address} did not answer within {self.timeout:g} s: "
                    "whether the call took effect is unknown"
                ) from None
            while True:
                self.disconnect(connection)
                # Read again in each turn: a process that exits sets the patience to zero.
                ends = min(given, self.patience_ends(begun))
                # One more attempt in any case: perhaps only that one connection is dead.
                tried = time.monotonic()
                limit = min(self.timeout, max(ends - tried, self._threads.attempt))
                try:
                    channel = self._open(connection, limit)
                    sent = True
                    if limit == self.timeout:
                        return _repeated(channel.exchange_many(requests, count))
                    channel.limit(limit)
                    replies = _repeated(channel.exchange_many(requests, count))
                    channel.limit(self.timeout)
                    return replies
                except ConnectionBroken as error:
                    cause = error
                begun += stood_still(tried, 2 * limit)  # to connect, and for the reply
                ends = min(given, self.patience_ends(begun))
                if time.monotonic() + pause > ends:
                    if isinstance(cause, ReplyTimeout) and self._threads.until is not None:
                        self._outage.note(begun, cause)
                    raise self._give_up(cause, time.monotonic() - begun, sent) from None
                tried = time.monotonic()
                self._closing.wait(pause * (0.5 + _random() / 2))
                begun += stood_still(tried, pause)
                pause = min(2 * pause, longest)
        except BaseException:
            if keep:
                self.disconnect(connection)
            else:
                self.recycle(connection)
            raise

    def _retry_while_unavailable(
        self,
        connection: PinnedConnection,
        requests: bytes,
        error: ReplyError,
        replies: list[Reply],
    ) -> list[Reply]:
        """Send the requests again while the server reports that it is unavailable; return the last
        replies.
        """
        begun = time.monotonic()
        pause, longest = BACKOFF
        self.disconnects += 1  # a part may have been executed: as behind a break
        connection.repeats += 1
        while (paused := time.monotonic()) + pause < self.patience_ends(begun):
            self._closing.wait(pause)
            begun += stood_still(paused, pause)
            pause = min(2 * pause, longest)
            if error.has_moved:
                self.disconnect(connection)
            sent = time.monotonic()
            replies = _repeated(self._send_many(connection, requests, len(replies)))
            begun += stood_still(sent, self.timeout)
            found = next((r for r in replies if self.is_unavailable(r)), None)
            if found is None:
                break
            error = found
        return replies


def _repeated(replies: list[Reply]) -> list[Reply]:
    """Return the replies to requests that had been sent before."""
    for reply in replies:
        if type(reply) is ReplyError:
            reply.is_repeated = True
    return replies
