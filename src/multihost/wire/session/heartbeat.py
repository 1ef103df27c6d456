"""The background thread of a session.

It keeps alive what the process has on the server, and does what has to be done when no call is
under way: heartbeats of the session, renewals of unnamed objects, releases of collected proxies,
the checks of the janitor, and deferred actions. It waits on a pipe, so that other threads can wake
it, and on its connections: a server takes the end of that for the end of the process, so the
thread connects again before anyone notices. It also waits for the end of other processes of this
host, which it can see (:mod:`multihost.wire.session.siblings`).

Of several servers each gets its own heartbeats: one that is away is asked again and again, and the
others do not wait for it.

The thread ends before a fork and goes on after it: a process that forks while it has threads is
warned by Python.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.wire.link import SHORTEST, Patience
from multihost.wire.session import fork
from multihost.wire.session.logs import log
from multihost.wire.session.wakeup import WakeupPipe
from multihost.wire.stored import report_damage

if TYPE_CHECKING:
    from multihost.wire.link import PinnedConnection
    from multihost.wire.session.presence import Presence
    from multihost.wire.session.session import Session

__all__ = ["Heartbeat"]

logger: logging.Logger = logging.getLogger(__name__)

RETRY = (0.05, 0.5)  # first and longest pause before a failed heartbeat is sent again, in seconds
PATIENCE = 0.25  # seconds for which one action looks for a lost server: others have their turn
BEATS_PER_LEASE = 3
PARK_SECONDS = 0.1  # for which a fork waits for the thread, which may wait for the server


class _Schedule:
    """When a server gets its next heartbeat, by the monotonic clock."""

    __slots__ = ("beat", "pause", "retry")

    def __init__(self) -> None:
        self.beat: float = math.inf  # none before the first registration
        self.retry, self.pause = 0.0, RETRY[0]  # 0.0 for at once

    def due(self, is_behind: bool) -> float:
        """Return when that is; if the session is behind there as soon as it may try again."""
        return min(self.beat, self.retry) if is_behind else self.beat

    def succeeded(self, interval: float) -> None:
        self.retry, self.pause = 0.0, RETRY[0]
        self.beat = time.monotonic() + interval

    def failed(self) -> None:
        self.beat = self.retry = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, RETRY[1])


class Heartbeat:
    """Owns a thread from the first moment that there is something to keep alive."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wakeup = WakeupPipe()
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._actions: deque[Callable[[], object]] = deque()
        # Where an outage is that was logged: of a server that gets heartbeats, or None.
        self._outages: set[Presence | None] = set()
        self._parking = threading.Event()  # the thread is to end, and to go on after a fork
        self._is_parked = False
        self._connection: PinnedConnection | None = None  # of the thread, while it is parked
        self._renewal = math.inf  # when it is due; not before the thread is started
        self._schedules: dict[Presence, _Schedule] = {}

    # any thread

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread is None:
            self._start_once()

    def _start_once(self) -> None:
        with self._lock:
            over = self._stopping or self._session.link.is_closed
            if self._thread is None and not over:
                thread = threading.Thread(target=self._serve, name="multihost-session", daemon=True)
                if not self._is_parked:
                    self._renewal = time.monotonic() + self._session.lease / BEATS_PER_LEASE
                self._is_parked = False
                thread.start()
                # Now it can be joined. stop() may have missed it, but it does not miss that.
                self._thread = thread

    def wake(self) -> None:
        """Have the thread check what is due. Finalizers and signal handlers may call this."""
        self._wakeup.wake()

    def call_soon(self, action: Callable[[], object]) -> None:
        """Have the thread call ``action`` as soon as it can. Finalizers may call this."""
        self._actions.append(action)
        self._wakeup.wake()

    def stop(self) -> None:
        """End the thread, after what it is doing now; nothing can be started afterwards."""
        self._stopping = True
        self._wakeup.wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._thread = None
        self._wakeup.close()

    # forking

    def park(self, seconds: float = PARK_SECONDS) -> None:
        """End the thread until the fork is over, unless it is busy for so long. The caller holds no
        lock that the thread takes.
        """
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self._parking.set()
        self._wakeup.wake()
        fork.join(thread, seconds)
        self._parking.clear()

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Let the thread go on."""
        self._lock.release()
        if self._is_parked:
            fork.start_after_fork(self.start)

    def after_fork_in_child(self) -> None:
        """Start again with another pipe: the thread and its actions stay with the parent."""
        started = self._thread is not None or self._is_parked
        self._wakeup.close()
        self._wakeup = WakeupPipe()
        self._reset()
        if started:
            fork.start_after_fork(self.start)

    # the thread

    def _serve(self) -> None:
        with self._lock:
            thread = threading.current_thread()
            if self._thread is None:  # a signal handler has raised in who started it
                self._thread = thread
            if self._thread is not thread:
                return
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            # Nothing is kept alive from now on: let all that wait, and all that come, know it.
            text, address = "the session at %s ends", self._session.link.address
            log(logger, logging.ERROR, text, address, exc_info=error)
            self._session.close_now()

    def _run(self) -> None:
        link = self._session.link
        link.confirm_nothing()
        connection, self._connection = self._connection, None
        if connection is not None:
            link.checkin(connection)
        while not (self._stopping or link.is_closed or self._park()):
            self._turn()

    def _park(self) -> bool:
        """Return whether the thread is to end here and now, for the time of a fork."""
        if not self._parking.is_set():
            return False
        with self._lock:
            # Who forks may not have wanted to wait any longer, and has had the lock meanwhile.
            if not self._parking.is_set():
                return False
            self._connection = self._session.link.checkout()
            self._is_parked = True
            self._thread = None
        return True

    def _turn(self) -> None:
        """Wait until something is due, and do it."""
        session = self._session
        references, janitor = session.references, session.janitor
        due = min(self._renewal, self._next_beat(), janitor.due, references.due)
        connections = {presence.fileno: presence for presence in self._schedules}
        siblings = {*session.siblings.fds, *session.ring.siblings.fds}
        watched = frozenset({*connections, *siblings} - {-1})
        ready = self._wakeup.wait(due - time.monotonic(), watched)
        if self._stopping or self._parking.is_set():
            return
        if references.has_collected:
            self._try(references.release_collected)
        for _ in range(len(self._actions)):  # not those that these add: others have their turn
            self._try(self._actions.popleft())
        for fileno in ready & connections.keys():
            connections[fileno].link.disconnect_current()  # what is sent next connects again
        if ready - connections.keys():
            self._try(session.ring.bury_ended)
            session.siblings.forget_ended()
            janitor.look_now()
        interval = session.lease / BEATS_PER_LEASE
        self._next_beat()  # others may have asked for a record
        for presence, schedule in self._schedules.items():
            if time.monotonic() >= self._due(presence, schedule):
                self._beat(presence, schedule, interval)
        self._try(janitor.run)
        self._renew_objects(interval)

    def _next_beat(self) -> float:
        """Return when a server gets a heartbeat. No round trip."""
        at_work = self._session.registration.at_work()
        self._schedules = {each: self._schedules.get(each) or _Schedule() for each in at_work}
        return min(itertools.starmap(self._due, self._schedules.items()), default=math.inf)

    def _due(self, presence: Presence, schedule: _Schedule) -> float:
        registration = self._session.registration
        if registration.is_requested(presence):
            return 0.0  # whoever waits for it has a pause of its own between two requests
        return schedule.due(registration.is_behind(presence))

    def _beat(self, presence: Presence, schedule: _Schedule, interval: float) -> None:
        """Send a heartbeat to a server."""
        ring = self._session.ring
        presence.is_away = not self._try(partial(self._send, presence), presence)
        if not presence.is_away:
            schedule.succeeded(interval)
            if ring.is_at(presence):
                self._try(ring.stand)
        else:
            if presence.is_unsettled:
                presence.let_pass()
            schedule.failed()

    def _renew_objects(self, interval: float) -> None:
        """Renew unnamed objects, if it is time, and collect those that nobody refers to."""
        references = self._session.references
        if time.monotonic() >= self._renewal:
            self._renewal = time.monotonic() + interval
            self._try(self._renew)
            self._try(self._session.collector.take_turn)
        elif time.monotonic() >= references.fetched_due and not self._try(references.renew_fetched):
            references.fetched_due = time.monotonic() + RETRY[1]

    def _send(self, presence: Presence) -> None:
        """Send a heartbeat, and give up what the session held where it had lapsed."""
        session = self._session
        lapsed = session.registration.heartbeat(presence)
        self._end_outage(presence)
        lost = sum(
            hold.lapse()
            for hold in list(session.holds.values())
            if hold.handle.keys.prefix in lapsed
        )
        if presence.is_unsettled:
            session.settling.settle(presence, lost)
        for lane in {session.link.lane(prefix) for prefix in lapsed}:
            lane.interrupt_blocked()  # who waits does so under a name that is used no more

    def _renew(self) -> None:
        self._session.forget_unused()
        if self._session.references.renew():
            self._end_outage(None)

    def _try(self, action: Callable[[], object], presence: Presence | None = None) -> bool:
        """Return whether the action, which may be for one server, succeeded; log the first failure
        of an outage.

        A success does not end an outage by itself: not every action needs the server each time.
        """
        link = self._session.link if presence is None else presence.link
        # One of several servers may be silent: the others have their turn all the same.
        is_one_of_several = presence is not None and presence.node is not None
        attempt = SHORTEST
        if is_one_of_several:
            share = self._session.lease / BEATS_PER_LEASE / (1 + len(self._schedules))
            attempt = max(share, SHORTEST)
        try:
            with Patience(link, PATIENCE, replies=is_one_of_several, attempt=attempt):
                action()
        except (BadPayload, InternalError) as error:  # of one object, which somebody has altered
            report_damage(f"at {link.address}", str(error))
            return False
        except MultihostError as error:
            if not link.is_closed and presence not in self._outages:
                # A private server ends with its owner, which does not ask those that it started.
                level = logging.INFO if link.address.is_embedded else logging.WARNING
                is_first = not self._outages
                self._outages.add(presence)
                if link.is_lost:
                    link.interrupt_blocked()  # they would not hear of a server that fell silent
                if is_first:
                    log(logger, level, "leases at %s are not renewed: %s", link.address, error)
            return False
        except BaseException as error:  # noqa: BLE001 - whatever it is
            # Not expected. The other actions go on: the process is declared dead without this
            # thread.
            log(logger, logging.ERROR, "%r failed, at %s", action, link.address, exc_info=error)
            return False
        return True

    def _end_outage(self, presence: Presence | None) -> None:
        """A server was reached; with it goes what had no server, and what is not used any more."""
        before = bool(self._outages)
        self._outages &= self._schedules.keys() - {presence}
        if before and not self._outages:
            log(logger, logging.INFO, "leases at %s are renewed again", self._session.link.address)
