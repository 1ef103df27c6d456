"""What becomes of a task that returns, raises, cannot be pickled and so on: cells of a table.

``python -m tests.pool.conventions`` prints those of the standard library, each from a process of
its own: where a pool hangs there, nothing of it is left behind.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

import pytest

from tests.support.waiting import PATIENCE

__all__ = ["KINDS", "ROWS", "cell", "of_the_standard_library"]

FORK = multiprocessing.get_context("fork")
NO_ANSWER = 1.5  # seconds after which none is expected any more, where there is never one
AT_ONCE = 8  # children
KINDS = ("Pool", "Executor")


def return_it(thing: Any) -> Any:
    return thing


def call(function: Callable[[], Any]) -> Any:
    return function()


def raise_it(cls: type[BaseException], *args: Any) -> None:
    raise cls(*args)


def skip() -> None:
    pytest.skip("not today")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def only_here() -> None: ...


def forget() -> None:
    """The initializer: workers do not have a function that their client has."""
    globals().pop("only_here", None)


class Fragile(Exception):
    """It is pickled, and cannot be unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class Pickled:
    """What happens when it is pickled, and when it is unpickled. In a result it is made anew."""

    def __init__(self, reduce: tuple[Any, ...] | BaseException) -> None:
        self.reduce = reduce

    def __reduce__(self) -> Any:
        if isinstance(self.reduce, BaseException):
            raise self.reduce
        return self.reduce


def pickled(reduce: tuple[Any, ...] | BaseException) -> Pickled:
    return Pickled(reduce)


def make_unreadable() -> Pickled:
    return Pickled((raise_it, (OSError, "unreadable")))


class Gone(BaseException):
    """Nobody catches it by accident."""


ROWS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "returns": (return_it, (5,)),
    "raises an Exception": (raise_it, (KeyError, "no")),
    "raises asyncio.CancelledError": (raise_it, (asyncio.CancelledError, "no")),
    "raises futures.CancelledError": (raise_it, (concurrent.futures.CancelledError, "no")),
    "raises SystemExit": (raise_it, (SystemExit, 3)),
    "raises KeyboardInterrupt": (raise_it, (KeyboardInterrupt,)),
    "raises GeneratorExit": (raise_it, (GeneratorExit,)),
    "raises a BaseException": (raise_it, (Gone, 1)),
    "calls pytest.skip": (skip, ()),
    "result cannot be pickled": (pickled, (TypeError("not to be pickled"),)),
    "result exits when pickled": (pickled, (SystemExit(4),)),
    "exception cannot be pickled": (raise_it, (Unpicklable, 1)),
    "result cannot be unpickled": (make_unreadable, ()),
    "exception cannot be unpickled": (raise_it, (Fragile, 1, 2)),
    "argument cannot be pickled": (return_it, (Pickled(TypeError("not to be pickled")),)),
    "argument cannot be unpickled": (return_it, (Pickled((raise_it, (OSError, "unreadable"))),)),
    "argument exits when unpickled": (return_it, (Pickled((sys.exit, (5,))),)),
    "function is missing in the worker": (only_here, ()),
    "worker is killed": (kill, ()),
    "worker exits": (leave, ()),
}

HANGS = frozenset(
    f"Pool: {row}"
    for row in ROWS
    if re.match("raises(?! an Exc| futures)|.*exits|.*unpickled|worker|function|calls", row)
)
"""Where the standard library may not answer."""


def cell(kind: str, row: str, make: Callable[..., Any], hangs: bool = False) -> dict[str, Any]:
    """Run a task, and another one behind it; say what comes of both, and whether one worker ran
    both. ``hangs``: it may be that no answer comes.
    """
    patience = NO_ANSWER if hangs else PATIENCE
    function, args = ROWS[row]
    pool = make(1, FORK, forget)
    submit = pool.submit if kind == "Executor" else lambda f, *a: pool.apply_async(f, a)
    before = answer(lambda: submit(os.getpid), kind, PATIENCE)
    found = answer(lambda: submit(function, *args), kind, patience)
    after = answer(lambda: submit(os.getpid), kind, patience)
    return {
        "outcome": found,
        "goes on": after[0] == "value",
        "same worker": before == after,
    }


def answer(submit: Callable[[], Any], kind: str, patience: float) -> list[Any]:
    try:
        result = submit()
        value = result.result(patience) if kind == "Executor" else result.get(patience)
    except (multiprocessing.TimeoutError, concurrent.futures.TimeoutError):
        return ["no answer"]
    except BaseException as error:
        return [
            "raises",
            type(error).__qualname__,
            shown(error),
            type(error.__cause__).__qualname__,
        ]
    return ["value", repr(value)]


def shown(error: BaseException) -> str:
    # That of MaybeEncodingError holds an address, that of a missing function the path of a module.
    text = "".join(part for part in map(str, error.args) if " at 0x" not in part)
    return text if "only_here" not in text else "only_here"


def executor_of(size: int, context: BaseContext, initializer: Callable[..., object]) -> Any:
    return ProcessPoolExecutor(size, mp_context=context, initializer=initializer)


def pool_of(size: int, context: BaseContext, initializer: Callable[..., object]) -> Any:
    return context.Pool(size, initializer)


def _report(out: int, kind: str, row: str) -> None:
    """In a child that is killed then, with the processes of its pool: that may never end."""
    os.setsid()
    sys.stderr = open(os.devnull, "w")
    os.dup2(sys.stderr.fileno(), 2)
    make = {"Executor": executor_of, "Pool": pool_of}[kind]
    found = cell(kind, row, make, f"{kind}: {row}" in HANGS)
    os.write(out, json.dumps(found).encode() + b"\n")
    signal.pause()


def _of_a_child(kind: str, row: str) -> dict[str, Any]:
    out, in_ = os.pipe()
    pid = os.fork()
    if pid == 0:
        _report(in_, kind, row)
    os.close(in_)
    with open(out) as stream:
        text = stream.readline()  # not to the end: workers that a pool started just now have it
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return json.loads(text)


def of_the_standard_library() -> dict[str, dict[str, Any]]:
    """Return all cells, by kind and row."""
    names = [(kind, row) for kind in KINDS for row in ROWS]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        cells = threads.map(_of_a_child, *zip(*names, strict=True))
        return {f"{kind}: {row}": found for (kind, row), found in zip(names, cells, strict=True)}


if __name__ == "__main__":
    # Found by workers under the name that the pickles of ours have.
    from tests.pool import conventions

    print(json.dumps(conventions.of_the_standard_library()))
