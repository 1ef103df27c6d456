"""What another user of this machine can do: processes that have his rights."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NOBODY", "private_names", "run_as_nobody", "running_as_nobody"]

NOBODY = 65534


def _run(pipe: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.umask(0)
    function(pipe, *args)


@contextlib.contextmanager
def running_as_nobody(function: Callable[..., Any], *args: Any) -> Iterator[Connection]:
    """Run ``function(pipe, *args)`` in a process of another user, and yield our end of the pipe; it
    is killed at the end. Skips the test if that cannot be done.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root: another user attacks")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(theirs, function, args), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def run_as_nobody(function: Callable[..., Any], *args: Any) -> Any:
    """Return what ``function(pipe, *args)`` sends first."""
    with running_as_nobody(function, *args) as pipe:
        return pipe.recv()


def private_names() -> Iterator[str]:
    """Yield the names of directories of private servers that any command line shows."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                for word in (entry / "cmdline").read_bytes().split(b"\0"):
                    if b"multihost-" in word and word.startswith(b"/"):
                        yield os.fsdecode(word)
