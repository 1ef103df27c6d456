"""Acknowledgements that are sent with the next request, or a few milliseconds later."""

from __future__ import annotations

import time
from collections.abc import Callable

from multihost.wire.link import PinnedConnection
from multihost.wire.ops.queue.in_flight import InFlightList
from multihost.wire.session import Handle

__all__ = ["ACK_DELAY", "PendingAcks"]

ACK_DELAY = 0.005  # seconds after which an acknowledgement does not wait for the next request


class PendingAcks:
    """In-flight lists with items that this process has received, and the server has to forget.

    Threads and the background thread take lists out of it by one ``dict.pop`` each: whoever gets a
    list sends its acknowledgement, and no lock is needed.
    """

    __slots__ = ("_handle", "_is_scheduled", "_last_received", "_recycle", "_since")

    def __init__(self, handle: Handle, recycle: Callable[[InFlightList], None]) -> None:
        self._handle = handle
        self._recycle = recycle  # is called with each list that is empty on the server
        self._since: dict[InFlightList, float] = {}  # when its last item was received
        self._last_received: dict[PinnedConnection, InFlightList] = {}
        self._is_scheduled = False

    def mark_received(self, in_flight: InFlightList, since: float) -> None:
        """Acknowledge the items of a list soon, but the last ``unacked`` ones. No round trip."""
        self._since[in_flight] = since
        if not in_flight.unacked:
            self._last_received[in_flight.connection] = in_flight
        if not self._is_scheduled:
            self._is_scheduled = True
            self._handle.session.janitor.call_every(ACK_DELAY, self._flush_later)

    def pop_last(self, connection: PinnedConnection) -> InFlightList | None:
        """Return the list that this connection received last, if it is still to be acknowledged:
        the caller does it, with its next request.
        """
        in_flight = self._last_received.pop(connection, None)
        return in_flight if in_flight and self._since.pop(in_flight, None) is not None else None

    def _flush_later(self) -> bool:
        """Flush; return True while there is more to do."""
        self.flush(ACK_DELAY)
        self._is_scheduled = False  # in this order: what is received now schedules it again
        if not self._since:
            return False
        self._is_scheduled = True
        return True

    def flush(self, age: float) -> None:
        """Acknowledge what was received ``age`` seconds ago, or earlier. 1 round trip."""
        before = time.monotonic() - age
        due = [
            in_flight
            for in_flight, since in list(self._since.items())
            if since <= before and self._since.pop(in_flight, None) is not None
        ]
        if not due:
            return
        unacked = [in_flight.unacked for in_flight in due]
        commands = [
            (b"LTRIM", in_flight.key, b"%d" % -count, b"-1") if count else (b"DEL", in_flight.key)
            for in_flight, count in zip(due, unacked, strict=True)
        ]
        try:
            self._handle.link.pipeline(commands)
        except BaseException:
            self._since.update(dict.fromkeys(due, 0.0))
            raise
        for in_flight, count in zip(due, unacked, strict=True):
            if not count:
                self._recycle(in_flight)
