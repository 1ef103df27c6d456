"""Which server calls belong to, where that changes: another master, another node of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from multihost.wire.link.channel import Channel, ConnectionBroken, Node, ReplyTimeout

__all__ = ["Attempts", "Node", "Route", "Topology"]


class Topology(Protocol):
    """Where the servers are to which calls belong."""

    def refresh(self) -> bool:
        """Ask where they are now; return whether anybody answered. Raises nothing for a server that
        does not.
        """

    def is_current(self, node: Node) -> bool:
        """Return whether calls still belong to that server, as of the last answer."""

    def close(self) -> None:
        """Close this end of the connections that are kept for the questions; they are opened again
        when somebody asks. Also in a forked child.
        """


class Route(NamedTuple):
    """How channels are opened, with a timeout for each reply, and what says whether they still lead
    to the right server; None where there is but one.
    """

    open: Callable[[float], Channel]
    topology: Topology | None = None


class Attempts:
    """How long an attempt to connect may take where the next one may find another server: a second,
    twice as long after each that took too long, until one succeeds. Any thread.
    """

    FIRST = 1.0

    def __init__(self) -> None:
        self._limit = self.FIRST

    def make(self, open_: Callable[[float], Channel], timeout: float) -> Channel:
        """Open a channel, whose replies may take ``timeout`` seconds from then on."""
        limit = min(self._limit, timeout)
        try:
            channel = open_(limit)
        except (OSError, ConnectionBroken) as error:
            if isinstance(getattr(error, "reason", None) or error, (TimeoutError, ReplyTimeout)):
                self._limit = 2 * limit
            raise
        self._limit = self.FIRST
        if limit != timeout:
            channel.limit(timeout)
        return channel
