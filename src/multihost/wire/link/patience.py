"""How long a thread waits for a server that cannot be reached, is silent, or refuses for a while.

That is the patience of the link, unless the thread is in a call that has to end sooner. Time in
which this process was suspended, or got no core, does not count: what it waited for came meanwhile,
or could not come because it did not ask.
"""

from __future__ import annotations

import math
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

from multihost.wire.link.channel import Channel
from multihost.wire.link.pinned import SHORTEST

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["Patience", "bounded", "stood_still"]

LEAST_STANDSTILL = 1.0  # seconds; less is the work of a busy machine


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


def stood_still(begun: float, limit: float) -> float:
    """Return how many seconds do not count since something began that ends by itself after
    ``limit`` seconds: all, if it took so much longer that this process cannot have run meanwhile.
    """
    seconds = time.monotonic() - begun
    return seconds if seconds - limit > LEAST_STANDSTILL else 0.0


class Patience:
    """Within it the calls of this thread look for a lost server for ``seconds`` at most, all
    together. With ``replies`` they also wait no longer for a silent one. One attempt may take
    ``attempt`` seconds all the same. No round trip.
    """

    __slots__ = (
        "__weakref__",
        "_attempt",
        "_channel",
        "_guard",
        "_link",
        "_outer",
        "_replies",
        "_seconds",
    )

    def __init__(
        self, link: Link, seconds: float, *, replies: bool = True, attempt: float = SHORTEST
    ) -> None:
        self._link = link
        self._seconds = seconds
        self._replies = replies
        self._attempt = attempt
        self._outer: tuple[float | None, float] | None = None
        self._channel: Channel | None = None
        self._guard: weakref.ref[Patience] | None = None

    def __enter__(self) -> None:
        # What __exit__() puts right is noted before it is changed: a signal handler may raise.
        until = time.monotonic() + self._seconds
        outer = self._link.patience
        if outer[0] is not None and outer[0] < until:
            return
        try:
            self._guard = guard = weakref.ref(self, partial(_restore, self._link, until, outer))
            _guards.add(guard)
            self._outer = outer
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
        # Not referred to from here: what it calls would be called when this is destroyed.
        guard, self._guard = self._guard, None
        if guard is not None:
            _guards.discard(guard)


# Of those that are not over. CPython may raise what a signal handler does when __exit__() is
# entered: then the frame goes, and what has begun in it is over all the same. No __del__(): what is
# raised there is lost, and it would be executed behind each call.
_guards: set[weakref.ref[Patience]] = set()


def _restore(
    link: Link, until: float, outer: tuple[float | None, float], guard: weakref.ref[Patience]
) -> None:
    _guards.discard(guard)
    if link.patience[0] == until:
        link.set_patience(*outer)
        channel = link.current_channel()
        if channel is not None:
            channel.limit(link.timeout)
