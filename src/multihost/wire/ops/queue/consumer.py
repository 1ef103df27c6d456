"""A consumer: what this process receives from one queue, and what it owes the server for that."""

from __future__ import annotations

import threading
import time
from collections import deque

from multihost.wire.link import PinnedConnection
from multihost.wire.ops.queue.in_flight import ORPHAN_TTL_MS, Delivery, InFlightList, requeue
from multihost.wire.ops.queue.pending_acks import PendingAcks
from multihost.wire.ops.queue.settings import PRIORITY, QueueSettings
from multihost.wire.ops.queue.unfinished import UnfinishedItems
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold

__all__ = ["Consumer", "ConsumerHold"]

MOST_LISTS = 1_000_000  # of a consumer, see lua/lib/lists_of

_register_consumer = Script("queue/register_consumer")
_unregister_consumer = Script("queue/unregister_consumer")


class ConsumerHold(Hold):
    """The claim of this process on the items in flight to it, among the holds of the session."""

    __slots__ = ("consumer",)

    def __init__(self, consumer: Consumer) -> None:
        registration = consumer.handle.session.registration
        super().__init__(consumer.handle, registration.sid, 0, registration.expirations)
        self.consumer: Consumer = consumer

    def is_valid(self) -> bool:
        # Once the session has expired other processes requeue what is in flight, and the queue
        # forgets the lists: they are registered again with the next new one.
        return self.expirations == self.handle.session.registration.expirations

    def release_at_exit(self) -> None:
        self.consumer.close()


class Consumer:
    """The in-flight lists of this process at one queue."""

    __slots__ = (
        "_list_count",
        "_lock",
        "_registered_count",
        "acks",
        "deliveries",
        "free_lists",
        "handle",
        "hold",
        "is_fifo_without_prefetch",
        "last_get_blocked",
        "prefetch",
        "prefetched",
        "settings",
        "ttl",
        "unfinished",
    )

    def __init__(self, handle: Handle, settings: QueueSettings) -> None:
        self.handle: Handle = handle
        self.settings: QueueSettings = settings
        self.hold: ConsumerHold = ConsumerHold(self)
        self.free_lists: dict[PinnedConnection, list[InFlightList]] = {}  # empty on the server
        self.prefetched: deque[Delivery] = deque()
        self.prefetch: int = 0
        self.is_fifo_without_prefetch: bool = settings.order != PRIORITY  # or last in first out
        self.last_get_blocked: bool = False
        self.deliveries: threading.local = (
            threading.local()
        )  # ``last``: of the item that this thread received last
        # Of in-flight lists of an unnamed queue, in milliseconds. Where another process is known to
        # renew the queue it can be a lease.
        self.ttl: bytes = ORPHAN_TTL_MS
        self.acks: PendingAcks = PendingAcks(handle, self.recycle)
        self.unfinished: UnfinishedItems = UnfinishedItems()
        self._lock = threading.Lock()
        self._list_count = self._registered_count = 0

    @classmethod
    def of(cls, handle: Handle, settings: QueueSettings) -> Consumer:
        """Return the consumer of this process. No round trip."""
        holds = handle.session.holds
        key = "consumer", handle.keys.ident
        hold = holds.get(key) or holds.setdefault(key, cls(handle, settings).hold)
        assert isinstance(hold, ConsumerHold)
        return hold.consumer

    def close(self) -> None:
        """Requeue what is not done, or not returned to the caller: the process exits normally."""
        self.acks.flush(0.0)
        for item in self.prefetched:
            item.in_flight.requeue()
        _unregister_consumer.run_idempotent(self.handle, self.hold.id, b"%d" % self._list_count)

    # in-flight lists

    def new_list(self) -> InFlightList:
        """Return an empty in-flight list for the connection that this thread's next call will use.
        1 round trip for the first ones.
        """
        connection = self.handle.link.peek()
        free = self.free_lists.get(connection)
        expirations = self.handle.session.registration.expirations
        while free:
            in_flight = free.pop()
            if in_flight.expirations == expirations:
                return in_flight
        with self._lock:
            if expirations != self.hold.expirations:  # the queue has forgotten the lists
                self.hold.expirations, self._registered_count = expirations, 0
            self._list_count = number = self._list_count + 1
            if number > self._registered_count:
                self._register()
        return InFlightList(
            self.handle,
            self.settings,
            self.hold.id,
            number,
            connection,
            self.hold.expirations,
            self.ttl,
        )

    def _register(self) -> None:
        wanted = max(min(2 * self._list_count, MOST_LISTS), self._list_count, 4)
        _register_consumer.run_idempotent(self.handle, self.hold.id, b"%d" % wanted)
        self._registered_count = wanted

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

    def quarantine(self, in_flight: InFlightList) -> None:
        """Do not use a list again, and requeue what may be in it, or may still arrive: a command of
        which this process does not know the outcome.
        """
        self.handle.session.janitor.repeat_until_settled(in_flight.requeue)

    def requeue_all(self) -> None:
        """Requeue what is in any list, as not delivered. 1 round trip each."""
        for number in range(1, self._list_count + 1):
            requeue(self.handle, b"%b.%d" % (self.hold.id, number), delivered=False)

    def decrement(self, in_flight: InFlightList, count: int) -> bool:
        """Count items that left a list; return whether it is empty then."""
        with self._lock:
            in_flight.unacked -= count
            return not in_flight.unacked

    # ownership of what was received

    def is_unexpired(self, expirations: int) -> bool:
        """Return whether no other process can have declared this one dead since it counted
        ``expirations``. No round trip.
        """
        registration = self.handle.session.registration
        return (
            registration.expirations == expirations and time.monotonic() < registration.valid_until
        )

    def still_owns(self, in_flight: InFlightList, expirations: int) -> bool:
        """Return whether an item is this process's own, which others could declare dead before it
        arrived. Up to 2 round trips.
        """
        session = self.handle.session
        try:
            session.ensure_registered(self.handle.keys)
            return session.registration.expirations == expirations or bool(
                self.handle.link.execute(b"EXISTS", in_flight.key)
            )
        except BaseException:
            self.quarantine(in_flight)  # the caller does not get the item
            raise
