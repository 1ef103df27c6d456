"""How a child process detects that its parent has ended, in whatever way."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from multihost.weak import WeakMembers

__all__ = ["ParentWatch"]


class ParentWatch:
    """A pipe whose write end only the parent has: children read its end of file when that ends.

    The sentinel of :func:`multiprocessing.parent_process` does not work for this: children that are
    forked later hold it open. They close this pipe.
    """

    def __init__(self) -> None:
        out, in_ = os.pipe()
        self.out: Connection[Any, Any] = Connection(out, writable=False)
        self._in: Connection | None = Connection(in_, readable=False)
        _watches.add(self)

    def __getstate__(self) -> Any:
        return self.out

    def __setstate__(self, out: Any) -> None:
        self.out, self._in = out, None

    def close(self) -> None:
        """Close the write end: in a parent that has no use for its children any more, and in a
        child, which must not keep its siblings running.
        """
        end, self._in = self._in, None
        if end is not None:
            with contextlib.suppress(OSError):
                end.close()

    def discard(self) -> None:
        """In the parent: close both ends."""
        self.close()
        self.out.close()

    def on_parent_exit(self, action: Callable[[], object]) -> None:
        """In the child: call ``action()`` when the parent has ended, in a thread that waits for
        that from now on.
        """

        def watch() -> None:
            wait([self.out])
            action()

        threading.Thread(target=watch, name="multihost-parent-watch", daemon=True).start()


_watches: WeakMembers[ParentWatch] = WeakMembers()


def _after_fork_in_child() -> None:
    for each in _watches:
        each.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
