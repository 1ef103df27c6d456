"""Queue, JoinableQueue, LifoQueue, PriorityQueue and SimpleQueue."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from queue import Empty, Full
from typing import ClassVar, Generic, TypeVar

from multihost.errors import BadPayload
from multihost.proxies.base import Token
from multihost.proxies.native import NativeProxy
from multihost.proxies.unreadable import load_letters, set_aside
from multihost.wire.link import bounded
from multihost.wire.ops.queue import admin, priority, send, tasks
from multihost.wire.ops.queue.admin import QueueStatistics
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.receive import receive, receive_one, take_prefetched
from multihost.wire.ops.queue.settings import FIFO, LIFO, PRIORITY, QueueSettings
from multihost.wire.session import Handle
from multihost.wire.subject import describe

__all__ = [
    "JoinableQueueProxy",
    "LifoQueueProxy",
    "PriorityQueueProxy",
    "QueueProxy",
    "QueueStatistics",
    "SimpleQueueProxy",
]

T = TypeVar("T")


class _QueueBase(NativeProxy, Generic[T]):
    """The methods of all queues."""

    _order_: ClassVar[str] = FIFO

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        super().__init__(handle, token, manager)
        maxsize, max_deliveries = token.parameters.split()
        self._settings = QueueSettings(int(maxsize), self._order_, int(max_deliveries))
        self._cached_consumer: tuple[object, Consumer] | None = None  # and the holds it is among

    def _consumer(self) -> Consumer:
        session, cached = self._handle.session, self._cached_consumer
        if cached is None or cached[0] is not session.holds:  # a forked child has holds of its own
            consumer = Consumer.of(self._handle, self._settings)
            cached = self._cached_consumer = session.holds, consumer
        return cached[1]

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Append an item. 1 round trip; where there is no room, 2 and the wait.

        Raises :class:`queue.Full` if there is no room, with ``block`` not within ``timeout``
        seconds (None: for ever); ShutDown, ObjectGone, ValueError for a negative timeout. An item
        is in the queue once if this returns; if it raises LinkLost that is unknown.
        """
        handle = self._handle
        values = (handle.codec.dump(item),)
        if block and timeout is None:
            send.put(handle, values, True, None)
            return
        seconds = _seconds(block, timeout) if self._settings.maxsize else None
        with bounded(handle.link, block, _patience(timeout)):
            if not send.put(handle, values, block, seconds):
                raise Full

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item. 1 round trip, and the wait.

        Raises :class:`queue.Empty` if there is none, with ``block`` not within ``timeout`` seconds
        (None: for ever), and LinkError if the server does not say so; ShutDown, ObjectGone,
        ValueError for a negative timeout. An item that this process cannot unpickle becomes a dead
        letter, and the error of the unpickler is raised.
        """
        handle, consumer, hand = self._handle, self._consumer(), Hand()
        try:
            if block and timeout is None:
                delivery = receive_one(handle, consumer, hand, True, None)
            else:
                seconds = _seconds(block, timeout)
                with bounded(handle.link, block, seconds):
                    delivery = receive_one(handle, consumer, hand, block, seconds)
            if delivery is None:
                raise Empty
            try:
                item: T = handle.codec.load(delivery.value)
            except BaseException as error:  # noqa: BLE001 - set_aside() raises it
                (item,), (delivery,) = set_aside(self, consumer, hand, [delivery], error, "get")
            consumer.deliveries.last = delivery.delivery_count
            in_flight = delivery.in_flight
            if in_flight.batch is None and not consumer.settings.max_deliveries:
                consumer.acks.expect(in_flight, hand)
            else:
                consumer.expect(hand, (delivery,))
            consumer.received_count = next(consumer.receipts)
            # The last thing, see Hand: behind this CPython looks for no signal before the return.
            hand.handed = time.monotonic()
            return item
        except BaseException:
            consumer.leave(hand)
            raise

    def put_nowait(self, item: T) -> None:
        """``put(item, False)``."""
        self.put(item, False)

    def get_nowait(self) -> T:
        """``get(False)``."""
        return self.get(False)

    def qsize(self) -> int:
        """Return the number of items. 1 round trip."""
        return admin.size(self._handle, self._settings)

    def empty(self) -> bool:
        """Return whether there are no items. 1 round trip."""
        return self.qsize() == 0

    def statistics(self) -> QueueStatistics:  # type: ignore[override]
        """Return what the server has of the queue. 3 round trips."""
        return admin.statistics(self._handle, self._typeid_, self._settings)

    def _show(self) -> str:
        size, maxsize = self.qsize(), self._settings.maxsize
        return f"<{self._typeid_} {self._label}: size={size}{f'/{maxsize}' if maxsize else ''}>"

    def dead_letters(self) -> list[T | BadPayload]:
        """Return the items that were put aside: a consumer could not unpickle them, or they were
        delivered ``max_deliveries`` times and never done. 1 round trip, O(letters).

        In place of one that this process cannot unpickle stands the
        :class:`~multihost.BadPayload` that says why. ``join()`` does not wait for dead letters.
        """
        return load_letters(self, admin.dead_letters(self._handle, self._settings))

    def requeue_dead_letters(self) -> int:
        """Put the dead letters back, behind all other items, as if they were new (in a
        PriorityQueue before those with which only Python can compare them); return how many there
        were. 1 round trip, O(letters).
        """
        return admin.drain_dead_letters(self._handle, True)

    def purge_dead_letters(self) -> int:
        """Drop the dead letters; return how many there were. 1 round trip, O(letters)."""
        return admin.drain_dead_letters(self._handle, False)


class QueueProxy(_QueueBase[T]):
    """A queue that processes on many hosts share, first in first out.

    >>> jobs = manager.Queue("jobs", 100)
    >>> jobs.put("a", timeout=5)
    >>> jobs.get()
    'a'

    Waiting consumers are served in the order in which they came, and so are producers that wait for
    room. ``Queue(..., redeliver=True)`` delivers an item again if its consumer died before it
    called ``task_done()``.

    **Cost**: ``put`` and ``get`` one round trip, O(1) however many items there are.
    ``put_many`` and ``get_many`` one round trip a batch.
    **If a consumer dies**: items that ``get()`` returned are lost, as with :mod:`multiprocessing`.
    Items in flight to it are requeued at the head, as soon as a held :class:`LockProxy` is free; so
    are those that were not acknowledged yet, which takes 5 to 10 ms. With ``redeliver`` so are
    those that were not done.
    **If an item cannot be unpickled** by a consumer, it becomes a dead letter of the queue.
    **If a producer dies** in ``put``: the item is in the queue or not, never twice.
    **Differs from multiprocessing**: with ``redeliver`` the process that got an item calls
    ``task_done()`` for it. ``shutdown()`` exists on every Python.
    """

    _typeid_ = "Queue"
    _exposed_ = (
        "empty",
        "full",
        "get",
        "get_nowait",
        "join",
        "put",
        "put_nowait",
        "qsize",
        "shutdown",
        "task_done",
    )

    @property
    def maxsize(self) -> int:
        """Maximum number of items, 0 for any number. No round trip."""
        return self._settings.maxsize

    def full(self) -> bool:
        """Return whether there is no room. 1 round trip."""
        size, maxsize = self.qsize(), self._settings.maxsize
        return 0 < maxsize <= size

    def task_done(self) -> None:
        """Count an item as done. 1 round trip.

        With ``redeliver``: the oldest that this thread got, else the oldest of this process.
        Raises ValueError if there is none, LeaseLost if this process was declared dead and its
        items were requeued.
        """
        if not tasks.done(self._handle, self._consumer()):
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Wait until ``task_done()`` was called for every item. 1 round trip and the wait."""
        tasks.join(self._handle)

    def shutdown(self, immediate: bool = False) -> None:
        """Accept no more items; ``get`` raises ShutDown when none is left. 1 round trip.

        ``immediate`` drops the items of the queue. All waiters are woken. :meth:`reopen` undoes it.
        """
        admin.shutdown(self._handle, immediate)

    # more than the standard library

    def reopen(self) -> None:
        """Accept items again after :meth:`shutdown`, for the next run of a job. 1 round trip.

        Items that were left stay, and what is unfinished stays so. A consumer that waits and has
        not learnt of the shutdown yet goes on waiting. Does nothing to a queue that is open. Raises
        ObjectGone.
        """
        admin.reopen(self._handle)

    def put_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Append items, all or none, one behind the other. 1 round trip, O(items).

        Waits until there is room for all of them. Raises ValueError if there never is, else as
        ``put``.
        """
        batch, maxsize = list(items), self._settings.maxsize
        if 0 < maxsize < len(batch):
            raise ValueError(
                f"{describe('', self._token.ident)}: {len(batch)} items never find room at once in "
                f"a queue of {maxsize}; put fewer"
            )
        values = self._handle.codec.dump_many(batch)
        if not values:
            return
        if block and timeout is None:
            send.put(self._handle, values, True, None)
            return
        seconds = _seconds(block, timeout) if maxsize else None
        with bounded(self._handle.link, block, _patience(timeout)):
            if not send.put(self._handle, values, block, seconds):
                raise Full

    def get_many(self, n: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take up to ``n`` items; waits until there is one. 1 round trip, O(items).

        Items that ``get`` prefetched come first, alone and without a round trip. Those that this
        process cannot unpickle become dead letters, each with a warning in the log; the others are
        returned. Raises as ``get``, the error of the unpickler only if there are no others.
        """
        if n < 1:
            raise ValueError(f"get_many() takes 1 item or more, not {n}")
        consumer = self._consumer()
        seconds = _seconds(block, timeout)
        handle, hand = self._handle, Hand()
        try:
            deliveries = take_prefetched(consumer, hand, n)
            if not deliveries and block and seconds is None:
                deliveries = receive(handle, consumer, hand, n, True, None)
            elif not deliveries:
                with bounded(handle.link, block, seconds):
                    deliveries = receive(handle, consumer, hand, n, block, seconds)
            if not deliveries:
                raise Empty
            try:
                items = handle.codec.load_many([delivery.value for delivery in deliveries])
            except BaseException as error:  # noqa: BLE001 - set_aside() raises it, or logs it
                items, deliveries = set_aside(self, consumer, hand, deliveries, error, "get_many")
            consumer.deliveries.last = max([delivery.delivery_count for delivery in deliveries])
            consumer.expect(hand, deliveries)
            consumer.received_count = max(itertools.islice(consumer.receipts, len(items)))
            hand.handed = time.monotonic()  # the last thing, as in get()
            return items
        except BaseException:
            consumer.leave(hand)
            raise

    @property
    def deliveries(self) -> int:
        """Number of deliveries of the item that this thread got last (of a batch: the largest), 1
        for the first time. No round trip.
        """
        return getattr(self._consumer().deliveries, "last", 0)

    @property
    def prefetch(self) -> int:
        """Number of items that this process prefetches in ``get()``; 0 unless it is set.

        They are requeued at the head if the process ends before ``get()`` returned them.
        """
        return self._consumer().prefetch

    @prefetch.setter
    def prefetch(self, items: int) -> None:
        if items < 0:
            raise ValueError(f"prefetch is a number of items, not {items}")
        consumer = self._consumer()
        consumer.prefetch = items
        consumer.is_fifo_without_prefetch = False


class JoinableQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` under another name, as in the standard library."""

    _typeid_ = "JoinableQueue"


class LifoQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` that returns the item that was put last."""

    _typeid_ = "LifoQueue"
    _order_ = LIFO


class PriorityQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` that returns the smallest item, and of equal ones the oldest.

    >>> todo = manager.PriorityQueue()
    >>> todo.put((2, "later"))
    >>> todo.put((1, "now"))
    >>> todo.get()
    (1, 'now')

    The order is that of Python's ``<``: items may be of any types that it compares.

    **Cost**: ``get`` one round trip, O(log n) on the server. ``put`` of a number, or of a tuple
    that starts with a number that no other item has, the same. For other items it compares with
    O(log n) items of the queue, up to 15 in a round trip: four or five for 100 000 items.
    ``put_many`` costs as much as so many ``put``.
    **Differs from multiprocessing**: has none. ``put`` raises what ``<`` raises, and the item is
    not in the queue then; equal items come out in the order in which they were put.
    """

    _typeid_ = "PriorityQueue"
    _order_ = PRIORITY

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item where it belongs. See the class for its cost, else as ``Queue.put``."""
        handle, value = self._handle, self._handle.codec.dump(item)
        if block and timeout is None:
            priority.put(handle, item, value, True, None)
            return
        seconds = _seconds(block, timeout) if self._settings.maxsize else None
        with bounded(handle.link, block, _patience(timeout)):
            if not priority.put(handle, item, value, block, seconds):
                raise Full

    def put_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Put items one after the other. Raises as ``put``; items that were put before stay."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for item in items:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            self.put(item, block, left)


class SimpleQueueProxy(_QueueBase[T]):
    """A queue without a size and without tasks, as :class:`queue.SimpleQueue`.

    Its cost, and what happens if a process dies, are those of :class:`QueueProxy`. ``block`` and
    ``timeout`` of ``put`` are accepted and ignored.
    """

    _typeid_ = "SimpleQueue"
    _exposed_ = ("empty", "get", "get_nowait", "put", "put_nowait", "qsize")


def _seconds(block: bool, timeout: float | None) -> float | None:
    """Return the timeout of a call that blocks, None if it has none. Raises ValueError."""
    if not block or timeout is None:
        return None
    if timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout


def _patience(timeout: float | None) -> float | None:
    """Return the timeout of a put; None for what only a queue without a size accepts as one."""
    return timeout if isinstance(timeout, (int, float)) else None
