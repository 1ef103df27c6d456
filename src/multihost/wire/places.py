"""Places: where what a process holds lies on the server.

An *element* is what can be held: a lock has one, a semaphore as many as it has permits. It lies in
the list ``data:free``, or at a *place*, a list that belongs to one session. To take it is to move
it to a place, to release it is to move it back; who waits for it is blocked in the move, so the
server serves in the order of arrival, and what it served it has registered in the same step::

    acquire: LMOVE, or BLMOVE         data:free -> data:held:<session>.<n>
    release: LMOVE                    data:held:<session>.<n> -> data:free

A place is used by one thread at a time, and by one request at a time. If that is interrupted, or
its connection breaks, nobody knows what lies at the place, or may still arrive there. So what lies
there beyond what this process knows of goes back, and nothing is taken to it until no request for
that can arrive any more: the server has closed what broke (:mod:`multihost.wire.link.fence`), or
two minutes are over (:meth:`Places.abandon`).

Before a session uses a place it is registered at the object, in ``data:refs``: so others look there
when it is dead (``lua/lib/dead_holders.lua``). Whoever takes something asks in the same write,
behind the move and the fencing token, whether its session is alive and registered: without that
nobody would look after the hold, and the element goes back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Protocol

from multihost.errors import MultihostError
from multihost.wire.link import Patience, PinnedConnection, ReplicatedLink, Reply, pack, pack_args
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.session.janitor import LATE_REQUEST_WINDOW
from multihost.wire.session.presence import Membership

__all__ = [
    "FENCE",
    "HOLDER",
    "RELEASED",
    "TALLY",
    "TYPE",
    "WAITER",
    "Account",
    "Holding",
    "Place",
    "Places",
    "places_of",
]

_draw = Script("hold/token")
_register = Script("hold/register")
_recover = Script("hold/recover")
_settle = Script("hold/settle")
_leave = Script("hold/release_at_exit")

# Fields of the data: see lua/lib/hold_fields.lua.
TYPE, FENCE, HOLDER, WAITER, TALLY = b"t", b"f", b"h:", b"q:", b"k:"
RELEASED = b"-:"  # before a place: how many elements of it others have released
REGISTERED = b"f:"  # of data:refs, before the name of a session

RECOVER_INTERVAL = 0.3  # seconds between two times that doubtful places are looked through
UNUSED = 2 * LATE_REQUEST_WINDOW  # seconds for which one is not used, where nothing is fenced


class Holding(Protocol):
    """What is held at a place."""

    def lose(self, place: Place, count: int) -> None:
        """Take note that so many elements there are lost."""


class Account(Protocol):
    """What is held at all places of an object together."""

    bounded: bool
    """Whether it comes back when the process ends, or stays taken."""

    def lose(self, place: Place | None, count: int) -> None:
        """Take note that so many elements are lost, of a place or of those that are counted."""

    def counted_only(self) -> tuple[int, bytes]:
        """Return how many elements lie at no place, and the place of which they are being counted,
        empty for none.
        """


class Place:
    """A place of this process, and the requests that take to it and give back from it, packed."""

    __slots__ = (
        "_behind",
        "_block",
        "_draw",
        "_move",
        "_take",
        "count",
        "give_back",
        "hold",
        "is_doubtful",
        "key",
        "lost",
        "name",
        "number",
        "places",
        "replies",
        "seen",
        "thread",
    )

    def __init__(self, places: Places, number: int) -> None:
        keys = places.keys
        self.places: Places = places
        self.number: int = number
        self.name: bytes = b"%b.%d" % (places.name, number)
        self.key: bytes = keys.held(self.name)
        self.count: int = 0  # elements there, as far as this process knows
        self.lost: int = 0  # how many it has ever lost there, of a semaphore
        self.seen: int = 0  # of those that were, how many it knows to have been released by others
        self.hold: Holding | None = None  # what is held here, of a lock
        self.is_doubtful: bool = False  # nothing is taken to it
        self.thread: bytes | None = None  # the name of the one that used it last
        self.replies: int = 4 + places.has_holder + bool(places.wait_command)  # to what takes
        self.give_back: bytes = pack((b"LMOVE", self.key, keys.free, b"RIGHT", b"LEFT"))

    def assign(self, thread: bytes) -> None:
        """Let a thread of that name use it."""
        places, keys = self.places, self.places.keys
        self.thread = thread
        ends = keys.free, self.key, b"LEFT", b"RIGHT"
        asked = pack((b"EXISTS", b"%b:%b" % (keys.sessions, places.name)))
        asked += pack((b"HEXISTS", keys.refs, REGISTERED + places.name)) + places.wait_command
        if places.has_holder:
            # Who it is, and since when: the end of the value is the time.
            noted = pack_args((b"HSET", keys.data, HOLDER + self.name))
            asked += b"*4\r\n%b$%d\r\n%b." % (noted, len(thread) + 17, thread)
        counted = pack((b"HINCRBY", keys.data, FENCE, b"1"))
        self._draw = _draw.pack_idempotent(places, ()) if places.draws_by_clock else counted
        self._behind = self._draw + asked
        self._move = pack((b"LMOVE", *ends))
        self._take = self._move + self._behind
        self._block = b"*6\r\n" + pack_args((b"BLMOVE", *ends))

    def take(self) -> bytes:
        """Return the request for an element that is free: the replies are the element, a fencing
        token, or that and the one before it, whether the session is alive, and whether it is
        registered; then how many replicas have it, if that is waited for, and one to ignore.
        """
        places = self.places
        if places.has_holder:
            now = monotonic_ns() // 1000 + places.session.registration.clock_offset
            return b"%b%016d\r\n" % (self._take, now)
        return self._take

    def take_by_source(self, connection: PinnedConnection) -> bytes:
        """Return the same for a server that may not know the script which draws the token."""
        if not self.places.draws_by_clock:
            return self.take()
        _, source = _draw.pack_request(self.places, connection, ())
        return self._move + source() + self.take()[len(self._move) + len(self._draw) :]

    def take_blocking(self, seconds: float) -> bytes:
        """Return the request that waits for an element. The replies are the same."""
        places = self.places
        timeout, now = b"%.3f" % seconds, b""
        if places.has_holder:
            now = b"%016d\r\n" % (monotonic_ns() // 1000 + places.session.registration.clock_offset)
        head = self._block, len(timeout), timeout, self._behind, now
        return b"%b$%d\r\n%b\r\n%b%b" % head

    def take_by_script(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the arguments of the script for the same."""
        places, holder = self.places, b""
        if places.has_holder:
            now = monotonic_ns() // 1000 + places.session.registration.clock_offset
            holder = b"%b.%016d" % (self.thread or b"", now)
        return places.name, self.name, b"%d" % self.count, holder

    def known(self) -> tuple[bytes, bytes, bytes]:
        """Return what a script is told of it."""
        return self.name, b"%d" % self.count, b"%d" % self.seen


class Places(Handle):
    """The places at one object that this process has under one name of its session.

    ``has_holder``: it stores who holds what lies there, as of a lock.
    """

    __slots__ = (
        "__weakref__",
        "_all",
        "_asked",
        "_count",
        "_doubtful",
        "_idle",
        "_lock",
        "account",
        "contended",
        "draws_by_clock",
        "has_holder",
        "ident",
        "last_token",
        "looked",
        "membership",
        "name",
        "registered",
        "wait_command",
    )

    def __init__(self, handle: Handle, name: bytes, has_holder: bool) -> None:
        super().__init__(handle.session, handle.keys)
        self.ident: str = handle.keys.ident
        self.membership: Membership = handle.session.registration.memberships[handle.keys.prefix]
        self.name: bytes = name
        self.has_holder: bool = has_holder
        # Where two servers may be master at once. Else who registers, or settles, lifts the last.
        self.draws_by_clock: bool = handle.session.link.address.may_fail_over
        self.contended: bool = False  # others wanted an element, too, when one was taken last
        self.last_token: int = 0
        self.looked: float = 0.0  # when who did not want to wait looked for dead holders last
        self.account: Account | None = None  # of a semaphore: what is held at all places together
        link = handle.link  # behind what takes an element, where replicas are waited for:
        self.wait_command: bytes = link.wait_command if isinstance(link, ReplicatedLink) else b""
        self._lock = threading.Lock()
        self._idle: list[Place] = []
        self._all: list[Place] = []
        self._asked: list[Place] = []
        self._count = 0
        self.registered: int = 0  # places that may be used, as far as this process knows
        # since when, which, and whether it was a connection that broke
        self._doubtful: list[tuple[float, Place, bool]] = []

    # places

    def checkout(self) -> Place:
        """Return a place for the requests of this thread. No round trip."""
        try:
            place = self._idle.pop()
        except IndexError:
            place = self._new()
        thread = self.session.identity.name
        if place.thread != thread:
            place.assign(thread)
        return place

    def checkin(self, place: Place) -> None:
        """Let a place be used for other requests."""
        if not place.is_doubtful:
            self._idle.append(place)

    def all(self) -> list[Place]:
        """Return all places."""
        return list(self._all)

    def checkout_holding(self, count: int = 1) -> Place | None:
        """Return a place with so many elements, None if there is none that is not in use."""
        for place in reversed(self._idle):
            if place.count >= count:
                try:
                    self._idle.remove(place)
                except ValueError:  # another thread was first
                    continue
                return place
        return None

    def _new(self) -> Place:
        with self._lock:
            self._count += 1
            place = Place(self, self._count)
            self._all.append(place)
        return place

    def register(self) -> None:
        """Register the session, or register it again: the object was created anew. 1 round trip.
        Raises ObjectGone.
        """
        count = self._wanted()
        with self._lock:
            for place in self._all:
                place.seen = 0
        _register.run_idempotent(self, self.name, b"%d" % count)
        self.registered = max(self.registered, count)

    def register_call(self, connection: PinnedConnection) -> tuple[bytes, Callable[[Reply], None]]:
        """Return the request that registers the session, and what is to be called with its reply:
        that raises the error it is.
        """
        count = self._wanted()
        args = self.name, b"%d" % count
        request, source = _register.pack_request(self, connection, args)
        channel = connection.channel
        # By its source, if the server may not know it: what is written behind a command that fails
        # with NOSCRIPT would take something all the same, and nobody would look for that.
        if channel is None or _register not in channel.loaded_scripts:
            request = source()

        def registered(reply: Reply) -> None:
            if type(reply) is not ReplyError:
                self.registered = max(self.registered, count)
                if connection.channel is not None:
                    connection.channel.loaded_scripts.add(_register)
            elif reply.code == "NOSCRIPT":  # another server, which came back meanwhile
                self.register()
            else:
                raise _register.to_exception(reply, self.ident)

        return request, registered

    def load_scripts(self) -> None:
        """Let a server that has forgotten it know the script that draws a token. 1 round trip."""
        self.link.execute(b"SCRIPT", b"LOAD", _draw.source)

    def _wanted(self) -> int:
        """Return for how many places to register: twice as many as are used."""
        return max(2 * self._count, 2)

    # places of which it is not known what lies there

    def abandon(self, place: Place, *, broke: bool = False) -> None:
        """Take nothing to a place for a while, and give back what lies there, or arrives, and is
        not known: now, or as soon as the server can be reached. Up to 1 round trip.

        ``broke``: what is under way was sent over a connection that broke, and was closed here. The
        connection of a call that was interrupted may be open yet.
        """
        # What the caller wanted is over: it does not go on for a silent server, nor hear of it.
        with contextlib.suppress(MultihostError), Patience(self.link, 0.0, replies=False):
            self.recover(place, broke=broke)

    def recover(self, place: Place, *, broke: bool = True) -> None:
        """The same, and raise what hinders it. 1 round trip."""

        def recover() -> None:
            _recover.run_idempotent(self, *place.known())

        self._doubt(place, broke)
        try:
            recover()
        except BaseException:
            self.session.janitor.defer(recover)
            raise

    def _doubt(self, place: Place, broke: bool) -> None:
        place.is_doubtful = True
        if not place.count:
            place.seen = 0  # recovery forgets what others released
        with self._lock:
            if place in self._idle:
                self._idle.remove(place)
            is_first = not self._doubtful
            self._doubtful.append((time.monotonic(), place, broke))
        if is_first:
            self.session.janitor.call_every(RECOVER_INTERVAL, self._recover)

    def _recover(self) -> bool:
        """Give back what has arrived at doubtful places, and let those be used again at which
        nothing can arrive any more; return whether there are some left. 1 round trip, and one if
        connections broke.
        """
        now = time.monotonic()
        with self._lock:
            doubts = list(self._doubtful)
        # In this order: what had broken when these were noted is closed before they are emptied.
        is_closed = any(broke for _, _, broke in doubts) and self.link.fence_broken()
        over = {doubt for doubt in doubts if (doubt[2] and is_closed) or now - doubt[0] > UNUSED}
        due = {d[1]: None for d in doubts if d in over or now - d[0] <= LATE_REQUEST_WINDOW}
        if due:
            known = [each for place in due for each in place.known()]
            _recover.run_idempotent(self, *known)
        with self._lock:
            self._doubtful = [each for each in self._doubtful if each not in over]
            left = {place for _, place, _ in self._doubtful}
            for place in {place for _, place, _ in over} - left:
                place.is_doubtful = False
                if not place.count:
                    place.seen = 0
                if place.hold is None:
                    self._idle.append(place)
            return bool(self._doubtful)

    @property
    def key(self) -> tuple[str, str]:
        """Stands for it among what the session settles."""
        return "places", self.ident

    def _is_late(self) -> bool:
        """Return whether something may still arrive at a place."""
        return bool(self._doubtful) or any(
            place.hold is None and place not in self._idle for place in self.all()
        )

    def leave_call(self) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return the script that gives up what lies here, for the process ends."""
        back = self.account is None or self.account.bounded
        return _leave, [self.keys.data], [self.name, b"%d" % back, b"%d" % self._is_late()]

    # after the server may have gone back, see multihost.wire.session.settling

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        """Return whether nothing is held here."""
        return self.account is None and not any(place.count for place in self.all())

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return the script that keeps what this process knows of."""
        self._asked = [place for place in self.all() if place.count]
        known = [each for place in self._asked for each in place.known()]
        counted, counting = 0, b""
        if self.account is not None:
            counted, counting = self.account.counted_only()
        is_used = self.name == self.session.registration.names[self.keys.prefix]
        places = self.registered if is_used else 0
        numbers = [b"%d" % each for each in (places, self.last_token, counted)]
        return _settle, [self.keys.data], [self.name, *numbers, counting, *known]

    def settled(self, reply: Reply) -> int:
        """Give up what is missing; return how much that is."""
        if reply is None:
            return 0
        counted, *missing = reply
        if counted and self.account is not None:
            self.account.lose(None, counted)
        for place, count in zip(self._asked, missing, strict=True):
            holding = place.hold or self.account
            if count and holding is not None:
                holding.lose(place, count)
        return int(counted + sum(missing))


def places_of(handle: Handle, has_holder: bool = True) -> Places:
    """Return the places of this process at an object, under the present name of its session. No
    round trip.
    """
    places = handle.places
    session = handle.session
    name = session.registration.names[handle.keys.prefix]
    if type(places) is not Places or places.name != name:
        # Two threads must not both make some: each would number its places from one.
        with session.places_lock:
            known = session.places.get(handle.keys.ident)
            if type(known) is not Places or known.name != name:
                known = session.places[handle.keys.ident] = Places(handle, name, has_holder)
                session.settling.replace(known.key, known)
                if handle.keys.name is None:
                    session.references.note_moving(handle.keys)
        handle.places = places = known
    return places
