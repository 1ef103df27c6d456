"""What one process has on one server, and the background thread that keeps it alive.

An unnamed object has a lease: its keys expire ``lease`` seconds after the last process that holds a
proxy renewed it. Each holder renews every third of a lease, and with an object everything that it
contains. So a killed process leaves nothing behind, and nobody has to notice that it died. A named
object has no lease, and neither has what it contains.

Locks and permits are held by the session as a whole
(:mod:`multihost.wire.session.registration`): keeping them costs the same however many there are.
The background thread also looks after what threads of this process wait for
(:mod:`multihost.wire.session.janitor`).
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
from multihost.wire.keys import Keys
from multihost.wire.link import Link, PinnedConnection
from multihost.wire.script import Script
from multihost.wire.session.janitor import Janitor, WatchedObject
from multihost.wire.session.registration import SessionRegistration, ThreadIdentity
from multihost.wire.session.wakeup import WakeupPipe
from multihost.wire.values.codec import Codec

__all__ = ["Handle", "Hold", "Session"]

logger: logging.Logger = logging.getLogger(__name__)

RETRY = 0.5  # seconds until a beat that failed is tried again
RENEWED_PER_CALL = 200
CHECKED_PER_HEARTBEAT = 500
RELEASED_PER_TURN = 1000  # proxies counted off before anything else that is due gets its turn

_renew = Script("object/renew")
_drop = Script("object/drop")


class Handle:
    """One shared object, as the operations take it."""

    __slots__ = (
        "codec",
        "command_prefixes",
        "contended",
        "keys",
        "link",
        "parts",
        "pop",
        "session",
        "watched",
    )

    def __init__(self, session: Session, keys: Keys) -> None:
        self.session: Session = session
        self.link: Link = session.link
        self.codec: Codec = session.codec
        self.keys: Keys = keys
        # What commands on it start with, packed: of scripts, and of other operations.
        self.command_prefixes: dict[tuple[Script, int], tuple[PinnedConnection | None, bytes]] = {}
        self.parts: tuple[bytes, ...] = ()
        self.pop: Any = None  # what who waits for it is blocked in
        self.watched: WatchedObject | None = None
        self.contended: bool = False  # whether somebody had to wait for it last time


class Hold:
    """Something that this process holds and nobody else, while its session lives."""

    __slots__ = ("count", "expirations", "fence", "handle", "id", "lost")

    def __init__(self, handle: Handle, id_: bytes, fence: int, expirations: int) -> None:
        self.handle: Handle = handle
        self.id: bytes = id_
        self.fence: int = fence
        self.count: int = 1
        self.expirations: int = expirations  # of the session, before it was taken
        self.lost: bool = False

    def is_valid(self) -> bool:
        """Whether the server still says so."""
        raise NotImplementedError

    def release_at_exit(self) -> None:
        """Give it back; harmless if it is lost."""
        raise NotImplementedError

    def check(self) -> None:
        """After others could take this process for dead: find out what it lost."""
        self.lost = self.lost or not self.is_valid()

    def was_expired(self) -> bool:
        """It is not there any more: whether because others took this process for dead."""
        presence = self.handle.session.registration
        self.lost = self.lost or presence.has_expired(self.handle.keys.prefix, self.expirations)
        return self.lost

    def lease_lost(self, operation: str) -> LeaseLost:
        """The error for a hold that was lost."""
        return LeaseLost(
            f"{operation} on {self.handle.keys.ident}: this process gave no sign of life for its "
            f"lease of {self.handle.session.lease:g} s, and what it held was released"
        )


ReleaseRemote = Callable[["Session", str, Sequence[tuple[str, int]]], object]
"""Releases references, ``(ident, version)``, to objects of a host."""


class ObjectReference:
    """How often this process holds an unnamed object, and whether nobody else can know it.

    Where other processes may refer to it, too, ``version`` says when its ``host`` sent it last to
    this process, and ``release`` takes that back; else the object is deleted.
    """

    __slots__ = ("count", "exclusive", "forks", "host", "keys", "release", "version")

    def __init__(self, keys: Keys, private: bool, forks: int) -> None:
        self.keys: Keys = keys
        self.count: int = 0
        self.exclusive: bool = private
        self.forks: int = forks
        self.version: int = 0
        self.host: str = ""
        self.release: ReleaseRemote | None = None


class Session:
    """What this process has in one namespace. Owns a thread from the first moment that it has to be
    kept alive.
    """

    def __init__(self, link: Link, namespace: str, codec: Codec, lease: float) -> None:
        self.link = link
        self.namespace = namespace
        self.codec = codec
        self.lease = lease
        self.server: tuple[str, str, int, str, int, str] = (*link.address.server, namespace)
        self.origin: Any = None  # what its proxies say of where they come from
        codec.home = self
        self.lease_ms: bytes = b"%d" % max(1, round(lease * 1000))
        self._created: dict[str, ObjectReference] = {}
        self._references: dict[str, ObjectReference] = {}
        self._forks = 0
        self._reset()
        _sessions.add(self)
        self._register_exit()
        # Children of multiprocessing forget the finalizers of their parent.
        util.register_after_fork(self, Session._register_exit)

    def _register_exit(self) -> None:
        util.Finalize(self, _close_at_exit, (weakref.ref(self),), exitpriority=-5)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wakeup = WakeupPipe()
        self._released: deque[str] = deque()
        self._soon: deque[Callable[[], object]] = deque()
        self.rpc_clients: dict[str, Any] = {}  # those that this process talks with
        self.exit_callbacks: list[Callable[[], object]] = []
        self._stopping = False
        self._is_reachable = True
        self._thread: threading.Thread | None = None
        self.holds: dict[Hashable, Hold] = {}
        self.registration: SessionRegistration = SessionRegistration(
            self.link, self.namespace, self.lease_ms
        )
        self.identity: ThreadIdentity = ThreadIdentity(self.registration)
        self.janitor: Janitor = Janitor(self.link, self.registration, self._wakeup.wake)

    def handle(self, ident: str) -> Handle:
        return Handle(self, Keys(self.namespace, ident))

    def handle_of_reference(self, ident: str) -> Handle:
        """Return a handle of an object that this process may hold: then its keys are known."""
        held = self._references.get(ident)
        return self.handle(ident) if held is None else Handle(self, held.keys)

    # holding

    def created(self, keys: Keys) -> None:
        """This process created the unnamed object; only it can know of it so far."""
        with self._lock:
            self._created[keys.ident] = self._references[keys.ident] = ObjectReference(
                keys, True, self._forks
            )

    def add_remote_reference(
        self, keys: Keys, version: int, host: str, release: ReleaseRemote
    ) -> None:
        """Record a reference to an unnamed object of a host, which ``release`` takes back."""
        with self._lock:
            held = self._references.get(keys.ident)
            if held is None:
                held = ObjectReference(keys, True, self._forks)
                self._created[keys.ident] = self._references[keys.ident] = held
            held.host, held.release = host, release
            held.version = max(held.version, version)

    def call_soon(self, action: Callable[[], object]) -> None:
        """Have the background thread do it, as soon as it can; finalizers may call this."""
        self._soon.append(action)
        self._wakeup.wake()

    def incref(self, keys: Keys) -> None:
        """A proxy of the unnamed object lives in this process: renew the object."""
        with self._lock:
            hold = self._references.get(keys.ident)
            if hold is None:
                hold = self._references[keys.ident] = ObjectReference(keys, False, self._forks)
            hold.count += 1
            self._start()

    def decref(self, ident: str) -> None:
        """A proxy is gone. Finalizers call this in any thread at any moment: it takes no lock."""
        self._released.append(ident)
        self._wakeup.wake()

    def mark_shared(self, ident: str) -> None:
        """A proxy of the object leaves this process."""
        with self._lock:
            hold = self._references.get(ident)
            if hold is not None:
                hold.exclusive = False

    def _decref_some(self) -> list[ObjectReference]:
        """Return what is to be dropped with the collected proxies. Not all of them in one go: while
        thousands go others want to be renewed.
        """
        count = min(len(self._released), RELEASED_PER_TURN)
        idents = [self._released.popleft() for _ in range(count)]
        return [each for each in map(self._decref, idents) if each is not None]

    def _decref(self, ident: str) -> ObjectReference | None:
        """Count one proxy less; what was held if that was the last one anywhere."""
        with self._lock:
            hold = self._references.get(ident)
            if hold is None:
                return None
            hold.count -= 1
            if hold.count > 0:
                return None
            del self._references[ident]
            if hold.exclusive and hold.forks == self._forks:
                self._created.pop(ident, None)
                return hold
            return None

    # holding and waiting

    def ensure_registered(self, keys: Keys) -> None:
        """Let others see that this process lives, before it holds or waits for the object.

        Costs a round trip of the background thread for the first object of a partition, and after a
        pause in which others could take this process for dead.
        """
        presence = self.registration
        while keys.prefix not in presence.session_keys or time.monotonic() > presence.valid_until:
            if self.link.is_closed:
                raise self.link.closed
            asked = time.monotonic()
            there = presence.request_registration(keys.prefix)
            with self._lock:
                self._start()
            self._wakeup.wake()
            there.wait(self.link.reconnect_timeout or None)  # it may be busy with a lost server
            if keys.prefix in presence.session_keys and presence.valid_until > asked:
                return
            self.link.execute(b"EXISTS", keys.sessions)  # tells why, if there still is a reason

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
            if self.registration.needs_heartbeat:
                due = min(due, retry)
            hung_up = self._wakeup.wait(due - time.monotonic(), self.registration.fileno)
            if self._stopping:
                return
            if self._released:
                self._try(self._drop, self._decref_some())
            for _ in range(len(self._soon)):
                self._try(self._soon.popleft())
            if hung_up:
                self.link.disconnect_current()
            now = time.monotonic()
            if now >= beat or (self.registration.needs_heartbeat and now >= retry):
                heard = self._try(self._heartbeat)
                retry = 0.0 if heard else time.monotonic() + RETRY
                beat = retry or time.monotonic() + self.lease / 3
            self._try(self.janitor.run)
            if time.monotonic() >= renewal:
                renewal = time.monotonic() + self.lease / 3
                self._try(self.renew)
                self._try(self._forget_expired)

    def _heartbeat(self) -> None:
        """Say that this process lives, and see what it lost while nobody heard of it."""
        lapsed = self.registration.heartbeat()
        if lapsed:  # who waits may have been forgotten, too: let it join again
            self.link.interrupt_blocked()
        for prefix in lapsed:
            for hold in list(self.holds.values()):
                if hold.handle.keys.prefix == prefix:
                    hold.check()

    def _try(self, action: Callable[..., object], *args: object) -> bool:
        """Whether the server could be reached. Says so once in each outage."""
        try:
            action(*args)
        except MultihostError as error:
            if not self.link.is_closed and self._is_reachable:
                logger.warning("leases at %s are not renewed: %s", self.link.address, error)
            self._is_reachable = False
        else:
            self._is_reachable = True
        return self._is_reachable

    def renew(self) -> None:
        """Renew everything held, and everything that it contains."""
        with self._lock:
            due = {ident: hold.keys for ident, hold in self._references.items()}
        seen = set(due)
        while due:
            found: set[str] = set()
            for chunk in _by_partition(due.values()):
                keys = [each.data for each in chunk]
                found.update(
                    ident.decode() for ident in _renew.run_readonly(self.link, keys, self.lease_ms)
                )
            due = {ident: Keys(self.namespace, ident) for ident in found - seen}
            seen |= found

    def _drop(self, objects: Iterable[ObjectReference]) -> None:
        ours: list[Keys] = []
        remote: dict[tuple[ReleaseRemote, str], list[tuple[str, int]]] = {}
        for each in objects:
            if each.release is None:
                ours.append(each.keys)
            else:
                versions = remote.setdefault((each.release, each.host), [])
                versions.append((each.keys.ident, each.version))
        for (release, host), versions in remote.items():
            release(self, host, versions)
        for chunk in _by_partition(ours):
            _drop.run_readonly(self.link, [keys.data for keys in chunk])

    def _forget_expired(self) -> None:
        """Forget some of what this process made, released, and what has expired since."""
        with self._lock:
            candidates = [
                each for ident, each in self._created.items() if ident not in self._references
            ]
        candidates = candidates[:CHECKED_PER_HEARTBEAT]
        if not candidates:
            return
        alive = self.link.pipeline([(b"EXISTS", each.keys.data) for each in candidates])
        with self._lock:
            for each, exists in zip(candidates, alive, strict=True):
                del self._created[each.keys.ident]
                if exists:  # to the end: others get their turn
                    self._created[each.keys.ident] = each

    # the end

    def close(self) -> None:
        """Delete what this process made without a name, stop the thread and close the link."""
        self._close(list(self._created.values()))

    def close_at_exit(self) -> None:
        """The process ends: delete what only it can know of, and close the link."""
        self._close(
            [h for h in self._references.values() if h.exclusive and h.forks == self._forks]
        )

    def _close(self, objects: list[ObjectReference]) -> None:
        if self.link.is_closed:
            return
        self.link.reconnect_timeout = 0.0  # who leaves does not wait for a lost server
        self._stop()
        self._created.clear()
        self._references.clear()
        holds, self.holds = list(self.holds.values()), {}
        try:
            for hold in holds:
                hold.release_at_exit()
            self._drop(objects)
            for action in self.exit_callbacks:
                action()
            self.registration.unregister()
        except MultihostError:
            logger.warning("unnamed objects at %s were left to expire", self.link.address)
        self.link.close()

    def close_now(self) -> None:
        """Stop without a word to the server, which is going away."""
        self.link.close_now()
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._wakeup.wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._thread = None
        self._wakeup.close()
        self.registration.release_waiters()

    # forking

    def _before_fork(self) -> None:
        self._forks += 1
        self._lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        """The child holds the same proxies, by its own right, and made none of the objects."""
        started = self._thread is not None
        self._wakeup.close()
        self._reset()
        self._created = {}
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


def _close_at_exit(reference: weakref.ref[Session]) -> None:
    session = reference()
    if session is not None:
        session.close_at_exit()


_forking: list[Session] = []
_one_fork = threading.Lock()  # of several threads that fork, one after the other


def _before_fork() -> None:
    _one_fork.acquire()
    _forking[:] = list(_sessions)
    for session in _forking:
        session._before_fork()


def _after_fork_in_parent() -> None:
    for session in _forking:
        session._after_fork_in_parent()
    _forking.clear()
    _one_fork.release()


def _after_fork_in_child() -> None:
    sessions = list(_forking)
    _forking.clear()
    _one_fork.release()
    for session in sessions:
        session._after_fork_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
