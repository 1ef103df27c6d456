"""The end of a program: executors run what was submitted to them, as those of the standard library.

A program ends in this order: the main thread, the hooks of :mod:`threading`, threads that are not
daemons, :mod:`atexit`. Only at the hooks everything still works: later no process can be started in
the place of one that died (Python 3.12), and finalizers have closed the managers. So
``concurrent.futures`` hooks in there, by a name that is not public but that all supported versions
have. A child of :mod:`multiprocessing` runs its finalizers first: there it is one of those.
"""

from __future__ import annotations

import os
import threading
import weakref
from multiprocessing import parent_process, util
from typing import Any, Protocol

from multihost.patching import on_patch

__all__ = ["Finishing", "check_not_exiting", "finish_at_exit"]

BEFORE_POOLS = 20  # exitpriority; that of a pool, whose finalizer drops its tasks, is smaller


class Finishing(Protocol):
    """What has work that is to be done before the process ends: the tasks of an executor."""

    def close(self) -> None:
        """Accept no more."""

    def join(self) -> None:
        """Return when all is done."""

    def after_fork_in_child(self) -> None:
        """Forget what there is: it is the work of the parent."""


_open: weakref.WeakValueDictionary[int, Finishing] = weakref.WeakValueDictionary()
_is_exiting = False


def finish_at_exit(each: Finishing) -> None:
    """Close and join it when this process ends normally, unless it is collected earlier."""
    _open[id(each)] = each


def check_not_exiting() -> None:
    """Raise RuntimeError if the process is about to end."""
    if _is_exiting:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _all() -> list[Finishing]:
    # Not by iterating: other threads may add some meanwhile.
    return [each for reference in _open.valuerefs() if (each := reference()) is not None]


def _finish_all() -> None:
    """Finish all. Once: after Ctrl-C here the process ends with what is not done."""
    global _is_exiting
    _is_exiting = True
    waiting = _all()
    _open.clear()
    for each in waiting:
        each.close()  # none accepts more while another one is waited for
    for each in waiting:
        each.join()


def _add_finalizer(_: object = None) -> None:
    """In a child of multiprocessing; it has forgotten the finalizers of its parent."""
    util.Finalize(None, _finish_all, exitpriority=BEFORE_POOLS)


def _after_fork_in_child() -> None:
    global _is_exiting
    _is_exiting = False  # a thread may fork while the parent ends
    for each in _all():
        each.after_fork_in_child()


if parent_process() is not None:
    _add_finalizer()
util.register_after_fork(_add_finalizer, _add_finalizer)  # in children yet to come
os.register_at_fork(after_in_child=_after_fork_in_child)
on_patch(_after_fork_in_child)  # none has work then, see shared_pool
_threading: Any = threading
_threading._register_atexit(_finish_all)  # noqa: SLF001 - as concurrent.futures does
