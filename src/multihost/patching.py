"""What a process makes anew when gevent patches the standard library under it.

Locks, thread-locals and sockets that were made before belong to real threads: greenlets, which all
run in one of those, would share a connection and a name, and wait for each other for ever. gunicorn
with ``--preload`` patches late: in each worker, when the program has long been imported.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["after_patch", "before_patch", "is_patched", "on_patch", "per_thread"]

T = TypeVar("T")

_before: list[Callable[[], object]] = []
_after: list[Callable[[], object]] = []


def on_patch(
    after: Callable[[], object] | None = None, before: Callable[[], object] | None = None
) -> None:
    """Call ``before()`` while threads are still those of the system, ``after()`` when they are
    greenlets. What is registered last stands on what was there: it ends first, and begins last.
    What ``before()`` raises is raised where the library was to be patched, and it is not.
    """
    if after is not None:
        _after.append(after)
    if before is not None:
        _before.append(before)


def before_patch() -> None:
    """The standard library is about to be patched."""
    for each in reversed(_before):
        each()


def after_patch() -> None:
    """The standard library was patched."""
    for each in _after:
        each()


def is_patched() -> bool:
    """Return whether threads are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def per_thread(state: type[T], *args: Any) -> T:
    """Return a ``state(*args)`` of which each thread has one of its own; each greenlet, if the
    library is patched when this is called.
    """
    local: Any = type(state.__name__, (state, threading.local), {"__module__": state.__module__})
    made: T = local(*args)
    return made
