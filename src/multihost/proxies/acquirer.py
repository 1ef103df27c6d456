"""AcquirerProxy: an object that is acquired and released; base of locks, semaphores, conditions."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import ClassVar

from multihost.proxies import stdlib_types
from multihost.proxies.base import BaseProxy

__all__ = ["AcquirerProxy", "checked_timeout", "seconds_to_wait"]


def checked_timeout(blocking: bool, timeout: float | None) -> float | None:
    """Return the timeout in seconds, None for none. Raises what a ``threading`` lock raises."""
    if timeout is None:
        return None
    lock = threading.Lock()
    lock.acquire(blocking, timeout)
    return None if timeout == -1 else timeout


def seconds_to_wait(timeout: float | None) -> float | None:
    """Return the same for what ``threading`` builds on locks, where a negative timeout is zero."""
    if timeout is None:
        return None
    return checked_timeout(True, timeout) if timeout > 0 else 0.0


class AcquirerProxy(BaseProxy, stdlib_types.AcquirerProxy):
    """A reference to an object that is acquired and released, also by ``with``.

    By itself it refers to an object that a process serves; see :class:`BaseProxy` for its cost.
    """

    _exposed_: ClassVar[tuple[str, ...]] = ("acquire", "release")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire the object, and return whether that succeeded. 2 round trips."""
        args = (blocking,) if timeout is None else (blocking, timeout)
        return self._callmethod("acquire", args)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Release the object. 2 round trips."""
        self._callmethod("release")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
