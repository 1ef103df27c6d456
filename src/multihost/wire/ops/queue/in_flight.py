"""In-flight lists: where the server keeps what a consumer has received and not acknowledged."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from multihost.wire.link import pack, pack_args
from multihost.wire.ops.queue.constants import LISTS_OF, PUTTERS
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.items import (
    FIRST_BYTES,
    WITH_PROXIES,
    split_delivery_count,
    without_rank,
)
from multihost.wire.ops.queue.settings import FIFO, LIFO, PRIORITY, QueueSettings
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["BATCH", "GONE", "WAITING", "Delivery", "InFlightList"]

_receive_batch = Script("queue/receive_batch")

BATCH = 16  # items that are moved one by one, which is faster than by a script
ENDS = {FIFO: (b"LEFT", b"RIGHT"), LIFO: (b"RIGHT", b"RIGHT")}  # where an item comes from, goes to


# What became of an item of a batch, unless a call has it in its hand, or had.
WAITING = None  # it is prefetched
GONE = Hand()  # it is a dead letter: the list does not contain it any more


class Delivery(NamedTuple):
    """An item that was received."""

    value: bytes
    delivery_count: int
    """How often it was delivered, this time included."""
    in_flight: InFlightList
    position: int = 0
    """Where it was in its in-flight list."""


# Without a call of a Python function for each.
_as_delivery: Callable[[Iterable[object]], Delivery] = functools.partial(tuple.__new__, Delivery)
_MARKS = frozenset(bytes((first,)) for first in FIRST_BYTES)


class InFlightList:
    """What one connection has received; a list on the server.

    It belongs to one connection, whose name it has, so that a command which arrives late, after
    that broke, moves an item to a list that is not used any more.
    """

    __slots__ = (
        "ack_command",
        "batch",
        "blocking_pop_commands",
        "connection",
        "expirations",
        "get_one_request",
        "handle",
        "has_proxies",
        "is_late",
        "is_undecided",
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
        connection: bytes,
        expirations: int,
        ttl: bytes | None = None,
    ) -> None:
        keys = handle.keys
        self.handle: Handle = handle
        self.settings: QueueSettings = settings
        self.name: bytes = b"%b.%d" % (session_id, number)
        self.key: bytes = keys.in_flight(self.name)
        self.connection: bytes = connection
        self.expirations: int = expirations  # of the session, when the queue was told of this list
        self.ttl: bytes | None = ttl  # None: as long as its queue, which a script finds out
        self.unacked: int = 0  # items in it, as far as this process knows
        # Which call has each item in its hand, where they are acknowledged one by one. None for a
        # single item, as nearly always.
        self.batch: list[Hand | None] | None = None
        self.has_proxies: bool = False  # then a script acknowledges
        self.is_late: bool = False  # a request that broke off may still arrive, and fill it
        self.is_undecided: bool = False  # items that were in it went back to the queue, or may have
        self.ack_command: bytes = pack((b"DEL", self.key))
        move = keys.items, self.key, *ENDS.get(settings.order, ())
        # After an expiration, or of a queue that was created again, the queue does not know this
        # list: what is moved to it would be lost.
        is_known = pack((b"HEXISTS", keys.refs, LISTS_OF + session_id))
        self.move_command: bytes = pack((b"LMOVE", *move))
        self.pop_commands: bytes = is_known + self.move_command
        # With the number of items, by which a consumer knows whether it had to wait: the time that
        # the call takes says that only beside the distance of the server.
        length = pack((b"LLEN", keys.items))
        self.blocking_pop_commands: bytes = (
            is_known + length + b"*6\r\n" + pack_args((b"BLMOVE", *move))
        )
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
        inherits_lease = unnamed and self.ttl is None
        if count > BATCH or inherits_lease:
            rest = 0 if count <= BATCH else count - 1
            args = self.name, b"%d" % rest
            commands.append(_receive_batch.pack_idempotent(self.handle, args))
        elif self.settings.maxsize:
            commands.append(pack((b"HGET", self.handle.keys.data, PUTTERS)))
        if unnamed and self.ttl is not None:
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
        self.has_proxies = False
        if not by_priority and _MARKS.isdisjoint([item[:1] for item in items]):
            # Nearly always: each is a value that is delivered for the first time.
            parts = zip(items, itertools.repeat(1), itertools.repeat(self), itertools.count())
            deliveries = list(map(_as_delivery, parts))
        else:
            deliveries = []
            for item in items:
                value, count = without_rank(item) if by_priority else item, 0
                if value and value[0] in FIRST_BYTES:
                    value, count = split_delivery_count(value)
                    self.has_proxies |= value[:1] != b"" and value[0] in WITH_PROXIES
                deliveries.append(Delivery(value, count + 1, self, len(deliveries)))
        self.unacked = size = len(deliveries)
        self.batch = [WAITING] * size if size > 1 or self.has_proxies else None
        return deliveries

    @property
    def number(self) -> int:
        """Its number among those of the consumer."""
        return int(self.name.rpartition(b".")[2])

    @property
    def is_in_hand(self) -> bool:
        """Whether a call has some of a batch, and has not returned."""
        return any(
            hand is not None and hand is not GONE and hand.handed == math.inf
            for hand in self.batch or ()
        )

    def kept(self) -> int:
        """Return how many items must stay in the list, the last ones: those behind one that no
        caller got yet.
        """
        rest = itertools.dropwhile(
            lambda hand: hand is not WAITING and (hand is GONE or hand.handed < math.inf),
            self.batch or (),
        )
        return sum(hand is not GONE for hand in rest)
