"""Acknowledgements that are sent with the next request, or a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable

from multihost.wire.link import Command, Reply
from multihost.wire.ops.keeping import without_flag
from multihost.wire.ops.queue.constants import reap_script
from multihost.wire.ops.queue.hand import ANY_CALL, Hand
from multihost.wire.ops.queue.in_flight import WAITING, InFlightList
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.verdicts import LOOK_INTERVAL

__all__ = ["ACK_DELAY", "FIRST_DELAY", "PendingAcks"]

ACK_DELAY = 0.005  # seconds after which an acknowledgement does not wait for the next request
# The same where no request was near: nothing is saved by waiting. The call has returned by then.
FIRST_DELAY = 0.001
QUIET = 4 * ACK_DELAY  # without a request for so long none is near
BUSY_CHECK = 2.0  # seconds between two checks of a queue that is never empty: nobody waits for it

_ack_linked = Script("queue/ack_linked")


class PendingAcks:
    """In-flight lists with items that this process has received, or is about to, and the server has
    to forget.

    Threads and the background thread take lists out of it by one operation of a dict each: whoever
    gets a list sends its acknowledgement, and no lock is needed.
    """

    __slots__ = (
        "_check_due",
        "_delay",
        "_doubtful",
        "_handle",
        "_is_scheduled",
        "_last",
        "_recycle",
        "_scheduled",
        "received",
    )

    def __init__(self, handle: Handle, recycle: Callable[[InFlightList], None]) -> None:
        self._handle = handle
        self._recycle = recycle  # is called with each list that was acknowledged
        # By which call the last item of each list was received; it may not have returned yet.
        self.received: dict[InFlightList, Hand] = {}
        self._last: dict[bytes, InFlightList] = {}  # by connection, of a single item
        # Lists that an interrupted call was about to take out, or had, unless the background thread
        # is at it.
        self._doubtful: set[InFlightList] = set()
        self._is_scheduled = False
        self._scheduled = 0.0  # when it was, last
        self._delay = ACK_DELAY  # of the next flush
        self._check_due = 0.0

    def check_others(self) -> None:
        """Have the janitor check now and then whether other consumers are dead, also while there
        are always items. No round trip.
        """
        now = time.monotonic()
        if now >= self._check_due:
            self._check_due = now + BUSY_CHECK
            handle = self._handle
            handle.session.janitor.watch_briefly(handle.keys, reap_script, 2 * LOOK_INTERVAL)

    def expect(self, in_flight: InFlightList, hand: Hand) -> None:
        """Acknowledge what a call has of a list, soon after that call has returned. No round
        trip.
        """
        self.received[in_flight] = hand
        self._last[in_flight.connection] = in_flight
        if not self._is_scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Have the background thread acknowledge while there is something to expect."""
        self._is_scheduled = True
        now = time.monotonic()
        self._delay = FIRST_DELAY if now - self._scheduled > QUIET else ACK_DELAY
        self._scheduled = now
        self._handle.session.janitor.call_every(self._delay, self._flush_later)

    def take_last(self, connection: bytes, hand: Hand) -> InFlightList | None:
        """Return the list that this connection received last, if it is still to be acknowledged:
        the caller does it, with its next request.
        """
        in_flight = self._last.get(connection)
        if in_flight is None or in_flight.batch is not None:
            return None
        try:
            # No call between these two, see Hand.
            hand.previous = in_flight
            del self.received[in_flight]
        except KeyError:
            hand.previous = None
            return None
        return in_flight

    def answered(self, hand: Hand, reply: Reply) -> None:
        """The server has executed what :meth:`take_last` returned, or refused it, by its reply."""
        if type(reply) is ReplyError:
            self.doubt(hand)
        elif hand.previous is not None:
            self._recycle(hand.previous)
            hand.previous = None

    def doubt(self, hand: Hand) -> None:
        """It is unknown whether the server has executed what :meth:`take_last` returned: it is
        acknowledged once more.
        """
        if hand.previous is not None:
            hand.previous.is_late = True
            self.received[hand.previous] = ANY_CALL
            hand.previous = None
            self.schedule()

    def leave(self, hand: Hand, is_free: Callable[[InFlightList], bool]) -> None:
        """An exception ended a call: what is in its hand is not acknowledged, and what it was about
        to acknowledge is, once more.
        """
        previous = hand.previous
        if previous is not None:
            # In this order: a list that flush() recycles meanwhile is seen by either.
            self._doubtful.add(previous)
            if is_free(previous):
                self._doubtful.discard(previous)
        for delivery in hand.prefetched:
            in_flight = delivery.in_flight
            if in_flight.batch is not None and in_flight.batch[delivery.position] is hand:
                in_flight.batch[delivery.position] = WAITING
            if self.received.get(in_flight) is hand:
                self.received[in_flight] = ANY_CALL
        in_flight_list = hand.in_flight
        if in_flight_list is not None and self.received.get(in_flight_list) is hand:
            del self.received[in_flight_list]
        self.schedule()

    def _flush_later(self) -> bool:
        """Flush; return True while there is more to do."""
        self.check_others()
        self.flush(self._delay if self._delay == ACK_DELAY else 0.0)
        self._is_scheduled = False  # in this order: what is received now schedules it again
        if not (self.received or self._doubtful):
            return False
        if self._delay != ACK_DELAY:
            self.schedule()
            return False
        self._is_scheduled = True
        return True

    def flush(self, age: float) -> None:
        """Acknowledge what was received ``age`` seconds ago, or earlier. 1 round trip, and one for
        each list with proxies.
        """
        for in_flight in list(self._doubtful):
            self._doubtful.discard(in_flight)
            self.received.setdefault(in_flight, ANY_CALL)
        due = self._take_due(time.monotonic() - age)
        kept = {in_flight: in_flight.kept() for in_flight in due}
        disconnects = self._handle.link.disconnects
        try:
            self._send(kept)
        except BaseException:
            self.received.update(dict.fromkeys(due, ANY_CALL))
            raise
        for in_flight, count in kept.items():
            if not count:
                in_flight.batch = None
                # A first attempt that arrives later must not find the next item.
                in_flight.is_late |= self._handle.link.disconnects != disconnects
                self._recycle(in_flight)
                self._doubtful.discard(in_flight)
            elif in_flight.is_in_hand:
                self.received.setdefault(in_flight, ANY_CALL)

    def _take_due(self, before: float) -> list[InFlightList]:
        """Take the lists out whose calls have returned by then."""
        return [
            in_flight
            for in_flight, hand in list(self.received.items())
            if hand.handed <= before
            and not in_flight.is_in_hand
            and self.received.pop(in_flight, None) is not None
        ]

    def _send(self, kept: dict[InFlightList, int]) -> None:
        commands: list[Command] = []
        for in_flight, count in kept.items():
            if in_flight.has_proxies:
                # The queue does not contain any more what they refer to.
                answer = _ack_linked.run_once(self._handle, in_flight.name, b"%d" % count)
                without_flag(self._handle, answer)
            elif count:
                commands.append((b"LTRIM", in_flight.key, b"%d" % -count, b"-1"))
            else:
                commands.append((b"DEL", in_flight.key))
        if commands:
            self._handle.link.pipeline(commands)
