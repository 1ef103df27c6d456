"""In-flight lists: where the server keeps what a consumer has received and not acknowledged."""

from __future__ import annotations

from typing import NamedTuple

from multihost.wire.link import PinnedConnection, pack, pack_args
from multihost.wire.ops.queue.constants import LISTS_OF, PUTTERS
from multihost.wire.ops.queue.items import split_delivery_count, without_rank
from multihost.wire.ops.queue.settings import FIFO, LIFO, PRIORITY, QueueSettings
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["BATCH", "ORPHAN_TTL_MS", "Delivery", "InFlightList", "requeue"]

_requeue = Script("queue/requeue")
_receive_batch = Script("queue/receive_batch")

# Milliseconds after which the in-flight list of a killed consumer expires, if the queue is unnamed.
ORPHAN_TTL_MS = b"86400000"
BATCH = 256  # items that are moved one by one, which is faster than by a script
ENDS = {FIFO: (b"LEFT", b"RIGHT"), LIFO: (b"RIGHT", b"RIGHT")}  # where an item comes from, goes to


class Delivery(NamedTuple):
    """An item that was received."""

    value: bytes
    delivery_count: int
    """How often it was delivered, this time included."""
    in_flight: InFlightList


class InFlightList:
    """What one connection has received; a list on the server.

    It belongs to one connection, so that a command which arrives late, after that broke, moves an
    item to a list that is not used any more.
    """

    __slots__ = (
        "ack_command",
        "blocking_pop_commands",
        "connection",
        "expirations",
        "get_one_request",
        "handle",
        "key",
        "move_command",
        "name",
        "pop_commands",
        "settings",
        "ttl",
        "unacked",
    )

    def __init__(
        self,
        handle: Handle,
        settings: QueueSettings,
        session_id: bytes,
        number: int,
        connection: PinnedConnection,
        expirations: int,
        ttl: bytes = ORPHAN_TTL_MS,
    ) -> None:
        keys = handle.keys
        self.handle: Handle = handle
        self.settings: QueueSettings = settings
        self.name: bytes = b"%b.%d" % (session_id, number)
        self.key: bytes = keys.in_flight(self.name)
        self.connection: PinnedConnection = connection
        self.expirations: int = expirations  # of the session, when the queue was told of this list
        self.ttl: bytes = ttl
        self.unacked: int = 0  # items in it, as far as this process knows
        self.ack_command: bytes = pack((b"DEL", self.key))
        move = keys.items, self.key, *ENDS.get(settings.order, ())
        # After an expiration, or of a queue that was created again, the queue does not know this
        # list: what is moved to it would be lost.
        is_known = pack((b"HEXISTS", keys.refs, LISTS_OF + session_id))
        self.move_command: bytes = pack((b"LMOVE", *move))
        self.pop_commands: bytes = is_known + self.move_command
        self.blocking_pop_commands: bytes = is_known + b"*6\r\n" + pack_args((b"BLMOVE", *move))
        # The whole request for one item, and its number of replies, if there is nothing else to do.
        followup = self.followup_commands(1)
        self.get_one_request: tuple[bytes, int] = (
            self.pop_commands + b"".join(followup),
            2 + len(followup),
        )

    def followup_commands(self, count: int) -> list[bytes]:
        """Return the commands behind the move of the first item, packed: they move the others, find
        out whether clients wait for room, and give the list a lease.
        """
        unnamed = self.handle.keys.name is None
        commands = [self.move_command] * (count - 1) if count <= BATCH else []
        # Items that may be delivered again live as long as their queue: the script sees to that.
        inherits_lease = unnamed and self.settings.max_deliveries and self.ttl == ORPHAN_TTL_MS
        if count > BATCH or inherits_lease:
            rest = 0 if count <= BATCH else count - 1
            args = self.name, b"%d" % rest
            commands.append(_receive_batch.pack_request(self.handle, self.connection, args)[0])
        elif self.settings.maxsize:
            commands.append(pack((b"HGET", self.handle.keys.data, PUTTERS)))
        if unnamed and not inherits_lease:
            commands.append(pack((b"PEXPIRE", self.key, self.ttl)))
        return commands

    def receive_batch(self, count: int) -> list[bytes]:
        """Move up to ``count`` items here by a script; return them as they are stored. 1 round
        trip.
        """
        items: list[bytes] = _receive_batch.run_idempotent(self.handle, self.name, b"%d" % count)
        return items

    def delivery(self, item: bytes) -> Delivery:
        """Return the only item that was received, decoded from the form in which it is stored."""
        return self.deliveries([item])[0]

    def deliveries(self, items: list[bytes]) -> list[Delivery]:
        """Return what was received, decoded from the form in which it is stored."""
        by_priority = self.settings.order == PRIORITY
        deliveries = []
        for item in items:
            value, count = without_rank(item) if by_priority else item, 0
            if value[:1] == b"*":
                value, count = split_delivery_count(value)
            deliveries.append(Delivery(value, count + 1, self))
        self.unacked = len(deliveries)
        return deliveries

    def requeue(self) -> None:
        """Give back what may be in it and was not delivered. May be repeated. 1 round trip."""
        requeue(self.handle, self.name, delivered=False)


def requeue(handle: Handle, name: bytes, *, delivered: bool) -> None:
    """Put what is in an in-flight list back to the head of the queue; it counts as a delivery if it
    was ``delivered``. May be repeated. 1 round trip.
    """
    _requeue.run_idempotent(handle, name, b"%d" % delivered)
