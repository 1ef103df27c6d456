"""In-flight lists that late requests may still fill, which nobody waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

from multihost.wire.ops.queue.in_flight import InFlightList
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.janitor import LATE_REQUEST_WINDOW

__all__ = ["Quarantine", "requeue"]

PAUSE = 0.3  # seconds to the second look at a list; each is twice as long as the one before

_requeue = Script("queue/requeue")


class _Stay:
    """How long a list stays, and when it is emptied."""

    __slots__ = ("by_fence", "due", "pause", "until")

    def __init__(self, now: float, by_fence: bool) -> None:
        self.by_fence: bool = by_fence  # it ends when the connections that broke are closed
        self.due: float = now
        self.pause: float = PAUSE
        self.until: float = now + LATE_REQUEST_WINDOW


class Quarantine:
    """Lists of one consumer that the background thread empties until no request can arrive: the
    server has closed the connections that broke, or a minute is over.

    All that is due goes in one pipeline.
    """

    __slots__ = ("_handle", "_is_scheduled", "_lists", "_recycle")

    def __init__(self, handle: Handle, recycle: Callable[[InFlightList], None]) -> None:
        self._handle = handle
        self._recycle = recycle  # is called with each list that can be used again
        self._lists: dict[InFlightList, _Stay] = {}
        self._is_scheduled = False

    def add(self, in_flight: InFlightList) -> None:
        """Empty a list soon, and again and again while a request may arrive. One that is not late
        was left by an interrupted call, whose connection may be open yet.
        """
        self._lists[in_flight] = _Stay(time.monotonic(), in_flight.is_late)
        janitor = self._handle.session.janitor
        janitor.defer(self._empty)
        if not self._is_scheduled:
            self._is_scheduled = True
            janitor.call_every(PAUSE, self._empty_again)

    def _empty_again(self) -> bool:
        """Empty what is due; return True while there are lists."""
        self._empty()
        self._is_scheduled = bool(self._lists)
        return self._is_scheduled

    def _empty(self) -> None:
        """Empty the lists that are due, and recycle those whose time is over. 1 round trip, and one
        if connections broke.
        """
        now = time.monotonic()
        due = [(each, stay) for each, stay in list(self._lists.items()) if stay.due <= now]
        # In this order: what had broken when the lists were taken is closed before they are empty.
        is_closed = bool(due) and self._handle.link.fence_broken()
        requeue_all(self._handle, [in_flight.name for in_flight, _ in due])
        for in_flight, stay in due:
            stay.due, stay.pause = min(now + stay.pause, stay.until), 2 * stay.pause
            if now >= stay.until or (is_closed and stay.by_fence):
                self._lists.pop(in_flight, None)
                in_flight.is_late = False
                self._recycle(in_flight)


def requeue(handle: Handle, name: bytes, *, delivered: bool) -> None:
    """Put what is in an in-flight list back to the head of the queue; it counts as a delivery if it
    was ``delivered``. May be repeated. 1 round trip.
    """
    _requeue.run_idempotent(handle, name, b"%d" % delivered)


def requeue_all(handle: Handle, names: list[bytes]) -> None:
    """Put back what is in any of the lists, as not delivered. May be repeated. 1 round trip."""
    if not names:
        return
    link = handle.link
    requests = [_requeue.pack_idempotent(handle, (name, b"0")) for name in names]
    replies = link.exchange_many(link.checkout(), b"".join(requests), len(requests))
    for name, reply in zip(names, replies, strict=True):
        if type(reply) is ReplyError:  # the server does not know the script, or refuses it
            requeue(handle, name, delivered=False)
