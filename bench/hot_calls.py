"""The calls whose work in Python is counted: those that programs make again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from multihost.managers import SyncManager

__all__ = ["HotCall", "hot_calls"]

MANY = 10


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class HotCall:
    """A call, and what restores before and after it the state that it is counted in."""

    name: str
    call: Callable[[], object]
    before: Callable[[], object] = nothing
    after: Callable[[], object] = nothing


class Counter:
    """What is hosted."""

    def __init__(self) -> None:
        self.number = 0

    def add(self, amount: int) -> int:
        """Return the sum."""
        self.number += amount
        return self.number


class Hosting(SyncManager):
    """A manager with a registered type."""


Hosting.register("Counter", Counter)


@contextlib.contextmanager
def hot_calls() -> Iterator[list[HotCall]]:
    """Offer every call, on a private server that lives until the block ends."""
    with Hosting(ctx=get_context("fork")) as manager:  # first of all: afterwards there are threads
        with manager.Pool(1) as pool:
            yield [
                *containers(manager),
                *values(manager),
                *locks(manager),
                *signals(manager),
                *queues(manager),
                *others(manager, pool),
            ]


def containers(manager: Any) -> Iterator[HotCall]:
    """Offer the calls of dicts, lists and sets."""
    d, numbers = manager.dict(a=1, b=2), manager.dict(n=0)
    yield HotCall("d[k]", lambda: d["a"])
    yield HotCall("d[k] = v", lambda: d.__setitem__("a", 1))
    yield HotCall("del d[k]", lambda: d.__delitem__("x"), lambda: d.update(x=1))
    yield HotCall("d.pop(k)", lambda: d.pop("x"), lambda: d.update(x=1))
    yield HotCall("k in d", lambda: "a" in d)
    yield HotCall("d.copy()", d.copy)
    yield HotCall("d.increment(k)", lambda: numbers.increment("n"))
    items, members = manager.list([1, 2, 3]), manager.set([1, 2, 3])
    yield HotCall("l[i]", lambda: items[1])
    yield HotCall("l.append(x)", lambda: items.append(4), after=items.pop)
    yield HotCall("s.add(x)", lambda: members.add(4), after=lambda: members.remove(4))
    yield HotCall("x in s", lambda: 1 in members)


def values(manager: Any) -> Iterator[HotCall]:
    """Offer the calls of values, arrays and namespaces."""
    value, array, space = manager.Value("i", 7), manager.Array("i", [1, 2]), manager.Namespace(x=1)
    yield HotCall("value.value", lambda: value.value)
    yield HotCall("value.value = x", lambda: setattr(value, "value", 8))
    yield HotCall("array[i]", lambda: array[1])
    yield HotCall("namespace.x", lambda: space.x)
    yield HotCall("namespace.x = x", lambda: setattr(space, "x", 2))


def locks(manager: Any) -> Iterator[HotCall]:
    """Offer the calls of what is held."""
    lock, rlock, semaphore = manager.Lock(), manager.RLock(), manager.Semaphore(3)
    yield HotCall("Lock.acquire + release", lambda: (lock.acquire(), lock.release()))
    yield HotCall("RLock.acquire + release", lambda: (rlock.acquire(), rlock.release()))
    yield HotCall(
        "RLock.acquire + release, again",
        lambda: (rlock.acquire(), rlock.release()),
        rlock.acquire,
        rlock.release,
    )
    yield HotCall("Semaphore.acquire + release", lambda: (semaphore.acquire(), semaphore.release()))


def signals(manager: Any) -> Iterator[HotCall]:
    """Offer the calls of what others wait for."""
    event, condition = manager.Event(), manager.Condition()
    yield HotCall("event.set()", event.set)
    yield HotCall("event.is_set()", event.is_set)
    yield HotCall("condition.notify()", condition.notify, condition.acquire, condition.release)


def queues(manager: Any) -> Iterator[HotCall]:
    """Offer the calls of queues. Each leaves its queue as it was, with one item."""
    plain, joinable, ranked = manager.Queue(), manager.JoinableQueue(), manager.PriorityQueue()
    for queue in (plain, joinable, ranked):
        queue.put(1)

    def finish(queue: Any) -> Callable[[], None]:
        def get() -> None:
            queue.get()
            queue.task_done()

        return get

    yield HotCall("q.put(x)", lambda: plain.put(1), after=finish(plain))
    yield HotCall("q.get()", plain.get, lambda: plain.put(1), plain.task_done)
    yield HotCall("q.get() + task_done()", finish(joinable), lambda: joinable.put(1))
    yield HotCall(
        "q.put_many(xs)",
        lambda: plain.put_many(range(MANY)),
        after=lambda: [finish(plain)() for _ in range(MANY)],
    )
    yield HotCall(
        "q.get_many(n)",
        lambda: plain.get_many(MANY),
        lambda: plain.put_many(range(MANY)),
        lambda: [plain.task_done() for _ in range(MANY)],
    )
    yield HotCall("PriorityQueue.put(x)", lambda: ranked.put(1), after=finish(ranked))
    yield HotCall("PriorityQueue.get()", ranked.get, lambda: ranked.put(1), ranked.task_done)


def others(manager: Any, pool: Any) -> Iterator[HotCall]:
    """Offer a call of a hosted object, a new object, and a task."""
    counter = manager.Counter()
    results: list[Any] = []
    yield HotCall("hosted.method(x)", lambda: counter.add(1))
    yield HotCall("manager.dict()", manager.dict)
    yield HotCall(
        "pool.apply_async(f, xs)",
        lambda: results.append(pool.apply_async(abs, (1,))),
        after=lambda: results.pop().get(),
    )
