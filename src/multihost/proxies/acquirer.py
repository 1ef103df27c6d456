"""AcquirerProxy: an object that is acquired and released; base of locks, semaphores, conditions."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import ClassVar

from multihost.proxies.base import BaseProxy

__all__ = ["AcquirerProxy", "checked_timeout", "seconds_to_wait"]


def checked_timeout(blocking: bool, timeout: float | None) -> float | None:
    """The timeout in seconds, None for ever. Raises what a lock of ``threading`` raises."""
    if timeout is None:
        return None
    lock = threading.Lock()
    lock.acquire(blocking, timeout)
    return None if timeout == -1 else timeout


def seconds_to_wait(timeout: float | None) -> float | None:
    """The same for what ``threading`` builds on a lock: a negative timeout is as good as zero."""
    if timeout is None:
        return None
    return checked_timeout(True, timeout) if timeout > 0 else 0.0


class AcquirerProxy(BaseProxy):
    """What can be acquired and released, also by ``with``; by itself an object in a process."""

    _exposed_: ClassVar[tuple[str, ...]] = ("acquire", "release")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it; whether that was possible."""
        args = (blocking,) if timeout is None else (blocking, timeout)
        return self._callmethod("acquire", args)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Give it back."""
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
