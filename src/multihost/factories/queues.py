"""Queue, JoinableQueue, LifoQueue, PriorityQueue and SimpleQueue."""

from __future__ import annotations

import operator
from typing import Any, TypeVar

from multihost.basemanager import BaseManager
from multihost.factories.arguments import name_and
from multihost.proxies.queue import (
    JoinableQueueProxy,
    LifoQueueProxy,
    PriorityQueueProxy,
    QueueProxy,
    SimpleQueueProxy,
)
from multihost.wire.ops.queue import admin as queue_admin
from multihost.wire.ops.queue.settings import FIFO, QueueSettings

__all__ = ["QueueFactories"]

AnyQueue = TypeVar("AnyQueue", bound=QueueProxy[Any])


class QueueFactories(BaseManager):
    """A manager of queues."""

    def Queue(
        self,
        name_or_maxsize: str | int | None = None,
        /,
        maxsize: int | None = None,
        *,
        name: str | None = None,
        redeliver: bool | None = None,
        max_deliveries: int | None = None,
    ) -> QueueProxy[Any]:
        """Return a shared queue: ``Queue()``, ``Queue(100)``, ``Queue("name", 100)``. 1 round trip.

        ``redeliver=True`` delivers an item again if its consumer died before ``task_done()``. With
        ``max_deliveries=n`` that is at most n times; then the item becomes a dead letter.
        """
        name, maxsize = name_and("maxsize", name_or_maxsize, maxsize, name)
        return self._queue(QueueProxy, name, maxsize, redeliver, max_deliveries)

    def JoinableQueue(
        self,
        name_or_maxsize: str | int | None = None,
        /,
        maxsize: int | None = None,
        *,
        name: str | None = None,
        redeliver: bool | None = None,
        max_deliveries: int | None = None,
    ) -> JoinableQueueProxy[Any]:
        """Return a :meth:`Queue`, as in the standard library. 1 round trip."""
        name, maxsize = name_and("maxsize", name_or_maxsize, maxsize, name)
        return self._queue(JoinableQueueProxy, name, maxsize, redeliver, max_deliveries)

    def LifoQueue(
        self,
        name_or_maxsize: str | int | None = None,
        /,
        maxsize: int | None = None,
        *,
        name: str | None = None,
        redeliver: bool | None = None,
        max_deliveries: int | None = None,
    ) -> LifoQueueProxy[Any]:
        """Return a :meth:`Queue` whose ``get()`` takes the latest item. 1 round trip."""
        name, maxsize = name_and("maxsize", name_or_maxsize, maxsize, name)
        return self._queue(LifoQueueProxy, name, maxsize, redeliver, max_deliveries)

    def PriorityQueue(
        self,
        name_or_maxsize: str | int | None = None,
        /,
        maxsize: int | None = None,
        *,
        name: str | None = None,
        redeliver: bool | None = None,
        max_deliveries: int | None = None,
    ) -> PriorityQueueProxy[Any]:
        """Return a :meth:`Queue` whose ``get()`` takes the smallest item. 1 round trip."""
        name, maxsize = name_and("maxsize", name_or_maxsize, maxsize, name)
        return self._queue(PriorityQueueProxy, name, maxsize, redeliver, max_deliveries)

    def SimpleQueue(self, name: str | None = None) -> SimpleQueueProxy[Any]:
        """Return a shared queue without a maximum size: ``SimpleQueue()``, ``SimpleQueue("name")``.
        1 round trip.
        """
        terms = QueueSettings(0, FIFO, 0)
        return self._create_object(
            SimpleQueueProxy,
            name,
            lambda handle: queue_admin.create(handle, "SimpleQueue", terms, (True, True)),
            "0 0",
        )

    def _queue(
        self,
        proxytype: type[AnyQueue],
        name: str | None,
        maxsize: int | None,
        redeliver: bool | None,
        times: int | None,
    ) -> AnyQueue:
        if times is not None and (operator.index(times) < 1 or not redeliver):
            raise ValueError(
                f"max_deliveries must be at least 1, and needs redeliver=True: not {times}"
            )
        most = 0 if maxsize is None else max(operator.index(maxsize), 0)
        terms = QueueSettings(most, proxytype._order_, (times or -1) if redeliver else 0)
        explicit = maxsize is not None, redeliver is not None
        return self._create_object(
            proxytype,
            name,
            lambda handle: queue_admin.create(handle, proxytype._typeid_, terms, explicit),
            f"{terms.maxsize} {terms.max_deliveries}",
        )
