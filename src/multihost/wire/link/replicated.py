"""Calls that return when replicas have what they changed: ``WAIT`` behind what they send.

A master answers before its replicas have received anything. ``WAIT`` goes in the same write,
behind what changes something, and is answered when so many replicas have confirmed all that was
written over the connection. If they do not in time the request is sent again under its number,
which changes nothing where it was executed, for as long as the thread has patience; then the call
raises :class:`~multihost.NotReplicated`. ``WAIT`` looks at what this connection has written, so
behind a break something is written once more: a new one would be told that nothing is missing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Literal

from multihost.errors import NotReplicated
from multihost.wire.keys import REPLY_CACHE_MS, REPLY_CACHE_SECONDS
from multihost.wire.link.channel import Reply
from multihost.wire.link.link import Link
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.resp import pack
from multihost.wire.replies import ReplyError, command_error

__all__ = [
    "WAIT_SECONDS",
    "ReplicatedLink",
    "Replicas",
    "check_replicas",
    "confirm_element",
    "confirm_request",
]

Replicas = int | Literal["all"]

WAIT_SECONDS = 0.5  # that the server waits for replicas; then it is asked again
ASK_INTERVAL = 10.0  # seconds between two times that a master is asked how many replicas it has
_CONNECTED = rb"(?m)^connected_slaves:(\d+)"


class ReplicatedLink(Link):
    """Connections of which calls wait for replicas.

    With ``"all"`` they are as many as the master was ever seen with by this process, or as
    Sentinels know, and at least one: a replica that is away does not lower the bar.
    """

    _most: int = 0
    _asked: float = -math.inf

    def connect(self) -> None:
        """Open this thread's connection, and see that the server lets it wait. 1 round trip."""
        super().connect()
        if self.replicas == "all":
            self._ask(self.checkout())
        self.execute(b"WAIT", b"0", b"1")

    def exchange(
        self,
        connection: PinnedConnection,
        request: bytes,
        on_noscript: Callable[[], bytes] | None = None,
    ) -> Reply:
        """As that of a link; what has a number, which is what changes something, waits."""
        if on_noscript is None or not self._threads.confirms:
            return super().exchange(connection, request, on_noscript)
        reply = self._exchange_and_wait(connection, request)
        if type(reply) is ReplyError and reply.code == "NOSCRIPT":
            self.withdraw(connection)
            reply = self._exchange_and_wait(connection, on_noscript())
        if type(reply) is ReplyError:
            raise reply
        return reply

    def _exchange_and_wait(self, connection: PinnedConnection, request: bytes) -> Reply:
        begun, repeats, again = time.monotonic(), connection.repeats, b""
        while True:
            wanted = self._wanted(connection)
            commands = request + again + self.wait_command
            replies = self.exchange_many(connection, commands, 2 + bool(again))
            reply, confirmed = replies[0], replies[-1]
            if type(reply) is ReplyError:
                return reply
            # Behind a break it counts only if something was written over this connection.
            is_written = bool(again) or connection.repeats == repeats
            if self._is_over(confirmed, wanted if is_written else math.inf, begun):
                return reply
            again = _write_again(connection, request)
            self.withdraw(connection)

    def confirm(
        self,
        connection: PinnedConnection,
        request: bytes,
        count: int,
        holds: Callable[[list[Reply]], bool],
    ) -> bool:
        """Return True when replicas have what this thread has changed: behind a request of
        ``count`` commands, which writes, and whose replies say whether the server has it. False if
        not: another one took over. The connection is checked in. 1 round trip, more while replicas
        are away.

        Raises NotReplicated, and LinkLost.
        """
        begun = time.monotonic()
        while True:
            wanted = self._wanted(connection)
            commands = request + self.wait_command
            *replies, confirmed = self.exchange_many(connection, commands, count + 1)
            if not holds(replies):
                return False
            if self._is_over(confirmed, wanted, begun):
                return True
            self.withdraw(connection)

    def is_confirmed(self, confirmed: Reply) -> bool:
        """Return whether that reply to :attr:`wait_command` suffices, as far as this is known."""
        return type(confirmed) is int and confirmed >= self._least and not self._is_due

    @property
    def wait_command(self) -> bytes:
        """What waits for replicas, behind commands that were packed ahead."""
        return pack((b"WAIT", b"%d" % self._least, b"%d" % (self.wait_seconds * 1000)))

    @property
    def wait_seconds(self) -> float:
        """For how long that waits: a part of what a reply may take."""
        return min(WAIT_SECONDS, self.timeout / 2)

    @property
    def _least(self) -> int:
        return max(self._most, 1) if self.replicas == "all" else self.replicas

    @property
    def _is_due(self) -> bool:
        """Whether it may be unknown by now how many replicas there are."""
        return self.replicas == "all" and time.monotonic() - self._asked > ASK_INTERVAL

    def _wanted(self, connection: PinnedConnection) -> int:
        """Return how many replicas have to confirm. 1 round trip now and then."""
        if self._is_due:
            self._ask(connection)
            self.withdraw(connection)
        return self._least

    def _ask(self, connection: PinnedConnection) -> None:
        command = (b"INFO", b"replication")
        try:
            facts = super().exchange(connection, pack(command))
        except ReplyError as error:
            raise command_error(error, command) from None
        found = re.search(_CONNECTED, facts)
        self._asked = time.monotonic()
        known = int(self.sentinel_facts().get("num-slaves", 0))  # also those that are away
        self._most = max(self._most, int(found[1]) if found else 0, known)

    def _is_over(self, confirmed: Reply, wanted: float, begun: float) -> bool:
        """Return whether enough replicas have confirmed. Raises NotReplicated when this thread has
        no patience any more.
        """
        if type(confirmed) is ReplyError:
            raise command_error(confirmed, (b"WAIT",))
        if confirmed >= wanted:
            return True
        now = time.monotonic()
        if now >= min(self.patience_ends(begun), begun + REPLY_CACHE_SECONDS / 2):
            raise NotReplicated(
                f"{confirmed} of {self._least} replicas of the server at {self.address} confirmed "
                f"within {now - begun:.2g} s: whether what the call changed lasts, if another one "
                "takes over, is unknown"
            )
        return False


def _write_again(connection: PinnedConnection, request: bytes) -> bytes:
    """Return a command that writes where a numbered request was executed, and changes nothing."""
    key = re.search(rb"\r\n([^\r\n]*" + re.escape(connection.name) + rb")\r\n", request)
    assert key is not None, "a numbered request names its reply key"
    return pack((b"PEXPIRE", key[1], REPLY_CACHE_MS))


def confirm_element(link: Link, key: bytes) -> bool:
    """Return True when replicas have what was moved to a list, False if the server has not. 1 round
    trip. Raises NotReplicated.
    """
    assert isinstance(link, ReplicatedLink)
    # From its end to its end: that changes nothing, and is written.
    request = pack((b"LMOVE", key, key, b"RIGHT", b"RIGHT"))

    def holds(replies: list[Reply]) -> bool:
        if type(replies[0]) is ReplyError:
            raise command_error(replies[0], (b"LMOVE", key))
        return replies[0] is not None

    return link.confirm(link.checkout(), request, 1, holds)


def confirm_request(link: Link, connection: PinnedConnection, prefix: bytes) -> None:
    """Return when replicas have what the last numbered request of a connection changed; it is
    checked in. 1 round trip. Raises NotReplicated.
    """
    assert isinstance(link, ReplicatedLink)
    key, number = connection.reply_key(prefix), b"%012d" % connection.sequence
    request = pack((b"GETRANGE", key, b"0", b"11")) + pack((b"PEXPIRE", key, REPLY_CACHE_MS))
    if not link.confirm(connection, request, 2, lambda replies: replies[0] == number):
        raise NotReplicated(
            f"another server took over at {link.address}, without what the call changed"
        )


def check_replicas(replicas: Any) -> Replicas:
    """Return the option if it is one. Raises ValueError and TypeError."""
    if replicas == "all":
        return "all"
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise TypeError(f"replicas= takes a number or 'all', not {type(replicas).__name__}")
    if replicas < 0:
        raise ValueError(f"replicas={replicas}: it takes a number from 0 on, or 'all'")
    return replicas
