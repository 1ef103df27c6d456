"""The section on signatures: the same calls of a manager without an authkey, and of one with it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from typing import Any

from bench.catalogue import HOSTED, HOSTED_LONG, POOL_APPLY, QUEUE, Row, entries, small_key, value
from bench.catalogue import WIDTH as MANY
from bench.contenders import import_multihost
from bench.hosted import Counter
from bench.locks import LeftOut
from bench.measure import Plan, Samples, rehearse, take_turns
from bench.pools import apply
from bench.server import run_server
from bench.tracer import trace

__all__ = ["signed"]

#: As many as secrets.token_bytes(32) gives; the same in every run.
KEY = bytes(range(128, 160))

# What is hosted and what works in pools is forked, and begins at once.
FORK = get_context("fork")

TRACED = 15


def signed(plan: Plan) -> tuple[dict[str, Any], LeftOut]:
    """Measure the calls of both managers: times, and bytecodes; and what was left out."""
    left_out: LeftOut = {}
    samples = Samples({}, left_out)
    bytecodes: dict[str, dict[str, int]] = {}
    if import_multihost():
        return {}, left_out
    with contextlib.ExitStack() as stack:
        rows = {
            who: list(rows_of(stack, authkey))
            for who, authkey in (("multihost", None), ("multihost-signed", KEY))
        }
        gc.collect()
        groups = rehearse(rows, MANY, samples)
        take_turns(groups, plan)
        for group in groups:
            bytecodes[group.name] = {who: executed(row) for who, row in group.turns.items()}
    return {"calls": samples.summary(), "bytecodes": bytecodes}, left_out


def rows_of(stack: contextlib.ExitStack, authkey: bytes | None) -> Iterator[Row]:
    """Offer the rows of a manager on a server of its own."""
    from multihost.managers import SyncManager

    kind = type("Hosting", (SyncManager,), {})
    kind.register("Counter", Counter)
    url = stack.enter_context(run_server()).url
    manager: Any = stack.enter_context(kind(url, ctx=FORK, authkey=authkey))
    counter = manager.Counter()  # first: its process is forked
    pool = stack.enter_context(manager.Pool(1, context=FORK))
    keys, values, long = (
        list(map(small_key, range(MANY))),
        list(map(value, range(MANY))),
        "x" * 10_000,
    )
    shared, queue = manager.dict(entries(MANY)), manager.Queue()

    def pass_on(index: int) -> object:
        queue.put(values[index])
        return queue.get()

    yield Row("dict get", lambda index: shared[keys[index]])
    yield Row("dict set, old key", lambda index: shared.__setitem__(keys[index], values[index]))
    yield Row("dict copy of 1,000", lambda _: len(shared.copy()))
    yield Row(QUEUE, pass_on)
    yield Row(HOSTED, lambda _: counter.add(0))
    yield Row(HOSTED_LONG, lambda _: len(counter.echo(long)))
    yield Row(POOL_APPLY, partial(apply, pool))


def executed(row: Row) -> int:
    """Count the bytecodes of the calling thread: the least of some calls."""
    return min(trace(lambda: row.call(0)).bytecodes for _ in range(TRACED))
