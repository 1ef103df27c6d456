"""What multiprocessing.pool has no public names for, and what pools are built on all the same.

Only this module uses private names of that one on objects other than a pool itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import pool
from typing import Any

from multihost.pooling.interruptible import InterruptibleCondition, InterruptibleEvent

__all__ = [
    "CLOSE",
    "INIT",
    "MAPPERS",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "ExceptionWithTraceback",
    "MaybeEncodingError",
    "RemoteTraceback",
    "fail",
    "handler_thread",
    "is_for_caller",
    "job_of",
    "make_interruptible",
    "reraise",
    "set_outcome",
    "set_state",
    "state_of",
]

_pool: Any = pool
INIT, RUN, CLOSE, TERMINATE = _pool.INIT, _pool.RUN, _pool.CLOSE, _pool.TERMINATE
ApplyResult = _pool.ApplyResult
IMapIterator: Any = _pool.IMapIterator
ExceptionWithTraceback = _pool.ExceptionWithTraceback
MaybeEncodingError = _pool.MaybeEncodingError
RemoteTraceback = _pool.RemoteTraceback
MAPPERS = _pool.mapstar, _pool.starmapstar
"""The functions of the tasks that maps consist of: they get the user's one and some items."""
reraise = _pool._helper_reraises_exception
"""The function of a task whose arguments could not be computed: it raises its argument."""


def handler_thread(
    target: Callable[..., object], args: tuple[object, ...], name: str
) -> threading.Thread:
    """Return a thread of a pool, not started. It has a state, that of the pool."""
    # Not of a class of its own: gevent replaces threading.Thread, and one that derives from what
    # was there before would never be seen to end.
    thread = threading.Thread(target=target, args=args, name=name, daemon=True)
    set_state(thread, RUN)
    return thread


def state_of(thread: threading.Thread) -> str | None:
    """Return the state of a thread of a pool, which ``Pool.close()`` sets; None for any other."""
    return getattr(thread, "_state", None)


def set_state(thread: threading.Thread, state: str) -> None:
    """Say to a thread of a pool what to do."""
    thread._state = state  # type: ignore[attr-defined]


def is_for_caller(error: BaseException) -> bool:
    """Return True for an exception that ends a program, such as that of Ctrl-C, in a thread of the
    user: it raises that. In a thread of the pool, on which others wait, it is a result.
    """
    is_ours = state_of(threading.current_thread()) is not None
    return not isinstance(error, Exception) and not is_ours


def make_interruptible(result: Any) -> None:
    """Let Ctrl-C in a thread that waits for a new result not stop the one that sets it."""
    if isinstance(result, IMapIterator):
        result._cond = InterruptibleCondition()
    else:
        result._event = InterruptibleEvent()


def job_of(result: Any) -> int:
    """Return the key of a result in the cache of its pool."""
    job: int = result._job
    return job


def set_outcome(result: Any, index: int, outcome: tuple[bool, Any]) -> None:
    """Set one outcome of a result, success and value; calls callbacks of the user."""
    result._set(index, outcome)


def fail(result: Any, error: BaseException) -> None:
    """Let a result raise an error, whatever it has so far. No callback is called."""
    if isinstance(result, IMapIterator):
        result._set_length(result._index + 1)
        result._set(result._index, (False, error))
    else:
        result._success, result._value = False, error
        result._event.set()
