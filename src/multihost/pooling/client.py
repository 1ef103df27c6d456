"""One client of a pool: it sends tasks and receives their results."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import util
from typing import Any

from multihost.errors import (
    BadPayload,
    LinkError,
    LinkLost,
    ManagerClosed,
    MultihostError,
    ObjectGone,
)
from multihost.pooling import stdlib
from multihost.pooling.messages import Part, Result, Task, forgotten
from multihost.pooling.outbox import Number, Outbox
from multihost.pooling.reference import PoolReference
from multihost.proxies.base import Token
from multihost.proxies.queue import SimpleQueueProxy
from multihost.wire.identity import label
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import LEAST_LIMIT, TaskTrailer
from multihost.wire.ops.queue import send
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.ops.queue.receive import receive
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.stored import report_damage
from multihost.wire.values.codec import Codec
from multihost.wire.values.signing import Purpose

__all__ = ["Client", "chunks_for"]

BATCH = 256  # results that are received together


class Client:
    """A client of a pool. A task has the number (job, index): ``cache`` has the results by job."""

    def __init__(
        self,
        reference: PoolReference,
        cache: dict[int, Any],
        pickler: str,
        attempts: int,
        on_idle: Callable[[], object],
    ) -> None:
        session = reference.session
        self.handle: Handle = reference.handle()
        self._task_codec: Codec = ops.codec_of(self.handle, Purpose.TASK)
        self._result_codec: Codec = ops.codec_of(self.handle, Purpose.RESULT)
        self.cache = cache
        self.pickler = pickler
        self.attempts = attempts
        self.failure: BaseException | None = None  # why no more results can arrive
        self._results = ops.create_results(self.handle)
        ident = self._results.keys.ident
        session.references.add_created(self._results.keys)
        # The proxy renews the queue of results, which expires when this process is killed.
        self._keep_alive: SimpleQueueProxy[Any] = SimpleQueueProxy(
            self._results, Token("SimpleQueue", ident, "0 0", session.origin)
        )
        self.ident: str = ident[2:]
        self.outbox: Outbox = Outbox(self._on_idle)
        self._notify_idle = on_idle
        self._parts: dict[Number, tuple[int, dict[int, list[Any]]]] = {}  # and the attempt
        self._sending = threading.Lock()
        # For the thread that sends: to do this first. Its methods cannot be interrupted half way.
        self._requests: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._watchers: set[int] = set()
        session.settling.add(self._settling_key, self)

    # tasks

    @property
    def oldest(self) -> Number | None:
        """The number of the task that was sent first of those that are not done."""
        return self.outbox.oldest

    def submit(self, task: Any) -> bool:
        """Send a task now. Return False if the client is closed.

        An exception that ends a program, of the pickler or of Ctrl-C, is raised in a thread of the
        user; in one of the pool, and else, exceptions are the result.
        """
        return self._accept(task, self.flush)

    def post(self, task: Any) -> bool:
        """As :meth:`submit`, but send it soon, in a batch."""
        return self._accept(task, self._request_flush)

    def _accept(self, task: Any, send: Callable[[], object]) -> bool:
        job, index, func, args, kwds = task
        number = job, index
        try:
            if self.failure is not None:
                raise self.failure
            trailer = TaskTrailer(self.ident, self.pickler, self.attempts, job, index)
            packed = Task(func, args, kwds).pack(self._task_codec, trailer)
            if (size := len(packed)) >= LEAST_LIMIT:
                ops.check_size(self.handle, size, "the task")
            if self.outbox.add(number, packed, self._request_flush):
                send()
        except BaseException as error:
            self.outbox.take(number)
            if stdlib.is_for_caller(error):
                raise
            self._set(job, index, (False, error))
        return not self.outbox.is_closed

    def _request_flush(self) -> None:
        if self._requests.empty():  # what is there was not begun
            self._requests.put(None)

    def send_posted(self) -> None:
        """Send posted tasks until the client is closed: the target of a thread."""
        while not self.outbox.is_closed:
            request = self._requests.get()
            if request is not None:
                request()
            self.flush()

    def flush(self) -> None:
        """Send the tasks that are to be sent. 1 round trip for up to 256 of them."""
        while True:
            batch: list[tuple[Number, bytes]] = []
            # Tasks fail without the lock: their callbacks may take others.
            try:
                with self._sending:
                    self._send(batch)
            except Exception as error:  # noqa: BLE001 - it is the result of the tasks
                self._fail(batch, error)
            except BaseException:
                self._fail(batch, LinkLost("sending a task was interrupted: it may run or not"))
                self._request_flush()  # of what was not begun
                raise
            if self.outbox.is_closed or not self.outbox.has_unsent:
                return

    def _send(self, batch: list[tuple[Number, bytes]]) -> None:
        """Send tasks. Those in ``batch`` are sent, or cannot be if this raises."""
        tasks = self.outbox.batch()
        if not tasks or self.outbox.is_closed:
            return
        try:
            if self.failure is not None:
                raise self.failure
            self._watch()
            values = [packed for _, packed in tasks]
            membership = self.handle.session.registration.memberships[self.handle.keys.prefix]
            batch += tasks
            expirations = membership.expirations
            send.put(self.handle, values, True, None)
            if membership.expirations != expirations:
                # The session has settled meanwhile, and did not ask for these.
                self._requests.put(self._settle)
        except Exception:
            batch[:] = tasks
            raise
        finally:
            self.outbox.sent(batch)

    def _fail(self, batch: list[tuple[Number, bytes]], error: BaseException) -> None:
        with contextlib.ExitStack() as stack:  # all of them, also if a callback raises
            for number, _ in batch:
                stack.callback(self._finish, number, (False, error))

    def waits(self, job: int, *, take: bool) -> bool:
        """Return True for a job of one task that no worker has begun; ``take`` it back, so that
        none will. At most 1 round trip, O(tasks in the pool).
        """
        number = job, 0
        if number not in self.outbox:
            return False
        with self._sending:
            if not self.outbox.is_unsent(number):
                trailer = TaskTrailer(self.ident, self.pickler, self.attempts, *number)
                if not ops.withdraw(self.handle, trailer, take=take):
                    return False
            if take and self.outbox.take(number):
                del self.cache[job]
        return True

    def _watch(self) -> None:
        """Reap dead workers while there are tasks in flight: no worker may be left to do that."""
        self.handle.session.ensure_registered(self.handle.keys)
        ops.watch(self.handle, self._deleted)
        self._watchers.add(threading.get_ident())

    # results

    def receive_results(self) -> None:
        """Receive results until their queue is deleted: the target of a thread."""
        handle = self._results
        consumer = Consumer.of(handle, ops.RESULTS)
        count = 1
        try:
            while True:
                try:
                    results = self._next_results(consumer, count)
                except LinkError as error:
                    self._survive(error)
                    continue
                if not results:
                    continue
                count = min(2 * count, BATCH) if len(results) == count else max(len(results), 1)
                self._deliver(results)
                del results
        except BaseException as error:  # noqa: BLE001 - whatever ends this ends the pool
            if isinstance(error, ObjectGone):
                error = ObjectGone(
                    "the results of this pool expired, since this process sent no heartbeat for "
                    "its lease, or the server lost its data; make another pool"
                )
            if not self.outbox.is_closed:
                self.fail(error)

    def _next_results(self, consumer: Consumer, count: int) -> list[Result]:
        """Receive up to so many results."""
        hand = Hand()
        try:
            items = receive(self._results, consumer, hand, count, True, None)
            trailer = TaskTrailer(self.ident, self.pickler, self.attempts, 0, 0)
            results = self._unpacked(items, trailer.pack()[: -ops.NUMBER])
            consumer.expect(hand, items)
            hand.handed = time.monotonic()
            return results
        except BaseException:
            consumer.leave(hand)
            raise

    def _unpacked(self, items: list[Delivery], mine: bytes) -> list[Result]:
        """Return the results among what was received, for tasks whose trailers begin so."""
        results = []
        codec, attempts = self._result_codec, self.attempts
        for item in items:
            try:
                results.append(Result.unpack(codec, item.value, mine, attempts))
            except BadPayload:
                report_damage("the results of a pool", item.value)
        return results

    def _survive(self, error: LinkError) -> None:
        """Fail the tasks in flight with the error of an outage, behind which later ones may succeed
        again. Raises it if there can be none.
        """
        link = self._results.link
        if self.outbox.is_closed or not link.may_come_back(error):
            raise error
        for number in self.outbox.numbers:
            self._finish(number, (False, error))
        link.back_off()

    def _deliver(self, results: list[Result]) -> None:
        while results:
            job, index, ok, value = results.pop(0)
            if type(value) is Part:
                value = self._joined((job, index), value)
                if value is None:
                    continue
            self._finish((job, index), (ok, value))
            del value

    def _joined(self, number: Number, part: Part) -> list[Any] | None:
        """Return the values of a chunk with its last part; None until that has arrived."""
        attempt, parts = self._parts.get(number, (0, {}))
        if number not in self.outbox or part.attempt < attempt:
            return None
        if part.attempt > attempt:  # the worker of an earlier one died
            parts = {}
            self._parts[number] = part.attempt, parts
        parts[part.position] = part.values
        if len(parts) < part.total:
            return None
        return [value for position in range(part.total) for value in parts[position]]

    def _finish(self, number: Number, outcome: tuple[bool, Any]) -> None:
        if self.outbox.take(number):
            self._parts.pop(number, None)
            self._set(*number, outcome)

    def _on_idle(self) -> None:
        watched = self.handle.watched
        if watched is not None:
            watched.waiters.difference_update(self._watchers)
        self._notify_idle()

    def _set(self, job: int, index: int, outcome: tuple[bool, Any]) -> None:
        entry = self.cache.get(job)
        if entry is None:
            return
        try:
            stdlib.set_outcome(entry, index, outcome)
        except BaseException as error:  # of a callback; there it hangs
            stdlib.fail(entry, error)
            self.cache.pop(job, None)
            if stdlib.is_for_caller(error):
                raise

    def _deleted(self) -> None:
        """Fail the tasks that were in the pool when it was deleted. Called by the thread that keeps
        the session alive, which does not wait for callbacks.
        """
        if numbers := self.outbox.numbers:
            self._requests.put(functools.partial(self._fail_deleted, numbers))

    def _fail_deleted(self, numbers: list[Number]) -> None:
        error = ObjectGone(
            f"the pool {label(self.handle.keys.ident)!r} was deleted before this task was done: it "
            "may have begun; send it to another pool"
        )
        for number in numbers:
            self._finish(number, (False, error))

    # settling, see multihost.wire.session.settling

    @property
    def _settling_key(self) -> tuple[str, str]:
        return "client of a pool", self.ident

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        """Return False: it is kept until it is closed."""
        return False

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return what finds the tasks that the server has forgotten."""
        return ops.settle_call(self.handle, self.ident, self.outbox.sent_numbers)

    def settled(self, reply: Any) -> int:
        """Fail those tasks soon; return how many there are."""
        lost = ops.lost_tasks(self.handle, reply)
        if lost:  # not here: the session does not wait for callbacks
            self._requests.put(functools.partial(self._fail_forgotten, lost))
        return len(lost)

    def _settle(self) -> None:
        script, _, args = self.settle_call(())
        self.settled(script.run_idempotent(self.handle, *args))

    def _fail_forgotten(self, numbers: list[Number]) -> None:
        for number in numbers:
            self._finish(number, (False, forgotten()))

    # closing

    def fail(self, error: BaseException) -> None:
        """Fail all tasks, in flight and later: no more results can arrive."""
        util.debug("the pool has failed: %s", error)
        if self.failure is None:
            self.failure = error if isinstance(error, Exception) else _ended_by(error)
        while not self.outbox.is_idle:
            for number in self.outbox.numbers:
                self._finish(number, (False, self.failure))

    def close(self) -> None:
        """Delete the queue of results: workers drop the tasks, and the threads end."""
        self.outbox.close()
        self.handle.session.settling.users.pop(self._settling_key, None)
        watched = self.handle.watched
        if watched is not None:
            watched.waiters.difference_update(self._watchers)
            watched.on_deleted.discard(self._deleted)
        self._requests.put(None)
        try:
            object_ops.delete(self._results)
        except ManagerClosed:
            pass  # which has deleted the queue
        except MultihostError as error:
            util.debug("cannot delete the results of a pool, they will expire: %s", error)
            self.handle.link.interrupt_blocked()


def _ended_by(error: BaseException) -> Exception:
    failure = RuntimeError(f"a thread of this pool was ended by {error!r}; make another pool")
    failure.__cause__ = error
    return failure


def chunks_for(length: int, workers: int) -> int:
    """Return the chunk size of multiprocessing: four chunks for each worker."""
    chunksize, extra = divmod(length, max(workers, 1) * 4)
    return chunksize + bool(extra)
