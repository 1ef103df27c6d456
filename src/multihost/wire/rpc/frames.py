"""Channels between a thread that calls and the host of an object: a request, its reply, and so on.

A host is a process with objects in its memory. A thread that calls has one channel to each host,
which the host serves by a thread of its own. A channel is a pair of lists: both ends push frames
onto one and, in the same write, block on the other, which costs each end one write and one wait a
call. A frame starts with its kind and a number:

=================  ==============================================================================
``=<12 digits>``   a request, or the reply to the request of that number
``+<12 digits>``   a repeated reply: the host was cut off, and may have lost a request
``.``              to the host: the client has closed the channel
``!``              to either end, from a process that found the other one dead: check that
``x``              to the client: the host had closed the channel
=================  ==============================================================================

In a manager with an ``authkey`` requests and replies are signed for the channel and their number.
The first request is the opening, without a payload, and the reply to it a nonce to which all others
are bound: a call cannot be sent again over another channel, or to a host that has forgotten this
one.

Elsewhere what a blocking pop returns carries nothing, for it may be lost. Here it is data, for it
can be sent again: an end whose connection broke repeats its last frame under the same number, and a
request is executed once, by its number. A reply with an old number is dropped. Frames that are
never received expire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from multihost.wire.keys import REPLY_CACHE_MS
from multihost.wire.link import (
    REPLY_SKIP,
    ConnectionBroken,
    Link,
    PinnedConnection,
    Reply,
    pack,
    pack_args,
)
from multihost.wire.replies import ReplyError
from multihost.wire.stored import number
from multihost.wire.wait import BLOCK_GRACE, MAX_BLOCK

__all__ = [
    "CHECK",
    "CLOSE",
    "CLOSED",
    "FRAME_TTL",
    "HEAD",
    "NUMBERED",
    "NUMBERED_HEAD",
    "REPEATED",
    "Endpoint",
    "frame_number",
]

# The kinds of frames, see above.
NUMBERED, REPEATED = b"=", b"+"
CLOSE, CHECK, CLOSED = b".", b"!", b"x"
NUMBERED_HEAD = NUMBERED + b"%012d"

FRAME_TTL = REPLY_CACHE_MS  # milliseconds until a frame expires that is not received
HEAD = 13  # bytes of kind and number
LARGE = 1 << 16  # a frame of so many bytes is sent with replies: once more would cost too much

Payload = TypeVar("Payload")  # bytes; None where a channel may be closed by the other end


def frame_number(frame: bytes) -> int | None:
    """Return the number of a request; None for another frame, or what is none."""
    if frame[:1] != NUMBERED or len(frame) < HEAD:
        return None
    return number(frame[1:HEAD])


class Endpoint(ABC, Generic[Payload]):
    """One end of a channel: it sends a frame and receives the next one of the other end.

    ``first_block`` is for how many seconds the first pop blocks.
    """

    def __init__(self, link: Link, outbox: bytes, inbox: bytes, first_block: float) -> None:
        self._link = link
        self.outbox: bytes = outbox
        self.inbox: bytes = inbox
        self._number = 0  # of the last request
        push = b"*3\r\n" + pack_args((b"LPUSH", outbox))
        expire = pack((b"PEXPIRE", outbox, FRAME_TTL))
        pop = pack((b"BLPOP", inbox, b"%.3f" % MAX_BLOCK))
        # Usually: push and block for a moment, with a reply to the pop only. Errors are not seen:
        # a frame that was refused is sent again when the pop returns nothing.
        self._prefix = REPLY_SKIP + push
        self._suffix = b"\r\n%b%b%b" % (
            REPLY_SKIP,
            expire,
            pack((b"BLPOP", inbox, b"%.3f" % first_block)),
        )
        self._can_skip_replies = (
            link.timeout >= first_block + BLOCK_GRACE and link.supports_reply_off()
        )
        # Otherwise: push, with the replies to all. The frame replaces what was sent before: one
        # that is repeated does not pile up.
        self._push_prefix = pack((b"MULTI",)) + push
        self._push_suffix = b"\r\n%b%b%b%b" % (
            pack((b"LTRIM", outbox, b"0", b"0")),
            expire,
            pack((b"EXEC",)),
            pop,
        )
        self._pop = pack((b"PING",)) + pop

    def _exchange(self, frame: bytes) -> Payload:
        """Send a frame, if it is not empty, and return the payload of the next one that counts."""
        link = self._link
        connection = link.checkout()
        try:
            if frame and self._can_skip_replies and len(frame) < LARGE:
                try:
                    received = link.send_and_pop(
                        connection,
                        b"%b$%d\r\n%b%b" % (self._prefix, len(frame), frame, self._suffix),
                    )
                    unsent = b""
                except ConnectionBroken as error:
                    received, unsent = None, self._reconnect(connection, error, frame)
            else:
                received, unsent = None, frame
            payload = self._receive(connection, frame, unsent, received)
        except BaseException:
            link.disconnect(connection)  # with the connection the server forgets the pop
            link.checkin(connection)
            raise
        link.checkin(connection)
        return payload

    @abstractmethod
    def _receive(
        self, connection: PinnedConnection, frame: bytes, unsent: bytes, received: Reply
    ) -> Payload:
        """Return the payload of the first frame that counts.

        ``frame`` is the last one of this end, ``unsent`` what has to be sent yet, ``received`` the
        reply to a first pop, if there was one.
        """

    @abstractmethod
    def _reconnect(
        self, connection: PinnedConnection, error: ConnectionBroken, frame: bytes
    ) -> bytes:
        """Connect again; return what to send then."""

    def _send_and_pop(self, connection: PinnedConnection, unsent: bytes) -> Reply:
        """Send a frame, if it is not empty, and wait for one; return the reply to the pop, None
        after a while, or the first error. Raises ConnectionBroken.
        """
        if not unsent:
            request, count = self._pop, 2
        else:
            request = b"%b$%d\r\n%b%b" % (
                self._push_prefix,
                len(unsent),
                unsent,
                self._push_suffix,
            )
            count = 6
        replies = self._link.exchange_blocking(
            connection, request, MAX_BLOCK + BLOCK_GRACE, count=count
        )
        for reply in replies:
            if type(reply) is ReplyError:
                return reply
        return replies[-1]
