"""Contenders with the surface of ``multiprocessing.managers``: the same code drives them all."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
from collections.abc import Callable, Iterator
from multiprocessing.managers import MakeProxyType, SyncManager
from operator import contains, delitem, getitem, setitem
from typing import Any

from bench.catalogue import WIDTH, Row, entries, keys, numbers, small_key
from bench.server import die_with_parent

__all__ = ["ManagerContender", "connected", "embedded", "stdlib"]


class StdlibManager(SyncManager):
    """The standard library's manager, with the set that it has since Python 3.14."""


if not hasattr(StdlibManager, "set"):
    StdlibManager.register(
        "set",
        set,
        MakeProxyType(
            "SetProxy",
            ("__contains__", "__len__", "add", "clear", "union", "update"),
        ),
    )


@contextlib.contextmanager
def stdlib() -> Iterator[ManagerContender]:
    """Start the standard library's manager: a forked process behind a unix socket."""
    manager = StdlibManager(ctx=multiprocessing.get_context("fork"))
    manager.start(die_with_parent)
    with manager:
        yield ManagerContender(manager)


@contextlib.contextmanager
def embedded() -> Iterator[ManagerContender]:
    """Start ``multihost.Manager()``."""
    import multihost

    with multihost.Manager() as manager:
        yield ManagerContender(manager)


@contextlib.contextmanager
def connected(url: str) -> Iterator[ManagerContender]:
    """Connect ``multihost.RedisManager(url)``."""
    import multihost

    with multihost.RedisManager(url) as manager:
        yield ManagerContender(manager)


class ManagerContender:
    """A manager, and the objects it made for the rows."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.made: list[Any] = []

    def make(self, kind: str, *content: Any) -> Any:
        """Make an object, and remember it."""
        made = getattr(self.manager, kind)(*content)
        self.made.append(made)
        return made

    def forget(self) -> None:
        """Delete the objects, where deleting exists; dropping the proxy does it elsewhere."""
        for made in self.made:
            delete = getattr(type(made), "_delete", None) or getattr(type(made), "delete", None)
            if delete is not None:  # a Namespace keeps public names for its users
                delete(made)
        self.made.clear()

    def singles(self) -> Iterator[Row]:
        """Offer the rows of single calls."""
        name, content = keys(WIDTH), entries(WIDTH)
        new = list(content.values())
        full, scratch = self.make("dict", content), self.make("dict")
        counters = self.make("dict", dict.fromkeys(name, 0))

        def empty(_: int) -> None:
            scratch.clear()

        def fill(count: int) -> None:
            scratch.update({name[index]: new[index] for index in range(count)})

        yield Row("dict get", lambda i: getitem(full, name[i]))
        yield Row("dict contains", lambda i: contains(full, name[i]))
        yield Row("dict len", lambda _: len(full))
        yield Row("dict set, old key", lambda i: setitem(full, name[i], new[i]))
        yield Row("dict set, new key", lambda i: setitem(scratch, name[i], new[i]), after=empty)
        yield Row("dict setdefault", lambda i: scratch.setdefault(name[i], new[i]), after=empty)
        yield Row("dict update of one", lambda i: full.update({name[i]: new[i]}))
        yield Row("dict pop", lambda i: scratch.pop(name[i]), before=fill, after=empty)
        if hasattr(counters, "increment"):
            yield Row("dict increment", lambda i: counters.increment(name[i]))
        else:
            # What a program writes that has no increment. It loses counts between processes.
            yield Row(
                "dict increment",
                lambda i: setitem(counters, name[i], getitem(counters, name[i]) + 1),
            )
        yield from self.single_sequences(name, new)
        yield from self.single_values(new)

    def single_sequences(self, name: list[str], new: list[str]) -> Iterator[Row]:
        """Offer the rows of lists and sets."""
        full, stack = self.make("list", new), self.make("list")
        members, fresh = self.make("set", name), self.make("set")

        def empty(_: int) -> None:
            delitem(stack, slice(None))

        def fill(count: int) -> None:
            stack.extend(reversed(new[:count]))

        yield Row("list getitem", lambda i: getitem(full, i))
        yield Row("list setitem", lambda i: setitem(full, i, new[i]))
        yield Row("list append", lambda i: stack.append(new[i]), after=empty)
        yield Row("list pop", lambda _: stack.pop(), before=fill, after=empty)
        yield Row("set contains", lambda i: contains(members, name[i]))
        yield Row("set add", lambda i: fresh.add(name[i]), after=lambda _: fresh.clear())

    def single_values(self, new: list[str]) -> Iterator[Row]:
        """Offer the rows of Namespace, Value and Array."""
        space = self.make("Namespace")
        space.field, space.other = new[0], new[0]
        number, other = self.make("Value", "i", 7), self.make("Value", "i", 0)
        array = self.make("Array", "i", numbers(WIDTH))
        yield Row("Namespace get", lambda _: space.field)
        yield Row("Namespace set", lambda i: setattr(space, "other", new[i]))
        yield Row("Value get", lambda _: number.value)
        yield Row("Value set", lambda i: setattr(other, "value", i))
        yield Row("Array get", lambda i: getitem(array, i))
        yield Row("Array set", lambda i: setitem(array, i, i))

    def bulk(self, size: int) -> Iterator[Row]:
        """Offer the rows that move ``size`` entries at once."""
        content = entries(size)
        values = list(content.values())
        shuffled = random.Random(size).sample(keys(size), size)
        full, fresh = self.make("dict", content), self.make("dict")
        alike = dict.fromkeys(content, values[0])
        twin = self.make("dict", alike)
        yield Row("dict copy", lambda _: full.copy())
        yield Row("dict copy, one value", lambda _: twin.copy())
        yield Row("dict items", lambda _: full.items())
        yield Row("dict keys", lambda _: full.keys())
        yield Row(
            "dict update, new keys", lambda _: fresh.update(content), after=lambda _: fresh.clear()
        )
        yield Row("dict update, old keys", lambda _: full.update(content))
        yield Row(
            "dict update, one value", lambda _: fresh.update(alike), after=lambda _: fresh.clear()
        )

        sequence, longer = self.make("list", values), self.make("list")

        def empty(_: int) -> None:
            delitem(longer, slice(None))

        yield Row("list slice", lambda _: sequence[:])
        yield Row("list extend", lambda _: longer.extend(values), after=empty)
        yield Row(
            "list sort",
            lambda _: longer.sort(),
            before=lambda _: longer.extend(shuffled),
            after=empty,
        )

        members, grown = self.make("set", keys(size)), self.make("set")
        half_new = set(keys(size, size // 2))
        yield Row("set union", lambda _: members.union(half_new))
        yield Row("set update", lambda _: grown.update(half_new), after=lambda _: grown.clear())

    def sized(self, size: int, at_once: int = 10_000) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""
        full, sequence = self.make("dict"), self.make("list")
        for start in range(0, size, at_once):
            count = min(at_once, size - start)
            full.update(entries(count, start))
            sequence.extend([1] * count)
        picked: list[str] = []
        new = list(entries(WIDTH).values())

        def pick(count: int) -> None:
            # Entry 0 goes first: its value is the one the rehearsal checks.
            picked[:] = [small_key(0), *map(small_key, random.choices(range(size), k=count))]

        yield Row("dict get", lambda i: getitem(full, picked[i]), before=pick)
        yield Row("dict set", lambda i: setitem(full, picked[i], new[i]), before=pick)
        yield Row("dict len", lambda _: len(full))
        yield Row(
            "list append",
            lambda _: sequence.append(1),
            after=lambda _: delitem(sequence, slice(size, None)),
        )

    def mix(self) -> Callable[[], Callable[[int], object]]:
        """Return what a worker process calls once for its get-and-set call."""
        name, content = keys(WIDTH), entries(WIDTH)
        new = list(content.values())
        shared = self.make("dict", content)

        def call(index: int) -> object:
            if index % 2:
                shared[name[index % WIDTH]] = new[index % WIDTH]
                return None
            return shared[name[index % WIDTH]]

        return lambda: call
