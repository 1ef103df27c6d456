"""How long a thread waits for a server that cannot be reached, is silent, or refuses for a while.

That is the patience of the link, unless the thread is in a call that has to end sooner.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from multihost.wire.link.channel import Channel

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["SHORTEST", "Patience", "bounded"]

SHORTEST = 1.0
"""Seconds that one attempt may take, however short the patience: a server far away needs some."""


def bounded(link: Link, blocking: bool, seconds: float | None) -> Patience:
    """Return the patience of a call that does not block, or has a time-out. It waits no longer for
    a lost server than for what it was called for; one that does not block raises at once, but for
    a reply that is under way.
    """
    return Patience(link, (seconds or 0.0) if blocking else 0.0, replies=blocking)


class Patience:
    """Within it the calls of this thread look for a lost server for ``seconds`` at most, all
    together. With ``replies`` they also wait no longer for a silent one. No round trip.
    """

    __slots__ = ("_channel", "_link", "_outer", "_replies", "_seconds")

    def __init__(self, link: Link, seconds: float, *, replies: bool = True) -> None:
        self._link = link
        self._seconds = seconds
        self._replies = replies
        self._outer: float | None = None
        self._channel: Channel | None = None

    def __enter__(self) -> None:
        until = time.monotonic() + self._seconds
        self._outer = outer = self._link.set_patience(until)
        if outer is not None and outer < until:
            self._link.set_patience(outer)
        elif self._replies and self._seconds < self._link.timeout:
            self._channel = channel = self._link.current_channel()
            if channel is not None:
                channel.limit(max(self._seconds, SHORTEST))

    def __exit__(self, *exc: object) -> None:
        self._link.set_patience(self._outer)
        if self._channel is not None:
            self._channel.limit(self._link.timeout)
