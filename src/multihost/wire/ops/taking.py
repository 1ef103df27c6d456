"""How a consumer takes items out of a queue.

An item moves to a *place*, a list that belongs to the consumer, in one command that blocks while
there is none. It lies there until the consumer says that it arrived (with its next call, or a few
milliseconds later in the background) or, if it would be delivered again otherwise, that it is done.
What lies at a place of a dead session goes back, and so does what came to a place after its
connection broke: such a place is not used again.
"""

from __future__ import annotations

import itertools
import operator
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply, pack, pack_args
from multihost.wire.ops.ownership import without_flag
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import (
    BLOCK_GRACE,
    FIRST_BLOCK,
    MAX_BLOCK,
    short_block,
    start_watching,
    token_pop,
    wait,
)

__all__ = [
    "RANK_SIZE",
    "Delivery",
    "InFlightList",
    "Consumer",
    "QueueSettings",
    "acknowledge",
    "take_prefetched",
    "requeue",
    "reap_script",
    "receive_one",
    "acknowledge_one",
    "receive",
]

reap_script = Script("queue/reap")
_register_consumer = Script("queue/register_consumer")
_receive_batch = Script("queue/receive_batch")
_pass_end_marker = Script("queue/pass_end_marker")
_ack_linked = Script("queue/ack_linked")
_requeue = Script("queue/requeue")
_unregister_consumer = Script("queue/unregister_consumer")
_notify_putters = Script("queue/notify_putters")
_enqueue_getter = Script("queue/enqueue_getter")
_cancel_getter = Script("queue/cancel_getter")
_pop_sorted = Script("queue/pop_sorted")

ACK_DELAY = 0.005  # seconds in which an item that arrived is acknowledged
IMMEDIATE = 0.0002  # seconds; who gets an item sooner did not wait for it
ORPHAN_TTL_MS = (
    b"86400000"  # milliseconds after which the place of a consumer that was killed is forgotten
)
BATCH = 256  # items that are moved one by one, which is faster than by a script
DIRECTIONS = {"f": (b"LEFT", b"RIGHT"), "l": (b"RIGHT", b"RIGHT")}
LINKED = b"@#"  # what a value with proxies begins with
RANK_SIZE = 32  # digits in front of a value that is sorted by priority


class QueueSettings(NamedTuple):
    """What was agreed when a queue was made."""

    maxsize: int  # items at most, 0: any number
    order: str  # "f" first in first out, "l" last in first out, "p" by priority
    max_deliveries: (
        int  # how often an item is delivered that is not done: 0 once, -1 as often as it takes
    )


class Delivery(NamedTuple):
    """Something that was taken."""

    value: bytes
    delivery_count: int  # how often it was delivered, this time included
    in_flight: InFlightList


class InFlightList:
    """Where the server keeps what one connection has taken."""

    __slots__ = (
        "ack_command",
        "blocking_pop_commands",
        "connection",
        "expirations",
        "get_one_request",
        "key",
        "move_command",
        "name",
        "pop_commands",
        "unacked",
    )

    def __init__(self, places: Consumer, caller: PinnedConnection, number: int) -> None:
        keys = places.handle.keys
        self.name = b"%b.%d" % (places.id, number)
        self.key = keys.in_flight(self.name)
        self.connection = caller
        self.expirations = places.expirations
        self.unacked = 0  # items that lie there and have not arrived, or are not done
        self.ack_command = pack((b"DEL", self.key))
        way = (keys.items, self.key, *DIRECTIONS.get(places.settings.order, ()))
        is_known = pack((b"HEXISTS", keys.refs, b"f:" + places.id))
        self.move_command = pack((b"LMOVE", *way))
        self.pop_commands = is_known + self.move_command
        self.blocking_pop_commands = is_known + b"*6\r\n" + pack_args((b"BLMOVE", *way))
        behind = places.followup_commands(self, 1)
        self.get_one_request = (
            self.pop_commands + b"".join(behind),
            2 + len(behind),
        )  # if there is no more to do


EMPTY: Any = object()  # there is no item


class Consumer(Hold):
    """The places of this process at one queue."""

    __slots__ = (
        "_is_ack_scheduled",
        "_last_received",
        "_lists",
        "_lock",
        "_registered",
        "_unacknowledged",
        "_unfinished",
        "deliveries",
        "free",
        "is_fifo_without_prefetch",
        "last_get_blocked",
        "prefetch",
        "prefetched",
        "settings",
        "ttl",
    )

    def __init__(self, handle: Handle, settings: QueueSettings) -> None:
        presence = handle.session.registration
        super().__init__(handle, presence.sid, 0, presence.expirations)
        self.settings = settings
        self.free: dict[PinnedConnection, list[InFlightList]] = {}
        self.prefetched: deque[Delivery] = deque()  # fetched ahead
        self.prefetch = 0
        self.is_fifo_without_prefetch = (
            settings.order != "p"
        )  # a list of which nothing is fetched ahead
        self.last_get_blocked = False  # whether there was no item last time
        self.deliveries = threading.local()
        # Of what lies at a place of an unnamed queue, in milliseconds. Where somebody is known to
        # renew the queue it can be a lease.
        self.ttl = ORPHAN_TTL_MS
        self._lock = threading.Lock()
        self._lists = self._registered = 0
        self._last_received: dict[PinnedConnection, InFlightList] = {}  # of which all items arrived
        self._unacknowledged: dict[
            InFlightList, float
        ] = {}  # of which the server was not told yet, since when
        self._is_ack_scheduled = False
        # By thread: where each item lies that is not done.
        self._unfinished: dict[int, deque[InFlightList]] = {}

    @classmethod
    def of(cls, handle: Handle, terms: QueueSettings) -> Consumer:
        """Those of the session."""
        holds: dict[Hashable, Hold] = handle.session.holds
        key = "places", handle.keys.ident
        found = holds.get(key) or holds.setdefault(key, cls(handle, terms))
        assert isinstance(found, cls)
        return found

    def is_valid(self) -> bool:
        return False  # after a lapse others have taken back what lay there

    def release_at_exit(self) -> None:
        """The process ends in order: what is not done, or was not handed out, goes back."""
        self.flush_acks(0.0)
        for item in self.prefetched:
            _requeue.run_idempotent(self.handle, item.in_flight.name, b"0")
        _unregister_consumer.run_idempotent(self.handle, self.id, b"%d" % self._lists)

    def requeue_all(self) -> None:
        """What lies at any of them goes back, as if nobody had heard of it. 1 round trip each."""
        for number in range(1, self._lists + 1):
            requeue(self.handle, b"%b.%d" % (self.id, number), counted=False)

    def new_list(self) -> InFlightList:
        """An empty place for the connection that this thread's next call will use. A round trip for
        the first ones.
        """
        caller = self.handle.link.peek()
        free = self.free.get(caller)
        lapses = self.handle.session.registration.expirations
        while free:
            place = free.pop()
            if place.expirations == lapses:
                return place
        with self._lock:
            if lapses != self.expirations:  # others have forgotten them
                self.expirations, self._registered = lapses, 0
            self._lists = number = self._lists + 1
            if number > self._registered:
                self._register()
        return InFlightList(self, caller, number)

    def _register(self) -> None:
        wanted = max(2 * self._lists, 4)
        _register_consumer.run_idempotent(self.handle, self.id, b"%d" % wanted)
        self._registered = wanted

    def register(self) -> None:
        """The queue does not know of them: it is gone, or was made again. 1 round trip.

        Raises ObjectGone.
        """
        with self._lock:
            self._register()

    def recycle(self, place: InFlightList) -> None:
        """Nothing lies there any more."""
        self.free.setdefault(place.connection, []).append(place)

    def quarantine(self, place: InFlightList) -> None:
        """Something may lie there, or come there yet, of which this process does not hear."""

        def back() -> None:
            _requeue.run_idempotent(self.handle, place.name, b"0")

        self.handle.session.janitor.repeat_until_settled(back)

    def is_unexpired(self, expirations: int) -> bool:
        """Whether nobody can have taken this process for dead since it counted ``lapses``."""
        presence = self.handle.session.registration
        return presence.expirations == expirations and time.monotonic() < presence.valid_until

    # what arrived

    def mark_received(self, place: InFlightList, since: float) -> None:
        """Items of it are in the hands of this process: tell the server soon."""
        self._unacknowledged[place] = since
        if not place.unacked:
            self._last_received[place.connection] = place
        if not self._is_ack_scheduled:
            self._is_ack_scheduled = True
            self.handle.session.janitor.call_every(ACK_DELAY, self._flush_later)

    def _flush_later(self) -> bool:
        self.flush_acks(ACK_DELAY)
        self._is_ack_scheduled = False  # in this order: what arrives now begins another errand
        if not self._unacknowledged:
            return False
        self._is_ack_scheduled = True
        return True

    def flush_acks(self, age: float) -> None:
        """Tell the server what arrived so many seconds ago. 1 round trip."""
        before = time.monotonic() - age
        known = [
            place
            for place, since in list(self._unacknowledged.items())
            if since <= before and self._unacknowledged.pop(place, None) is not None
        ]
        if not known:
            return
        left = [place.unacked for place in known]
        commands = [
            (b"LTRIM", place.key, b"%d" % -count, b"-1") if count else (b"DEL", place.key)
            for place, count in zip(known, left, strict=True)
        ]
        try:
            self.handle.link.pipeline(commands)
        except BaseException:
            self._unacknowledged.update(dict.fromkeys(known, 0.0))
            raise
        for place, count in zip(known, left, strict=True):
            if not count:
                self.recycle(place)

    def pending_ack(self, connection: PinnedConnection) -> InFlightList | None:
        """The last place of this connection, if the server is yet to be told: with the request that
        follows.
        """
        place = self._last_received.pop(connection, None)
        return place if place and self._unacknowledged.pop(place, None) is not None else None

    def decrement(self, place: InFlightList, count: int) -> bool:
        """So many items less lie there; whether none is left."""
        with self._lock:
            place.unacked -= count
            return not place.unacked

    # what is not done

    def track_unfinished(self, place: InFlightList) -> None:
        """An item of it was handed to this thread, which will say when it is done."""
        with self._lock:
            self._unfinished.setdefault(threading.get_ident(), deque()).append(place)

    def pop_oldest(self) -> InFlightList | None:
        """The place of the oldest item that is not done, of this thread if it has one."""
        me = threading.get_ident()
        with self._lock:
            thread = me if me in self._unfinished else next(iter(self._unfinished), None)
            if thread is None:
                return None
            place = self._unfinished[thread].popleft()
            if not self._unfinished[thread]:
                del self._unfinished[thread]
            return place

    def undo_pop(self, place: InFlightList) -> None:
        """Undo :meth:`pop_oldest`: nobody knows whether the server heard that it is done."""
        with self._lock:
            self._unfinished.setdefault(threading.get_ident(), deque()).appendleft(place)

    # the commands

    def followup_commands(self, place: InFlightList, count: int) -> list[bytes]:
        """The commands behind the move of the first item: for more of them, what belongs to the
        terms, and for the lease of the place.
        """
        handle = self.handle
        unnamed = handle.keys.name is None
        commands = [place.move_command] * (count - 1) if count <= BATCH else []
        stays = unnamed and self.settings.max_deliveries and self.ttl is ORPHAN_TTL_MS
        if count > BATCH or stays:
            rest = 0 if count <= BATCH else count - 1
            commands.append(
                _receive_batch.pack_request(handle, place.connection, (place.name, b"%d" % rest))[0]
            )
        elif self.settings.maxsize:
            commands.append(pack((b"HGET", handle.keys.data, b"w")))
        if unnamed and not stays:
            commands.append(pack((b"PEXPIRE", place.key, self.ttl)))
        return commands


def receive_one(
    handle: Handle, places: Consumer, blocking: bool, seconds: float | None
) -> Delivery | None:
    """Take one item, of those that were fetched ahead if there are some."""
    if places.is_fifo_without_prefetch:
        if not (places.last_get_blocked and blocking):
            found = _try_receive(handle, places)
            if found is EMPTY and not blocking:
                handle.session.janitor.watch_briefly(handle.keys, reap_script)
                return None
            if found is not None and found is not EMPTY:
                return found
    elif ahead := take_prefetched(handle, places, 1):
        return ahead[0]
    begun = time.monotonic()
    items = receive(handle, places, 1 + places.prefetch, blocking, seconds)
    places.last_get_blocked = time.monotonic() - begun > IMMEDIATE
    places.prefetched.extend(items[1:])
    return items[0] if items else None


def take_prefetched(handle: Handle, places: Consumer, count: int) -> list[Delivery]:
    """Up to ``count`` items of those that were fetched ahead. No round trip."""
    items: list[Delivery] = []
    while places.prefetched and len(items) < count:
        try:
            item = places.prefetched.popleft()
        except IndexError:  # another thread was first
            break
        lapses = item.in_flight.expirations
        if places.is_unexpired(lapses) or _still_owned(handle, places, item.in_flight, lapses):
            items.append(item)
    return items


def receive(
    handle: Handle, places: Consumer, count: int, blocking: bool, seconds: float | None
) -> list[Delivery]:
    """Take up to ``count`` items, at least one if there is one in time; they are not acknowledged.

    1 round trip, and the wait. Raises ShutDown, ObjectGone.
    """
    presence = handle.session.registration
    deadline = None if seconds is None else time.monotonic() + seconds
    blocking = blocking and (seconds is None or seconds > 0)
    attempt = _receive_sorted if places.settings.order == "p" else _receive_list
    watched = start_watching(handle, reap_script) if blocking else None
    try:
        while True:
            handle.session.ensure_registered(handle.keys)
            lapses = presence.expirations
            raw, place = attempt(handle, places, count, blocking, deadline)
            if raw:
                if places.is_unexpired(lapses) or _still_owned(handle, places, place, lapses):
                    return _deliveries(places, place, raw)
            elif (raw is not None and not blocking) or (
                deadline is not None and time.monotonic() >= deadline
            ):
                handle.session.janitor.watch_briefly(handle.keys, reap_script)
                return []
            else:
                places.last_get_blocked = True
    finally:
        if watched is not None:
            watched.waiters.discard(threading.get_ident())


def requeue(handle: Handle, flight: bytes, counted: bool) -> None:
    """What lies at a place goes back to the head; ``counted`` if it was delivered. 1 round trip."""
    _requeue.run_idempotent(handle, flight, b"%d" % counted)


def acknowledge(handle: Handle, places: Consumer, items: Sequence[Delivery]) -> None:
    """These items are in the hands of this thread. No round trip, one for each place if they
    contain proxies.
    """
    for place, group in itertools.groupby(items, operator.attrgetter("in_flight")):
        values = [item.value for item in group]
        if places.settings.max_deliveries:
            for _ in values:
                places.track_unfinished(place)
        elif any(value[0] in LINKED for value in values):
            _release_proxies(handle, places, place, len(values))
        else:
            places.decrement(place, len(values))
            places.mark_received(place, time.monotonic())


def acknowledge_one(handle: Handle, places: Consumer, item: Delivery) -> None:
    """The same for one, as nearly always."""
    place = item.in_flight
    if places.settings.max_deliveries or place.unacked > 1 or item.value[0] in LINKED:
        acknowledge(handle, places, (item,))
    else:
        place.unacked = 0
        places.mark_received(place, time.monotonic())


def _release_proxies(handle: Handle, places: Consumer, place: InFlightList, count: int) -> None:
    """Items with proxies arrived: the queue does not keep those any more."""
    is_empty = places.decrement(place, count)
    try:
        without_flag(handle, _ack_linked.run_once(handle, place.name, b"%d" % place.unacked))
    except BaseException:
        places.mark_received(place, 0.0)  # then what they refer to is kept too long
        raise
    if is_empty:
        places.recycle(place)


def _still_owned(handle: Handle, places: Consumer, place: InFlightList, lapses: int) -> bool:
    """Whether an item is this process's, which others could take for dead before it came."""
    try:
        handle.session.ensure_registered(handle.keys)
        presence = handle.session.registration
        return presence.expirations == lapses or bool(handle.link.execute(b"EXISTS", place.key))
    except BaseException:
        places.quarantine(place)  # whoever asked does not get it
        raise


def _deliveries(places: Consumer, place: InFlightList, raw: list[bytes]) -> list[Delivery]:
    """What came, without what stands before the values."""
    items = []
    for each in raw:
        value, times = each, 1
        if places.settings.order == "p":
            value = value[value.index(b" ") + 1 + RANK_SIZE :]
        if value[:1] == b"*":
            before, _, value = value.partition(b";")
            times = int(before[1:]) + 1
        items.append(Delivery(value, times, place))
    place.unacked = len(items)
    return items


def _quarantine(places: Consumer, place: InFlightList, previous: InFlightList | None) -> None:
    """A connection broke: nobody knows what came to a place, and what was heard of another."""
    places.quarantine(place)
    if previous is not None:
        places.mark_received(previous, 0.0)


# -- a list: the item moves by itself


def _try_receive(handle: Handle, places: Consumer) -> Delivery | None:
    """An item that is there, as most calls find it; NOTHING if there is none. None for all else,
    which take() looks at.
    """
    link, presence = handle.link, handle.session.registration
    lapses = presence.expirations
    caller = link.checkout()
    channel = caller.channel
    free = places.free.get(caller)
    if channel is None or not free or time.monotonic() >= presence.valid_until:
        link.checkin(caller)
        return None
    place = free.pop()
    previous = places.pending_ack(caller)
    request, count = place.get_one_request
    if previous is not None:
        request, count = request + previous.ack_command, count + 1
    try:
        replies = channel.exchange_many(request, count)
    except BaseException as error:
        link.disconnect(caller)
        link.checkin(caller)
        _quarantine(places, place, previous)
        if isinstance(error, ConnectionBroken):
            return None
        raise
    link.checkin(caller)
    if previous is not None:
        places.recycle(previous)
    value = replies[1]
    if value is None:
        places.recycle(place)
        return EMPTY if replies[0] == 1 else None
    if type(value) is not bytes or not value or replies[0] != 1 or place.expirations != lapses:
        places.quarantine(place)
        _requeue.run_idempotent(handle, place.name, b"0")
        return None
    if not places.is_unexpired(lapses) and not _still_owned(handle, places, place, lapses):
        return None
    if places.settings.maxsize and type(replies[2]) is bytes and replies[2] != b"0":
        _notify_room(handle, places, place)
    if value[0] == 0x2A:
        return _deliveries(places, place, [value])[0]
    place.unacked = 1
    return Delivery(value, 1, place)


def _notify_room(handle: Handle, places: Consumer, place: InFlightList) -> None:
    """Wake who waits for room, after something was taken."""
    try:
        _notify_putters.run_idempotent(handle)
    except BaseException:
        places.quarantine(place)
        raise


def _receive_list(
    handle: Handle, places: Consumer, count: int, blocking: bool, deadline: float | None
) -> tuple[list[bytes] | None, InFlightList]:
    """One round: nothing if there was no item, None if that is not known."""
    link = handle.link
    place = places.new_list()
    caller = place.connection = link.checkout()
    previous = places.pending_ack(caller)
    try:
        replies = _exchange(handle, places, place, previous, count, blocking, deadline)
    except ConnectionBroken as error:
        _quarantine(places, place, previous)
        left = link.reconnect_timeout if deadline is None else deadline - time.monotonic()
        try:
            if left > 0:
                link.reconnect(caller, error, min(link.reconnect_timeout, left))
        finally:
            link.checkin(caller)
        if left > 0:
            _requeue.run_idempotent(handle, place.name, b"0")
        return None, place
    except BaseException:
        link.disconnect(caller)
        link.checkin(caller)
        _quarantine(places, place, previous)
        raise
    link.checkin(caller)
    if previous is not None and replies[0] != 0:
        places.recycle(previous)
    try:
        raw = _interpret(handle, places, place, replies, count)
    except BaseException:
        places.quarantine(place)
        raise
    if raw == []:
        places.recycle(place)
    return raw, place


def _exchange(
    handle: Handle,
    places: Consumer,
    place: InFlightList,
    previous: InFlightList | None,
    count: int,
    blocking: bool,
    deadline: float | None,
) -> list[Reply]:
    """Move an item, and do what belongs to it."""
    link, caller = handle.link, place.connection
    limit: float | None = None
    overdue = 0.0
    if blocking:
        left = MAX_BLOCK if deadline is None else max(deadline - time.monotonic(), 0.0)
        block = MAX_BLOCK
        if (
            not places.last_get_blocked
            and left >= FIRST_BLOCK
            and link.timeout >= FIRST_BLOCK + BLOCK_GRACE
        ):
            block = FIRST_BLOCK  # within the usual time for an answer, which need not be set
        elif left < MAX_BLOCK:
            block, limit, overdue = short_block(left)
        else:
            limit = MAX_BLOCK + BLOCK_GRACE
        request = place.blocking_pop_commands + pack_args((b"%.3f" % block,))
    else:
        request = place.pop_commands
    behind = places.followup_commands(place, count)
    if previous is not None:
        behind.append(previous.ack_command)
    return link.exchange_blocking(
        caller, request + b"".join(behind), limit, count=2 + len(behind), grace=overdue
    )


def _interpret(
    handle: Handle, places: Consumer, place: InFlightList, replies: list[Reply], count: int
) -> list[bytes] | None:
    """What was taken, of the replies to :func:`_exchange`; None if the server says «not now»."""
    if replies[0] == 0:
        places.quarantine(place)
        _requeue.run_idempotent(handle, place.name, b"0")
        places.register()
        return None
    for reply in replies[:2]:
        if type(reply) is not ReplyError:
            continue
        if reply.code == "OOM":  # where a script may do it, which begins with a deletion
            handle.link.back_off()
            more = _receive_rest(handle, place, count)
            if not more:
                _pass_end_marker.run_idempotent(handle, place.name)
            return more
        if not reply.is_transient:
            raise to_exception(reply, "queue/get", handle.keys.ident) from None
        handle.link.back_off()
        return None
    moved = count if count <= BATCH else 1
    raw = [reply for reply in replies[1 : 1 + moved] if type(reply) is bytes]
    if raw and not raw[-1]:  # the mark of a queue that takes no more
        _pass_end_marker.run_idempotent(handle, place.name)  # says why, if there is nothing else
        return raw[:-1]
    what = replies[1 + moved] if len(replies) > 1 + moved else None
    if type(what) is ReplyError:  # the server does not know the script
        what = _receive_rest(handle, place, 0 if moved == count else count - 1)
    if type(what) is list:
        raw += what
    elif type(what) is bytes and places.settings.maxsize and what != b"0" and raw:
        _notify_putters.run_idempotent(handle)
    return raw


def _receive_rest(handle: Handle, place: InFlightList, count: int) -> list[bytes]:
    more: list[bytes] = _receive_batch.run_idempotent(handle, place.name, b"%d" % count)
    return more


# -- a sorted set: a script moves the items, and hints wake those who wait


def _receive_sorted(
    handle: Handle, places: Consumer, count: int, blocking: bool, deadline: float | None
) -> tuple[list[bytes] | None, InFlightList]:
    """As :func:`_move_items`."""
    link = handle.link
    place = places.new_list()
    caller = place.connection
    breaks, channel = link.disconnects, caller.channel
    args = (place.name, b"%d" % count)
    raw: list[bytes] | None
    try:
        raw = _try_receive_sorted(handle, places, place, count)
        if raw is None and blocking:
            waiter = handle.session.identity.waiter_id
            raw = wait(
                handle,
                None if deadline is None else deadline - time.monotonic(),
                (_enqueue_getter, (waiter,)),
                token_pop(handle.keys.tokens + b":get"),
                (_pop_sorted, (*args, waiter)),
                lambda _: (_cancel_getter, (waiter,)),
                reap_script,
            )
    except BaseException:
        places.quarantine(place)
        raise
    if link.disconnects != breaks or (channel is not None and caller.channel is not channel):
        # An attempt may have come late, or twice: nobody knows what lies there.
        places.quarantine(place)
        _requeue.run_idempotent(handle, place.name, b"0")
        return None, place
    if not raw:
        places.recycle(place)
    return raw or [], place


def _try_receive_sorted(
    handle: Handle, places: Consumer, place: InFlightList, count: int
) -> list[bytes] | None:
    """What is there, while the server is told what arrived before."""
    link = handle.link
    caller = link.checkout()
    args = (place.name, b"%d" % count, b"")
    previous = places.pending_ack(caller)
    requests = [] if previous is None else [previous.ack_command]
    requests.append(_pop_sorted.pack_request(handle, caller, args)[0])
    try:
        replies = link.exchange_many(caller, b"".join(requests), len(requests))
    except BaseException:
        if previous is not None:
            places.mark_received(previous, 0.0)
        raise
    if previous is not None:
        places.recycle(previous)
    found: list[bytes] | ReplyError | None = replies[-1]
    if type(found) is ReplyError:  # one of the queue, or the server does not know the script
        return _pop_sorted.run_idempotent(handle, *args)  # type: ignore[no-any-return]
    return found  # type: ignore[return-value]
