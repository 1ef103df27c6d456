"""The interface of an open channel to a server, and how it fails."""

from __future__ import annotations

from typing import Any, Protocol

from multihost.errors import PayloadTooLarge, ServerUnfit
from multihost.wire.printable import printable
from multihost.wire.refusals import NO_SUCH_COMMAND, Passes
from multihost.wire.replies import ReplyError

__all__ = [
    "EMPTY_COMMAND",
    "Channel",
    "ConnectionBroken",
    "ConnectionRefused",
    "Node",
    "Reply",
    "ReplyTimeout",
    "failure",
    "is_rejected",
    "refuse_replica",
    "refused",
]

Reply = Any

Node = tuple[str, int]
"""Host and port of a server, as its clients reach it."""

EMPTY_COMMAND = b"\r\n"  # has no reply, but the server wakes up and checks its timeouts


class ConnectionBroken(Exception):
    """The channel cannot be used any more.

    ``reason`` is the error of the operating system behind it, None if there is none;
    ``while_connecting`` is True if it was never open.
    """

    while_connecting = False

    def __init__(self, what: str = "the connection broke", reason: OSError | None = None) -> None:
        super().__init__(what)
        self.reason = reason

    @classmethod
    def of(cls, error: Exception) -> ConnectionBroken:
        """Return one for the error of a socket, or of the parser of what came from it."""
        reason = error if isinstance(error, OSError) else None
        what = getattr(error, "strerror", None) or str(error)
        return cls(what or type(error).__name__, reason)

    waited: float | None = None
    """For how many seconds a reply did not come, or none was to be had."""

    def again(self) -> ConnectionBroken:
        """Return another one for the same, which was met while connecting."""
        other = type(self)(str(self), self.reason)
        other.while_connecting = True
        return other


class ReplyTimeout(ConnectionBroken):
    """No reply came in time."""


class ConnectionRefused(ConnectionBroken):
    """The server answers, but it takes no connections for the moment."""


def refused(reply: ReplyError, address: object) -> Exception:
    """Return the exception for an error reply to a command with which a connection begins."""
    refusal, said = reply.refusal, printable(reply)
    if refusal is None or refusal is NO_SUCH_COMMAND:
        return ServerUnfit(f"the server at {address} is not Redis 6.2, Valkey or newer: {said}")
    if refusal.passes is not Passes.NEVER:
        return ConnectionRefused(f"{refusal.text} ({said})")
    return refusal.exception(f"the server at {address}: {refusal.text}")


def refuse_replica(role: object, address: object) -> None:
    """Raise ConnectionRefused if that is not the role of a master, by what the server says."""
    if role in (b"replica", b"slave"):
        raise refused(ReplyError("READONLY it is not a master"), address)


def failure(error: Exception) -> Exception:
    """Return the exception for what a socket, or the parser of what came from it, raised."""
    if isinstance(error, MemoryError):
        return PayloadTooLarge("a reply of the server takes more memory than this process has")
    return ConnectionBroken.of(error)


class Channel(Protocol):
    """One open channel. After any exception but ReplyError it must be closed.

    A call raises ConnectionBroken, or PayloadTooLarge for a reply that memory does not take.
    """

    loaded_scripts: set[object]
    """Scripts that the server at the other end is sure to know."""

    client_id: bytes
    """The number that the server gave the connection; empty if it is not known."""

    run: bytes
    """Run id of the server that gave that; empty if it is not known."""

    node: Node | None
    """Which server it leads to; None where there is one only, and it does not matter."""

    def exchange(self, request: bytes) -> Reply:
        """Send a packed command; return its reply, or the last one of those that have a reply."""

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]:
        """Send ``count`` packed commands; return their replies, errors among them."""

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` commands of which one blocks, not the first; wait for it ``seconds``, or
        the usual timeout if None, or while the channel lives if infinite. Then send an empty
        command, for the server checks only ten times a second whether a blocked client has waited
        long enough, and wait ``grace`` seconds more.

        After an error or a zero of the first command only that is returned.
        """

    def limit(self, seconds: float) -> None:
        """Wait no longer than that for each reply from now on."""

    def fileno(self) -> int:
        """Return what to poll for the end of the channel; -1 if there is nothing."""

    def close(self) -> None:
        """Close this end. In a forked child the parent's end stays open."""

    def interrupt(self) -> None:
        """Wake a thread that waits for a reply, with ConnectionBroken; that closes the channel."""

    def shutdown(self) -> None:
        """Close, and wake a thread that waits for a reply. Not for a forked child: it would close
        the parent's channel.
        """


def is_rejected(first: Reply) -> bool:
    """Return True if, by the reply to the first of several commands, no others will come."""
    return (type(first) is int and first == 0) or type(first) is ReplyError
