"""The types of what pools and executors return."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import assert_type

from multihost import Executor, Manager, Pool
from multihost.pool import AsyncResult, MapResult, PoolStatistics


def half(n: int) -> float:
    return n / 2


def add(a: int, b: int) -> str:
    return f"{a + b}"


def report(_: float) -> None: ...


def pools() -> None:
    with Pool(4) as pool:
        assert_type(pool, Pool)
        assert_type(pool.apply(half, (1,)), float)
        assert_type(pool.apply_async(half, (1,), callback=report), AsyncResult[float])
        assert_type(pool.apply_async(half, (1,)).get(timeout=1), float)
        assert_type(pool.map(half, [1, 2], chunksize=2), list[float])
        assert_type(pool.map_async(half, [1, 2]), MapResult[float])
        assert_type(pool.map_async(half, [1, 2]).get(), list[float])
        assert_type(next(pool.imap(half, [1])), float)
        assert_type(list(pool.imap_unordered(half, range(3))), list[float])
        assert_type(pool.starmap(add, [(1, 2)]), list[str])
        assert_type(pool.starmap_async(add, [(1, 2)]).get(), list[str])
        assert_type(pool.statistics(), PoolStatistics)
        assert_type(pool.name, str | None)
    with Pool(0, url="redis://host:6379/0", name="render", attempts=3, pickler="cloudpickle") as p:
        assert_type(p.map(abs, [-1]), list[int])
        p.delete()


def pools_of_a_manager() -> None:
    with Manager() as m, m.Pool(4) as pool:
        assert_type(pool.map(half, [1, 2]), list[float])
        assert_type(pool.apply_async(add, (1, 2)).get(), str)


def executors() -> None:
    with Executor(2) as executor:
        assert_type(executor, Executor)
        assert_type(executor.submit(add, 1, b=2), Future[str])
        assert_type(executor.submit(half, 1).result(), float)
        assert_type(executor.map(half, [1, 2], chunksize=2), Iterator[float])
        assert_type(executor.statistics(), PoolStatistics)
