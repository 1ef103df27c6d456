"""The section on pools: many small tasks, in chunks and one by one, beside multiprocessing.Pool."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.catalogue import POOL_APPLY, POOL_EXECUTOR, POOL_MAP, POOL_ONE_BY_ONE, POOL_TASKS, Row
from bench.contenders import import_multihost
from bench.locks import LeftOut
from bench.measure import Plan, Samples, rehearse, take_turns
from bench.server import run_server

__all__ = ["PoolEffort", "pools"]

#: Worker processes of each pool.
WORKERS = 2

# Workers need what is imported here, and begin at once.
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class PoolEffort:
    """How much the section does."""

    #: Maps of ``POOL_TASKS`` tasks in chunks.
    maps: Plan
    #: The same, each task by itself; and futures.
    singles: Plan
    #: ``apply``
    calls: Plan
    variants: bool = True

    @classmethod
    def full(cls) -> PoolEffort:
        """Take the time that steady numbers need."""
        return cls(Plan(40, 3), Plan(9, 1), Plan(30, 100))

    @classmethod
    def quick(cls) -> PoolEffort:
        """See roughly where things are, in some seconds."""
        return cls(Plan(10, 2, 2), Plan(3, 1, 8), Plan(6, 50, 2), variants=False)

    def with_rounds(self, rounds: int) -> PoolEffort:
        """Do exactly so many rounds."""

        def fixed(plan: Plan) -> Plan:
            return Plan(rounds, plan.calls)

        return replace(
            self, maps=fixed(self.maps), singles=fixed(self.singles), calls=fixed(self.calls)
        )


def square(number: int) -> int:
    """Do nearly nothing: what is left is the pool's own work."""
    return number * number


def pools(effort: PoolEffort) -> tuple[dict[str, Any], LeftOut]:
    """Measure everything; the results, and what was left out."""
    left_out: LeftOut = {}
    samples = Samples({}, left_out)
    with enter_pools(tcp=effort.variants) as entered:
        gc.collect()
        for name, plan in (
            (POOL_MAP, effort.maps),
            (POOL_ONE_BY_ONE, effort.singles),
            (POOL_EXECUTOR, effort.singles),
            (POOL_APPLY, effort.calls),
        ):
            rows = {who: [Row(name, calls[name])] for who, calls in entered.items()}
            take_turns(rehearse(rows, 0, samples), plan, whole=name != POOL_APPLY)
    for name in (POOL_MAP, POOL_ONE_BY_ONE, POOL_EXECUTOR):
        for who, seconds in samples.seconds.get(name, {}).items():
            samples.seconds[name][who] = [each / POOL_TASKS for each in seconds]
    return samples.summary(), left_out


Calls = dict[str, Callable[[int], Any]]


@contextlib.contextmanager
def enter_pools(*, tcp: bool) -> Iterator[dict[str, Calls]]:
    """Start the pools of every contender, and end them."""
    with contextlib.ExitStack() as stack:
        # First, as everywhere: what it forks has no threads yet.
        executor = stack.enter_context(
            concurrent.futures.ProcessPoolExecutor(WORKERS, mp_context=FORK)
        )
        entered = {"stdlib": calls(stack.enter_context(FORK.Pool(WORKERS)), executor)}
        if reason := import_multihost():
            print(f"  multihost left out, it cannot be imported: {reason}", file=sys.stderr)
        else:
            entered["multihost"] = calls(*multihost(stack))
            if tcp:
                entered["multihost-tcp"] = calls(*multihost(stack, tcp=True))
        yield entered


def multihost(stack: contextlib.ExitStack, *, tcp: bool = False) -> tuple[Any, Any]:
    """Start a pool and an executor of multihost, on a server of their own."""
    from multihost import Executor, RedisManager

    server = stack.enter_context(run_server(tcp=tcp))
    manager = stack.enter_context(RedisManager(server.url))
    executor = stack.enter_context(Executor(WORKERS, FORK, manager=manager))
    return stack.enter_context(manager.Pool(WORKERS, context=FORK)), executor


def calls(pool: Any, executor: Any) -> Calls:
    """Say what each row calls."""
    numbers = range(POOL_TASKS)
    return {
        POOL_MAP: lambda _: pool.map(square, numbers),
        POOL_ONE_BY_ONE: lambda _: pool.map(square, numbers, chunksize=1),
        POOL_EXECUTOR: lambda _: list(executor.map(square, numbers)),
        POOL_APPLY: partial(apply, pool),
    }


def apply(pool: Any, number: int) -> Any:
    """Run one task and wait for it."""
    return pool.apply(square, (number,))
