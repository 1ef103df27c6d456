"""How long a thread waits for a server that cannot be reached, is silent, or refuses for a while.

That is the patience of the link, unless the thread is in a call that has to end sooner.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from multihost.wire.link.channel import Channel
from multihost.wire.link.pinned import SHORTEST

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["Patience", "bounded"]


def bounded(link: Link, blocking: bool, seconds: float | None) -> Patience:
    """Return the patience of a call that does not block, or has a time-out. It waits no longer for
    a lost server than for what it was called for; one that does not block raises at once, but for
    a reply that is under way, and one more attempt if that does not come.
    """
    if not blocking:
        seconds = 0.0
    elif seconds is None:
        seconds = math.inf
    return Patience(link, seconds, replies=blocking)


class Patience:
    """Within it the calls of this thread look for a lost server for ``seconds`` at most, all
    together. With ``replies`` they also wait no longer for a silent one. One attempt may take
    ``attempt`` seconds all the same. No round trip.
    """

    __slots__ = ("_attempt", "_channel", "_link", "_outer", "_replies", "_seconds", "_until")

    def __init__(
        self, link: Link, seconds: float, *, replies: bool = True, attempt: float = SHORTEST
    ) -> None:
        self._outer: tuple[float | None, float] | None = None  # first, for __del__()
        self._channel: Channel | None = None
        self._link = link
        self._until = 0.0
        self._seconds = seconds
        self._replies = replies
        self._attempt = attempt

    def __enter__(self) -> None:
        # What __exit__() puts right is noted before it is changed: a signal handler may raise.
        until = time.monotonic() + self._seconds
        outer = self._link.patience
        if outer[0] is not None and outer[0] < until:
            return
        try:
            self._outer, self._until = outer, until
            self._link.set_patience(until, self._attempt)
            limit = max(self._seconds, self._attempt)
            if self._replies and limit < self._link.timeout:
                self._channel = channel = self._link.current_channel()
                if channel is not None:
                    channel.limit(limit)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc: object) -> None:
        if self._outer is not None:
            self._link.set_patience(*self._outer)
        if self._channel is not None:
            self._channel.limit(self._link.timeout)
        self._channel = None
        self._outer = None  # last, for __del__()

    def __del__(self) -> None:
        # The frame is gone: if this is not over a signal handler has raised when it was to end.
        if getattr(self, "_outer", None) is not None and self._link.patience[0] == self._until:
            self.__exit__()
