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

from multihost.wire.link import Broken, Caller, Reply, pack, pack_args
from multihost.wire.ops.ownership import settled
from multihost.wire.replies import ReplyError, failure
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.wait import OVERDUE, QUIET, SLICE, brief, pop_from, wait, watching

__all__ = [
    "RANK",
    "Item",
    "Place",
    "Places",
    "Terms",
    "arrived",
    "fetched",
    "give_back",
    "look",
    "next_item",
    "one_arrived",
    "take",
]

look = Script("queue/reap")
_consume = Script("queue/register_consumer")
_more = Script("queue/receive_batch")
_spent = Script("queue/pass_end_marker")
_taken = Script("queue/ack_linked")
_back = Script("queue/requeue")
_leave = Script("queue/unregister_consumer")
_room = Script("queue/notify_putters")
_await = Script("queue/enqueue_getter")
_quit = Script("queue/cancel_getter")
_pull = Script("queue/pop_sorted")

SETTLE = 0.005  # seconds in which an item that arrived is acknowledged
AT_ONCE = 0.0002  # seconds; who gets an item sooner did not wait for it
DAY = b"86400000"  # milliseconds after which the place of a consumer that was killed is forgotten
BATCH = 256  # items that are moved one by one, which is faster than by a script
DIRECTIONS = {"f": (b"LEFT", b"RIGHT"), "l": (b"RIGHT", b"RIGHT")}
LINKED = b"@#"  # what a value with proxies begins with
RANK = 32  # digits in front of a value that is sorted by priority


class Terms(NamedTuple):
    """What was agreed when a queue was made."""

    most: int  # items at most, 0: any number
    order: str  # "f" first in first out, "l" last in first out, "p" by priority
    again: int  # how often an item is delivered that is not done: 0 once, -1 as often as it takes


class Item(NamedTuple):
    """Something that was taken."""

    value: bytes
    times: int  # how often it was delivered, this time included
    place: Place


class Place:
    """Where the server keeps what one connection has taken."""

    __slots__ = (
        "blocking",
        "caller",
        "forget",
        "key",
        "lapses",
        "left",
        "move",
        "name",
        "now",
        "one",
    )

    def __init__(self, places: Places, caller: Caller, number: int) -> None:
        keys = places.handle.keys
        self.name = b"%b.%d" % (places.id, number)
        self.key = keys.flight(self.name)
        self.caller = caller
        self.lapses = places.lapses
        self.left = 0  # items that lie there and have not arrived, or are not done
        self.forget = pack((b"DEL", self.key))
        way = (keys.items, self.key, *DIRECTIONS.get(places.terms.order, ()))
        is_known = pack((b"HEXISTS", keys.refs, b"f:" + places.id))
        self.move = pack((b"LMOVE", *way))
        self.now = is_known + self.move
        self.blocking = is_known + b"*6\r\n" + pack_args((b"BLMOVE", *way))
        behind = places.behind(self, 1)
        self.one = self.now + b"".join(behind), 2 + len(behind)  # if there is no more to do


NOTHING: Any = object()  # there is no item


class Places(Hold):
    """The places of this process at one queue."""

    __slots__ = (
        "_is_settling",
        "_last",
        "_lock",
        "_made",
        "_registered",
        "_settling",
        "_taken",
        "deliveries",
        "free",
        "life",
        "prefetch",
        "ready",
        "simple",
        "terms",
        "waited",
    )

    def __init__(self, handle: Handle, terms: Terms) -> None:
        presence = handle.session.presence
        super().__init__(handle, presence.sid, 0, presence.lapses)
        self.terms = terms
        self.free: dict[Caller, list[Place]] = {}
        self.ready: deque[Item] = deque()  # fetched ahead
        self.prefetch = 0
        self.simple = terms.order != "p"  # a list of which nothing is fetched ahead
        self.waited = False  # whether there was no item last time
        self.deliveries = threading.local()
        # Of what lies at a place of an unnamed queue, in milliseconds. Where somebody is known to
        # renew the queue it can be a lease.
        self.life = DAY
        self._lock = threading.Lock()
        self._made = self._registered = 0
        self._last: dict[Caller, Place] = {}  # of which all items arrived
        self._settling: dict[Place, float] = {}  # of which the server was not told yet, since when
        self._is_settling = False
        # By thread: where each item lies that is not done.
        self._taken: dict[int, deque[Place]] = {}

    @classmethod
    def of(cls, handle: Handle, terms: Terms) -> Places:
        """Those of the session."""
        holds: dict[Hashable, Hold] = handle.session.holds
        key = "places", handle.keys.ident
        found = holds.get(key) or holds.setdefault(key, cls(handle, terms))
        assert isinstance(found, cls)
        return found

    def stands(self) -> bool:
        return False  # after a lapse others have taken back what lay there

    def end(self) -> None:
        """The process ends in order: what is not done, or was not handed out, goes back."""
        self.settle(0.0)
        for item in self.ready:
            _back.repeat(self.handle, item.place.name, b"0")
        _leave.repeat(self.handle, self.id, b"%d" % self._made)

    def return_all(self) -> None:
        """What lies at any of them goes back, as if nobody had heard of it. 1 round trip each."""
        for number in range(1, self._made + 1):
            give_back(self.handle, b"%b.%d" % (self.id, number), counted=False)

    def take(self) -> Place:
        """An empty place for the connection that this thread's next call will use. A round trip for
        the first ones.
        """
        caller = self.handle.link.upcoming()
        free = self.free.get(caller)
        lapses = self.handle.session.presence.lapses
        while free:
            place = free.pop()
            if place.lapses == lapses:
                return place
        with self._lock:
            if lapses != self.lapses:  # others have forgotten them
                self.lapses, self._registered = lapses, 0
            self._made = number = self._made + 1
            if number > self._registered:
                self._register()
        return Place(self, caller, number)

    def _register(self) -> None:
        wanted = max(2 * self._made, 4)
        _consume.repeat(self.handle, self.id, b"%d" % wanted)
        self._registered = wanted

    def register(self) -> None:
        """The queue does not know of them: it is gone, or was made again. 1 round trip.

        Raises ObjectGone.
        """
        with self._lock:
            self._register()

    def release(self, place: Place) -> None:
        """Nothing lies there any more."""
        self.free.setdefault(place.caller, []).append(place)

    def give_up(self, place: Place) -> None:
        """Something may lie there, or come there yet, of which this process does not hear."""

        def back() -> None:
            _back.repeat(self.handle, place.name, b"0")

        self.handle.session.janitor.exorcise(back)

    def is_fresh(self, lapses: int) -> bool:
        """Whether nobody can have taken this process for dead since it counted ``lapses``."""
        presence = self.handle.session.presence
        return presence.lapses == lapses and time.monotonic() < presence.fresh_until

    # what arrived

    def arrived(self, place: Place, since: float) -> None:
        """Items of it are in the hands of this process: tell the server soon."""
        self._settling[place] = since
        if not place.left:
            self._last[place.caller] = place
        if not self._is_settling:
            self._is_settling = True
            self.handle.session.janitor.errand(SETTLE, self._errand)

    def _errand(self) -> bool:
        self.settle(SETTLE)
        self._is_settling = False  # in this order: what arrives now begins another errand
        if not self._settling:
            return False
        self._is_settling = True
        return True

    def settle(self, age: float) -> None:
        """Tell the server what arrived so many seconds ago. 1 round trip."""
        before = time.monotonic() - age
        known = [
            place
            for place, since in list(self._settling.items())
            if since <= before and self._settling.pop(place, None) is not None
        ]
        if not known:
            return
        left = [place.left for place in known]
        commands = [
            (b"LTRIM", place.key, b"%d" % -count, b"-1") if count else (b"DEL", place.key)
            for place, count in zip(known, left, strict=True)
        ]
        try:
            self.handle.link.pipeline(commands)
        except BaseException:
            self._settling.update(dict.fromkeys(known, 0.0))
            raise
        for place, count in zip(known, left, strict=True):
            if not count:
                self.release(place)

    def previous(self, caller: Caller) -> Place | None:
        """The last place of this connection, if the server is yet to be told: with the request that
        follows.
        """
        place = self._last.pop(caller, None)
        return place if place and self._settling.pop(place, None) is not None else None

    def fewer(self, place: Place, count: int) -> bool:
        """So many items less lie there; whether none is left."""
        with self._lock:
            place.left -= count
            return not place.left

    # what is not done

    def note(self, place: Place) -> None:
        """An item of it was handed to this thread, which will say when it is done."""
        with self._lock:
            self._taken.setdefault(threading.get_ident(), deque()).append(place)

    def pop_oldest(self) -> Place | None:
        """The place of the oldest item that is not done, of this thread if it has one."""
        me = threading.get_ident()
        with self._lock:
            thread = me if me in self._taken else next(iter(self._taken), None)
            if thread is None:
                return None
            place = self._taken[thread].popleft()
            if not self._taken[thread]:
                del self._taken[thread]
            return place

    def put_back(self, place: Place) -> None:
        """Undo :meth:`pop_oldest`: nobody knows whether the server heard that it is done."""
        with self._lock:
            self._taken.setdefault(threading.get_ident(), deque()).appendleft(place)

    # the commands

    def behind(self, place: Place, count: int) -> list[bytes]:
        """The commands behind the move of the first item: for more of them, what belongs to the
        terms, and for the lease of the place.
        """
        handle = self.handle
        unnamed = handle.keys.name is None
        commands = [place.move] * (count - 1) if count <= BATCH else []
        stays = unnamed and self.terms.again and self.life is DAY
        if count > BATCH or stays:
            rest = 0 if count <= BATCH else count - 1
            commands.append(_more.request(handle, place.caller, (place.name, b"%d" % rest))[0])
        elif self.terms.most:
            commands.append(pack((b"HGET", handle.keys.data, b"w")))
        if unnamed and not stays:
            commands.append(pack((b"PEXPIRE", place.key, self.life)))
        return commands


def next_item(handle: Handle, places: Places, blocking: bool, seconds: float | None) -> Item | None:
    """Take one item, of those that were fetched ahead if there are some."""
    if places.simple:
        if not (places.waited and blocking):
            found = _at_once(handle, places)
            if found is NOTHING and not blocking:
                handle.session.janitor.suspect(handle.keys, look)
                return None
            if found is not None and found is not NOTHING:
                return found
    elif ahead := fetched(handle, places, 1):
        return ahead[0]
    begun = time.monotonic()
    items = take(handle, places, 1 + places.prefetch, blocking, seconds)
    places.waited = time.monotonic() - begun > AT_ONCE
    places.ready.extend(items[1:])
    return items[0] if items else None


def fetched(handle: Handle, places: Places, count: int) -> list[Item]:
    """Up to ``count`` items of those that were fetched ahead. No round trip."""
    items: list[Item] = []
    while places.ready and len(items) < count:
        try:
            item = places.ready.popleft()
        except IndexError:  # another thread was first
            break
        lapses = item.place.lapses
        if places.is_fresh(lapses) or _still_there(handle, places, item.place, lapses):
            items.append(item)
    return items


def take(
    handle: Handle, places: Places, count: int, blocking: bool, seconds: float | None
) -> list[Item]:
    """Take up to ``count`` items, at least one if there is one in time; they are not acknowledged.

    1 round trip, and the wait. Raises ShutDown, ObjectGone.
    """
    presence = handle.session.presence
    deadline = None if seconds is None else time.monotonic() + seconds
    blocking = blocking and (seconds is None or seconds > 0)
    attempt = _pull_items if places.terms.order == "p" else _move_items
    watched = watching(handle, look) if blocking else None
    try:
        while True:
            handle.session.enter(handle.keys)
            lapses = presence.lapses
            raw, place = attempt(handle, places, count, blocking, deadline)
            if raw:
                if places.is_fresh(lapses) or _still_there(handle, places, place, lapses):
                    return _items(places, place, raw)
            elif (raw is not None and not blocking) or (
                deadline is not None and time.monotonic() >= deadline
            ):
                handle.session.janitor.suspect(handle.keys, look)
                return []
            else:
                places.waited = True
    finally:
        if watched is not None:
            watched.waiters.discard(threading.get_ident())


def give_back(handle: Handle, flight: bytes, counted: bool) -> None:
    """What lies at a place goes back to the head; ``counted`` if it was delivered. 1 round trip."""
    _back.repeat(handle, flight, b"%d" % counted)


def arrived(handle: Handle, places: Places, items: Sequence[Item]) -> None:
    """These items are in the hands of this thread. No round trip, one for each place if they
    contain proxies.
    """
    for place, group in itertools.groupby(items, operator.attrgetter("place")):
        values = [item.value for item in group]
        if places.terms.again:
            for _ in values:
                places.note(place)
        elif any(value[0] in LINKED for value in values):
            _let_go(handle, places, place, len(values))
        else:
            places.fewer(place, len(values))
            places.arrived(place, time.monotonic())


def one_arrived(handle: Handle, places: Places, item: Item) -> None:
    """The same for one, as nearly always."""
    place = item.place
    if places.terms.again or place.left > 1 or item.value[0] in LINKED:
        arrived(handle, places, (item,))
    else:
        place.left = 0
        places.arrived(place, time.monotonic())


def _let_go(handle: Handle, places: Places, place: Place, count: int) -> None:
    """Items with proxies arrived: the queue does not keep those any more."""
    is_empty = places.fewer(place, count)
    try:
        settled(handle, _taken.write(handle, place.name, b"%d" % place.left))
    except BaseException:
        places.arrived(place, 0.0)  # then what they refer to is kept too long
        raise
    if is_empty:
        places.release(place)


def _still_there(handle: Handle, places: Places, place: Place, lapses: int) -> bool:
    """Whether an item is this process's, which others could take for dead before it came."""
    try:
        handle.session.enter(handle.keys)
        presence = handle.session.presence
        return presence.lapses == lapses or bool(handle.link.call(b"EXISTS", place.key))
    except BaseException:
        places.give_up(place)  # whoever asked does not get it
        raise


def _items(places: Places, place: Place, raw: list[bytes]) -> list[Item]:
    """What came, without what stands before the values."""
    items = []
    for each in raw:
        value, times = each, 1
        if places.terms.order == "p":
            value = value[value.index(b" ") + 1 + RANK :]
        if value[:1] == b"*":
            before, _, value = value.partition(b";")
            times = int(before[1:]) + 1
        items.append(Item(value, times, place))
    place.left = len(items)
    return items


def _in_doubt(places: Places, place: Place, previous: Place | None) -> None:
    """A connection broke: nobody knows what came to a place, and what was heard of another."""
    places.give_up(place)
    if previous is not None:
        places.arrived(previous, 0.0)


# -- a list: the item moves by itself


def _at_once(handle: Handle, places: Places) -> Item | None:
    """An item that is there, as most calls find it; NOTHING if there is none. None for all else,
    which take() looks at.
    """
    link, presence = handle.link, handle.session.presence
    lapses = presence.lapses
    caller = link.take()
    channel = caller.channel
    free = places.free.get(caller)
    if channel is None or not free or time.monotonic() >= presence.fresh_until:
        link.give_back(caller)
        return None
    place = free.pop()
    previous = places.previous(caller)
    request, count = place.one
    if previous is not None:
        request, count = request + previous.forget, count + 1
    try:
        replies = channel.exchange_many(request, count)
    except BaseException as error:
        link.drop(caller)
        link.give_back(caller)
        _in_doubt(places, place, previous)
        if isinstance(error, Broken):
            return None
        raise
    link.give_back(caller)
    if previous is not None:
        places.release(previous)
    value = replies[1]
    if value is None:
        places.release(place)
        return NOTHING if replies[0] == 1 else None
    if type(value) is not bytes or not value or replies[0] != 1 or place.lapses != lapses:
        places.give_up(place)
        _back.repeat(handle, place.name, b"0")
        return None
    if not places.is_fresh(lapses) and not _still_there(handle, places, place, lapses):
        return None
    if places.terms.most and type(replies[2]) is bytes and replies[2] != b"0":
        _make_room(handle, places, place)
    if value[0] == 0x2A:
        return _items(places, place, [value])[0]
    place.left = 1
    return Item(value, 1, place)


def _make_room(handle: Handle, places: Places, place: Place) -> None:
    """Wake who waits for room, after something was taken."""
    try:
        _room.repeat(handle)
    except BaseException:
        places.give_up(place)
        raise


def _move_items(
    handle: Handle, places: Places, count: int, blocking: bool, deadline: float | None
) -> tuple[list[bytes] | None, Place]:
    """One round: nothing if there was no item, None if that is not known."""
    link = handle.link
    place = places.take()
    caller = place.caller = link.take()
    previous = places.previous(caller)
    try:
        replies = _exchange(handle, places, place, previous, count, blocking, deadline)
    except Broken as error:
        _in_doubt(places, place, previous)
        left = link.patience if deadline is None else deadline - time.monotonic()
        try:
            if left > 0:
                link.revive(caller, error, min(link.patience, left))
        finally:
            link.give_back(caller)
        if left > 0:
            _back.repeat(handle, place.name, b"0")
        return None, place
    except BaseException:
        link.drop(caller)
        link.give_back(caller)
        _in_doubt(places, place, previous)
        raise
    link.give_back(caller)
    if previous is not None and replies[0] != 0:
        places.release(previous)
    try:
        raw = _heard(handle, places, place, replies, count)
    except BaseException:
        places.give_up(place)
        raise
    if raw == []:
        places.release(place)
    return raw, place


def _exchange(
    handle: Handle,
    places: Places,
    place: Place,
    previous: Place | None,
    count: int,
    blocking: bool,
    deadline: float | None,
) -> list[Reply]:
    """Move an item, and do what belongs to it."""
    link, caller = handle.link, place.caller
    limit: float | None = None
    overdue = 0.0
    if blocking:
        left = SLICE if deadline is None else max(deadline - time.monotonic(), 0.0)
        block = SLICE
        if not places.waited and left >= QUIET and link.timeout >= QUIET + OVERDUE:
            block = QUIET  # within the usual time for an answer, which need not be set
        elif left < SLICE:
            block, limit, overdue = brief(left)
        else:
            limit = SLICE + OVERDUE
        request = place.blocking + pack_args((b"%.3f" % block,))
    else:
        request = place.now
    behind = places.behind(place, count)
    if previous is not None:
        behind.append(previous.forget)
    return link.blocked(
        caller, request + b"".join(behind), limit, count=2 + len(behind), overdue=overdue
    )


def _heard(
    handle: Handle, places: Places, place: Place, replies: list[Reply], count: int
) -> list[bytes] | None:
    """What was taken, of the replies to :func:`_exchange`; None if the server says «not now»."""
    if replies[0] == 0:
        places.give_up(place)
        _back.repeat(handle, place.name, b"0")
        places.register()
        return None
    for reply in replies[:2]:
        if type(reply) is not ReplyError:
            continue
        if reply.code == "OOM":  # where a script may do it, which begins with a deletion
            handle.link.pause()
            more = _more_of(handle, place, count)
            if not more:
                _spent.repeat(handle, place.name)
            return more
        if not reply.passing:
            raise failure(reply, "queue/get", handle.keys.ident) from None
        handle.link.pause()
        return None
    moved = count if count <= BATCH else 1
    raw = [reply for reply in replies[1 : 1 + moved] if type(reply) is bytes]
    if raw and not raw[-1]:  # the mark of a queue that takes no more
        _spent.repeat(handle, place.name)  # says why, if there is nothing else
        return raw[:-1]
    what = replies[1 + moved] if len(replies) > 1 + moved else None
    if type(what) is ReplyError:  # the server does not know the script
        what = _more_of(handle, place, 0 if moved == count else count - 1)
    if type(what) is list:
        raw += what
    elif type(what) is bytes and places.terms.most and what != b"0" and raw:
        _room.repeat(handle)
    return raw


def _more_of(handle: Handle, place: Place, count: int) -> list[bytes]:
    more: list[bytes] = _more.repeat(handle, place.name, b"%d" % count)
    return more


# -- a sorted set: a script moves the items, and hints wake those who wait


def _pull_items(
    handle: Handle, places: Places, count: int, blocking: bool, deadline: float | None
) -> tuple[list[bytes] | None, Place]:
    """As :func:`_move_items`."""
    link = handle.link
    place = places.take()
    caller = place.caller
    breaks, channel = link.breaks, caller.channel
    args = (place.name, b"%d" % count)
    raw: list[bytes] | None
    try:
        raw = _pull_now(handle, places, place, count)
        if raw is None and blocking:
            waiter = handle.session.me.waiter
            raw = wait(
                handle,
                None if deadline is None else deadline - time.monotonic(),
                (_await, (waiter,)),
                pop_from(handle.keys.tokens + b":get"),
                (_pull, (*args, waiter)),
                lambda _: (_quit, (waiter,)),
                look,
            )
    except BaseException:
        places.give_up(place)
        raise
    if link.breaks != breaks or (channel is not None and caller.channel is not channel):
        # An attempt may have come late, or twice: nobody knows what lies there.
        places.give_up(place)
        _back.repeat(handle, place.name, b"0")
        return None, place
    if not raw:
        places.release(place)
    return raw or [], place


def _pull_now(handle: Handle, places: Places, place: Place, count: int) -> list[bytes] | None:
    """What is there, while the server is told what arrived before."""
    link = handle.link
    caller = link.take()
    args = (place.name, b"%d" % count, b"")
    previous = places.previous(caller)
    requests = [] if previous is None else [previous.forget]
    requests.append(_pull.request(handle, caller, args)[0])
    try:
        replies = link.exchange_many(caller, b"".join(requests), len(requests))
    except BaseException:
        if previous is not None:
            places.arrived(previous, 0.0)
        raise
    if previous is not None:
        places.release(previous)
    found: list[bytes] | ReplyError | None = replies[-1]
    if type(found) is ReplyError:  # one of the queue, or the server does not know the script
        return _pull.repeat(handle, *args)  # type: ignore[no-any-return]
    return found  # type: ignore[return-value]
