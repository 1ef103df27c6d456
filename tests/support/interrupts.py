"""An exception at the n-th bytecode of a call, as if a signal handler raised there."""

from __future__ import annotations

import dis
import functools
import gc
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import redis

import multihost
from multihost.wire.values import nesting

__all__ = ["Interrupted", "Outcome", "every_bytecode", "interrupt", "isolated"]

SOURCES = tuple(
    os.path.dirname(module.__file__) + os.sep for module in (multihost, redis) if module.__file__
)


class Interrupted(BaseException):
    """What the handler raises."""


class Outcome(NamedTuple):
    """What became of a call. ``place`` is where it was interrupted, empty if it was not."""

    place: str
    has_returned: bool
    result: object


@functools.cache
def _spared(code: CodeType, is_outermost: bool) -> frozenset[int]:
    """Return the offsets at which no program can be safe, and CPython looks for no signal.

    That is the return of the call itself, and of ``__enter__``: nothing of it is executed any more
    then; the way from the end of a ``with`` to its ``__exit__``, with what is returned on the
    stack, or with an exception; and what does nothing, the mark of a ``try`` in another one, which
    no handler covers.
    """
    instructions = [each for each in dis.get_instructions(code) if each.opname != "CACHE"]
    spared = {each.offset for each in instructions if each.opname == "NOP"}
    for before, each in itertools.pairwise(instructions):
        if each.opname.startswith("RETURN_") and (is_outermost or code.co_name == "__enter__"):
            spared.update((before.offset, each.offset))
    for index in range(len(instructions)):
        way = instructions[index : index + 5]
        none = [one for one in way[:3] if one.opname == "LOAD_CONST" and one.argval is None]
        if len(none) == 3 and any(one.opname == "CALL" for one in way[3:]):
            spared.update(one.offset for one in way)
            # What is returned is put aside before: with a signal there a lock would stay locked.
            before = instructions[index - 1]
            spared.update({before.offset} if before.opname == "SWAP" else ())
        elif instructions[index].opname == "WITH_EXCEPT_START":
            spared.update(one.offset for one in instructions[index - 1 : index + 1])
    return frozenset(spared)


def _is_in_finalizer() -> bool:
    """Return whether what is executed is a finalizer: what is raised there ends it, and is logged;
    nobody hears of it.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class _Counter:
    """Counts the bytecodes of this thread in our frames, and raises at one of them."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.place = ""
        self.outermost: CodeType | None = None

    def executed(self, code: CodeType, offset: int, where: Callable[[], str]) -> bool:
        """Return whether to raise here."""
        if self.place or not code.co_filename.startswith(SOURCES):
            return False
        self.outermost = self.outermost or code
        if offset in _spared(code, code is self.outermost):
            return False
        self.left -= 1
        if self.left:
            return False
        if _is_in_finalizer():
            self.left = 1
            return False
        self.place = f"bytecode {offset} of {code.co_qualname}, {where()}"
        return True


def _by_settrace(counter: _Counter, call: Callable[[], object]) -> object:
    def entered(frame: FrameType, event: str, _: object) -> Any:
        if event == "call":
            if not frame.f_code.co_filename.startswith(SOURCES):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode" and counter.executed(
            frame.f_code, frame.f_lasti, lambda: f"line {frame.f_lineno}"
        ):
            sys.settrace(None)
            raise Interrupted
        return entered

    previous = sys.gettrace()
    sys.settrace(entered)
    try:
        return call()
    finally:
        sys.settrace(previous)


def _by_monitoring(counter: _Counter, call: Callable[[], object]) -> object:
    monitoring: Any = vars(sys)["monitoring"]
    tool, thread = monitoring.DEBUGGER_ID, threading.get_ident()

    def executed(code: CodeType, offset: int) -> Any:
        if threading.get_ident() == thread and counter.executed(
            code, offset, lambda: code.co_filename
        ):
            raise Interrupted

    monitoring.use_tool_id(tool, __name__)
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, executed)
    try:
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        return call()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)


_counted = _by_settrace if sys.version_info < (3, 12) else _by_monitoring


def interrupt(call: Callable[[], object], at: int) -> Outcome:
    """Make a call, with an exception at its ``at``-th bytecode, counted from 1."""
    counter = _Counter(at)
    result: object = None
    has_returned = False
    enabled = gc.isenabled()
    gc.disable()  # finalizers execute bytecodes of their own
    try:
        result = _counted(counter, lambda: isolated(call))
        has_returned = True
    except Interrupted:
        pass
    finally:
        # CPython looks for no signal while a handler puts this back, its last step.
        inside = nesting._inside
        inside.home, inside.links, inside.proxies = None, None, 0
        if enabled:
            gc.enable()
    return Outcome(counter.place, has_returned, result)


def isolated(call: Callable[[], Any]) -> Any:
    """Make a call which an exception may end at any bytecode, also at the begin or the end of a
    handler. CPython looks for no signal there, and one raised there leaves the handler unfinished:
    each later exception of this thread would have what it handles as its context. A generator has
    a stack of its own of exceptions that are handled, which ends with it.
    """

    def alone() -> Iterator[Any]:
        yield call()

    return next(alone())


def every_bytecode(step: int, act: Callable[[int], Outcome], at: int = 1) -> Iterator[Outcome]:
    """Call ``act(n)`` for each ``step``-th bytecode, until it is interrupted no more."""
    while True:
        outcome = act(at)
        yield outcome
        if not outcome.place:
            return
        at += step
