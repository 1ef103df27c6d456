"""How a child learns that its parent is gone, however that ended."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["ParentWatch"]


class ParentWatch:
    """A pipe whose one end only the parent has: when it ends the child reads the end of the pipe.

    The sentinel of :func:`multiprocessing.parent_process` does not do: children that are forked
    later hold it open. Here they close it.
    """

    def __init__(self) -> None:
        out, in_ = os.pipe()
        self.out: Connection[Any, Any] = Connection(out, writable=False)
        self._in: Connection | None = Connection(in_, readable=False)
        _lines.add(self)

    def __getstate__(self) -> Any:
        return self.out

    def __setstate__(self, out: Any) -> None:
        self.out, self._in = out, None

    def close(self) -> None:
        """The parent needs its children no more; or this is a child, which keeps nobody alive."""
        end, self._in = self._in, None
        if end is not None:
            with contextlib.suppress(OSError):
                end.close()

    def discard(self) -> None:
        """In the parent: close both ends."""
        self.close()
        self.out.close()

    def on_parent_exit(self, action: Callable[[], object]) -> None:
        """In the child: do something when the parent is gone. Owns a thread from now on."""

        def watch() -> None:
            wait([self.out])
            action()

        threading.Thread(target=watch, name="multihost-lifeline", daemon=True).start()


_lines: weakref.WeakSet[ParentWatch] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for line in list(_lines):
        line.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
