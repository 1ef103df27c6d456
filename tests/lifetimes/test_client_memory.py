"""A process remembers of unnamed objects what it holds, not what it ever made, gave away or got.

What is counted are the entries of everything that its session has, whatever attribute leads there.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from multihost import RedisManager
from tests.lifetimes.keys import LEASE
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

FIRST, THEN = 200, 260  # objects: the first reach nearly all partitions
ROOM = 200  # entries: what there is once for each partition, and what is just under way

Turn = Callable[[RedisManager, RedisManager, int], None]


def entries(manager: RedisManager) -> int:
    """How many entries there are in all collections that the session of a manager leads to."""
    session = manager.runtime.session
    waiting, seen, count = [session], {id(session)}, 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, list, set, frozenset, tuple, deque)):
            count += len(each)
        for other in gc.get_referents(each):
            if id(other) not in seen and is_ours(other):
                seen.add(id(other))
                waiting.append(other)
    return count


def is_ours(each: Any) -> bool:
    if isinstance(each, (type, ModuleType)) or callable(each):
        return False
    module = type(each).__module__
    if module.startswith("multihost.wire.script."):  # what is the same for all processes
        return False
    return module in ("builtins", "collections", "weakref") or module.startswith("multihost.")


def through_a_name(m: RedisManager, other: RedisManager, number: int) -> None:
    m.dict("names")[number % 10] = m.list([number])
    assert other.dict("names")[number % 10][:] == [number]
    if number % 3:
        other.dict("names").pop(number % 10)


def through_a_queue(m: RedisManager, other: RedisManager, number: int) -> None:
    m.Queue("queue").put(m.dict(n=number))
    assert other.Queue("queue").get()["n"] == number


def through_a_queue_with_a_lease(m: RedisManager, other: RedisManager, number: int) -> None:
    items = m.Queue()
    items.put([m.list([number])])
    assert items.get()[0][:] == [number]


def through_a_queue_for_the_answer(m: RedisManager, other: RedisManager, number: int) -> None:
    answers = m.Queue()
    m.Queue("queue").put((answers, number))
    theirs, asked = other.Queue("queue").get()
    theirs.put(-asked)
    assert answers.get() == -number


def nested(m: RedisManager, other: RedisManager, number: int) -> None:
    inner = m.list([m.dict(n=number)])
    inner.append(inner)
    m.dict("names")["one"] = m.list([inner])
    assert other.dict("names")["one"][0][0]["n"] == number


def locks(m: RedisManager, other: RedisManager, number: int) -> None:
    kinds = m.Lock, m.RLock, m.Semaphore, m.BoundedSemaphore, m.Condition
    with kinds[number % len(kinds)]():
        m.Barrier(1).wait()


@pytest.fixture
def managers(url: str, quick_heartbeats: None) -> Iterator[tuple[RedisManager, RedisManager]]:
    """Two processes, for all that the server sees."""
    with RedisManager(url, lease=LEASE) as m, RedisManager(url, lease=LEASE) as other:
        yield m, other


@pytest.mark.parametrize(
    "turn",
    [
        through_a_name,
        through_a_queue,
        through_a_queue_with_a_lease,
        through_a_queue_for_the_answer,
        nested,
        locks,
    ],
)
def test_what_is_given_away_is_forgotten(
    managers: tuple[RedisManager, RedisManager], server: AnyServer, turn: Turn
) -> None:
    def run(numbers: range) -> list[int]:
        for number in numbers:
            turn(*managers, number)
        gc.collect()
        for each in managers:
            references = each.runtime.session.references
            wait_until(lambda each=references: not each.has_collected)
        return list(map(entries, managers))

    few = run(range(FIRST))
    run(range(FIRST, FIRST + THEN))
    wait_until(
        lambda: all(
            now <= before + ROOM for now, before in zip(map(entries, managers), few, strict=True)
        )
    )


def test_what_is_held_is_found(managers: tuple[RedisManager, RedisManager]) -> None:
    m, _ = managers
    before = entries(m)
    proxies = [m.list() for _ in range(THEN)]
    assert entries(m) >= before + len(proxies)
