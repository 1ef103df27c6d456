"""Finding dead processes for those who wait, and work that has to be repeated.

A waiter checks the object that it waits for: the background thread of a waiting process runs the
reap script of the object about three times a second. That releases what dead sessions held, those
without a record, replaces wake-up tokens that were lost, and returns sessions that hold something
or wait. Which of them are dead is judged by evidence (:mod:`multihost.wire.session.verdicts`):
their records are removed, and the next check finds that.

Of the processes that wait for the same object one looks, and the others ask now and then whether it
does; if it does not, who asks takes over. So this costs the server the same however many wait: a
look reads a few hundred sessions at most, others each time, and the more there are the more rarely
each of them asks. Whoever sees somebody die looks at once.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.wire.identity import sid_of
from multihost.wire.keys import REPLY_CACHE_SECONDS, Keys
from multihost.wire.link import Link
from multihost.wire.replies import altered
from multihost.wire.script import CommandPrefix, Script
from multihost.wire.session.logs import log
from multihost.wire.session.nodes import for_each_node
from multihost.wire.session.presence import Presence
from multihost.wire.session.record import SessionRecord
from multihost.wire.session.registration import SessionRegistration
from multihost.wire.session.siblings import Siblings
from multihost.wire.session.verdicts import LOOK_INTERVAL, Evidence, Verdicts, bury
from multihost.wire.stored import report_damage

__all__ = ["Janitor", "WatchedObject"]

logger: logging.Logger = logging.getLogger(__name__)

# Not the generator of the program, which may have been seeded and would then not be reproducible;
# forked processes would also draw the same numbers, and check at the same moments.
_random = random.SystemRandom().random

# Seconds between two questions whether another process looks, for each that waits, and at most.
SHARE, MOST = 0.1, 20.0
PRUNE = 8  # one of so many checks is for dead waiters, too
LINGER = 3.0  # seconds for which an object is watched that no thread waits for
# Seconds after which no request of a broken connection can arrive.
LATE_REQUEST_WINDOW = REPLY_CACHE_SECONDS


class WatchedObject:
    """An object that threads of this process wait for. A target of scripts."""

    __slots__ = (
        "checks",
        "command_prefixes",
        "due",
        "is_urgent",
        "janitor",
        "keys",
        "link",
        "listed",
        "on_deleted",
        "previous",
        "reap",
        "until",
        "waiters",
    )

    def __init__(self, janitor: Janitor, keys: Keys, reap: Script) -> None:
        self.janitor: Janitor = janitor
        self.link: Link = janitor.link.lane(keys.prefix)
        self.keys: Keys = keys
        self.command_prefixes: dict[tuple[Script, int], CommandPrefix] = {}
        self.reap: Script = reap
        self.waiters: set[int] = set()  # idents of threads
        self.listed: bool = True  # the janitor has it: whoever joins the waiters is served
        self.until: float = 0.0  # watched until then, also without waiters
        self.previous: bytes = b""  # what the last check found
        self.checks: int = 0
        self.is_urgent: bool = False  # somebody has died: looked at whoever else looks, and at all
        self.on_deleted: set[Callable[[], object]] = set()  # called when a check finds no object
        self.due: float = time.monotonic() + LOOK_INTERVAL * _random()


class _Timer(NamedTuple):
    """An action that is repeated while it returns True."""

    due: float
    seconds: float
    action: Callable[[], bool]


class _Deferred(NamedTuple):
    """An action that is repeated until it succeeds, or, if not ``once``, until time is up."""

    until: float
    once: bool
    action: Callable[[], object]


class Janitor:
    """What the background thread of a session watches and repeats.

    ``wake`` ends the wait of that thread.
    """

    def __init__(
        self,
        link: Link,
        registration: SessionRegistration,
        siblings: Siblings,
        is_vouched: Callable[[bytes, bytes], bool],
        wake: Callable[[], None],
    ) -> None:
        self.link = link
        self._registration = registration
        self._wake_thread = wake
        self._lock = threading.Lock()
        self._watched: dict[tuple[bytes, str], WatchedObject] = {}
        self._deferred: list[_Deferred] = []
        self._timers: list[_Timer] = []
        self._siblings = siblings
        self._is_vouched = is_vouched
        self._verdicts: dict[Presence, Verdicts] = {}  # of each server
        self.due: float = math.inf  # when run() has something to do, by the monotonic clock

    # any thread

    def watched(self, keys: Keys, reap: Script) -> WatchedObject:
        """Return an object that is watched while there are threads in its ``waiters``; who joins
        them, and finds it not ``listed`` then, asks again.
        """
        with self._lock:
            return self._entry(keys, reap)

    def watch_briefly(self, keys: Keys, reap: Script, seconds: float = LINGER) -> None:
        """Watch an object for a while: a thread found it taken, and may try again without
        waiting.
        """
        with self._lock:
            watched = self._entry(keys, reap)
            watched.until = max(watched.until, time.monotonic() + seconds)

    def _entry(self, keys: Keys, reap: Script) -> WatchedObject:
        watched = self._watched.get((keys.data, reap.name))
        if watched is None:
            watched = self._watched[keys.data, reap.name] = WatchedObject(self, keys, reap)
            self._wake(watched.due)
        return watched

    def call_every(self, seconds: float, action: Callable[[], bool]) -> None:
        """Call ``action`` in so many seconds, and again after as many while it returns True."""
        with self._lock:
            due = time.monotonic() + seconds
            self._timers.append(_Timer(due, seconds, action))
            self._wake(due)

    def defer(self, action: Callable[[], object]) -> None:
        """Call ``action`` as soon as the server can be reached.

        It makes good for a request that may have been executed, and is given up when that could not
        arrive any more: what it is about has expired by then.
        """
        self._add(action, once=True)

    def repeat_until_settled(self, action: Callable[[], object]) -> None:
        """Call ``action`` again and again until no request can arrive of connections that broke:
        the server has closed them, or a minute is over.
        """
        self._add(action, once=False)

    def _add(self, action: Callable[[], object], once: bool) -> None:
        with self._lock:
            now = time.monotonic()
            self._deferred.append(_Deferred(now + LATE_REQUEST_WINDOW, once, action))
            self._wake(now)

    def _wake(self, due: float) -> None:
        if due < self.due:
            self.due = due
            self._wake_thread()

    def look_now(self) -> None:
        """Look at every object that is watched as soon as the background thread can: somebody has
        died.
        """
        now = time.monotonic()
        with self._lock:
            for watched in self._watched.values():
                watched.due, watched.is_urgent = min(watched.due, now), True
            if self._watched:
                self._wake(now)

    # the background thread

    def run(self) -> None:
        """Do what is due. 1 round trip for each object, and 2 or more where a session is suspect.

        Raises what a check raises, but not what is wrong with one object alone; the object is
        checked again at its next turn. The objects at other servers are checked all the same.
        """
        if time.monotonic() < self.due:
            return
        try:
            self._run_timers()
            self._run_deferred()
            is_away = self._registration.is_away
            for_each_node(self._due_now(), lambda each: each.link, self._check_one, is_away)
        finally:
            with self._lock:
                self.due = min(
                    min((each.due for each in self._watched.values()), default=math.inf),
                    min((timer.due for timer in self._timers), default=math.inf),
                    time.monotonic() + LOOK_INTERVAL if self._deferred else math.inf,
                )

    def _run_timers(self) -> None:
        now = time.monotonic()
        with self._lock:
            timers, self._timers = self._timers, []
        for timer in timers:
            if timer.due > now:
                pending = timer
            elif self._call_timer(timer):
                pending = timer._replace(due=time.monotonic() + timer.seconds)
            else:
                continue
            with self._lock:
                self._timers.append(pending)

    def _call_timer(self, timer: _Timer) -> bool:
        try:
            return timer.action()
        except MultihostError as error:
            log(logger, logging.DEBUG, "at %s, later: %s", self.link.address, error)
            return True
        except BaseException as error:  # noqa: BLE001 - not expected; the other timers go on
            self._log_failure(timer.action, error)
            return True

    def _run_deferred(self) -> None:
        with self._lock:
            deferred, self._deferred = self._deferred, []
        for each in deferred:
            done = False
            try:
                # In this order: nothing can arrive behind the action then.
                is_closed = not each.once and self.link.fence_broken()
                each.action()
                done = each.once or is_closed
            except MultihostError as error:
                log(logger, logging.DEBUG, "at %s, later: %s", self.link.address, error)
            except BaseException as error:  # noqa: BLE001 - not expected; the other actions go on
                self._log_failure(each.action, error)
            if not done and time.monotonic() < each.until:
                with self._lock:
                    self._deferred.append(each)

    def _due_now(self) -> list[WatchedObject]:
        """Return the objects to check now; forget those that no thread waits for any more."""
        now = time.monotonic()
        with self._lock:
            due = [each for each in self._watched.values() if each.due <= now]
            for watched in due:
                watched.due = now + LOOK_INTERVAL
                if watched.waiters or watched.until >= now:
                    continue
                # Threads join the waiters without the lock, and then read ``listed``, see
                # wait.start_watching. In this order: whoever joins meanwhile is either seen by the
                # second look at the waiters, or sees that the object is not listed.
                watched.listed = False
                if watched.waiters:
                    watched.listed = True
                else:
                    del self._watched[watched.keys.data, watched.reap.name]
        return [each for each in due if each.waiters or each.until >= now]

    def _check_one(self, watched: WatchedObject) -> None:
        try:
            self._check(watched)
        except (BadPayload, InternalError) as error:  # of that object; others go on
            report_damage(f"at {self.link.address}", str(error))

    def _verdicts_at(self, presence: Presence) -> Verdicts:
        """Return what this session has seen of others at a server."""
        found = self._verdicts.get(presence)
        if found is None:
            self._verdicts = {
                p: v for p, v in self._verdicts.items() if p.link.node != presence.node
            }
            found = self._verdicts[presence] = Verdicts(
                presence.link,
                self._siblings,
                self._is_vouched,
                lambda: [link for link in self.link.masters() if link.node != presence.node],
            )
        return found

    def _check(self, watched: WatchedObject) -> None:
        presence = self._registration.presence_of(watched.keys.prefix)
        verdicts = self._verdicts_at(presence)
        prune = watched.checks % PRUNE == 0
        looker = b"" if watched.is_urgent else self._registration.sid
        sent = time.monotonic()
        found = watched.reap.run_idempotent(watched, watched.previous, b"%d" % prune, looker)
        if found is None:  # there is no such object any more
            for action in list(watched.on_deleted):
                action()
            return
        if type(found) is int:  # another process looks
            verdicts.note_answer(sent)
            self._put_off(watched, min(SHARE * found, MOST))
            return
        watched.checks, watched.is_urgent = watched.checks + 1, False
        if not _is_look(found):
            raise altered(watched.reap.name, watched.keys.ident, "the number of its waiters")
        _, watched.previous, *packed = found
        self._put_off(watched, LOOK_INTERVAL)
        records: dict[bytes, SessionRecord] = {}
        for name, fields in zip(packed[0::2], packed[1::2], strict=True):
            record = SessionRecord.of(fields)
            if record is not None and sid_of(name) != self._registration.sid:
                records[b"%b:%b" % (watched.keys.sessions, name)] = record
        dead = verdicts.judge(records, sent, presence.run)
        for key, record in records.items():
            seconds = verdicts.missing(key)
            if seconds is not None:
                self._go_on(watched, record.grace - seconds)
            elif verdicts.is_quiet(key, record.lease):
                self._go_on(watched, 0.0)
        for key, evidence in dead.items():
            self._bury(watched, verdicts, key, records[key], evidence)

    def _put_off(self, watched: WatchedObject, seconds: float) -> None:
        watched.due = time.monotonic() + max(LOOK_INTERVAL, seconds) * (0.9 + _random() / 5)

    def _go_on(self, watched: WatchedObject, seconds: float) -> None:
        """Look again, often and at least for so long, also if no thread waits meanwhile: somebody
        may have died.
        """
        now = time.monotonic()
        watched.due = min(watched.due, now + LOOK_INTERVAL)
        watched.until = max(watched.until, now + max(seconds, 0.0) + 4 * LOOK_INTERVAL)

    def _bury(
        self,
        watched: WatchedObject,
        verdicts: Verdicts,
        key: bytes,
        record: SessionRecord,
        evidence: Evidence,
    ) -> None:
        """Remove the record of a dead session, and look at once at what it may have held."""
        if evidence is Evidence.ENDED:  # whatever it sent: nobody else has its name
            removed = watched.link.execute(b"DEL", key)
        else:
            [command] = bury.commands(watched.link, [((key,), (b"%d" % record.beats,))])
            removed = verdicts.carry_out(command)
        if removed == 1:
            text = "at %s, session %r of process %d at %s is taken for dead: %s"
            log(
                logger,
                logging.INFO,
                text,
                self.link.address,
                key.rpartition(b":")[2].decode(),
                record.pid,
                record.hostname,
                evidence.value,
            )
            watched.checks = 0  # the next check prunes: the session may be that of a waiter, too
            self._go_on(watched, 0.0)
            self.look_now()

    def _log_failure(self, action: Callable[[], object], error: BaseException) -> None:
        text, address = "%r failed, at %s", self.link.address
        log(logger, logging.ERROR, text, action, address, exc_info=error)


def _is_look(reply: object) -> bool:
    """Return whether a reply is that of a script that reaps: the number of waiters, what to look at
    next time, and the sessions with their records.
    """
    return (
        isinstance(reply, list)
        and len(reply) >= 2
        and not len(reply) % 2
        and type(reply[0]) is int
        and {*map(type, reply[2::2])} <= {bytes}
    )
