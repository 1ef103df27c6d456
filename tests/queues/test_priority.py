"""The order of a queue by priority is that of Python's ``<``."""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multihost import RedisManager
from multihost.wire.ops.queue import priority


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


numbers = st.one_of(
    st.booleans(),
    st.integers(-4, 4),
    st.integers(),
    st.floats(allow_nan=False),
    st.fractions(max_denominator=5),
)
KINDS = {
    "numbers": numbers,
    "tuples": st.tuples(st.integers(-2, 2), st.text("ab", max_size=2)),
    "tuples of all lengths": st.one_of(
        st.tuples(st.integers(0, 1)), st.tuples(st.integers(0, 1), st.integers(0, 3))
    ),
    "texts": st.text("abc", max_size=3),
    "bytes": st.binary(max_size=2),
    "lists": st.lists(st.integers(0, 2), max_size=3),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_items_come_out_sorted_and_equal_ones_in_order_of_arrival(
    kind: str, m: RedisManager, data: st.DataObject
) -> None:
    """Puts and gets in turn, as in a sorted list."""
    q = m.PriorityQueue()
    model: list[Any] = []
    for step in data.draw(st.lists(st.one_of(st.none(), KINDS[kind]), max_size=40)):
        if step is not None:
            q.put(step)
            model.append(step)
            model.sort()
        elif model:
            got = q.get_nowait()
            assert (type(got), got) == (type(model[0]), model[0])
            del model[0]
    got = q.get_many(1000, False) if model else []
    assert [(type(item), item) for item in got] == [(type(item), item) for item in model]


def test_items_come_out_as_of_a_heap(m: RedisManager) -> None:
    chance = random.Random(1)
    items = [
        (chance.randrange(9), chance.choice("abcdef") * chance.randrange(4)) for _ in range(300)
    ]
    q, heap = m.PriorityQueue(), list(items)
    heapq.heapify(heap)
    for item in items:
        q.put(item)
    assert [q.get() for _ in items] == [heapq.heappop(heap) for _ in items]


@dataclasses.dataclass(order=True)
class Job:
    priority: int
    payload: Any = dataclasses.field(compare=False)


def test_items_with_an_order_of_their_own_class(m: RedisManager) -> None:
    q = m.PriorityQueue()
    for number, rank in enumerate([2, 1, 2, 1, 3]):
        q.put(Job(rank, {"number": number}))
    assert [q.get().payload["number"] for _ in range(5)] == [1, 3, 0, 2, 4]


class Incomparable:
    """An item whose comparison raises."""

    def __lt__(self, other: object) -> bool:
        raise ArithmeticError("cannot be compared")


@pytest.mark.parametrize(
    ("there", "item", "error"),
    [
        ([1, 2], "a", TypeError),
        ([1, 2], None, TypeError),
        (["a"], 1, TypeError),
        ([(1, "a")], (1, 2), TypeError),
        ([(1, "a")], 1, TypeError),
        ([1], (1,), TypeError),
        ([[1]], (1,), TypeError),
        ([1], 1j, TypeError),
        ([1], Incomparable(), ArithmeticError),
    ],
)
def test_an_item_that_cannot_be_compared_is_not_put(
    there: list[Any], item: Any, error: type[Exception], m: RedisManager
) -> None:
    q = m.PriorityQueue()
    for each in there:
        q.put(each)
    with pytest.raises(error):
        q.put(item)
    assert q.qsize() == len(there)
    assert q.statistics().unfinished == len(there)
    q.put(there[0])
    assert q.get_many(9) == sorted([*there, there[0]])


def test_numbers_of_all_types_are_sorted_together(m: RedisManager) -> None:
    q = m.PriorityQueue()
    items = [3, Fraction(5, 2), 2.75, 2**60, 2**60 + 1, -math.inf, True, 10**400, math.inf]
    for item in items:
        q.put(item)
    assert q.get_many(99) == sorted(items)
    q.put(1)
    assert q.get() == 1


def test_scores_between_two_neighbours_are_never_used_up(
    m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    renumbered = []
    monkeypatch.setattr(
        priority._renumber,
        "run_idempotent",
        lambda handle, real=priority._renumber.run_idempotent: renumbered.append(1) or real(handle),
    )
    q = m.PriorityQueue()
    q.put((0, "a"))
    q.put((0, "c"))
    expected = ["a"]
    for length in range(1, 80):
        q.put((0, "b" * length))  # each between the last one and "c"
        expected.append("b" * length)
    assert [text for _, text in q.get_many(99)] == [*expected, "c"]
    assert renumbered


# -- requeued items

BACK: dict[str, tuple[list[Any], list[Any], list[Any], list[Any]]] = {
    "before its equals": ([1, True], [0, 1.0], [], [0, 1, True, 1.0]),
    "a number to tuples": ([3], [(1, "a"), (0, "z")], [], [3, (0, "z"), (1, "a")]),
    "tuples to numbers": ([(1, "a"), (1, "b")], [2, 0], [], [(1, "a"), (1, "b"), 0, 2]),
    "numbers to texts": ([3, 4], ["b", "a"], ["aa"], [3, 4, "a", "aa", "b"]),
    "a text to numbers": (["a"], [5], [2, 7], ["a", 2, 5, 7]),
    "fractions to fractions": (
        [Fraction(1, 3), Fraction(1, 2)],
        [Fraction(7)],
        [Fraction(3)],
        [Fraction(1, 3), Fraction(1, 2), Fraction(3), Fraction(7)],
    ),
    "a fraction to numbers": (
        [Fraction(1, 2)],
        [5],
        [Fraction(3), 4],
        [Fraction(1, 2), Fraction(3), 4, 5],
    ),
}


@pytest.mark.parametrize("case", BACK)
@pytest.mark.parametrize("way", ["again", "dead letter"])
def test_a_requeued_item_is_first_among_comparable_ones(
    case: str, way: str, url: str, m: RedisManager
) -> None:
    """The server cannot compare it with what was put meanwhile."""
    taken, meanwhile, later, expected = BACK[case]
    limit = {"max_deliveries": 1} if way == "dead letter" else {}
    q = m.PriorityQueue("x", redeliver=True, **limit)
    q.put_many(taken)
    with RedisManager(url) as leaves:
        assert leaves.PriorityQueue("x").get_many(9) == taken
        q.put_many(meanwhile)
    if way == "dead letter":
        assert q.dead_letters() == taken
        assert q.requeue_dead_letters() == len(taken)
    for item in later:
        q.put(item)
    got = q.get_many(99)
    assert got == expected
    assert [*map(type, got)] == [*map(type, expected)]
    assert q.qsize() == 0


def test_concurrent_puts_keep_the_order(m: RedisManager) -> None:
    q = m.PriorityQueue()
    chance = random.Random(2)
    items = [(chance.randrange(3), f"{chance.randrange(10**6):06d}") for _ in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(q.put, items))
    assert q.get_many(500) == sorted(items)


def test_a_put_among_many_items_takes_few_round_trips(m: RedisManager) -> None:
    q = m.PriorityQueue()
    chance = random.Random(3)
    for _ in range(2000):
        q.put(f"{chance.randrange(10**9):09d}")
    link = m.runtime.session.link
    exchanges = []
    real = link.exchange_many
    this = threading.get_ident()  # the background thread has its own
    link.exchange_many = lambda *args: (  # type: ignore[method-assign]
        exchanges.append(threading.get_ident() == this) or real(*args)  # type: ignore[func-returns-value]
    )
    try:
        q.put("500000000")
    finally:
        del link.exchange_many
    assert sum(exchanges) <= 4
