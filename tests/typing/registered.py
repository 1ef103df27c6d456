"""Managers and proxy types that users write."""

import multiprocessing.managers
from collections.abc import Iterator
from typing import Any, Self, assert_type

from multihost import Manager
from multihost.managers import BaseManager, BaseProxy, DictProxy, IteratorProxy, MakeProxyType


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.number = start

    def next(self) -> int:
        self.number += 1
        return self.number

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.number))


class CounterProxy(BaseProxy):
    _exposed_ = ("next", "__iter__")
    _method_to_typeid_ = {"__iter__": "Iterator"}

    def next(self) -> int:
        result: int = self._callmethod("next")
        return result


class TheirProxy(multiprocessing.managers.BaseProxy):
    _exposed_ = ("next",)


class CountingManager(BaseManager):
    def __enter__(self) -> Self:
        return super().__enter__()


CountingManager.register("Counter", Counter, CounterProxy)
CountingManager.register("Twice", Counter, exposed=("next",))
CountingManager.register("Parts", dict, DictProxy)
CountingManager.register("numbers", lambda: iter(range(2)), IteratorProxy)
CountingManager.register("Adopted", Counter, TheirProxy)
CountingManager.register("Elsewhere")
assert_type(MakeProxyType("Made", ["next"]), type[BaseProxy])


def use(counter: CounterProxy) -> None:
    assert_type(counter.next(), int)
    assert_type(counter.name, str | None)


def serve() -> Any:
    with CountingManager() as manager:
        assert_type(manager, CountingManager)
    CountingManager(
        address=("", 50000), authkey=b"sixteen bytes and more"
    ).get_server().serve_forever()


def as_there() -> None:
    manager: multiprocessing.managers.SyncManager = Manager()
    d: multiprocessing.managers.DictProxy[str, int] = Manager().dict({"a": 1})
    numbers: multiprocessing.managers.ListProxy[int] = Manager().list([1])
    lock: multiprocessing.managers.BaseProxy = Manager().Lock()
    print(manager, d, numbers, lock)
