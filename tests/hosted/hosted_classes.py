"""Registered classes of these tests, for managers of multiprocessing and of multihost."""

from __future__ import annotations

import collections
import multiprocessing.managers
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

import multihost.managers

theirs: Any = multiprocessing.managers
ours: Any = multihost.managers


class Unpicklable:
    def __reduce__(self):
        raise TypeError("not me")


class Refused(Exception):
    """An exception with arguments of its own."""

    def __init__(self, number, reason):
        super().__init__(number, reason)


class Fragile(Exception):
    """An exception that cannot be made again from its arguments."""

    def __init__(self, a, b):
        super().__init__(a)


class Exiting(Exception):
    """An exception whose pickling ends the program."""

    def __reduce__(self):
        sys.exit(3)


class Counter:
    """An object with methods of every kind."""

    def __init__(self, start=0):
        self.number = start
        self.lock = threading.Lock()  # cannot be pickled
        self.doors = collections.defaultdict(threading.Event)
        self.waiting = threading.Semaphore(0)

    def add(self, amount=1):
        with self.lock:
            self.number += amount
            return self.number

    def pid(self):
        return os.getpid()

    def refuse(self, number):
        raise Refused(number, "because")

    def refuse_and_exit(self):
        raise Exiting

    def refuse_fragile(self):
        raise Fragile(1, 2)

    def missing(self):
        return {}["missing"]

    def exit(self):
        raise SystemExit(3)

    def unpicklable(self):
        return Unpicklable()

    def lose(self):
        return self.nothing

    def get(self):
        raise queue.Empty

    def wait(self, door="door"):
        self.waiting.release()
        return self.doors[door].wait(60)

    def await_waiter(self):
        return self.waiting.acquire(timeout=60)

    def open(self, door="door"):
        self.doors[door].set()

    def threads(self):
        return sorted(t.name for t in threading.enumerate())

    def echo(self, *args, **kwds):
        return args, kwds

    def evens(self, stop):
        return (n for n in range(0, stop, 2))

    def running_total(self):
        total = 0
        try:
            while True:
                try:
                    total += yield total
                except KeyError:
                    total = 100
        finally:
            self.number = -1

    def numbers(self):
        return [1, 2, 3]

    def child(self):
        return Counter(self.number + 1)

    def myself(self):
        return self

    def call(self, other):
        return other.add(10)

    def _hidden(self):
        return "hidden"

    def __repr__(self):
        return f"Counter({self.number})"

    def __len__(self):
        return 7


class CounterWithName:
    def __init__(self, name="nobody"):
        self.name = name

    def whose(self):
        return self.name


GLOBAL = queue.Queue()


def get_global():
    return GLOBAL


def squares() -> Iterator[int]:
    for i in range(5):
        yield i * i


def own_proxy(proxies: Any) -> Any:
    class OwnProxy(proxies.BaseProxy):
        _exposed_ = ("add", "__len__")

        def add_twice(self, amount):
            self._callmethod("add", (amount,))
            return self._callmethod("add", (amount,))

        def __len__(self):
            return self._callmethod("__len__")

    return OwnProxy


def with_method(proxies: Any) -> Any:
    class WithMethod(proxies.NamespaceProxy):
        _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "add")

        def add(self, *args):
            callmethod = object.__getattribute__(self, "_callmethod")
            return callmethod("add", args)

    return WithMethod


for name, proxies in (("Their", theirs), ("Our", ours)):
    for make in (own_proxy, with_method):
        proxytype = make(proxies)
        proxytype.__qualname__ = f"{name}{proxytype.__name__}"
        globals()[proxytype.__qualname__] = proxytype


def register(cls: Any, proxies: Any) -> Any:
    """Register the same types on a manager of multiprocessing or of multihost."""

    name = "Our" if proxies is ours else "Their"
    results = {"evens": "Iterator", "running_total": "Iterator", "child": "Result"}
    cls.register("Counter", Counter, method_to_typeid={**results, "myself": "Result"})
    cls.register("Result", create_method=False)
    cls.register("Exposed", Counter, exposed=("_hidden", "__len__", "add"))
    cls.register("Own", Counter, globals()[f"{name}OwnProxy"])
    cls.register("Attributes", Counter, globals()[f"{name}WithMethod"])
    cls.register("Lister", Counter, method_to_typeid={"numbers": "list"})
    cls.register("defaultdict", collections.defaultdict, proxies.DictProxy)
    cls.register("deque", collections.deque, proxies.ListProxy, exposed=("append", "__len__"))
    cls.register("HostedLock", threading.Lock, proxies.AcquirerProxy)
    cls.register("HostedEvent", threading.Event, proxies.EventProxy)
    cls.register("get_global", get_global)
    cls.register("squares", squares, proxies.IteratorProxy)
    cls.register("Fails", Counter.refuse)
    cls.register("Bare")
    return cls


class Their(theirs.SyncManager):
    pass


class Our(ours.SyncManager):
    pass


register(Their, theirs)
register(Our, ours)
Our.register("CounterWithName", CounterWithName)


class Adopting(ours.SyncManager):
    """Ours, with the proxy types of a program that was written for theirs."""


register(Adopting, theirs)


class Remote(ours.RedisManager):
    """A manager that connects by a URL."""


register(Remote, ours)
