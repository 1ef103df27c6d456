"""The rows of the tables: their names, their order, the data they work on, and the right answers.

A row means the same thing to every contender. What a contender has no equivalent of it leaves out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = [
    "BATCH",
    "BOUND",
    "BULK",
    "CONTENDERS",
    "HOSTED",
    "HOSTED_CALLS",
    "HOSTED_CREATE",
    "HOSTED_ERROR",
    "HOSTED_LONG",
    "HOSTED_NATIVE",
    "LOCK",
    "LOCKS",
    "POOLS",
    "POOL_APPLY",
    "POOL_EXECUTOR",
    "POOL_MAP",
    "POOL_ONE_BY_ONE",
    "POOL_TASKS",
    "PRIORITIES",
    "QUEUE",
    "QUEUES",
    "QUEUE_BATCH",
    "QUEUE_BOUNDED",
    "QUEUE_JOINABLE",
    "QUEUE_NAMED",
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
    "priorities",
    "small_key",
    "value",
]

#: Contenders in the order of the tables; the first one is what everything is divided by.
CONTENDERS = {
    "stdlib": "multiprocessing",
    "multihost": "multihost",
    "multihost-tcp": "multihost, TCP",
    "multihost-signed": "multihost, signed",
    "redis-py": "redis-py",
    "redis-py-1ms": "redis-py, 1 ms",
    "redis-lock": "python-redis-lock",
    "redis-lock-renewed": "the same, renewed",
    "socket": "bare socket",
}

#: How many tasks a map of the section on pools has.
POOL_TASKS = 10_000

POOL_MAP = "Pool.map, a task of a chunk"
POOL_ONE_BY_ONE = "Pool.map, chunksize=1, a task"
POOL_EXECUTOR = "Executor.map, a future"
POOL_APPLY = "Pool.apply"
POOLS = (POOL_MAP, POOL_ONE_BY_ONE, POOL_EXECUTOR, POOL_APPLY)

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

#: Each is put() and get() of one item, the last one with task_done().
QUEUE, QUEUE_NAMED, QUEUE_BOUNDED, QUEUE_JOINABLE = (
    "Queue put and get",
    "Queue put and get, named",
    "Queue put and get, bounded",
    "JoinableQueue, with task_done",
)
QUEUES = (QUEUE, QUEUE_NAMED, QUEUE_BOUNDED, QUEUE_JOINABLE)

#: So many items with put_many() and get_many(); the time is that of one item.
QUEUE_BATCH = "Queue, 100 at once"
BATCH = 100

#: Calls to an object in a process; one that raises; and to create an object, call and forget it.
HOSTED, HOSTED_LONG, HOSTED_NATIVE, HOSTED_ERROR, HOSTED_CREATE = (
    "hosted call",
    "hosted call, 10 kB",
    "hosted dict get",
    "hosted call that raises",
    "hosted object, new",
)
HOSTED_CALLS = (HOSTED, HOSTED_LONG, HOSTED_NATIVE)

#: How many items a bounded queue may hold.
BOUND = 100

#: What is put into priority queues, and an item that is smaller than all others.
PRIORITIES: dict[str, Any] = {"numbers": -1, "tuples": (-1, ""), "strings": ""}

#: Tuples begin with one of so many numbers.
LEVELS = 10


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


def priorities(kind: str, size: int, seed: int | None = 0) -> list[Any]:
    """List items for a priority queue, in random order; without a seed new ones each time."""
    drawn = random.Random(seed)
    if kind == "numbers":
        return [drawn.randrange(1 << 40) for _ in range(size)]
    if kind == "tuples":
        return [(drawn.randrange(LEVELS), value(drawn.randrange(1 << 40))) for _ in range(size)]
    return [value(drawn.randrange(1 << 40)) for _ in range(size)]


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
        **dict.fromkeys(QUEUES, value(0)),
        HOSTED: 0,
        HOSTED_LONG: 10_000,
        HOSTED_NATIVE: 2,
        HOSTED_ERROR: ("missing",),
        HOSTED_CREATE: 1,
        QUEUE_BATCH: list(map(value, range(BATCH))),
        "Queue get": 0,
        **{name: [number * number for number in range(POOL_TASKS)] for name in POOLS},
        POOL_APPLY: 0,
        **{f"PriorityQueue get, {kind}": item for kind, item in PRIORITIES.items()},
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
