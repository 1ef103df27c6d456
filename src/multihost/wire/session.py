"""What one process has on one server, and the background thread that keeps it alive.

An unnamed object has a lease: its keys expire ``lease`` seconds after the last process that holds a
proxy renewed it. Each holder renews every third of a lease, and with an object everything that it
contains. So a killed process leaves nothing behind, and nobody has to notice that it died. A named
object has no lease, and neither has what it contains.

Locks and permits are held by the session as a whole (:mod:`multihost.wire.presence`): keeping them
costs the same however many there are. The background thread also looks after what threads of this
process wait for (:mod:`multihost.wire.janitor`).
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from multiprocessing import util
from typing import Any

from multihost.errors import LeaseLost, MultihostError
from multihost.wire.bell import Bell
from multihost.wire.codec import Codec
from multihost.wire.janitor import Janitor, Watched
from multihost.wire.keys import Keys
from multihost.wire.link import Caller, Link
from multihost.wire.presence import Me, Presence
from multihost.wire.script import Script

__all__ = ["Handle", "Hold", "Session"]

logger = logging.getLogger(__name__)

RETRY = 0.5  # seconds until a beat that failed is tried again
RENEWED_PER_CALL = 200
CHECKED_PER_BEAT = 500
RELEASED = 1000  # proxies that are counted off until it is seen whether something else is due

_renew = Script("object/renew")
_drop = Script("object/drop")


class Handle:
    """One shared object, as the operations take it."""

    __slots__ = ("codec", "crowded", "heads", "keys", "link", "parts", "pop", "session", "watched")

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session = session
        self.link = session.link
        self.codec = session.codec
        self.keys = keys
        # What commands on it start with, packed: of scripts, and of other operations.
        self.heads: dict[tuple[Script, int], tuple[Caller | None, bytes]] = {}
        self.parts: tuple[bytes, ...] = ()
        self.pop: Any = None  # what who waits for it is blocked in
        self.watched: Watched | None = None
        self.crowded = False  # whether somebody had to wait for it last time


class Hold:
    """Something that this process holds and nobody else, while its session lives."""

    __slots__ = ("count", "fence", "handle", "id", "lapses", "lost")

    def __init__(self, handle: Handle, id_: bytes, fence: int, lapses: int) -> None:
        self.handle = handle
        self.id = id_
        self.fence = fence
        self.count = 1
        self.lapses = lapses  # of the session, before it was taken
        self.lost = False

    def stands(self) -> bool:
        """Whether the server still says so."""
        raise NotImplementedError

    def end(self) -> None:
        """Give it back; harmless if it is lost."""
        raise NotImplementedError

    def check(self) -> None:
        """After others could take this process for dead: find out what it lost."""
        self.lost = self.lost or not self.stands()

    def missed(self) -> bool:
        """It is not there any more: whether because others took this process for dead."""
        presence = self.handle.session.presence
        self.lost = self.lost or presence.lapsed(self.handle.keys.prefix, self.lapses)
        return self.lost

    def gone(self, operation: str) -> LeaseLost:
        """The error for a hold that was lost."""
        return LeaseLost(
            f"{operation} on {self.handle.keys.ident}: this process gave no sign of life for its "
            f"lease of {self.handle.session.lease:g} s, and what it held was released"
        )


Disclaim = Callable[["Session", str, Sequence[tuple[str, int]]], object]
"""Takes back claims, ``(ident, claim)``, on objects of a host."""


class _Reference:
    """How often this process holds an unnamed object, and whether nobody else can know it.

    Where others may have been told of it, too, ``claim`` says when its ``host`` told this process
    last, and ``disclaim`` takes that back; else the object is deleted.
    """

    __slots__ = ("claim", "count", "disclaim", "forks", "host", "keys", "private")

    def __init__(self, keys: Keys, private: bool, forks: int) -> None:
        self.keys = keys
        self.count = 0
        self.private = private
        self.forks = forks
        self.claim = 0
        self.host = ""
        self.disclaim: Disclaim | None = None


class Session:
    """What this process has in one namespace. Owns a thread from the first moment that it has to be
    kept alive.
    """

    def __init__(self, link: Link, namespace: str, codec: Codec, lease: float) -> None:
        self.link = link
        self.namespace = namespace
        self.codec = codec
        self.lease = lease
        self.place = (*link.address.server, namespace)
        self.origin: Any = None  # what its proxies say of where they come from
        codec.home = self
        self.lease_ms = b"%d" % max(1, round(lease * 1000))
        self._made: dict[str, _Reference] = {}
        self._held: dict[str, _Reference] = {}
        self._forks = 0
        self._begin()
        _sessions.add(self)
        self._leave_at_exit()
        # Children of multiprocessing forget the finalizers of their parent.
        util.register_after_fork(self, Session._leave_at_exit)

    def _leave_at_exit(self) -> None:
        util.Finalize(self, _leave, (weakref.ref(self),), exitpriority=-5)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._bell = Bell()
        self._released: deque[str] = deque()
        self._later: deque[Callable[[], object]] = deque()
        self.hosts: dict[str, Any] = {}  # those that this process talks with
        self.at_end: list[Callable[[], object]] = []
        self._stopping = False
        self._heard = True
        self._thread: threading.Thread | None = None
        self.holds: dict[Hashable, Hold] = {}
        self.presence = Presence(self.link, self.namespace, self.lease_ms)
        self.me = Me(self.presence)
        self.janitor = Janitor(self.link, self.presence, self._bell.ring)

    def handle(self, ident: str) -> Handle:
        return Handle(self, Keys(self.namespace, ident))

    # holding

    def made(self, keys: Keys) -> None:
        """This process created the unnamed object; only it can know of it so far."""
        with self._lock:
            self._made[keys.ident] = self._held[keys.ident] = _Reference(keys, True, self._forks)

    def claim(self, keys: Keys, claim: int, host: str, disclaim: Disclaim) -> None:
        """This process was told of the unnamed object; ``disclaim`` takes its last claim back."""
        with self._lock:
            held = self._held.get(keys.ident)
            if held is None:
                held = _Reference(keys, True, self._forks)
                self._made[keys.ident] = self._held[keys.ident] = held
            held.host, held.disclaim = host, disclaim
            held.claim = max(held.claim, claim)

    def later(self, action: Callable[[], object]) -> None:
        """Have the background thread do it, as soon as it can; finalizers may call this."""
        self._later.append(action)
        self._bell.ring()

    def hold(self, keys: Keys) -> None:
        """A proxy of the unnamed object lives in this process: renew the object."""
        with self._lock:
            hold = self._held.get(keys.ident)
            if hold is None:
                hold = self._held[keys.ident] = _Reference(keys, False, self._forks)
            hold.count += 1
            self._start()

    def let_go(self, ident: str) -> None:
        """A proxy is gone. Finalizers call this in any thread at any moment: it takes no lock."""
        self._released.append(ident)
        self._bell.ring()

    def share(self, ident: str) -> None:
        """A proxy of the object leaves this process."""
        with self._lock:
            hold = self._held.get(ident)
            if hold is not None:
                hold.private = False

    def _release_some(self) -> list[_Reference]:
        """What is to be dropped with the proxies that are gone. Not with all of them at once: while
        thousands go others want to be renewed.
        """
        idents = [self._released.popleft() for _ in range(min(len(self._released), RELEASED))]
        return [each for each in map(self._release, idents) if each is not None]

    def _release(self, ident: str) -> _Reference | None:
        """Count one proxy less; what was held if that was the last one anywhere."""
        with self._lock:
            hold = self._held.get(ident)
            if hold is None:
                return None
            hold.count -= 1
            if hold.count > 0:
                return None
            del self._held[ident]
            if hold.private and hold.forks == self._forks:
                self._made.pop(ident, None)
                return hold
            return None

    # holding and waiting

    def enter(self, keys: Keys) -> None:
        """Let others see that this process lives, before it holds or waits for the object.

        Costs a round trip of the background thread for the first object of a partition, and after a
        pause in which others could take this process for dead.
        """
        presence = self.presence
        while keys.prefix not in presence.places or time.monotonic() > presence.fresh_until:
            if self.link.is_closed:
                raise self.link.closed
            asked = time.monotonic()
            there = presence.want(keys.prefix)
            with self._lock:
                self._start()
            self._bell.ring()
            there.wait(self.link.patience or None)  # it may be busy with a lost server
            if keys.prefix in presence.places and presence.fresh_until > asked:
                return
            self.link.call(b"EXISTS", keys.sessions)  # tells why, if there still is a reason

    # the background thread

    def _start(self) -> None:
        if self._thread is None and not self.link.is_closed:
            self._thread = threading.Thread(target=self._run, name="multihost-session", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        renewal = time.monotonic() + self.lease / 3
        beat, retry = math.inf, 0.0
        while not self.link.is_closed:
            due = 0.0 if self._released else min(renewal, beat, self.janitor.due)
            if self.presence.is_behind:
                due = min(due, retry)
            hung_up = self._bell.wait(due - time.monotonic(), self.presence.fileno)
            if self._stopping:
                return
            if self._released:
                self._try(self._drop, self._release_some())
            for _ in range(len(self._later)):
                self._try(self._later.popleft())
            if hung_up:
                self.link.hang_up()
            now = time.monotonic()
            if now >= beat or (self.presence.is_behind and now >= retry):
                heard = self._try(self._beat)
                retry = 0.0 if heard else time.monotonic() + RETRY
                beat = retry or time.monotonic() + self.lease / 3
            self._try(self.janitor.run)
            if time.monotonic() >= renewal:
                renewal = time.monotonic() + self.lease / 3
                self._try(self.renew)
                self._try(self._forget_expired)

    def _beat(self) -> None:
        """Say that this process lives, and see what it lost while nobody heard of it."""
        lapsed = self.presence.beat()
        if lapsed:  # who waits may have been forgotten, too: let it join again
            self.link.rouse()
        for prefix in lapsed:
            for hold in list(self.holds.values()):
                if hold.handle.keys.prefix == prefix:
                    hold.check()

    def _try(self, action: Callable[..., object], *args: object) -> bool:
        """Whether the server could be reached. Says so once in each outage."""
        try:
            action(*args)
        except MultihostError as error:
            if not self.link.is_closed and self._heard:
                logger.warning("leases at %s are not renewed: %s", self.link.address, error)
            self._heard = False
        else:
            self._heard = True
        return self._heard

    def renew(self) -> None:
        """Renew everything held, and everything that it contains."""
        with self._lock:
            due = {ident: hold.keys for ident, hold in self._held.items()}
        seen = set(due)
        while due:
            found: set[str] = set()
            for chunk in _by_partition(due.values()):
                keys = [each.data for each in chunk]
                found.update(
                    ident.decode() for ident in _renew.read(self.link, keys, self.lease_ms)
                )
            due = {ident: Keys(self.namespace, ident) for ident in found - seen}
            seen |= found

    def _drop(self, objects: Iterable[_Reference]) -> None:
        ours: list[Keys] = []
        claims: dict[tuple[Disclaim, str], list[tuple[str, int]]] = {}
        for each in objects:
            if each.disclaim is None:
                ours.append(each.keys)
            else:
                claimed = claims.setdefault((each.disclaim, each.host), [])
                claimed.append((each.keys.ident, each.claim))
        for (disclaim, host), claimed in claims.items():
            disclaim(self, host, claimed)
        for chunk in _by_partition(ours):
            _drop.read(self.link, [keys.data for keys in chunk])

    def _forget_expired(self) -> None:
        """Forget some of what this process made, released, and what has expired since."""
        with self._lock:
            candidates = [each for ident, each in self._made.items() if ident not in self._held]
        candidates = candidates[:CHECKED_PER_BEAT]
        if not candidates:
            return
        alive = self.link.pipeline([(b"EXISTS", each.keys.data) for each in candidates])
        with self._lock:
            for each, exists in zip(candidates, alive, strict=True):
                del self._made[each.keys.ident]
                if exists:  # to the end: others get their turn
                    self._made[each.keys.ident] = each

    # the end

    def close(self) -> None:
        """Delete what this process made without a name, stop the thread and close the link."""
        self._end(list(self._made.values()))

    def leave(self) -> None:
        """The process ends: delete what only it can know of, and close the link."""
        self._end([h for h in self._held.values() if h.private and h.forks == self._forks])

    def _end(self, objects: list[_Reference]) -> None:
        if self.link.is_closed:
            return
        self.link.patience = 0.0  # who leaves does not wait for a lost server
        self._stop()
        self._made.clear()
        self._held.clear()
        holds, self.holds = list(self.holds.values()), {}
        try:
            for hold in holds:
                hold.end()
            self._drop(objects)
            for action in self.at_end:
                action()
            self.presence.leave()
        except MultihostError:
            logger.warning("unnamed objects at %s were left to expire", self.link.address)
        self.link.close()

    def abandon(self) -> None:
        """Stop without a word to the server, which is going away."""
        self.link.abandon()
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._bell.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._thread = None
        self._bell.close()
        self.presence.give_up()

    # forking

    def _forking(self) -> None:
        self._forks += 1
        self._lock.acquire()

    def _forked_parent(self) -> None:
        self._lock.release()

    def _forked_child(self) -> None:
        """The child holds the same proxies, by its own right, and made none of the objects."""
        started = self._thread is not None
        self._bell.close()
        self._begin()
        self._made = {}
        if started:
            self._start()


def _by_partition(objects: Iterable[Keys]) -> Iterable[list[Keys]]:
    """The objects in groups that one script may touch."""
    groups: dict[bytes, list[Keys]] = {}
    for keys in objects:
        groups.setdefault(keys.prefix, []).append(keys)
    for group in groups.values():
        for start in range(0, len(group), RENEWED_PER_CALL):
            yield group[start : start + RENEWED_PER_CALL]


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


def _leave(reference: weakref.ref[Session]) -> None:
    session = reference()
    if session is not None:
        session.leave()


_forking: list[Session] = []
_one_fork = threading.Lock()  # of several threads that fork, one after the other


def _before_fork() -> None:
    _one_fork.acquire()
    _forking[:] = list(_sessions)
    for session in _forking:
        session._forking()


def _after_fork_in_parent() -> None:
    for session in _forking:
        session._forked_parent()
    _forking.clear()
    _one_fork.release()


def _after_fork_in_child() -> None:
    sessions = list(_forking)
    _forking.clear()
    _one_fork.release()
    for session in sessions:
        session._forked_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
