"""One client of a pool: it sends tasks and receives their results."""

from __future__ import annotations

import threading
from collections import deque
from multiprocessing import util
from typing import Any

from multihost.errors import LinkError, LinkLost, ManagerClosed, MultihostError, ObjectGone
from multihost.pooling import stdlib
from multihost.pooling.messages import Part, Result, Task
from multihost.pooling.reference import PoolReference
from multihost.proxies.base import Token
from multihost.proxies.queue import SimpleQueueProxy
from multihost.wire.identity import label
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import LEAST_LIMIT, TaskTrailer
from multihost.wire.ops.queue import send
from multihost.wire.ops.queue.acknowledge import acknowledge
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.receive import receive
from multihost.wire.session import Handle
from multihost.wire.values.codec import Codec

__all__ = ["Client", "chunks_for"]

MAX_IN_FLIGHT = 10_000  # tasks that are not done; a thread that adds more waits
MAX_IN_FLIGHT_BYTES = 64 << 20  # the same in bytes
BATCH = 256  # tasks that are sent together, and results that are received
BATCH_BYTES = 1 << 20


class Client:
    """A client of a pool. A task has the number (job, index): ``cache`` has the results by job."""

    def __init__(
        self, reference: PoolReference, cache: dict[int, Any], pickler: str, attempts: int
    ) -> None:
        session = reference.session
        self.handle: Handle = reference.handle()
        self.codec: Codec = session.codec
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
        self._change = threading.Condition()  # guards what follows
        self._in_flight: dict[tuple[int, int], int] = {}  # sizes of the tasks that are not done
        self._bytes = 0
        self._parts: dict[tuple[int, int], tuple[int, dict[int, list[Any]]]] = {}  # and the attempt
        self._waiting = 0  # threads that wait for fewer of them
        self._is_closed = False
        self._buffer: deque[tuple[tuple[int, int], bytes]] = deque()  # tasks to send
        self._sending = threading.Lock()
        self._send_requested = threading.Event()  # for the thread that sends the buffer
        self._watchers: set[int] = set()

    # tasks

    @property
    def oldest(self) -> tuple[int, int] | None:
        """The number of the task that was sent first of those that are not done."""
        return next(iter(self._in_flight), None)

    def submit(self, task: Any) -> bool:
        """Send a task now. Return False if the client is closed."""
        entry = self._add(task)
        if entry is not None:
            self._buffer.append(entry)
            self.flush()
        return not self._is_closed

    def post(self, task: Any) -> bool:
        """Send a task soon, in a batch. Return False if the client is closed."""
        entry = self._add(task)
        if entry is not None:
            self._buffer.append(entry)
            self._send_requested.set()
        return not self._is_closed

    def _add(self, task: Any) -> tuple[tuple[int, int], bytes] | None:
        """Pickle a task, and wait until it may be sent. Return None if it fails, or the client is
        closed.
        """
        job, index, func, args, kwds = task
        try:
            if self.failure is not None:
                raise self.failure
            trailer = TaskTrailer(self.ident, self.pickler, self.attempts, job, index)
            packed = Task(func, args, kwds).pack(self.codec, trailer)
            if (size := len(packed)) >= LEAST_LIMIT:
                ops.check_size(self.handle, size, "the task")
        except Exception as error:  # noqa: BLE001 - whatever the pickler raises
            self._set(job, index, (False, error))
            return None
        with self._change:
            while self._in_flight and not self._is_closed and self._is_full(size):
                self._send_requested.set()
                self._waiting += 1
                self._change.wait()
                self._waiting -= 1
            if self._is_closed:
                return None
            number = job, index
            self._in_flight[number] = size
            self._bytes += size
        return number, packed

    def _is_full(self, size: int) -> bool:
        return len(self._in_flight) >= MAX_IN_FLIGHT or self._bytes + size > MAX_IN_FLIGHT_BYTES

    def send_posted(self) -> None:
        """Send posted tasks until the client is closed: the target of a thread."""
        while not self._is_closed:
            self._send_requested.wait()
            self._send_requested.clear()
            self.flush()

    def flush(self) -> None:
        """Send the tasks in the buffer. 1 round trip for up to 256 of them."""
        while True:
            batch: list[tuple[tuple[int, int], bytes]] = []
            # Tasks fail without the lock: their callbacks may take others.
            try:
                with self._sending:
                    self._send_batch(batch)
            except Exception as error:  # noqa: BLE001 - it is the result of the tasks
                self._fail_batch(batch, error)
            except BaseException:
                self._fail_batch(
                    batch, LinkLost("the sending of a task was interrupted: it may run or not")
                )
                raise
            if not self._buffer:
                return

    def _send_batch(self, batch: list[tuple[tuple[int, int], bytes]]) -> None:
        """Move tasks from the buffer to ``batch``, and send them."""
        size = 0
        buffer = self._buffer
        while buffer and len(batch) < BATCH and size < BATCH_BYTES:
            entry = buffer.popleft()
            batch.append(entry)
            size += len(entry[1])
        if not batch or self._is_closed:
            return
        if self.failure is not None:
            raise self.failure
        self._watch()
        send.put(self.handle, [packed for _, packed in batch], True, None)

    def _fail_batch(self, batch: list[tuple[tuple[int, int], bytes]], error: BaseException) -> None:
        for number, _ in batch:
            self._finish(number, (False, error))

    def waits(self, job: int, *, take: bool) -> bool:
        """Return True for a job of one task that no worker has begun; ``take`` it back, so that
        none will. At most 1 round trip, O(tasks in the pool).
        """
        number = job, 0
        if number not in self._in_flight:
            return False
        with self._sending:
            unsent = next((entry for entry in tuple(self._buffer) if entry[0] == number), None)
            if unsent is None:
                trailer = TaskTrailer(self.ident, self.pickler, self.attempts, *number)
                if not ops.withdraw(self.handle, trailer, take=take):
                    return False
            elif take:
                self._buffer.remove(unsent)
        if take and self._take(number):
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
        consumer.ttl = (
            handle.session.lease_ms
        )  # results may be large, and no other client receives them
        count = 1
        try:
            while True:
                try:
                    items = receive(handle, consumer, count, True, None)
                except LinkError as error:
                    self._survive(error)
                    continue
                if not items:
                    continue
                results = [Result.unpack(self.codec, i.value, self.attempts) for i in items]
                acknowledge(handle, consumer, items)
                count = min(2 * count, BATCH) if len(items) == count else max(len(items), 1)
                self._deliver(results)
                del items, results
        except Exception as error:  # noqa: BLE001 - whatever ends this ends the pool
            if not self._is_closed:
                self.fail(self._reason(error))

    def _survive(self, error: LinkError) -> None:
        """Fail the tasks in flight with the error of an outage, behind which later ones may succeed
        again. Raises it if there can be none.
        """
        link = self._results.link
        if self._is_closed or not link.may_come_back(error):
            raise error
        with self._change:
            in_flight = list(self._in_flight)
        for number in in_flight:
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

    def _joined(self, number: tuple[int, int], part: Part) -> list[Any] | None:
        """Return the values of a chunk with its last part; None until that has arrived."""
        attempt, parts = self._parts.get(number, (0, {}))
        if number not in self._in_flight or part.attempt < attempt:
            return None
        if part.attempt > attempt:  # the worker of an earlier one died
            parts = {}
            self._parts[number] = part.attempt, parts
        parts[part.position] = part.values
        if len(parts) < part.total:
            return None
        return [value for position in range(part.total) for value in parts[position]]

    def _finish(self, number: tuple[int, int], outcome: tuple[bool, Any]) -> None:
        if self._take(number):
            self._set(*number, outcome)

    def _take(self, number: tuple[int, int]) -> bool:
        """Count a task as done; return False if it has a result already."""
        with self._change:
            size = self._in_flight.pop(number, None)
            if size is None:
                return False
            self._bytes -= size
            if self._parts:
                self._parts.pop(number, None)
            if self._waiting:
                self._change.notify_all()
            if not self._in_flight:
                watched = self.handle.watched
                if watched is not None:
                    watched.waiters.difference_update(self._watchers)
        return True

    def _set(self, job: int, index: int, outcome: tuple[bool, Any]) -> None:
        entry = self.cache.get(job)
        if entry is None:
            return
        try:
            stdlib.set_outcome(entry, index, outcome)
        except Exception as error:  # noqa: BLE001 - of a callback; multiprocessing hangs
            self.cache.pop(job, None)
            stdlib.fail(entry, error)

    def _deleted(self) -> None:
        """The pool was deleted. In another thread than that of the session, which must not wait for
        a callback of a task.
        """
        threading.Thread(target=self._fail_deleted, name="multihost-pool", daemon=True).start()

    def _fail_deleted(self) -> None:
        """Fail the tasks that were in the pool when it was deleted."""
        with self._change:
            in_flight = list(self._in_flight)
        error = ObjectGone(
            f"the pool {label(self.handle.keys.ident)!r} was deleted before this task was done: it "
            "may have begun; send it to another pool"
        )
        for number in in_flight:
            self._finish(number, (False, error))

    @staticmethod
    def _reason(error: BaseException) -> BaseException:
        if isinstance(error, ObjectGone):
            return ObjectGone(
                "the results of this pool expired, since this process sent no heartbeat for its "
                "lease, or the server lost its data; make another pool"
            )
        return error

    # closing

    def fail(self, error: BaseException) -> None:
        """Fail all tasks, in flight and later: no more results can arrive."""
        util.debug("the pool has failed: %s", error)
        self.failure = error
        while self._in_flight:
            for number in list(self._in_flight):
                self._finish(number, (False, error))

    def close(self) -> None:
        """Delete the queue of results: workers drop the tasks, and the threads end."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
            watched = self.handle.watched
            if watched is not None:
                watched.waiters.difference_update(self._watchers)
                watched.on_deleted.discard(self._deleted)
        self._send_requested.set()
        try:
            object_ops.delete(self._results)
        except ManagerClosed:
            pass  # which has deleted the queue
        except MultihostError as error:
            util.debug("cannot delete the results of a pool, they will expire: %s", error)
            self.handle.link.interrupt_blocked()


def chunks_for(length: int, workers: int) -> int:
    """Return the chunk size of multiprocessing: four chunks for each worker."""
    chunksize, extra = divmod(length, max(workers, 1) * 4)
    return chunksize + bool(extra)
