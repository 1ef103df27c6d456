"""Calls that take their time, in other threads."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.waiting import PATIENCE

__all__ = ["Call", "impatient", "late_after", "patient"]

SECONDS = 2 * PATIENCE


class Call(threading.Thread):
    """A call in another thread; ``outcome()`` is what it returned, or raises what it raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self.ended = 0.0
        """When, by the monotonic clock."""
        self.start()

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self.ended = time.monotonic()
            del self._function

    def outcome(self, seconds: float = SECONDS) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "the call hangs"
        if self._error is not None:
            raise self._error
        return self._result


def late_after(manager: Any, seconds: float) -> None:
    """When a reply is late; a connection may take as long as ever to be made, for it is no fault
    that others use the machine. And as long as it takes a call is repeated, until one reply is not.
    """
    link = manager.runtime.session.link
    route, usual = link._route, link.timeout
    link.reconnect_timeout = PATIENCE / 2

    def open_(_: float) -> Any:
        channel = route.open(usual)
        channel._timeout = seconds
        channel._limit(seconds)
        return channel

    link._route, link.timeout = route._replace(open=open_), seconds
    link.disconnect_current()


def patient(manager: Any, seconds: float) -> None:
    """How long it looks for a lost server."""
    manager.runtime.session.link.reconnect_timeout = seconds


@contextlib.contextmanager
def impatient(manager: Any, late: float, seconds: float) -> Iterator[None]:
    """Both, for a while: it connected, and goes on, with the patience that others need."""
    link = manager.runtime.session.link
    before = link._route, link.timeout, link.reconnect_timeout
    late_after(manager, late)
    patient(manager, seconds)
    try:
        yield
    finally:
        link._route, link.timeout, link.reconnect_timeout = before
        link.disconnect_current()
