"""Event."""

from __future__ import annotations

from typing import NamedTuple

from multihost.proxies import stdlib_types
from multihost.proxies.acquirer import seconds_to_wait
from multihost.proxies.native import NativeProxy
from multihost.wire.link import bounded
from multihost.wire.ops import event as ops

__all__ = ["EventProxy", "EventStatistics"]


class EventStatistics(NamedTuple):
    """State of an event."""

    typeid: str
    name: str | None
    is_set: bool


class EventProxy(NativeProxy, stdlib_types.EventProxy):
    """A flag that processes on many hosts can wait for.

    >>> stop = manager.Event("stop")
    >>> stop.wait(timeout=10)

    **Cost**: one round trip a call; ``wait()`` two and the wait, if it is not set.
    **If the holder dies**: nothing, since no process holds an event.
    **Differs from multiprocessing**: nothing.
    """

    _typeid_ = "Event"
    _exposed_ = ("is_set", "set", "clear", "wait")

    def is_set(self) -> bool:
        """Return whether the event is set. 1 round trip."""
        return ops.is_set(self._handle)

    def set(self) -> None:
        """Set the event and wake all waiters. 1 round trip."""
        ops.put(self._handle)

    def clear(self) -> None:
        """Reset the event. 1 round trip."""
        ops.clear(self._handle)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, up to ``timeout`` seconds (None: no limit), and return
        whether it was set. 1 round trip if it is; else 2 and the wait.

        Returns True also if the event was cleared again immediately. Raises ObjectGone, LinkLost.
        """
        if timeout is None:
            return ops.wait_until_set(self._handle, None)
        seconds = seconds_to_wait(timeout)
        with bounded(self._handle.link, True, seconds):
            return ops.wait_until_set(self._handle, seconds)

    def statistics(self) -> EventStatistics:  # type: ignore[override]
        """Return whether the event is set. 1 round trip."""
        return EventStatistics(self._typeid_, self._name, self.is_set())

    def _show(self) -> str:
        return f"<Event {self._label}: {'set' if self.is_set() else 'unset'}>"
