"""Finding dead processes, for those who wait.

Whoever waits for something looks after it: the background thread of each waiting process runs the
``look`` script of the object about three times a second. That releases what dead sessions held,
restores tokens that went astray, and tells which sessions hold something. Of those the connection
is looked up (``CLIENT LIST ID``): if it is gone, and the server is the one that counted it, the
session is given :data:`GRACE` seconds to come back. Where many processes wait, each looks less
often.
"""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections.abc import Callable

from multihost.errors import MultihostError
from multihost.wire.keys import Keys
from multihost.wire.link import Link, PinnedConnection
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session.registration import SessionInfo, SessionRegistration

__all__ = ["Janitor", "WatchedObject"]

logger: logging.Logger = logging.getLogger(__name__)

CHECK_INTERVAL = 0.3  # seconds between two looks
SHARE = 0.1  # at least, for each process that waits for the same
GRACE = 1.0  # a living process comes back sooner
PRUNE = 8  # every so many looks for dead waiters, too
LINGER = 3.0  # how long an object is looked after on suspicion
LATE_REQUEST_WINDOW = 60.0  # how long an attempt that was given up may still arrive

_suspect = Script("session/suspect")
_CLIENT = re.compile(rb"^id=(\d+) ", re.MULTILINE)


class WatchedObject:
    """Something that threads of this process wait for."""

    __slots__ = (
        "checks",
        "command_prefixes",
        "due",
        "janitor",
        "keys",
        "link",
        "listed",
        "live_waiters",
        "on_deleted",
        "previous",
        "reap",
        "until",
        "waiters",
    )

    def __init__(self, janitor: Janitor, keys: Keys, script: Script) -> None:
        self.janitor: Janitor = janitor
        self.link: Link = janitor.link
        self.keys: Keys = keys
        self.command_prefixes: dict[tuple[Script, int], tuple[PinnedConnection | None, bytes]] = {}
        self.reap: Script = script
        self.waiters: set[int] = set()
        self.listed: bool = True
        self.until: float = 0.0
        self.previous: bytes = b""
        self.checks: int = 0
        self.live_waiters: int = 1
        self.on_deleted: set[Callable[[], object]] = set()  # what to do if it does not exist
        self.due: float = time.monotonic() + CHECK_INTERVAL * random.random()


class Janitor:
    """What the background thread of a session looks after."""

    def __init__(self, link: Link, presence: SessionRegistration, ring: Callable[[], None]) -> None:
        self.link = link
        self._registration = presence
        self._wake_thread = ring
        self._lock = threading.Lock()
        self._watched: dict[tuple[bytes, str], WatchedObject] = {}
        self._deferred: list[tuple[float, bool, Callable[[], object]]] = []
        self._timers: list[tuple[float, float, Callable[[], bool]]] = []
        self._may_list = True
        self.due: float = math.inf  # when it wants to run, by the monotonic clock

    # any thread

    def watch(self, keys: Keys, reap: Script) -> WatchedObject:
        """Look after something, for as long as this thread is in its ``waiters``."""
        with self._lock:
            watched = self._entry(keys, reap)
            watched.waiters.add(threading.get_ident())
        return watched

    def watch_briefly(self, keys: Keys, reap: Script) -> None:
        """Look after something for a while: somebody was refused it and may ask again."""
        with self._lock:
            self._entry(keys, reap).until = time.monotonic() + LINGER

    def _entry(self, keys: Keys, script: Script) -> WatchedObject:
        watched = self._watched.get((keys.data, script.name))
        if watched is None:
            watched = self._watched[keys.data, script.name] = WatchedObject(self, keys, script)
            self._wake(watched.due)
        return watched

    def repeat_until_settled(self, action: Callable[[], object]) -> None:
        """Do it again and again until no late command of a given up connection can arrive."""
        self._add(action, False)

    def call_every(self, seconds: float, action: Callable[[], bool]) -> None:
        """Do it in so many seconds, and again after as many while it returns True."""
        with self._lock:
            due = time.monotonic() + seconds
            self._timers.append((due, seconds, action))
            self._wake(due)

    def defer(self, action: Callable[[], object]) -> None:
        """Do it as soon as the server can be reached."""
        self._add(action, True)

    def _add(self, action: Callable[[], object], once: bool) -> None:
        with self._lock:
            self._deferred.append((time.monotonic() + LATE_REQUEST_WINDOW, once, action))
            self._wake(time.monotonic())

    def _wake(self, due: float) -> None:
        if due < self.due:
            self.due = due
            self._wake_thread()

    # the background thread

    def run(self) -> None:
        """Do what is due."""
        if time.monotonic() < self.due:
            return
        try:
            self._run_timers()
            self._run_deferred()
            for watched in self._due_now():
                self._check(watched)
        finally:
            with self._lock:
                self.due = min(
                    min((each.due for each in self._watched.values()), default=math.inf),
                    min((due for due, _, _ in self._timers), default=math.inf),
                    time.monotonic() + CHECK_INTERVAL if self._deferred else math.inf,
                )

    def _due_now(self) -> list[WatchedObject]:
        now = time.monotonic()
        with self._lock:
            ready = [each for each in self._watched.values() if each.due <= now]
            for watched in ready:
                watched.due = now + CHECK_INTERVAL
                if watched.waiters or watched.until >= now:
                    continue
                # In this order: who joins meanwhile either is seen here, or sees that it is gone.
                watched.listed = False
                if watched.waiters:
                    watched.listed = True
                else:
                    del self._watched[watched.keys.data, watched.reap.name]
        return [each for each in ready if each.waiters or each.until >= now]

    def _run_timers(self) -> None:
        now = time.monotonic()
        with self._lock:
            errands, self._timers = self._timers, []
        for due, seconds, action in errands:
            try:
                again = due > now or action()
            except MultihostError as error:
                logger.debug("at %s, later: %s", self.link.address, error)
                again = True
            if again:
                later = due if due > now else time.monotonic() + seconds
                with self._lock:
                    self._timers.append((later, seconds, action))

    def _run_deferred(self) -> None:
        with self._lock:
            chores, self._deferred = self._deferred, []
        for until, once, action in chores:
            done = False
            try:
                action()
                done = once
            except MultihostError as error:
                logger.debug("at %s, later: %s", self.link.address, error)
            if not done and time.monotonic() < until:
                with self._lock:
                    self._deferred.append((until, once, action))

    def _check(self, watched: WatchedObject) -> None:
        watched.checks += 1
        prune = watched.checks % PRUNE == 1
        found = watched.reap.run_idempotent(watched, watched.previous, b"%d" % prune)
        if found is None:  # there is no such object any more
            for action in list(watched.on_deleted):
                action()
            return
        waiters, watched.previous, *packed = found
        notes = dict(zip(packed[0::2], packed[1::2], strict=True))
        gone = self._suspect_lost(notes)
        if prune:  # else the dead are among the waiters: those who live must not look less for them
            watched.live_waiters = len(notes) - len(gone)
        share = SHARE * min(waiters, watched.live_waiters)
        watched.due = time.monotonic() + max(CHECK_INTERVAL, share) * (0.9 + random.random() / 5)
        for sid, note in gone.items():
            key = b"%b:%b" % (watched.keys.sessions, sid)
            left = _suspect.run_readonly(self.link, [key], note, b"%d" % (GRACE * 1000))
            if left is not None:
                due = time.monotonic() + left / 1000 + 0.01
                watched.due = min(watched.due, due)
                watched.until = max(
                    watched.until, due + CHECK_INTERVAL
                )  # also if nobody waits any more
                watched.checks = 0  # it may be one of those who wait, too

    def _suspect_lost(self, holders: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Those whose connection this server had and has no more."""
        here = self._registration.server
        connections = {
            sid: note.connection
            for sid, packed in holders.items()
            if sid != self._registration.sid
            and (note := SessionInfo.unpack(packed)).connection
            and note.server == here
        }
        if not connections or not self._may_list:
            return {}
        try:
            listed = self.link.execute_raw(b"CLIENT", b"LIST", b"ID", *set(connections.values()))
        except ReplyError:
            self._may_list = False  # then leases decide alone
            return {}
        present = set(_CLIENT.findall(listed))
        return {sid: holders[sid] for sid, c in connections.items() if c not in present}
