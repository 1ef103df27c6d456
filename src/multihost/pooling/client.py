"""What a client does with tasks and results: it sends the ones, and hears of the others."""

from __future__ import annotations

import threading
from collections import deque
from multiprocessing import util
from typing import Any

from multihost.errors import LinkLost, ManagerClosed, MultihostError, ObjectGone
from multihost.pooling.messages import Result, Task
from multihost.pooling.reference import PoolReference
from multihost.proxies.base import Token
from multihost.proxies.queue import SimpleQueueProxy
from multihost.wire.identity import label
from multihost.wire.keys import colocated_ident
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import TaskTrailer
from multihost.wire.ops.queue import admin, send
from multihost.wire.ops.queue.acknowledge import acknowledge
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.receive import receive
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from multihost.wire.session import Handle
from multihost.wire.values.codec import Codec

__all__ = ["Client"]

MAX_IN_FLIGHT = 10_000  # tasks under way; who makes more waits
MAX_IN_FLIGHT_BYTES = 64 << 20  # the same, in bytes
BATCH = 256  # tasks that are sent at once, and results that are taken
BATCH_BYTES = 1 << 20
PLAIN_PICKLER = QueueSettings(0, FIFO, 0)


class Client:
    """One client of a pool. It knows tasks by their numbers, and the pool's cache by its job."""

    def __init__(
        self, ticket: PoolReference, cache: dict[int, Any], letter: str, attempts: int
    ) -> None:
        session = ticket.session
        self.handle: Handle = ticket.handle()
        self.codec: Codec = session.codec
        self.cache = cache
        self.letter = letter
        self.attempts = attempts
        self.failure: BaseException | None = None  # why nothing more can be expected
        ident = colocated_ident(ticket.ident)
        results = session.handle(ident)
        admin.create(results, "SimpleQueue", PLAIN_PICKLER, (True, True))
        session.created(results.keys)
        # It keeps the queue of results, which expires when this process is killed.
        self._results: SimpleQueueProxy[Any] = SimpleQueueProxy(
            results, Token("SimpleQueue", ident, "0 0", session.origin)
        )
        self.ident: str = ident[2:]
        self._change = threading.Condition()  # of what follows
        self._under_way: dict[tuple[int, int], int] = {}  # tasks that are not done, and their size
        self._bytes = 0
        self._waiting = 0  # threads that wait until there are less of them
        self._is_closed = False
        self._buffer: deque[tuple[tuple[int, int], bytes]] = deque()  # tasks that are not sent
        self._sending = threading.Lock()
        self._wanted = threading.Event()  # set when somebody is to send what is in the buffer
        self._watchers: set[int] = set()

    # tasks

    def submit(self, task: Any) -> bool:
        """Send one task of the pool now, or say that it has failed; whether the client is open."""
        entry = self._add(task)
        if entry is not None:
            self._buffer.append(entry)
            self.flush()
        return not self._is_closed

    def post(self, task: Any) -> bool:
        """Send a task soon, together with others."""
        entry = self._add(task)
        if entry is not None:
            self._buffer.append(entry)
            self._wanted.set()
        return not self._is_closed

    def _add(self, task: Any) -> tuple[tuple[int, int], bytes] | None:
        """Pickle a task; None if that cannot be done, which is its result then."""
        job, index, func, args, kwds = task
        try:
            if self.failure is not None:
                raise self.failure
            tag = TaskTrailer(self.ident, self.letter, self.attempts, job, index)
            packed = Task(func, args, kwds).pack(self.codec, tag)
        except Exception as error:  # noqa: BLE001 - whatever the pickler raises
            self._set(job, index, (False, error))
            return None
        with self._change:
            while self._under_way and not self._is_closed and self._is_crowded(len(packed)):
                self._wanted.set()
                self._waiting += 1
                self._change.wait()
                self._waiting -= 1
            if self._is_closed:
                return None
            self._under_way[job, index] = len(packed)
            self._bytes += len(packed)
        return (job, index), packed

    def _is_crowded(self, size: int) -> bool:
        return len(self._under_way) >= MAX_IN_FLIGHT or self._bytes + size > MAX_IN_FLIGHT_BYTES

    def send(self) -> None:
        """The thread that sends what others post while they make more. Returns when this client is
        closed.
        """
        while not self._is_closed:
            self._wanted.wait()
            self._wanted.clear()
            self.flush()

    def flush(self) -> None:
        """Send what is in the buffer. 1 round trip for up to 256 tasks."""
        buffer = self._buffer
        while buffer:
            with self._sending:
                batch: list[tuple[tuple[int, int], bytes]] = []
                size = 0
                while buffer and len(batch) < BATCH and size < BATCH_BYTES:
                    batch.append(buffer.popleft())
                    size += len(batch[-1][1])
                if batch and not self._is_closed:
                    self._send(batch)

    def _send(self, batch: list[tuple[tuple[int, int], bytes]]) -> None:
        try:
            if self.failure is not None:
                raise self.failure
            self._watch()
            send.put(self.handle, [packed for _, packed in batch], True, None)
        except Exception as error:  # noqa: BLE001 - it is what becomes of the tasks
            self._fail_batch(batch, error)
        except BaseException:
            self._fail_batch(
                batch, LinkLost("the sending of a task was interrupted: it may run or not")
            )
            raise

    def _fail_batch(self, batch: list[tuple[tuple[int, int], bytes]], error: BaseException) -> None:
        for number, _ in batch:
            self._finish(number, (False, error))

    def _watch(self) -> None:
        """While there are tasks under way, look after the workers: they may all be dead."""
        self.handle.session.ensure_registered(self.handle.keys)
        ops.watch(self.handle, self._deleted)
        self._watchers.add(threading.get_ident())

    # results

    def listen(self) -> None:
        """The thread that hears of results. Returns when the queue of results is deleted."""
        handle = self._results._handle
        consumer = Consumer.of(handle, PLAIN_PICKLER)
        consumer.ttl = handle.session.lease_ms  # results may be large, and nobody else wants them
        count = 1
        try:
            while True:
                items = receive(handle, consumer, count, True, None)
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

    def _deliver(self, results: list[Result]) -> None:
        while results:
            job, index, ok, value = results.pop(0)
            self._finish((job, index), (ok, value))
            del value

    def _finish(self, number: tuple[int, int], outcome: tuple[bool, Any]) -> None:
        with self._change:
            size = self._under_way.pop(number, None)
            if size is None:
                return  # it was answered before
            self._bytes -= size
            if self._waiting:
                self._change.notify_all()
            if not self._under_way:
                watched = self.handle.watched
                if watched is not None:
                    watched.waiters.difference_update(self._watchers)
        self._set(*number, outcome)

    def _set(self, job: int, index: int, outcome: tuple[bool, Any]) -> None:
        entry = self.cache.get(job)
        if entry is None:
            return
        try:
            entry._set(index, outcome)
        except Exception as error:  # noqa: BLE001 - a callback is the user's; multiprocessing hangs
            self.cache.pop(job, None)
            entry._success, entry._value = False, error
            entry._event.set()

    def _deleted(self) -> None:
        """The pool is gone, and with it the tasks that nobody has done yet."""
        with self._change:
            under_way = list(self._under_way)
        error = ObjectGone(
            f"the pool {label(self.handle.keys.ident)!r} was deleted before this task was done: it "
            "may have begun; send it to another pool"
        )
        for number in under_way:
            self._finish(number, (False, error))

    @staticmethod
    def _reason(error: BaseException) -> BaseException:
        if isinstance(error, ObjectGone):
            return ObjectGone(
                "the results of this pool are gone: this process gave no sign of life for its "
                "lease, or the server lost its data; make another pool"
            )
        return error

    # the end

    def fail(self, error: BaseException) -> None:
        """Nothing more will be heard: that is what becomes of all tasks."""
        util.debug("the pool has failed: %s", error)
        self.failure = error
        while self._under_way:
            for number in list(self._under_way):
                self._finish(number, (False, error))

    def close(self) -> None:
        """Delete the queue of results: workers forget the tasks, and the threads end."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
            watched = self.handle.watched
            if watched is not None:
                watched.waiters.difference_update(self._watchers)
                watched.on_deleted.discard(self._deleted)
        self._wanted.set()
        try:
            object_ops.delete(self._results._handle)
        except ManagerClosed:
            pass  # and so is the queue
        except MultihostError as error:
            util.debug("the results of a pool expire: %s", error)
            self.handle.link.interrupt_blocked()


def chunks_for(length: int, workers: int) -> int:
    """The chunk size of multiprocessing: four chunks a worker."""
    chunksize, extra = divmod(length, max(workers, 1) * 4)
    return chunksize + bool(extra)
