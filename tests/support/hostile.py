"""Bytes of somebody who means harm: real ones, altered; and the bounds of who reads them.

``MULTIHOST_FUZZ`` is the number of cases for each reader: ``make fuzz``.
"""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["EDITS", "PIECES", "Edit", "altered", "bounded", "cases", "within_bounds"]

T = TypeVar("T")
Edit = tuple[str, float, float, bytes, int]

MEGABYTE = 1 << 20
SECONDS = 2.0  # of one core: what is bounded takes milliseconds, what is not takes for ever
MEMORY = 100 * MEGABYTE
LONGEST = 600_000


def cases(usual: int) -> settings:
    """Return the settings for so many cases, or for as many as ``MULTIHOST_FUZZ`` says."""
    return settings(
        max_examples=int(os.environ.get("MULTIHOST_FUZZ", str(usual))),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


PIECES = st.one_of(
    st.sampled_from([bytes((code,)) for code in range(256)]),
    st.sampled_from(
        [b"\xff" * 4, b"\0" * 4, b"\xff" * 8, b"I9\n", b"h\0", b"\x85", b"[", b"<array>", b"\r\n"]
    ),
    st.sampled_from(
        [b"-1", b"0", b"99999999999999999999", b"1e400", b"nan", b"\xc3\x28", b"\x1b[2J"]
    ),
    st.binary(max_size=9),
)
EDITS: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(
        st.sampled_from(("insert", "replace", "delete", "repeat", "splice")),
        st.floats(0, 1),
        st.floats(0, 1),
        PIECES,
        st.sampled_from((2, 10, 70, 1000, 30_000)),
    ),
    max_size=6,
)


def altered(data: bytes, edits: list[Edit], other: bytes) -> bytes:
    """Return ``data`` with some edits; ``other`` is what is spliced in."""
    for kind, at, reach, piece, times in edits:
        start = int(at * len(data))
        end = start + int(reach * min(20, len(data) - start))
        middle = {
            "insert": piece + data[start:end],
            "replace": piece,
            "delete": b"",
            "repeat": (data[start:end] or piece) * times,
            "splice": other,
        }[kind]
        data = (data[:start] + middle + data[end:])[:LONGEST]
    return data


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
