"""Contenders of the section on queues: the managers, and plain lists of Redis.

Each has a server of its own, so that nobody waits for another one's work.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import queue
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pickle import dumps, loads
from typing import Any, ClassVar, Protocol

from bench.catalogue import (
    BATCH,
    BOUND,
    PRIORITIES,
    QUEUE,
    QUEUE_BATCH,
    QUEUE_BOUNDED,
    QUEUE_JOINABLE,
    QUEUE_NAMED,
    Row,
    priorities,
    value,
)
from bench.contenders import import_multihost, managers
from bench.server import Server, die_with_parent, run_server
from bench.socket_link import SocketLink

__all__ = ["Open", "Queuer", "enter_queuers"]

#: Opens one end of a queue, which has ``put(item)`` and ``get()``. Every process opens its own.
Open = Callable[[], Any]

#: Items that are put at once where a queue is filled.
AT_ONCE = 10_000


class Queuer(Protocol):
    """What the section asks of everybody."""

    def singles(self) -> Iterator[Row]:
        """Offer the rows that move one item."""

    def batches(self) -> Iterator[Row]:
        """Offer the row that moves ``BATCH`` items."""

    def sized(self, size: int) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""

    def sorting(self, size: int) -> Iterator[Row]:
        """Offer the rows of priority queues of ``size`` items."""

    def queue(self) -> Open:
        """Make a queue."""


@contextlib.contextmanager
def enter_queuers(*, tcp: bool) -> Iterator[dict[str, Queuer]]:
    """Start every contender, and end everything that was started."""
    with contextlib.ExitStack() as stack:
        # First, as in ``enter_all``: its server is a fork of this process.
        queuers: dict[str, Queuer] = {"stdlib": stack.enter_context(stdlib())}
        if reason := import_multihost():
            print(f"  multihost left out, it cannot be imported: {reason}", file=sys.stderr)
        else:
            queuers["multihost"] = stack.enter_context(multihost())
            if tcp:
                queuers["multihost-tcp"] = stack.enter_context(multihost(tcp=True))
        queuers["redis-py"] = RedisPyQueuer(stack.enter_context(run_server()))
        queuers["socket"] = SocketQueuer(stack.enter_context(run_server()))
        yield queuers


class StdlibManager(managers.StdlibManager):
    """The standard library's manager, with queues that are full from the start.

    Nothing of it puts many items at once: a million of them would take a minute.
    """


def full_queue(size: int) -> queue.Queue[int]:
    """Make a queue of the numbers below ``size``."""
    made = queue.Queue[int]()
    made.queue.extend(range(size))
    return made


def full_priority_queue(kind: str, size: int) -> queue.PriorityQueue[Any]:
    """Make a priority queue of so many items. A sorted list is a heap."""
    made = queue.PriorityQueue[Any]()
    made.queue.extend(sorted(priorities(kind, size)))
    return made


StdlibManager.register("FullQueue", full_queue)
StdlibManager.register("FullPriorityQueue", full_priority_queue)


@contextlib.contextmanager
def stdlib() -> Iterator[Queuer]:
    """Start the standard library's manager."""
    manager = StdlibManager(ctx=multiprocessing.get_context("fork"))
    manager.start(die_with_parent)
    with manager:
        yield StdlibQueuer(manager)


@contextlib.contextmanager
def multihost(*, tcp: bool = False) -> Iterator[Queuer]:
    """Connect a manager of multihost."""
    from multihost import RedisManager

    with run_server(tcp=tcp) as server, RedisManager(server.url) as manager:
        yield MultihostQueuer(manager)


def passing(put: Callable[[Any], object], get: Callable[[], Any]) -> Callable[[int], object]:
    """Return a call that puts an item and gets it back."""

    def call(index: int) -> object:
        put(value(index))
        return get()

    return call


class ManagerQueuer:
    """The queues of a manager."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager

    def named(self) -> Any:
        """Make a queue with a name, if names exist."""
        raise NotImplementedError

    def full(self, size: int) -> Any:
        """Make a queue of the numbers below ``size``."""
        raise NotImplementedError

    def full_priority(self, kind: str, size: int) -> Any:
        """Make a priority queue of so many items."""
        raise NotImplementedError

    def put_all(self, end: Any, items: list[Any]) -> None:
        """Put items as fast as can be done."""
        raise NotImplementedError

    def get_all(self, end: Any, count: int) -> list[Any]:
        """Get items as fast as can be done."""
        raise NotImplementedError

    def singles(self) -> Iterator[Row]:
        """Offer the rows that move one item."""
        manager = self.manager
        plain, named, bounded = manager.Queue(), self.named(), manager.Queue(BOUND)
        joinable = manager.JoinableQueue()
        yield Row(QUEUE, passing(plain.put, plain.get))
        yield Row(QUEUE_NAMED, passing(named.put, named.get))
        yield Row(QUEUE_BOUNDED, passing(bounded.put, bounded.get))

        def work(index: int) -> object:
            joinable.put(value(index))
            item = joinable.get()
            joinable.task_done()
            return item

        yield Row(QUEUE_JOINABLE, work)

    def batches(self) -> Iterator[Row]:
        """Offer the row that moves ``BATCH`` items."""
        end, items = self.manager.Queue(), list(map(value, range(BATCH)))

        def call(_: int) -> object:
            self.put_all(end, items)
            return self.get_all(end, BATCH)

        yield Row(QUEUE_BATCH, call)

    def sized(self, size: int) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""
        end = self.full(size)
        yield Row("Queue get", lambda _: end.get(), before=partial(self.more, end))
        yield Row("Queue put", end.put, after=partial(self.get_all, end))

    def more(self, end: Any, count: int) -> None:
        """Put the items behind the others that are to be got."""
        self.put_all(end, list(range(count)))

    def sorting(self, size: int) -> Iterator[Row]:
        """Offer the rows of priority queues of ``size`` items."""
        for kind, smallest in PRIORITIES.items():
            yield from self.sorting_kind(kind, smallest, size)

    def sorting_kind(self, kind: str, smallest: Any, size: int) -> Iterator[Row]:
        """Offer the rows of one kind of items."""
        end, new = self.full_priority(kind, size), list[Any]()

        def before_get(count: int) -> None:
            # What is got is what was put for it, so that all contenders keep the same content.
            self.put_all(end, [smallest] * count)

        def before_put(count: int) -> None:
            new[:] = priorities(kind, count, None)

        yield Row(f"PriorityQueue get, {kind}", lambda _: end.get(), before=before_get)
        yield Row(
            f"PriorityQueue put, {kind}",
            lambda index: end.put(new[index]),
            before=before_put,
            after=partial(self.get_all, end),
        )

    def queue(self) -> Open:
        """Make a queue."""
        end = self.manager.Queue()
        return lambda: end


class StdlibQueuer(ManagerQueuer):
    """The standard library: no names, nothing that moves many items."""

    def named(self) -> Any:
        """Make one without a name."""
        return self.manager.Queue()

    def full(self, size: int) -> Any:
        """Let the server fill it."""
        return self.manager.FullQueue(size)

    def full_priority(self, kind: str, size: int) -> Any:
        """Let the server fill it."""
        return self.manager.FullPriorityQueue(kind, size)

    def put_all(self, end: Any, items: list[Any]) -> None:
        """Put them one by one."""
        for item in items:
            end.put(item)

    def get_all(self, end: Any, count: int) -> list[Any]:
        """Get them one by one."""
        return [end.get() for _ in range(count)]


class MultihostQueuer(ManagerQueuer):
    """The queues of multihost."""

    def named(self) -> Any:
        """Make one with a name."""
        return self.manager.Queue("bench")

    def full(self, size: int) -> Any:
        """Fill it in big steps."""
        made = self.manager.Queue()
        for start in range(0, size, AT_ONCE):
            made.put_many(range(start, min(start + AT_ONCE, size)))
        return made

    def full_priority(self, kind: str, size: int) -> Any:
        """Fill it."""
        made = self.manager.PriorityQueue()
        made.put_many(priorities(kind, size))
        return made

    def put_all(self, end: Any, items: list[Any]) -> None:
        """Put them at once."""
        end.put_many(items)

    def get_all(self, end: Any, count: int) -> list[Any]:
        """Get them at once."""
        got: list[Any] = end.get_many(count)
        return got


class End:
    """One end of a list that serves as a queue."""

    def __init__(self, call: Callable[..., Any], key: str, way: tuple[str, str, str]) -> None:
        self.call = call
        self.key = key
        self.push, self.pop, self.wait = way

    def put(self, item: Any) -> None:
        """Append an item."""
        self.call(self.push, self.key, dumps(item, 5))

    def get(self) -> Any:
        """Take the next item, and wait for it."""
        return loads(self.call(self.wait, self.key, 0)[1])

    def get_nowait(self) -> Any:
        """Take the next item, which is there."""
        return loads(self.call(self.pop, self.key))

    def put_many(self, items: list[Any]) -> None:
        """Append items."""
        self.call(self.push, self.key, *(dumps(item, 5) for item in items))

    def get_many(self, count: int) -> list[Any]:
        """Take the next items, which are there."""
        return list(map(loads, self.call(self.pop, self.key, count)))


class ServerQueuer:
    """Lists of Redis: no places for what is under way, no leases, no exactly-once."""

    prefix: str
    #: The commands that append, that take, and that wait.
    way: ClassVar[tuple[str, str, str]]
    #: Whether ``get`` of a single call is the one that could wait.
    waits: ClassVar[bool]

    def __init__(self, server: Server) -> None:
        self.server = server
        self.serial = itertools.count()
        self.call = self.connect()

    def connect(self) -> Callable[..., Any]:
        """Connect once more, and return what sends a command there."""
        raise NotImplementedError

    def end(self) -> End:
        """Make a queue, and open it here."""
        return End(self.call, f"{self.prefix}:{next(self.serial)}", self.way)

    def singles(self) -> Iterator[Row]:
        """Offer the row that moves one item. There is neither a bound nor a count of tasks."""
        end = self.end()
        yield Row(QUEUE, passing(end.put, end.get if self.waits else end.get_nowait))

    def batches(self) -> Iterator[Row]:
        """Offer the row that moves ``BATCH`` items."""
        end, items = self.end(), list(map(value, range(BATCH)))

        def call(_: int) -> object:
            end.put_many(items)
            return end.get_many(BATCH)

        yield Row(QUEUE_BATCH, call)

    def sized(self, size: int) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""
        end = self.end()
        for start in range(0, size, AT_ONCE):
            end.put_many(list(range(start, min(start + AT_ONCE, size))))
        get = end.get if self.waits else end.get_nowait
        yield Row(
            "Queue get", lambda _: get(), before=lambda count: end.put_many(list(range(count)))
        )
        yield Row("Queue put", end.put, after=end.get_many)

    def sorting(self, size: int) -> Iterator[Row]:  # noqa: ARG002 - as the others
        """Redis does not compare pickles."""
        return iter(())

    def queue(self) -> Open:
        """Make a queue."""
        key = f"{self.prefix}:{next(self.serial)}"
        return lambda: End(self.connect(), key, self.way)


class RedisPyQueuer(ServerQueuer):
    """``redis.Redis`` with LPUSH and BRPOP."""

    prefix = "redis-py"
    way = "LPUSH", "RPOP", "BRPOP"
    waits = True

    def connect(self) -> Callable[..., Any]:
        """Make a client. As it comes, it ends any read after 5 seconds, a blocking pop too."""
        import redis

        client: Any = redis.Redis(unix_socket_path=self.server.path, socket_timeout=None)
        call: Callable[..., Any] = client.execute_command
        return call


class SocketQueuer(ServerQueuer):
    """The floor: a socket, hiredis and pickle, with RPUSH and LPOP."""

    prefix = "socket"
    way = "RPUSH", "LPOP", "BLPOP"
    waits = False

    def connect(self) -> Callable[..., Any]:
        """Connect a socket."""
        return SocketLink(self.server.path).call
