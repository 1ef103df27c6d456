"""Conversations with a process that has objects in its memory: a request, its answer, and so on.

A thread that calls has one with each host, and there a thread of its own listens to it. Both write
what they say onto a list and, in the same write, block on the list of the other: one write and one
wait a call on each side. What is said starts with what it is and a number:

=================  =====================================================================
``=<12 digits>``   a request, or the answer to that request
``+<12 digits>``   an answer said again: the host was not listening for a while
``.``              to the host: the conversation is over
``!``              from the host, or for it: see whether it is still there
``x``              from the host: this conversation was over
=================  =====================================================================

Here a blocking pop carries data, for what is lost is said again: whoever had a broken connection
repeats what it said last under the same number, and a request is executed once. An answer with an
old number is dropped; one that was said again also means that a request may have been lost. What
nobody hears expires.
"""

from __future__ import annotations

from multihost.wire.link import REPLY_SKIP, Link, PinnedConnection, Reply, pack, pack_args
from multihost.wire.replies import ReplyError
from multihost.wire.wait import BLOCK_GRACE, MAX_BLOCK

__all__ = ["HEAD", "FRAME_TTL", "LARGE", "Endpoint"]

FRAME_TTL = b"60000"  # milliseconds for which what was said waits to be heard
LARGE = 1 << 16
HEAD = 13  # bytes of what it is and its number


class Endpoint:
    """What both ends have in common: they say something and listen for what is said next."""

    __slots__ = ("_push", "_receive_only", "_send_confirmed", "link", "send_prefix", "send_suffix")

    def __init__(self, link: Link, says: bytes, hears: bytes, first: float) -> None:
        self.link: Link = link
        push = b"*3\r\n" + pack_args((b"LPUSH", says))
        expire = pack((b"PEXPIRE", says, FRAME_TTL))
        self._push = push
        # To say it and listen for a moment. One write, one read; errors are not heard of.
        self.send_prefix: bytes = REPLY_SKIP + push
        self.send_suffix: bytes = (
            b"\r\n" + REPLY_SKIP + expire + pack((b"BLPOP", hears, b"%.3f" % first))
        )
        listen = pack((b"BLPOP", hears, b"%.3f" % MAX_BLOCK))
        # Only the last word counts: what is said again does not pile up.
        self._send_confirmed = b"\r\n%b%b%b" % (
            pack((b"LTRIM", says, b"0", b"0")) + expire,
            pack((b"EXEC",)),
            listen,
        )
        self._receive_only = pack((b"PING",)) + listen

    def send_and_wait(self, caller: PinnedConnection, word: bytes | None) -> Reply:
        """Say it, if there is something to say, and listen for a slice."""
        if word is None:
            replies = self.link.exchange_blocking(
                caller, self._receive_only, MAX_BLOCK + BLOCK_GRACE, count=2
            )
        else:
            request = b"%b%b$%d\r\n%b%b" % (
                pack((b"MULTI",)),
                self._push,
                len(word),
                word,
                self._send_confirmed,
            )
            replies = self.link.exchange_blocking(caller, request, MAX_BLOCK + BLOCK_GRACE, count=6)
        for reply in replies:
            if type(reply) is ReplyError:
                return reply
        return replies[-1]

    def can_skip_replies(self, first: float) -> bool:
        return self.link.timeout >= first + BLOCK_GRACE and self.link.supports_reply_off()
