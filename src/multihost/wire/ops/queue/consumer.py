"""A consumer: what this process receives from one queue, and what it owes the server for that."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Sequence

from multihost.wire.identity import session_of
from multihost.wire.link import Reply
from multihost.wire.ops.queue.hand import ANY_CALL, Hand
from multihost.wire.ops.queue.in_flight import (
    GONE,
    Delivery,
    InFlightList,
)
from multihost.wire.ops.queue.pending_acks import PendingAcks
from multihost.wire.ops.queue.quarantine import Quarantine, requeue
from multihost.wire.ops.queue.settings import PRIORITY, QueueSettings
from multihost.wire.ops.queue.settlement import settle_args, settled
from multihost.wire.ops.queue.unfinished import DoneCalls, UnfinishedItem, UnfinishedItems
from multihost.wire.replies import NOT_HELD
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.presence import Membership
from multihost.wire.wait import stop_watching

__all__ = ["Consumer", "ConsumerHold"]

MOST_LISTS = 1_000_000  # of a consumer, see lua/lib/lists_of

_register_consumer = Script("queue/register_consumer")
_unregister_consumer = Script("queue/unregister_consumer")
_settle = Script("queue/settle")

# Seconds for which the next call may take what an interrupted one left, before it is requeued.
LEFT = 0.1


class ConsumerHold(Hold):
    """The claim of this process on the items in flight to it, among the holds of the session."""

    __slots__ = ("consumer",)

    def __init__(self, consumer: Consumer) -> None:
        registration = consumer.handle.session.registration
        name = registration.names[consumer.handle.keys.prefix]
        super().__init__(consumer.handle, name, 0, consumer.membership.expirations)
        self.consumer: Consumer = consumer

    def lapse(self) -> int:
        super().lapse()
        return 0  # what is in flight is given to others, or lost with a task_done()

    def is_valid(self) -> bool:
        # Once the session has expired other processes requeue what is in flight, and the queue
        # forgets the lists: they are registered again with the next new one.
        return self.expirations == self.consumer.membership.expirations

    @property
    def ident(self) -> str:
        return self.handle.keys.ident

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        return False  # it is kept in any case

    def is_unused(self) -> bool:
        return self.consumer.is_unused()

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """See :mod:`multihost.wire.session.settling`."""
        return _settle, [self.handle.keys.data], settle_args(self.consumer)

    def settled(self, reply: Reply) -> int:
        return settled(self.consumer, reply)

    def release_at_exit(self) -> None:
        self.consumer.close()


class Consumer:
    """The in-flight lists of this process at one queue."""

    __slots__ = (
        "_lock",
        "acknowledges",
        "acks",
        "deliveries",
        "done_calls",
        "doubtful",
        "free_lists",
        "handle",
        "hold",
        "is_fifo_without_prefetch",
        "is_of_proxies",
        "last_get_blocked",
        "list_count",
        "lists",
        "membership",
        "prefetch",
        "prefetched",
        "quarantined",
        "receipts",
        "received_count",
        "registered_count",
        "run",
        "settings",
        "ttl",
        "unfinished",
    )

    def __init__(self, handle: Handle, settings: QueueSettings) -> None:
        self.handle: Handle = handle
        self.settings: QueueSettings = settings
        self.membership: Membership = handle.session.registration.memberships[handle.keys.prefix]
        self.hold: ConsumerHold = ConsumerHold(self)
        # Lists that are empty on the server, by connection.
        self.free_lists: dict[bytes, list[InFlightList]] = {}
        # Lists that interrupted calls left: there may be items in them.
        self.doubtful: deque[InFlightList] = deque()
        self.prefetched: deque[Delivery] = deque()
        self.prefetch: int = 0
        self.is_fifo_without_prefetch: bool = settings.order != PRIORITY  # or last in first out
        self.last_get_blocked: bool = False
        self.deliveries: threading.local = (
            threading.local()
        )  # ``last``: of the item that this thread received last
        # Of in-flight lists of an unnamed queue, in milliseconds: a lease, which those who hold the
        # queue renew along with it. Items that may be delivered again inherit that of the queue.
        self.ttl: bytes | None = None if settings.max_deliveries else handle.session.ttl_ms
        self.acks: PendingAcks = PendingAcks(handle, self.recycle_doubtful)
        self.quarantined: Quarantine = Quarantine(handle, self.recycle)
        self.unfinished: UnfinishedItems = UnfinishedItems()
        self.done_calls: DoneCalls = DoneCalls()
        self.is_of_proxies: bool = True  # it is not used without one
        self.acknowledges: bool = True  # what is finished; else what was done is done again
        self.received_count: int = 0  # how many items callers got
        self.receipts: itertools.count[int] = itertools.count(1)  # atomic, as += is not
        self.lists: dict[int, InFlightList] = {}  # all in use, by number
        self.list_count: int = 0  # how many there were under the present name of the session
        self.registered_count: int = 0  # how many the queue was told of
        self.run: bytes = b""  # that of the server, as of the last time that it was told
        self._lock = threading.Lock()

    @classmethod
    def of(cls, handle: Handle, settings: QueueSettings) -> Consumer:
        """Return the consumer of this process. No round trip."""
        holds = handle.session.holds
        key = "consumer", handle.keys.ident
        hold = holds.get(key)
        if hold is None:
            hold = holds.setdefault(key, cls(handle, settings).hold)
            assert isinstance(hold, ConsumerHold)
            handle.session.settling.users[key] = hold
        assert isinstance(hold, ConsumerHold)
        return hold.consumer

    def close(self) -> None:
        """Requeue what is not done, or not returned to the caller: the process exits normally."""
        self.acks.flush(0.0)
        for item in self.prefetched:
            requeue(self.handle, item.in_flight.name, delivered=False)
        _unregister_consumer.run_idempotent(self.handle, self.hold.id, b"%d" % self.list_count)

    # in-flight lists

    def take_list(self, hand: Hand) -> InFlightList:
        """Return an empty in-flight list for the connection that this thread's next call will use.
        1 round trip for the first ones.
        """
        connection = self.handle.link.peek().name
        free = self.free_lists.get(connection)
        expirations = self.membership.expirations
        while free:
            # No call between these two, see Hand.
            hand.in_flight = in_flight = free[0]
            del free[0]
            # The session may be settling, and have found it among those that are free.
            is_in_use = self.free_lists.get(connection) is free
            if in_flight.expirations == expirations and is_in_use:
                return in_flight
            self.abandon(hand)
        with self._lock:
            if expirations != self.hold.expirations:  # the queue has forgotten the lists
                registration = self.handle.session.registration
                name = registration.names[self.handle.keys.prefix]
                if name != self.hold.id:
                    self.hold.id, self.lists = name, {}
                self.hold.expirations, self.registered_count = expirations, 0
            self.list_count = number = self.list_count + 1
            if number > self.registered_count:
                self._register()
        hand.in_flight = in_flight = self.lists[number] = InFlightList(
            self.handle,
            self.settings,
            self.hold.id,
            number,
            connection,
            self.hold.expirations,
            self.ttl,
        )
        return in_flight

    def run_of_server(self) -> bytes:
        """Return the run id of the server where the queue is, as far as it is known."""
        return self.handle.session.registration.presence_of(self.handle.keys.prefix).run

    def _register(self) -> None:
        wanted = max(min(2 * self.list_count, MOST_LISTS), self.list_count, 4)
        run = self.run_of_server()
        _register_consumer.run_idempotent(self.handle, self.hold.id, b"%d" % wanted)
        self.registered_count, self.run = wanted, run

    def register(self) -> None:
        """Tell the queue of the lists, which it does not know: it was deleted, and perhaps created
        again. 1 round trip.

        Raises ObjectGone.
        """
        with self._lock:
            self._register()

    def recycle(self, in_flight: InFlightList) -> None:
        """Keep a list that is empty on the server for the next call."""
        self.free_lists.setdefault(in_flight.connection, []).append(in_flight)

    def abandon(self, hand: Hand) -> None:
        """Use the list in a hand no more: the queue may have forgotten it, and others own what was
        in it.
        """
        if hand.in_flight is not None:
            self.lists.pop(hand.in_flight.number, None)
            hand.in_flight = None

    def let_go(self, hand: Hand) -> None:
        """Recycle the list in a hand."""
        if hand.in_flight is not None:
            self.recycle(hand.in_flight)
            hand.in_flight = None

    def recycle_doubtful(self, in_flight: InFlightList) -> None:
        """Recycle a list that was emptied, once no request can arrive that fills or empties it."""
        if in_flight.is_late:
            self.quarantine(in_flight)
        else:
            self.recycle(in_flight)

    def quarantine(self, in_flight: InFlightList) -> None:
        """Do not use a list while a command may still arrive of which this process does not know
        the outcome, and requeue what is in it, or comes.
        """
        in_flight.is_undecided = True
        self.quarantined.add(in_flight)

    def is_unused(self) -> bool:
        """Return whether nothing is in flight to this process, nor will be but for a proxy."""
        if not self.is_of_proxies:
            return False
        return sum(map(len, list(self.free_lists.values()))) == len(self.lists)

    def requeue_all(self) -> None:
        """Requeue what is in any list, as not delivered. 1 round trip each."""
        for number in range(1, self.list_count + 1):
            requeue(self.handle, b"%b.%d" % (self.hold.id, number), delivered=False)

    def decrement(self, in_flight: InFlightList, count: int) -> bool:
        """Count items that left a list; return whether it is empty then."""
        with self._lock:
            in_flight.unacked -= count
            return not in_flight.unacked

    # what a call has in its hand

    def take_prefetched(self, hand: Hand, count: int) -> None:
        """Move up to ``count`` items that were prefetched into a hand. No round trip."""
        taken: list[Delivery] = []
        hand.prefetched = taken
        with contextlib.suppress(IndexError):  # there are no more
            # In one bytecode: a signal handler may raise, and other threads take some, too.
            taken.extend(itertools.islice(iter(self.prefetched.popleft, None), count))

    def take_doubtful(self, hand: Hand) -> InFlightList | None:
        """Move what interrupted calls left into a hand; return the list to be emptied first."""
        taken = [*hand.doubtful]
        hand.doubtful = taken
        with contextlib.suppress(IndexError):
            taken.extend(iter(self.doubtful.popleft, None))
        return taken[0] if taken else None

    def put_back_doubtful(self, hand: Hand) -> None:
        """Leave the doubtful lists in a hand to the next call, or the background thread."""
        left = [*hand.doubtful]
        hand.doubtful = left
        for in_flight in left:
            in_flight.is_undecided = True
        if left:
            with contextlib.suppress(IndexError):  # none is left
                self.doubtful.extendleft(iter(left.pop, None))
            self.handle.session.janitor.call_every(LEFT, self._requeue_doubtful)

    def doubt(self, hand: Hand) -> None:
        """It is unknown what was moved to the list in a hand, and whether the previous one was
        acknowledged: a connection broke, or the server refused a part.
        """
        if hand.in_flight is not None:
            hand.in_flight.is_late = hand.in_flight.is_undecided = True
            hand.doubtful = [hand.in_flight, *hand.doubtful]
            hand.in_flight = None
        self.acks.doubt(hand)

    def expect(self, hand: Hand, deliveries: Sequence[Delivery]) -> None:
        """The call is about to return these items: they are acknowledged soon after it has. No
        round trip.
        """
        if self.settings.max_deliveries:  # then task_done() does it
            self.acks.check_others()
            self.unfinished.expect([delivery.in_flight for delivery in deliveries], hand)
            return
        first = deliveries[0].in_flight
        if first is hand.in_flight and first.batch and len(first.batch) == len(deliveries):
            first.batch[:] = [hand] * len(deliveries)
        else:
            for _, _, in_flight, position in deliveries:
                if in_flight.batch is not None:
                    in_flight.batch[position] = hand
                self.acks.received[in_flight] = hand
        self.acks.expect(first, hand)

    def drop(self, hand: Hand, deliveries: Sequence[Delivery]) -> None:
        """Items in a hand, of one list, are dead letters now."""
        in_flight = deliveries[0].in_flight
        in_flight.is_undecided = True
        hand.prefetched = [item for item in hand.prefetched if item not in deliveries]
        if self.settings.max_deliveries:
            if self.decrement(in_flight, len(deliveries)):
                hand.in_flight = None
                self.recycle(in_flight)
        elif in_flight.batch is None:
            self.let_go(hand)
        else:
            for delivery in deliveries:
                in_flight.batch[delivery.position] = GONE
            self.acks.received[in_flight] = ANY_CALL  # recycled, once no item is left
            self.acks.schedule()

    def settle(self, taken: list[UnfinishedItem], answer: bytes | None) -> None:
        """An item is done; without an answer it will be, by a request that is still under way."""
        if taken:
            [(in_flight, _)] = taken
            taken.clear()
            if answer != NOT_HELD and self.decrement(in_flight, 1) and answer is not None:
                self.recycle(in_flight)

    def leave(self, hand: Hand) -> None:
        """An exception ends a call: the next one takes what is in its hand, or the background
        thread requeues it.
        """
        stop_watching(self.handle)  # a signal may have come when the call did that
        if hand.handed < math.inf:  # the caller has it
            return
        self.acks.leave(hand, self._is_free)
        if self.settings.max_deliveries:
            self.unfinished.forget(hand)
        for delivery in reversed(hand.prefetched):
            self.prefetched.appendleft(delivery)
        in_flight = hand.in_flight
        if in_flight is not None and self._is_left(in_flight) and in_flight not in hand.doubtful:
            hand.doubtful = [*hand.doubtful, in_flight]
        self.put_back_doubtful(hand)

    def _is_left(self, in_flight: InFlightList) -> bool:
        """Return whether nothing but a hand refers to a list. A signal handler may have used it
        since it was recycled, and its items may be those that were prefetched.
        """
        return not (
            self._is_free(in_flight)
            or in_flight in self.acks.received
            or any(delivery.in_flight is in_flight for delivery in self.prefetched)
        )

    def _is_free(self, in_flight: InFlightList) -> bool:
        return in_flight in self.free_lists.get(in_flight.connection, ())

    def _requeue_doubtful(self) -> bool:
        """No call took what was left: requeue it. The background thread calls this once."""
        for _ in range(len(self.doubtful)):
            with contextlib.suppress(IndexError):
                self.quarantine(self.doubtful.popleft())
        return False

    # ownership of what was received

    def is_unexpired(self, expirations: int) -> bool:
        """Return whether no other process can have declared this one dead since it counted
        ``expirations``. No round trip.
        """
        membership = self.membership
        return membership.expirations == expirations and time.monotonic() < membership.valid_until

    def still_owns(self, in_flight: InFlightList, expirations: int) -> bool:
        """Return whether an item is this process's own, which others could declare dead before it
        arrived. Up to 2 round trips.
        """
        session = self.handle.session
        session.ensure_registered(self.handle.keys)
        if self.membership.expirations == expirations:
            return True
        # What is in a list of a dead name is given to others, perhaps later.
        name = session.registration.names[self.handle.keys.prefix]
        return session_of(in_flight.name) == name and bool(
            self.handle.link.execute(b"EXISTS", in_flight.key)
        )
