"""How many bytecodes the calling thread executes in a call."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple

__all__ = ["Count", "trace"]


class Count(NamedTuple):
    """What a call executes: bytecodes, and Python functions that are entered.

    A generator is entered each time it goes on.
    """

    bytecodes: int
    functions: int


def _by_settrace(call: Callable[[], object]) -> Count:
    """Count with a trace function: exact in Python 3.11, which has nothing else."""
    bytecodes = functions = 0

    def entered(frame: FrameType, event: str, _: object) -> Any:
        nonlocal bytecodes, functions
        if event == "opcode":
            bytecodes += 1
        elif event == "call":
            functions += 1
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return entered

    previous = sys.gettrace()
    sys.settrace(entered)
    try:
        result = call()
    finally:
        sys.settrace(previous)
    del result  # a proxy is forgotten only now
    return Count(bytecodes, functions)


def _by_monitoring(call: Callable[[], object]) -> Count:
    """Count with ``sys.monitoring``, since Python 3.12, where trace functions miss bytecodes."""
    monitoring: Any = vars(sys)["monitoring"]
    events, tool, thread = monitoring.events, monitoring.PROFILER_ID, threading.get_ident()
    bytecodes = functions = 0

    def executed(_: CodeType, __: int) -> None:
        nonlocal bytecodes
        bytecodes += threading.get_ident() == thread

    def entered(_: CodeType, __: int) -> None:
        nonlocal functions
        functions += threading.get_ident() == thread

    monitoring.use_tool_id(tool, __name__)
    monitoring.register_callback(tool, events.INSTRUCTION, executed)
    for event in (events.PY_START, events.PY_RESUME):
        monitoring.register_callback(tool, event, entered)
    try:
        monitoring.set_events(tool, events.INSTRUCTION | events.PY_START | events.PY_RESUME)
        try:
            result = call()
        finally:
            monitoring.set_events(tool, 0)
    finally:
        for event in (events.INSTRUCTION, events.PY_START, events.PY_RESUME):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
    del result  # a proxy is forgotten only now
    return Count(bytecodes, functions)


_raw = _by_settrace if sys.version_info < (3, 12) else _by_monitoring


def trace(call: Callable[[], object]) -> Count:
    """Run a call, and count what it executes beyond what an empty one does."""
    empty, whole = _raw(_nothing), _raw(call)
    return Count(whole.bytecodes - empty.bytecodes, whole.functions - empty.functions)


def _nothing() -> None:
    """Do nothing."""
