"""Receiving from a list: plain commands move an item, and block until there is one."""

from __future__ import annotations

import enum
import time
from typing import Final, Literal

from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply, pack_args
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import BATCH, Delivery, InFlightList
from multihost.wire.ops.queue.items import FIRST_BYTES
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import BLOCK_GRACE, FIRST_BLOCK, MAX_BLOCK, short_block

__all__ = ["EMPTY", "receive_available", "receive_from_list"]

_pass_end_marker = Script("queue/pass_end_marker")
_notify_putters = Script("queue/notify_putters")


class _Empty(enum.Enum):
    EMPTY = enum.auto()


EMPTY: Final = _Empty.EMPTY  # the queue has no item


def receive_available(  # noqa: C901, PLR0912 - written out
    handle: Handle, consumer: Consumer, hand: Hand
) -> Delivery | Literal[_Empty.EMPTY] | None:
    """Receive an item that is there, as most calls find it; EMPTY if there is none. 1 round trip.

    None for all that is less usual: :func:`receive_from_list` has to find out.
    """
    link, membership = handle.link, consumer.membership
    expirations = membership.expirations
    connection = link.checkout()
    channel = connection.channel
    free = consumer.free_lists.get(connection.name)
    if channel is None or not free or time.monotonic() >= membership.valid_until:
        link.checkin(connection)
        return None
    # No call between these two, see Hand.
    hand.in_flight = in_flight = free[0]
    del free[0]
    request, count = in_flight.get_one_request
    previous = consumer.acks.take_last(connection.name, hand)
    if previous is not None:
        request, count = request + previous.ack_command, count + 1
    try:
        replies = channel.exchange_many(request, count)
    except BaseException as error:
        link.disconnect(connection)
        in_flight.is_late = True
        link.checkin(connection)
        if isinstance(error, ConnectionBroken):
            consumer.doubt(hand)
            return None
        raise
    link.checkin(connection)
    if previous is not None:
        if type(replies[-1]) is ReplyError:
            consumer.acks.doubt(hand)
        else:  # as answered(), written out: nearly every get() comes along here
            consumer.recycle(previous)
            hand.previous = None
    value = replies[1]
    if value is None:
        consumer.let_go(hand)
        return EMPTY if replies[0] == 1 else None
    if (
        type(value) is not bytes
        or not value
        or replies[0] != 1
        or (in_flight.expirations != expirations)
    ):
        consumer.doubt(hand)
        if replies[0] == 0:  # the queue does not know the list
            consumer.register()
        return None
    if not consumer.is_unexpired(expirations) and not consumer.still_owns(in_flight, expirations):
        consumer.abandon(hand)
        return None
    if consumer.settings.maxsize and type(replies[2]) is bytes and replies[2] != b"0":
        _notify_putters.run_idempotent(handle)
    if value[0] in FIRST_BYTES:
        return in_flight.delivery(value)
    in_flight.unacked = 1
    return Delivery(value, 1, in_flight)


def receive_from_list(
    handle: Handle,
    consumer: Consumer,
    hand: Hand,
    count: int,
    blocking: bool,
    deadline: float | None,
) -> list[bytes] | None:
    """Receive up to ``count`` items in one round; return them as they are stored, in the list that
    is in the hand. No items if there were none, None if that is unknown. Raises ReplyError.
    """
    link = handle.link
    in_flight = consumer.take_list(hand)
    connection = link.checkout()
    in_flight.connection = connection.name
    previous = consumer.acks.take_last(connection.name, hand)
    try:
        replies = _exchange(
            handle, connection, consumer, in_flight, previous, count, blocking, deadline
        )
    except ConnectionBroken as error:
        if error.while_connecting:  # nothing was sent
            consumer.let_go(hand)
        consumer.doubt(hand)
        timeout = link.reconnect_timeout
        if deadline is not None:
            timeout = min(timeout, max(deadline - time.monotonic(), 0.0))
        try:
            link.reconnect(connection, error, timeout)
        finally:
            link.checkin(connection)
        return None
    except BaseException:
        link.disconnect(connection)
        in_flight.is_late = True
        link.checkin(connection)
        raise
    link.checkin(connection)
    if previous is not None and replies[0] != 0:
        refused = replies[0] if type(replies[0]) is ReplyError else replies[-1]
        consumer.acks.answered(hand, refused)
    items = _interpret(handle, consumer, hand, in_flight, replies, count)
    if items == []:
        consumer.let_go(hand)
    return items


def _exchange(
    handle: Handle,
    connection: PinnedConnection,
    consumer: Consumer,
    in_flight: InFlightList,
    previous: InFlightList | None,
    count: int,
    blocking: bool,
    deadline: float | None,
) -> list[Reply]:
    """Send the request of a round, and return the replies to its moves, and to what is around
    them.
    """
    link = handle.link
    limit: float | None = None
    grace = 0.0
    if blocking:
        left = MAX_BLOCK if deadline is None else max(deadline - time.monotonic(), 0.0)
        block = MAX_BLOCK
        if (
            not consumer.last_get_blocked
            and left >= FIRST_BLOCK
            and link.timeout >= FIRST_BLOCK + BLOCK_GRACE
        ):
            block = FIRST_BLOCK  # within the usual time of a reply, for which no timer must be set
        elif left < MAX_BLOCK:
            block, limit, grace = short_block(left)
        else:
            limit = MAX_BLOCK + BLOCK_GRACE
        request = in_flight.blocking_pop_commands + pack_args((b"%.3f" % block,))
    else:
        request = in_flight.pop_commands
    followup = in_flight.followup_commands(count)
    if previous is not None:
        followup.append(previous.ack_command)
    replies = link.exchange_blocking(
        connection,
        request + b"".join(followup),
        limit,
        count=2 + blocking + len(followup),
        grace=grace,
    )
    if blocking and len(replies) > 1:
        # If there were items, the next call finds one, too: it goes the short way.
        consumer.last_get_blocked = replies.pop(1) == 0
    return replies


def _interpret(
    handle: Handle,
    consumer: Consumer,
    hand: Hand,
    in_flight: InFlightList,
    replies: list[Reply],
    count: int,
) -> list[bytes] | None:
    """Return the items among the replies to :func:`_exchange`; None if that is unknown. Raises
    ReplyError.
    """
    if replies[0] == 0:  # the queue does not know the list
        consumer.doubt(hand)
        consumer.register()
        return None
    for reply in replies[:2]:
        if type(reply) is not ReplyError:
            continue
        if reply.code == "OOM":  # a full server accepts a script that begins with a deletion
            handle.link.back_off()
            batch = in_flight.receive_batch(count)
            if not batch:
                _pass_end_marker.run_idempotent(handle, in_flight.name)
            return batch
        raise reply
    moved = count if count <= BATCH else 1
    items = [reply for reply in replies[1 : 1 + moved] if type(reply) is bytes]
    if items and not items[-1]:  # the end-of-queue marker
        # Raises ShutDown or ObjectGone, if the marker was the only item.
        _pass_end_marker.run_idempotent(handle, in_flight.name)
        return items[:-1]
    rest = replies[1 + moved] if len(replies) > 1 + moved else None
    if type(rest) is ReplyError:  # the server does not know the script
        rest = in_flight.receive_batch(0 if moved == count else count - 1)
    if type(rest) is list:
        items += rest
    elif type(rest) is bytes and consumer.settings.maxsize and rest != b"0" and items:
        _notify_putters.run_idempotent(handle)
    return items
