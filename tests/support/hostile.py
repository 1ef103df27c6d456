"""Bytes of somebody who means harm: real ones, altered; and the bounds of who reads them.

``MULTIHOST_FUZZ`` is the number of cases for each reader: ``make fuzz``.
"""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

__all__ = ["SEED", "altered", "bounded", "cases", "piece", "scattered", "within_bounds"]

T = TypeVar("T")

MEGABYTE = 1 << 20
SECONDS = 10.0  # of one core: what is bounded takes milliseconds, what is not takes for ever
MEMORY = 100 * MEGABYTE
LONGEST = 600_000


def cases(usual: int) -> settings:
    """Return the settings for so many cases, or for as many as ``MULTIHOST_FUZZ`` says."""
    return settings(
        max_examples=int(os.environ.get("MULTIHOST_FUZZ", str(usual))),
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # a smaller seed is no smaller case
        suppress_health_check=list(HealthCheck),
    )


SEED = st.integers(0, (1 << 64) - 1)
"""What a case is made from: to draw each edit by itself takes ten times as long as to read."""

TELLING = [
    *(b"\xff" * 4, b"\0" * 4, b"\xff" * 8, b"I9\n", b"h\0", b"\x85", b"[", b"<array>", b"\r\n"),
    *(
        b"-1",
        b"0",
        b"9" * 20,
        b"1e400",
        b"nan",
        b"\xc3\x28",
        b"\x1b[2J",
        b" ",
        b".",
        b",",
        b";",
        b":",
    ),
]
KINDS = ("insert", "replace", "delete", "repeat", "splice")
TIMES = (2, 2, 10, 70, 1000, 30_000)


def piece(chance: Random) -> bytes:
    """Return a few bytes."""
    way = chance.randrange(3)
    if way == 0:
        return bytes((chance.randrange(256),))
    return chance.choice(TELLING) if way == 1 else chance.randbytes(chance.randrange(10))


def altered(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Return one of the seeds with some edits."""
    data = chance.choice(seeds)
    for _ in range(chance.randrange(6)):
        kind = chance.choice(KINDS)
        start = chance.randrange(len(data) + 1)
        end = start + chance.randrange(min(20, len(data) - start) + 1)
        if kind == "insert":
            middle = piece(chance) + data[start:end]
        elif kind == "replace":
            middle = piece(chance)
        elif kind == "repeat":
            middle = (data[start:end] or piece(chance)) * chance.choice(TIMES)
        else:
            middle = chance.choice(seeds) if kind == "splice" else b""
        data = (data[:start] + middle + data[end:])[:LONGEST]
    return data


def scattered(heads: Sequence[bytes], more: Sequence[bytes], chance: Random) -> bytes:
    """Return up to thirty pieces behind one of the heads."""
    parts = (
        chance.choice(more) if more and chance.random() < 0.3 else piece(chance)
        for _ in range(chance.randrange(31))
    )
    return chance.choice(heads) + b"".join(parts)


@contextlib.contextmanager
def within_bounds(size: int) -> Iterator[None]:
    """What this thread does here takes no more than :data:`SECONDS` and :data:`MEMORY`."""
    tracemalloc.start()
    began = time.thread_time()
    try:
        yield
        took = time.thread_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took < SECONDS, f"{took} s for {size:,} bytes"
    assert peak < MEMORY, f"{peak:,} bytes of memory for {size:,}"


def bounded(read: Callable[[], T], size: int) -> T:
    """Return what ``read`` returns, once its time and its memory are known to be bounded.

    It is called twice: what memory takes is not seen without cost.
    """
    began = time.thread_time()
    read()
    took = time.thread_time() - began
    assert took < SECONDS, f"{took} s for {size:,} bytes"
    with within_bounds(size):
        return read()
