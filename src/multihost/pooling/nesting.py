"""The task that this process runs as a worker, for what waits for tasks of the same pool there."""

from __future__ import annotations

from multihost.wire.session import Handle

__all__ = ["CurrentTask", "current"]


class CurrentTask:
    """The pool of a worker process, and the name of its task."""

    def __init__(self) -> None:
        self._pool: tuple[object, bytes] | None = None
        self.name = ""

    def enter(self, handle: Handle) -> None:
        """Become a worker of a pool."""
        self._pool = handle.session.server, handle.keys.data

    def is_of(self, handle: Handle) -> bool:
        """Return True in a worker of that pool."""
        return self._pool == (handle.session.server, handle.keys.data)


current = CurrentTask()
