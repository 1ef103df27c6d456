"""A signal handler raises at any bytecode of a call of a pool or an executor.

The task is run once, or not at all; the next ones are, and get their own results; the end of the
pool waits for no task that nobody has.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import multihost
from multihost import RedisManager
from tests.interrupts.steps import ALL, SECONDS, explore
from tests.support.interrupts import Outcome

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

FORK = multiprocessing.get_context("fork")


def double(number: int) -> int:
    return 2 * number


CALLS: dict[str, tuple[Callable[[Any, int], Any], Callable[[int], object]]] = {
    "apply": (lambda pool, n: pool.apply(double, (n,)), double),
    "apply_async": (lambda pool, n: pool.apply_async(double, (n,)), double),
    "map": (lambda pool, n: pool.map(double, [n, n]), lambda n: [2 * n, 2 * n]),
    "get": (lambda pool, n: pool.apply_async(double, (n,)).get(), double),
}
if not ALL:
    CALLS = {"apply": CALLS["apply"]}


@pytest.fixture
def pool(mine: RedisManager) -> Iterator[Any]:
    pool = mine.Pool(1, context=FORK)
    yield pool
    pool.close()
    pool.join()


@pytest.mark.parametrize("name", CALLS)
def test_pool(name: str, mine: RedisManager, pool: Any) -> None:
    call, expected = CALLS[name]
    number = 0

    def before() -> None:
        nonlocal number
        number += 1

    def after(outcome: Outcome) -> None:
        if outcome.has_returned:
            result: Any = outcome.result
            assert (result.get(SECONDS) if name == "apply_async" else result) == expected(number)
        assert pool.apply_async(double, (-number,)).get(SECONDS) == -2 * number

    explore(mine, lambda: call(pool, number), after, lambda: None, before)


def test_get_again(mine: RedisManager, pool: Any) -> None:
    """A result that was not returned is still there."""
    results: list[Any] = []

    def before() -> None:
        results.append(pool.apply_async(double, (len(results),)))

    def after(_: Outcome) -> None:
        assert results[-1].get(SECONDS) == 2 * (len(results) - 1)

    explore(mine, lambda: results[-1].get(), after, lambda: None, before)


def test_submit(mine: RedisManager) -> None:
    number = 0
    with multihost.Executor(1, FORK, manager=mine) as executor:

        def after(outcome: Outcome) -> None:
            nonlocal number
            number += 1
            if outcome.has_returned:
                future: Any = outcome.result
                assert future.result(SECONDS) == 2
            assert executor.submit(double, number).result(SECONDS) == 2 * number

        explore(mine, lambda: executor.submit(double, 1), after, lambda: None)
