"""The background thread of a session.

It keeps alive what the process has on the server, and does what has to be done when no call is
under way: heartbeats of the session, renewals of unnamed objects, releases of collected proxies,
the checks of the janitor, and deferred actions. It waits on a pipe, so that other threads can wake
it, and on its connection: the server takes the end of that for the end of the process, so the
thread connects again before anyone notices. It also waits for the end of other processes of this
host, which it can see (:mod:`multihost.wire.session.siblings`).

The thread ends before a fork and goes on after it: a process that forks while it has threads is
warned by Python.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.wire.link import Patience
from multihost.wire.session import fork
from multihost.wire.session.logs import log
from multihost.wire.session.wakeup import WakeupPipe
from multihost.wire.stored import report_damage

if TYPE_CHECKING:
    from multihost.wire.link import PinnedConnection
    from multihost.wire.session.session import Session

__all__ = ["Heartbeat"]

logger: logging.Logger = logging.getLogger(__name__)

RETRY = (0.05, 0.5)  # first and longest pause before a failed heartbeat is sent again, in seconds
PATIENCE = 0.25  # seconds for which one action looks for a lost server: others have their turn
BEATS_PER_LEASE = 3
PARK_SECONDS = 0.1  # for which a fork waits for the thread, which may wait for the server


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
        self._outage = False  # logged, and the server was not reached since
        self._parking = threading.Event()  # the thread is to end, and to go on after a fork
        self._is_parked = False
        self._connection: PinnedConnection | None = None  # of the thread, while it is parked
        # When the thread has something to do, by the monotonic clock; 0.0 for at once.
        self._renewal = math.inf  # none before the thread is started
        self._beat = math.inf  # none before the first registration
        self._retry, self._pause = 0.0, RETRY[0]

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
            if self._session.link.current_channel() is not None:
                self._connection = self._session.link.checkout()
            self._is_parked = True
            self._thread = None
        return True

    def _turn(self) -> None:
        """Wait until something is due, and do it."""
        session, link = self._session, self._session.link
        references, janitor = session.references, session.janitor
        registration = session.registration
        due = min(self._renewal, self._beat, janitor.due, references.due)
        if registration.is_requested:
            due = 0.0  # whoever waits for it has a pause of its own between two requests
        elif registration.is_behind:
            due = min(due, self._retry)
        connection = registration.fileno
        watched = frozenset({connection, *session.siblings.fds, *session.ring.siblings.fds} - {-1})
        ready = self._wakeup.wait(due - time.monotonic(), watched)
        if self._stopping or self._parking.is_set():
            return
        if references.has_collected:
            self._try(references.release_collected)
        for _ in range(len(self._actions)):  # not those that these add: others have their turn
            self._try(self._actions.popleft())
        if connection in ready:
            link.disconnect_current()  # what is sent next connects again
        if ready - {connection}:
            self._try(session.ring.bury_ended)
            session.siblings.forget_ended()
            janitor.look_now()
        interval = session.lease / BEATS_PER_LEASE
        now = time.monotonic()
        if (
            now >= self._beat
            or registration.is_requested
            or (registration.is_behind and now >= self._retry)
        ):
            if self._try(self._send):
                self._pause, self._retry = RETRY[0], 0.0
                self._beat = time.monotonic() + interval
                self._try(session.ring.stand)
            else:
                if registration.is_unsettled:
                    registration.let_pass()
                self._beat = self._retry = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, RETRY[1])
        self._try(janitor.run)
        self._renew_objects(interval)

    def _renew_objects(self, interval: float) -> None:
        """Renew unnamed objects, if it is time, and collect those that nobody refers to."""
        references = self._session.references
        if time.monotonic() >= self._renewal:
            self._renewal = time.monotonic() + interval
            self._try(self._renew)
            self._try(self._session.collector.take_turn)
        elif time.monotonic() >= references.fetched_due and not self._try(references.renew_fetched):
            references.fetched_due = time.monotonic() + self._pause

    def _send(self) -> None:
        """Send a heartbeat, and give up what the session held where it had lapsed."""
        session = self._session
        lapsed = session.registration.heartbeat()
        self._end_outage()
        lost = sum(
            hold.lapse()
            for hold in list(session.holds.values())
            if hold.handle.keys.prefix in lapsed
        )
        if session.registration.is_unsettled:
            session.settling.settle(lost)
        if lapsed:  # those who wait did so under a name that is used no more
            session.link.interrupt_blocked()

    def _renew(self) -> None:
        self._session.forget_unused()
        if self._session.references.renew():
            self._end_outage()

    def _try(self, action: Callable[[], object]) -> bool:
        """Return whether the action succeeded; log the first failure of an outage.

        A success does not end an outage by itself: not every action needs the server each time.
        """
        link = self._session.link
        try:
            with Patience(link, PATIENCE, replies=False):
                action()
        except (BadPayload, InternalError) as error:  # of one object, which somebody has altered
            report_damage(f"at {link.address}", str(error))
            return False
        except MultihostError as error:
            if not link.is_closed and not self._outage:
                # A private server ends with its owner, which does not ask those that it started.
                level = logging.INFO if link.address.is_embedded else logging.WARNING
                self._outage = True
                if link.is_lost:
                    link.interrupt_blocked()  # they would not hear of a server that fell silent
                log(logger, level, "leases at %s are not renewed: %s", link.address, error)
            return False
        except BaseException as error:  # noqa: BLE001 - whatever it is
            # Not expected. The other actions go on: the process is declared dead without this
            # thread.
            log(logger, logging.ERROR, "%r failed, at %s", action, link.address, exc_info=error)
            return False
        return True

    def _end_outage(self) -> None:
        if self._outage:
            self._outage = False
            log(logger, logging.INFO, "leases at %s are renewed again", self._session.link.address)
