"""Queue, JoinableQueue, LifoQueue, PriorityQueue and SimpleQueue."""

from __future__ import annotations

import time
from collections.abc import Iterable
from queue import Empty, Full
from typing import ClassVar, Generic, NamedTuple, TypeVar

from multihost.proxies.base import Token
from multihost.proxies.native import NativeProxy
from multihost.wire.ops import queue as ops
from multihost.wire.ops import ranking
from multihost.wire.ops.taking import (
    Consumer,
    QueueSettings,
    acknowledge,
    acknowledge_one,
    receive,
    receive_one,
    take_prefetched,
)
from multihost.wire.session import Handle

__all__ = [
    "JoinableQueueProxy",
    "LifoQueueProxy",
    "PriorityQueueProxy",
    "QueueProxy",
    "QueueStatistics",
    "SimpleQueueProxy",
]

T = TypeVar("T")


class QueueStatistics(NamedTuple):
    """What the server knows of a queue.

    ``in_flight`` counts items that consumers took and have not acknowledged, ``waiters`` who waits
    for room (in a priority queue also who waits for an item).
    """

    typeid: str
    name: str | None
    size: int
    maxsize: int
    unfinished: int
    in_flight: int
    dead_letters: int
    waiters: int
    is_shut_down: bool


class _QueueBase(NativeProxy, Generic[T]):
    """What all queues can do."""

    _order_: ClassVar[str] = "f"

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        super().__init__(handle, token, manager)
        most, again = token.parameters.split()
        self._settings = QueueSettings(int(most), self._order_, int(again))
        self._at: tuple[object, Consumer] | None = None

    def _consumer(self) -> Consumer:
        session = self._handle.session
        if self._at is None or self._at[0] is not session.holds:  # which a forked child has anew
            self._at = session.holds, Consumer.of(self._handle, self._settings)
        return self._at[1]

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Append an item. 1 round trip; where there is no room, 2 and the wait.

        Raises :class:`queue.Full` if there is no room, with ``block`` not within ``timeout``
        seconds (None: for ever); ShutDown, ObjectGone, ValueError for a negative timeout. An item
        is in the queue once if this returns; if it raises LinkLost that is unknown.
        """
        handle = self._handle
        timeout = _seconds(block, timeout) if self._settings.maxsize else None
        if not ops.put(handle, (handle.codec.dump(item),), block, timeout):
            raise Full

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the next item. 1 round trip, and the wait.

        Raises :class:`queue.Empty` if there is none, with ``block`` not within ``timeout`` seconds
        (None: for ever); ShutDown, ObjectGone, ValueError for a negative timeout.
        """
        places = self._consumer()
        seconds = None if timeout is None else _seconds(block, timeout)
        item = receive_one(self._handle, places, block, seconds)
        if item is None:
            raise Empty
        try:
            return self._handle.codec.load(item.value)  # type: ignore[no-any-return]
        finally:
            acknowledge_one(self._handle, places, item)
            places.deliveries.last = item.delivery_count

    def put_nowait(self, item: T) -> None:
        """``put(item, False)``."""
        self.put(item, False)

    def get_nowait(self) -> T:
        """``get(False)``."""
        return self.get(False)

    def qsize(self) -> int:
        """How many items there are. 1 round trip."""
        return ops.size(self._handle, self._settings)

    def empty(self) -> bool:
        """Whether there is none. 1 round trip."""
        return self.qsize() == 0

    def statistics(self) -> QueueStatistics:  # type: ignore[override]
        """What the server knows. 3 round trips."""
        state = ops.state(self._handle, self._settings)
        return QueueStatistics(
            self._typeid_,
            self._name,
            state.size,
            self._settings.maxsize,
            state.unfinished,
            state.in_flight,
            state.dead_letters,
            state.waiters,
            state.is_shut_down,
        )


class QueueProxy(_QueueBase[T]):
    """A queue that processes on many hosts share, first in first out.

    >>> jobs = manager.Queue("jobs", 100)
    >>> jobs.put("a", timeout=5)
    >>> jobs.get()
    'a'

    Consumers that wait are served in the order in which they came, and so are producers that wait
    for room. ``Queue(..., redeliver=True)`` delivers an item again whose consumer died before it
    called ``task_done()``.

    **Cost**: ``put`` and ``get`` one round trip, O(1) however many items there are.
    ``put_many`` and ``get_many`` one round trip a batch.
    **If a consumer dies**: what ``get()`` returned is its own, as with :mod:`multiprocessing`. What
    was under way to it goes back to the head, about a second later; so does an item whose arrival
    the server was not yet told of, which takes 5 to 10 ms. With ``redeliver`` so does what it had
    not finished.
    **If a producer dies** in ``put``: the item is in the queue or not, never twice.
    **Differs from multiprocessing**: with ``redeliver`` the process that got an item calls
    ``task_done()`` for it. ``shutdown()`` is there on every Python.
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
        """How many items there may be, 0 for any number. No round trip."""
        return self._settings.maxsize

    def full(self) -> bool:
        """Whether there is no room. 1 round trip."""
        size, most = self.qsize(), self._settings.maxsize
        return 0 < most <= size

    def task_done(self) -> None:
        """An item that was got is done. 1 round trip.

        With ``redeliver``: the oldest that this thread got, else the oldest of this process.
        Raises ValueError if there is none, LeaseLost if others took this process for dead and got
        its items.
        """
        if not ops.done(self._handle, self._consumer()):
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Wait until ``task_done()`` was called for every item. 1 round trip and the wait."""
        ops.join(self._handle)

    def shutdown(self, immediate: bool = False) -> None:
        """Take no more items; ``get`` raises ShutDown when none is left. 1 round trip.

        ``immediate`` drops the items that are there. All who wait are woken.
        """
        ops.shutdown(self._handle, immediate)

    # more than the standard library

    def put_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Append items, all or none, one behind the other. 1 round trip, O(items).

        Waits until there is room for all of them. Raises ValueError if there never is, else as
        ``put``.
        """
        batch, most = list(items), self._settings.maxsize
        timeout = _seconds(block, timeout) if most else None
        if 0 < most < len(batch):
            raise ValueError(
                f"put_many() on {self._token.ident}: {len(batch)} items never find room at once "
                f"in a queue of {most}; put fewer"
            )
        values = self._handle.codec.dump_many(batch)
        if values and not ops.put(self._handle, values, block, timeout):
            raise Full

    def get_many(self, n: int, block: bool = True, timeout: float | None = None) -> list[T]:
        """Take up to ``n`` items; waits until there is one. 1 round trip, O(items).

        Where ``get`` fetched items ahead these come first, alone and without a round trip. Raises
        as ``get``.
        """
        if n < 1:
            raise ValueError(f"get_many() takes 1 item or more, not {n}")
        places = self._consumer()
        seconds = _seconds(block, timeout)
        items = take_prefetched(self._handle, places, n) or receive(
            self._handle, places, n, block, seconds
        )
        if not items:
            raise Empty
        try:
            return self._handle.codec.load_many([item.value for item in items])
        finally:
            acknowledge(self._handle, places, items)
            places.deliveries.last = max(item.delivery_count for item in items)

    @property
    def deliveries(self) -> int:
        """How often the item was delivered that this thread got last (of a batch: the one that was
        most often), 1 for the first time. No round trip.
        """
        return getattr(self._consumer().deliveries, "last", 0)

    @property
    def prefetch(self) -> int:
        """How many items this process fetches ahead in ``get()``; 0 unless it is set.

        They go back to the head if the process ends before they were handed out.
        """
        return self._consumer().prefetch

    @prefetch.setter
    def prefetch(self, items: int) -> None:
        if items < 0:
            raise ValueError(f"prefetch is a number of items, not {items}")
        places = self._consumer()
        places.prefetch = items
        places.is_fifo_without_prefetch = False

    def dead_letters(self) -> list[T]:
        """Items that were delivered ``max_deliveries`` times and never done; for ``join()`` they
        are. 1 round trip, O(letters).
        """
        return self._handle.codec.load_many(ops.dead_letters(self._handle, self._settings))

    def requeue_dead_letters(self) -> int:
        """Put the dead letters back, behind all other items, as if they were new (in a
        PriorityQueue before those with which only Python can compare them); how many there were. 1
        round trip, O(letters).
        """
        return ops.drain_dead_letters(self._handle, True)

    def purge_dead_letters(self) -> int:
        """Throw the dead letters away; how many there were. 1 round trip, O(letters)."""
        return ops.drain_dead_letters(self._handle, False)


class JoinableQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` under another name, as in the standard library."""

    _typeid_ = "JoinableQueue"


class LifoQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` that returns the item that was put last."""

    _typeid_ = "LifoQueue"
    _order_ = "l"


class PriorityQueueProxy(QueueProxy[T]):
    """A :class:`QueueProxy` that returns the smallest item, and of equal ones the oldest.

    >>> todo = manager.PriorityQueue()
    >>> todo.put((2, "later"))
    >>> todo.put((1, "now"))
    >>> todo.get()
    (1, 'now')

    Smaller is what Python's ``<`` says, so that anything comparable will do.

    **Cost**: ``get`` one round trip, O(log n) on the server. ``put`` of a number, or of a tuple
    that starts with a number that no other item has, the same. For other items it compares with
    O(log n) items of the queue, up to 15 in a round trip: four or five for 100 000 items.
    ``put_many`` costs as much as so many ``put``.
    **Differs from multiprocessing**: has none. ``put`` raises what ``<`` raises, and the item is
    not in the queue then; equal items come out in the order in which they were put.
    """

    _typeid_ = "PriorityQueue"
    _order_ = "p"

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item to its place. See the class for its cost, else as ``Queue.put``."""
        timeout = _seconds(block, timeout) if self._settings.maxsize else None
        if not ranking.put(self._handle, item, self._handle.codec.dump(item), block, timeout):
            raise Full

    def put_many(
        self, items: Iterable[T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Put items one after the other. Raises as ``put``, and what was put before stays."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for item in items:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            self.put(item, block, left)


class SimpleQueueProxy(_QueueBase[T]):
    """A queue without a size and without tasks, as :class:`queue.SimpleQueue`.

    Cost, and what happens if somebody dies, as with :class:`QueueProxy`. ``block`` and ``timeout``
    of ``put`` are taken and ignored.
    """

    _typeid_ = "SimpleQueue"
    _exposed_ = ("empty", "get", "get_nowait", "put", "put_nowait", "qsize")


def _seconds(block: bool, timeout: float | None) -> float | None:
    """The timeout, if one counts."""
    if not block or timeout is None:
        return None
    if timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout
