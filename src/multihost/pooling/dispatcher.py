"""The futures of an executor, and which of their tasks are sent.

Few tasks are sent ahead, since one that is not sent can be cancelled without a round trip. One that
is sent can be, too, until a worker receives it: the server is asked.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from concurrent.futures.process import _RemoteTraceback
from multiprocessing import util
from typing import Any, NamedTuple, TypeVar

from multihost.errors import LinkLost, MultihostError
from multihost.pooling import stdlib
from multihost.pooling.at_exit import check_not_exiting
from multihost.pooling.interruptible import InterruptibleCondition
from multihost.pooling.messages import pickling_error
from multihost.pooling.shared_pool import SharedPool

__all__ = ["Dispatcher", "PoolFuture"]

logger: logging.Logger = logging.getLogger("concurrent.futures")  # as there

T = TypeVar("T")

SENT_PER_WORKER = 4  # tasks
COUNT_TTL = 1.0  # seconds for which the number of workers on all hosts is cached


class PoolFuture(Future[T]):
    """A future that is pending until a worker has begun its task.

    ``cancel()`` and ``running()`` take a round trip if the task was sent, and it is not known yet
    that a worker has begun it.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._condition: Any = InterruptibleCondition()
        self._dispatcher: Dispatcher | None = dispatcher  # None once it is done
        self._is_begun = False

    def cancel(self) -> bool:
        """Cancel the task unless a worker has begun it; return whether it is cancelled."""
        dispatcher = self._dispatcher
        return (dispatcher is not None and dispatcher.cancel(self)) or self.cancelled()

    def running(self) -> bool:
        """Return True if a worker has begun the task, and it is not done."""
        dispatcher = self._dispatcher
        if dispatcher is not None and not self._is_begun:
            dispatcher.look_for(self)
        return super().running()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn(self)`` when it is done. In a thread of the pool what it raises is logged, also
        what ends a program: others wait there.
        """
        super().add_done_callback(functools.partial(_call_back, fn))

    # for the dispatcher

    def begin(self) -> None:
        """Set it running; a second call has no effect."""
        if not self._is_begun:
            self._is_begun = True
            self.set_running_or_notify_cancel()

    def finish(self, outcome: Outcome) -> None:
        """Set its result."""
        self.begin()
        self._dispatcher = None
        if outcome.ok:
            self.set_result(outcome.value)
        else:
            self.set_exception(outcome.value)

    def finish_withdrawn(self) -> None:
        """Set it cancelled, and tell those who wait for it."""
        self._dispatcher = None
        super().cancel()
        self.set_running_or_notify_cancel()


class Outcome(NamedTuple):
    """The result of a task: a value, or an exception."""

    ok: bool
    value: Any


class _Call(NamedTuple):
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Dispatcher:
    """Sends the tasks of an executor to its pool, a few for each worker.

    No callback of a user is called while the lock is held.
    """

    def __init__(self, pool: SharedPool) -> None:
        self._pool = pool
        self._is_closed = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._pending: OrderedDict[PoolFuture[Any], _Call] = OrderedDict()  # not sent yet
        self._sent: dict[PoolFuture[Any], int | None] = {}  # and the job, once that is known
        self._unsent: list[tuple[PoolFuture[Any], Outcome]] = []  # could not be: to be finished
        self._is_filling = False
        self._worker_count = 0, 0.0  # of workers, and the end of the time for which it is cached

    @property
    def is_closed(self) -> bool:
        """True if no more tasks are accepted."""
        return self._is_closed

    def add(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> PoolFuture[T]:
        """Accept a task, and return its future. Raises RuntimeError if none is accepted."""
        future: PoolFuture[T] = PoolFuture(self)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            check_not_exiting()
            self._pool.check_running()
            self._pending[future] = _Call(fn, args, kwargs)
        self._go_on()
        return future

    def close(self, *, cancel: bool = False) -> None:
        """Accept no more tasks, and ``cancel`` those that no worker has begun."""
        with self._lock:
            self._is_closed = True
            taken = filter(self._take_back, [*self._pending, *self._sent]) if cancel else ()
            withdrawn = list(taken)
        for future in withdrawn:
            future.finish_withdrawn()
        self._close_if_done()

    def join(self) -> None:
        """Wait until all tasks are done, and the pool has ended."""
        with self._lock:
            pending = list(self._pending)
        wait(pending)
        self._pool.close()
        self._pool.join()

    def after_fork_in_child(self) -> None:
        """Forget the tasks, which are the parent's. The pool becomes another client when it is
        used.
        """
        self._reset()

    # what futures ask for

    def cancel(self, future: PoolFuture[Any]) -> bool:
        """Cancel a task unless a worker has begun it; return whether that was done. At most 1 round
        trip.
        """
        with self._lock:
            is_taken = self._take_back(future)
        if is_taken:
            future.finish_withdrawn()
            self._go_on()
        return is_taken

    def look_for(self, future: PoolFuture[Any]) -> None:
        """Set a future running if a worker has begun its task. At most 1 round trip."""
        with self._lock:
            if future in self._sent and not self._waits(future, take=False):
                future.begin()

    def _take_back(self, future: PoolFuture[Any]) -> bool:
        if self._pending.pop(future, None) is not None:
            return True
        if not self._waits(future, take=True):
            return False
        del self._sent[future]
        return True

    def _waits(self, future: PoolFuture[Any], *, take: bool) -> bool:
        """Return True for a task that was sent and not begun. The caller has the lock."""
        job = self._sent.get(future)
        if job is None:
            return False
        try:
            return self._pool.waits(job, take=take)
        except MultihostError as error:  # it will be the result, too
            util.debug("cannot find out whether a task has begun: %s", error)
            return not take

    # sending

    def _go_on(self) -> None:
        """Send as many tasks as the workers will soon run, and finish those that cannot be sent."""
        unsent: list[tuple[PoolFuture[Any], Outcome]] = []
        try:
            with self._lock:
                try:
                    self._is_filling = True
                    self._fill()
                finally:
                    self._is_filling = False
                    unsent, self._unsent = self._unsent, []
        finally:
            with contextlib.ExitStack() as stack:  # all of them, also if a callback raises
                stack.callback(self._close_if_done)
                for future, outcome in unsent:
                    stack.callback(future.finish, outcome)

    def _fill(self) -> None:
        """Send tasks. The caller has the lock."""
        while self._pending and self._has_room():
            future = next(iter(self._pending))
            try:
                self._sent[future] = None
                job = self._send(future, self._pending.pop(future))
                if future in self._sent:
                    self._sent[future] = job
            except BaseException:
                if self._pending.pop(future, None) is not None:
                    self._sent[future] = None
                lost = LinkLost("sending a task was interrupted: it may run or not")
                self._done(future, Outcome(False, lost))  # unless it is done already
                raise

    def _send(self, future: PoolFuture[Any], call: _Call) -> int:
        result = self._pool.send_task(
            *call,
            lambda value: self._done(future, Outcome(True, value)),
            lambda error: self._done(future, Outcome(False, _as_there(error))),
            batched=len(self._sent) > 1,
        )
        return stdlib.job_of(result)

    def _done(self, future: PoolFuture[Any], outcome: Outcome) -> None:
        """Finish a task. Called while it is being sent, if that fails."""
        with self._lock:
            if future not in self._sent:
                return
            del self._sent[future]
            if self._is_filling:
                self._unsent.append((future, outcome))
                return
        try:
            future.finish(outcome)
        finally:
            self._go_on()

    def _has_room(self) -> bool:
        """Return True if the next task is to be sent now. Fails all tasks if the pool is gone."""
        number, until = self._worker_count
        now = time.monotonic()
        if now >= until:
            try:
                number = self._pool.worker_count()
            except MultihostError as error:
                self._unsent += [(future, Outcome(False, error)) for future in self._pending]
                self._pending.clear()
                return False
            self._worker_count = number, now + COUNT_TTL
        return len(self._sent) < SENT_PER_WORKER * number

    def _close_if_done(self) -> None:
        with self._lock:
            is_done = self._is_closed and not self._pending and not self._sent
        if is_done:
            self._pool.close()


def _call_back(fn: Callable[[Future[T]], object], future: Future[T]) -> None:
    try:
        fn(future)
    except BaseException as error:
        if isinstance(error, Exception) or stdlib.is_for_caller(error):
            raise
        logger.exception("exception calling callback for %r", future)


def _as_there(error: BaseException) -> BaseException:
    """Return an exception as concurrent.futures has it: what the pickler raised, instead of
    MaybeEncodingError, and the cause in its own class.
    """
    error = pickling_error(error)
    cause = error.__cause__
    if isinstance(cause, stdlib.RemoteTraceback):
        error.__cause__ = _RemoteTraceback(cause.tb)
    return error
