"""What a connection can do, and how it fails."""

from __future__ import annotations

from typing import Any, Protocol

from multihost.wire.replies import ReplyError

__all__ = ["EMPTY_COMMAND", "ConnectionBroken", "Channel", "ReplyTimeout", "Reply", "is_rejected"]

Reply = Any

EMPTY_COMMAND = (
    b"\r\n"  # an empty command, which has no reply: the server wakes up, and looks at its clock
)


class ConnectionBroken(Exception):
    """The connection is of no more use."""


class ReplyTimeout(ConnectionBroken):
    """No answer came in time."""


class Channel(Protocol):
    """One connection. After any exception but ReplyError it must be closed."""

    loaded_scripts: set[object]
    """Scripts that the server is known to know."""

    def exchange(self, request: bytes) -> Reply: ...

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]: ...

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        skip_first_reply: bool = False,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` commands of which one blocks, not the first; wait for it ``seconds``,
        None: the usual time. Then nudge the server, which looks at its clock ten times a second,
        and wait ``overdue`` seconds more. After an error or a zero of the first only that is
        returned. If ``quiet`` there is no reply to the first one.
        """

    def fileno(self) -> int:
        """What to poll for the end of the connection; -1 if there is nothing."""

    def close(self) -> None: ...

    def interrupt(self) -> None:
        """Wake a thread that waits for a reply, with :class:`Broken`; it closes the connection."""

    def shutdown(self) -> None:
        """Close, and wake a thread that waits for a reply. Not for a forked child: it would cut the
        parent off.
        """


def is_rejected(first: Reply) -> bool:
    """Whether the first of several commands says that the others make no sense."""
    return first == 0 or type(first) is ReplyError
