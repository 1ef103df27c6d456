"""The rows of the tables: their names, their order, the data they work on, and the right answers.

A row means the same thing to every contender. What a contender has no equivalent of it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "BULK",
    "CONTENDERS",
    "LOCK",
    "LOCKS",
    "READS",
    "REENTRY",
    "RLOCK",
    "SINGLES",
    "SIZED",
    "WIDTH",
    "Row",
    "entries",
    "keys",
    "mistaken",
    "nothing",
    "numbers",
    "small_key",
    "value",
]

#: Contenders in the order of the tables; the first one is what everything is divided by.
CONTENDERS = {
    "stdlib": "multiprocessing",
    "multihost": "multihost",
    "multihost-tcp": "multihost, TCP",
    "redis-py": "redis-py",
    "redis-py-1ms": "redis-py, 1 ms",
    "redis-lock": "python-redis-lock",
    "redis-lock-renewed": "the same, renewed",
    "socket": "bare socket",
}

#: How many entries the objects hold that single calls are made on.
WIDTH = 1000

READS = (
    "dict get",
    "dict contains",
    "dict len",
    "list getitem",
    "set contains",
    "Namespace get",
    "Value get",
    "Array get",
)

SINGLES = (
    "dict get",
    "dict contains",
    "dict len",
    "dict set, old key",
    "dict set, new key",
    "dict setdefault",
    "dict update of one",
    "dict pop",
    "dict increment",
    "list getitem",
    "list setitem",
    "list append",
    "list pop",
    "set contains",
    "set add",
    "Namespace get",
    "Namespace set",
    "Value get",
    "Value set",
    "Array get",
    "Array set",
)

#: «One value» rows hold the same object under every key. Pickle writes it once for a whole dict,
#: which makes the standard library fast, and no store that keeps each value by itself.
BULK = (
    "dict copy",
    "dict copy, one value",
    "dict items",
    "dict keys",
    "dict update, new keys",
    "dict update, old keys",
    "dict update, one value",
    "list slice",
    "list extend",
    "list sort",
    "set union",
    "set update",
)

SIZED = ("dict get", "dict set", "dict len", "list append")

#: Each is acquire() and release(): of a free lock, of a free RLock, of an RLock one has already.
LOCK, RLOCK, REENTRY = "Lock, free", "RLock, free", "RLock, re-entry"
LOCKS = (LOCK, RLOCK, REENTRY)


def nothing(_: int) -> None:
    """Prepare nothing, clean nothing up."""


@dataclass(frozen=True)
class Row:
    """One contender's way to do one row. Only ``call`` is timed.

    ``before(n)`` makes room for calls ``0..n-1``; ``after(n)`` restores what they changed.
    """

    name: str
    call: Callable[[int], object]
    before: Callable[[int], object] = nothing
    after: Callable[[int], object] = nothing


def small_key(index: int) -> str:
    """Name the entry: 25 characters."""
    return f"user:{index:020d}"


def value(index: int) -> str:
    """Give the entry its value: 100 characters, no two alike.

    Were they one object, pickle would write it once and refer to it afterwards, which real data
    does not allow.
    """
    return f"{index:020d}".ljust(100, "v")


def entries(size: int, start: int = 0) -> dict[str, str]:
    """Build the first ``size`` entries from ``start`` on."""
    return {small_key(index): value(index) for index in range(start, start + size)}


def keys(size: int, start: int = 0) -> list[str]:
    """List the keys of those entries."""
    return [small_key(index) for index in range(start, start + size)]


def numbers(size: int) -> list[int]:
    """Fill an Array."""
    return list(range(size))


@lru_cache(maxsize=1)
def _expected_entries(size: int) -> dict[str, str]:
    return entries(size)


def mistaken(name: str, result: object, size: int = WIDTH) -> bool:
    """Tell whether the first answer to a row is wrong: a fast wrong answer is no result."""
    single: dict[str, object] = {
        "dict get": value(0),
        "dict contains": True,
        "dict len": size,
        "dict setdefault": value(0),
        "dict pop": value(0),
        "list getitem": value(0),
        "list pop": value(0),
        "set contains": True,
        "Namespace get": value(0),
        "Value get": 7,
        "Array get": 0,
        **dict.fromkeys(LOCKS, True),
    }
    whole: dict[str, Callable[[], bool]] = {
        "dict copy": lambda: result == _expected_entries(size),
        "dict items": lambda: isinstance(result, list) and dict(result) == _expected_entries(size),
        "dict keys": lambda: isinstance(result, list) and set(result) == set(keys(size)),
        "list slice": lambda: result == list(_expected_entries(size).values()),
        "set union": lambda: result == set(keys(size + size // 2)),
    }
    if name in whole:
        return not whole[name]()
    return name in single and result != single[name]
