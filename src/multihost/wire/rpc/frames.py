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

from multihost.wire.link import SKIP, Caller, Link, Reply, pack, pack_args
from multihost.wire.replies import ReplyError
from multihost.wire.wait import OVERDUE, SLICE

__all__ = ["HEAD", "KEPT", "LARGE", "Mouth"]

KEPT = b"60000"  # milliseconds for which what was said waits to be heard
LARGE = 1 << 16
HEAD = 13  # bytes of what it is and its number


class Mouth:
    """What both ends have in common: they say something and listen for what is said next."""

    __slots__ = ("_loud", "_push", "_slow", "link", "quick", "rest")

    def __init__(self, link: Link, says: bytes, hears: bytes, first: float) -> None:
        self.link = link
        push = b"*3\r\n" + pack_args((b"LPUSH", says))
        expire = pack((b"PEXPIRE", says, KEPT))
        self._push = push
        # To say it and listen for a moment. One write, one read; errors are not heard of.
        self.quick = SKIP + push
        self.rest = b"\r\n" + SKIP + expire + pack((b"BLPOP", hears, b"%.3f" % first))
        listen = pack((b"BLPOP", hears, b"%.3f" % SLICE))
        # Only the last word counts: what is said again does not pile up.
        self._loud = b"\r\n%b%b%b" % (
            pack((b"LTRIM", says, b"0", b"0")) + expire,
            pack((b"EXEC",)),
            listen,
        )
        self._slow = pack((b"PING",)) + listen

    def slowly(self, caller: Caller, word: bytes | None) -> Reply:
        """Say it, if there is something to say, and listen for a slice."""
        if word is None:
            replies = self.link.blocked(caller, self._slow, SLICE + OVERDUE, count=2)
        else:
            request = b"%b%b$%d\r\n%b%b" % (
                pack((b"MULTI",)),
                self._push,
                len(word),
                word,
                self._loud,
            )
            replies = self.link.blocked(caller, request, SLICE + OVERDUE, count=6)
        for reply in replies:
            if type(reply) is ReplyError:
                return reply
        return replies[-1]

    def can_be_quick(self, first: float) -> bool:
        return self.link.timeout >= first + OVERDUE and self.link.may_be_quiet()
