"""Taking elements, and waiting for them: how locks and permits are acquired.

What is free is taken at once, by plain commands. Otherwise this thread is blocked in the move on
the server, for as long as it wants to wait: a move that ended and was sent again would go to the
end of the line. So the connection must live: the kernel finds out when the other end is gone, and
the background thread asks the server whether it has the connection
(:mod:`multihost.wire.session.blocked`).

What happens if, meanwhile,

- the thread is interrupted: its connection is closed, and with it the server forgets the move.
  What was moved already goes back from the place, which is abandoned;
- the connection breaks: the same, and the thread waits again, at the end of the line;
- the object is deleted: a mark is moved instead of an element. It goes back, for others that wait;
- the process is killed: the server closes its connections. What was moved goes back by a reap;
- the process is suspended and declared dead: behind the move it asked whether its session is alive;
- the server is restarted: what was granted before counts if it is there after the session settled.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from multihost.wire.giving import is_full, is_there, object_gone
from multihost.wire.link import (
    WAIT_SECONDS,
    ConnectionBroken,
    PinnedConnection,
    ReplicatedLink,
    Reply,
    confirm_element,
    pack,
)
from multihost.wire.places import Place, places_of
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.blocked import Waiting
from multihost.wire.session.janitor import WatchedObject
from multihost.wire.session.verdicts import LOOK_INTERVAL
from multihost.wire.wait import (
    BLOCK_GRACE,
    CLOCK_TICK,
    MAX_BLOCK,
    Outage,
    short_block,
    start_watching,
    stop_watching,
)

__all__ = ["Grant", "reap"]

reap = Script("hold/reap")
_take = Script("hold/take")

# A fencing token is at least the microsecond in which the object was created: a smaller one says
# that there was none.
FIRST_FENCE = 1 << 32
ELEMENT = b"1"
WAITED = 0.05  # seconds after which a refusal is the end of a wait, and not the answer to a request
EARLY = 0.05  # seconds; a move that ends so much before its time is asked again in a moment: that
PAUSE = 0.01  # of fakeredis ends at once. So it polls, and who waits there has no place in the line
LONGEST = 1e6  # seconds for which a move blocks at most: a server takes no more than some 10^15 ms


class Grant(ABC):
    """One attempt of a thread to take an element."""

    # Defaults instead of an __init__: each call makes one.
    handle: Handle
    operation: str
    has_holder: bool = True
    """Whether it is noted who holds the element."""
    place: Place | None = None
    """Where the element lies, once it is kept."""
    has_waited: bool = False
    """Whether it was found before that none is free: a full server serves those."""
    waiting: tuple[Waiting, WatchedObject] | None = None
    """Who looks after the connection while it waits."""
    handed: bool = False
    """Whether the caller knows of it. A signal handler may raise at any bytecode, but between a
    store and the return that follows CPython looks for no signal.
    """

    @abstractmethod
    def keep(self, place: Place, token: int) -> None:
        """Note that an element is held at a place, with its fencing token, and count it there."""

    @abstractmethod
    def drop(self, place: Place) -> None:
        """Undo that, as far as it was done."""

    def take(self, blocking: bool = True, seconds: float | None = None) -> bool:
        """Take an element; return False if there was none in time. 1 round trip for one that is
        free, 2 and the wait for another one.

        Who calls this calls :meth:`leave` if an exception comes, from here or behind, and stores
        ``handed`` as the last thing that it does. Raises ObjectGone.
        """
        places = self.handle.places
        if not (blocking and places is not None and places.contended):
            if self._take_free():
                return True
            self.has_waited = True
            if not blocking:
                return self._take_of_the_dead()
        return self._wait(seconds)

    def leave(self) -> None:
        """An exception ends a call: it does not wait any more, and what its caller does not know of
        goes back. Up to 1 round trip.
        """
        stop_watching(self.handle)
        self._stop_waiting()
        place = self.place
        if place is not None and not self.handed:
            self.place = None
            self.drop(place)
            place.places.abandon(place)

    def _take_of_the_dead(self) -> bool:
        """Take what a dead session holds, perhaps. 2 round trips, none if that was looked for just
        now: the janitor goes on with it.
        """
        handle = self.handle
        places = places_of(handle, self.has_holder)
        now = time.monotonic()
        if now - places.looked >= LOOK_INTERVAL:
            places.looked = now
            reap.run_idempotent(handle, b"", b"0", b"")
            if self._take_free():
                return True
        handle.session.janitor.watch_briefly(handle.keys, reap)
        return False

    def _wait(self, seconds: float | None) -> bool:
        """Wait for an element; return False when time is up."""
        handle = self.handle
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        taken = self._take_in_turn(deadline, start_watching(handle, reap))
        stop_watching(handle)
        return taken

    def _take_free(self) -> bool:
        """Take an element that is free; return whether there was one. 1 round trip, 2 on a full
        server, from which only those take something that have waited for it.
        """
        handle = self.handle
        session, link = handle.session, handle.link
        while True:
            session.ensure_registered(handle.keys)
            place = places_of(handle, self.has_holder).checkout()
            expirations = place.places.membership.expirations
            held = place.count
            try:
                connection = link.checkout()
                repeats = connection.repeats
                if place.number > place.places.registered:
                    replies = self._register_and_take(connection, place)
                else:
                    replies = link.exchange_many(connection, place.take(), place.replies)
                if connection.repeats == repeats:
                    if type(replies[0]) is ReplyError or self.has_waited:
                        replies = self._take_from_full(place, replies)
                    token = self._token(place, replies)
                    if not token:
                        place.places.checkin(place)
                        return False
                    if token > 0 and self._keep(place, token, expirations, replies):
                        return True
                # What an earlier attempt took, or takes later, is nobody's.
                place.places.abandon(place, broke=True)
            except BaseException:
                if self.place is None and place.count <= held:
                    place.places.abandon(place)
                raise
            if type(replies[0]) is ReplyError and replies[0].is_transient:  # for too long
                raise to_exception(replies[0], self.operation, handle.keys.ident)

    def _register_and_take(self, connection: PinnedConnection, place: Place) -> list[Reply]:
        """Take an element that is free, to a place that was not used before. 1 round trip."""
        request, registered = place.places.register_call(connection)
        first, *replies = self.handle.link.exchange_many(
            connection, request + place.take_by_source(connection), 1 + place.replies
        )
        registered(first)
        return replies

    def _keep(self, place: Place, token: int, expirations: int, replies: Sequence[Reply]) -> bool:
        """Keep an element; return False if others may have it by now, who took this process for
        dead, or the server may have gone back. Up to 2 round trips, then.
        """
        places = place.places
        membership = places.membership
        places.last_token = token
        self.place = place
        self.keep(place, token)
        if places.wait_command and not self._is_confirmed(place, replies):
            self.place = None
            self.drop(place)
            return False
        if membership.expirations == expirations and time.monotonic() < membership.valid_until:
            return True
        self.handle.session.ensure_registered(self.handle.keys)
        if membership.expirations == expirations or is_there(place):
            return True
        self.place = None
        self.drop(place)
        return False

    def _is_confirmed(self, place: Place, replies: Sequence[Reply]) -> bool:
        """Return True when replicas know that an element lies at a place, False if the server does
        not. No round trip, nearly always. Raises NotReplicated: then it goes back, as whatever is
        not handed over.
        """
        link = self.handle.link
        assert isinstance(link, ReplicatedLink)
        if len(replies) == place.replies and link.is_confirmed(replies[4]):
            return True
        return confirm_element(link, place.key)

    def _take_in_turn(self, deadline: float, watched: WatchedObject) -> bool:
        """Wait for an element; return False when time is up."""
        handle = self.handle
        outage: Outage | None = None
        while (now := time.monotonic()) < deadline:
            try:
                outcome = self._wait_once(deadline - now, watched)
            except ReplyError as error:
                self.has_waited = self.has_waited or time.monotonic() - now > WAITED
                if is_full(error) and self._take_free():
                    return True
                outage = outage or Outage(handle.link, self.has_waited)
                if not outage.back_off(error):
                    raise to_exception(error, self.operation, handle.keys.ident) from None
                if error.has_moved:
                    handle.link.disconnect_current()
                continue
            if outcome:
                return True
            if outcome is None:
                # Perhaps there is no such object any more: then nothing would end the next wait.
                if self._take_free():
                    return True
                continue
            outage, self.has_waited = None, True
            if (left := deadline - time.monotonic()) < CLOCK_TICK:
                time.sleep(max(left, 0.0))  # the move ended a little early
                break
        if outage is not None and outage.error is not None:
            raise to_exception(outage.error, self.operation, handle.keys.ident)
        handle.session.janitor.watch_briefly(handle.keys, reap)
        return False

    def _wait_once(self, left: float, watched: WatchedObject) -> bool | None:
        """Wait for an element until time is up; return whether there was one, None if that is not
        known. Raises ReplyError for what may pass.
        """
        handle = self.handle
        session, link = handle.session, handle.link
        session.ensure_registered(handle.keys)
        place = places_of(handle, self.has_holder).checkout()
        expirations = place.places.membership.expirations
        if place.number > place.places.registered:
            place.places.register()
        held, begun = place.count, time.monotonic()
        connection = link.checkout()
        waiting = Waiting(handle.keys, session.identity.waiter_id(handle.keys.prefix), connection)
        try:
            try:
                limits = self._limits(waiting, left)
                self.waiting = waiting, watched
                watched.on_deleted.add(waiting.interrupt)
                session.blocked.add(waiting)
                replies = self._move(connection, place, limits)
            except ConnectionBroken as error:
                left -= time.monotonic() - begun
                try:
                    if left > 0:
                        link.reconnect(connection, error, min(link.reconnect_timeout, left))
                finally:
                    link.checkin(connection)
                place.places.abandon(place, broke=True)
                return None
            link.checkin(connection)
            if type(replies[0]) is ReplyError:
                raise replies[0]
            if replies[0] is not None and is_full(replies[1]):  # the server is full since
                self.has_waited = True
                replies = self._take_from_full(place, replies)
            last = place.places.last_token
            token = self._token(place, replies)
            if not token:
                place.places.checkin(place)
                return False
            if token > 0 and self._keep(place, token, expirations, replies):
                place.places.contended = _before(replies[1]) != last  # others got, or wanted, one
                return True
            place.places.abandon(place, broke=True)
            return None
        except BaseException:
            if self.place is None and place.count <= held:
                link.disconnect(connection)  # ends the move, and what is behind it
                link.withdraw(connection)
                link.checkin(connection)
                place.places.abandon(place)
            raise
        finally:
            self._stop_waiting()

    def _move(
        self, connection: PinnedConnection, place: Place, limits: tuple[float, float | None, float]
    ) -> list[Reply]:
        """Return the replies to the request that waits for an element, see :meth:`_limits`."""
        left, limit, grace = limits
        until = time.monotonic() + left
        if grace and place.places.wait_command:
            grace += WAIT_SECONDS  # behind the move
        while True:
            request = place.take_blocking(left)
            replies = self.handle.link.exchange_blocking(
                connection, request, limit, place.replies, grace
            )
            left = until - time.monotonic()
            if replies[0] is not None or left <= EARLY:
                return replies
            time.sleep(PAUSE)  # only where moves do not block, see EARLY: nothing else wakes us

    def _stop_waiting(self) -> None:
        """Nobody has to look after the connection any more, if it waited. May be repeated."""
        if self.waiting is not None:
            waiting, watched = self.waiting
            self.handle.session.blocked.remove()
            watched.on_deleted.discard(waiting.interrupt)
            self.waiting = None

    def _limits(self, waiting: Waiting, left: float) -> tuple[float, float | None, float]:
        """Return how long the move blocks, how long the connection waits for it, and how long after
        it was sent an empty command then. Up to 1 round trip for the first wait of a connection.
        """
        if left < MAX_BLOCK:
            return short_block(left)
        if not self._can_be_checked(waiting):
            return MAX_BLOCK, MAX_BLOCK + BLOCK_GRACE, 0.0
        return short_block(left) if left < LONGEST else (LONGEST, math.inf, 0.0)

    def _can_be_checked(self, waiting: Waiting) -> bool:
        """Return whether the background thread can see that the server has this connection."""
        handle = self.handle
        if not handle.session.blocked.may_list:
            return False
        channel = handle.link.ensure_connected(waiting.connection)
        if not channel.client_id:
            number = handle.link.try_once(waiting.connection, pack((b"CLIENT", b"ID")))
            channel.client_id = b"%d" % number if type(number) is int else b""
        return bool(channel.client_id)

    def _token(self, place: Place, replies: Sequence[Reply]) -> int:
        """Return the fencing token of an element that was taken; 0 if there was none, -1 if it must
        go back, and be taken again. Up to 2 round trips where the session may be dead.

        Raises ObjectGone, and what the server refused.
        """
        element, token, alive, registered, *_ = replies
        if type(token) is list:  # and the one before
            token = token[0]
        if (
            element == ELEMENT
            and alive == registered == 1
            and type(token) is int
            and token >= FIRST_FENCE
        ):
            return token
        if type(token) is ReplyError and token.code == "NOSCRIPT":
            place.places.load_scripts()
            return -1
        if element is None and (type(token) is ReplyError or token >= FIRST_FENCE):
            return 0
        for reply in (element, token, alive, registered):
            if type(reply) is ReplyError and reply.is_transient:
                return -1  # by now: it has taken the element before
            if type(reply) is ReplyError:
                raise to_exception(reply, self.operation, self.handle.keys.ident)
        if not element or type(token) is not int or token < FIRST_FENCE:
            raise object_gone(self.handle, self.operation)
        if not alive:
            self.handle.session.registration.doubt(self.handle.keys.prefix)
            return -1
        if not registered:
            place.places.register()
            return -1
        return token  # another program has altered the element: it is one all the same

    def _take_from_full(self, place: Place, replies: list[Reply]) -> list[Reply]:
        """Return the replies, or what a full server that has refused the commands answers to a
        script. 1 round trip then.
        """
        if not (is_full(replies[0]) or (self.has_waited and is_full(replies[1]))):
            return replies
        if self.has_waited:
            answers: list[Reply] = _take.run_idempotent(self.handle, *place.take_by_script())
            return answers
        if self.handle.link.execute(b"EXISTS", self.handle.keys.free):
            return replies
        return [None, *replies[1:]]


def _before(drawn: Reply) -> int:
    """Return the fencing token before the one that was drawn."""
    return int(drawn[1] if type(drawn) is list else drawn - 1)
