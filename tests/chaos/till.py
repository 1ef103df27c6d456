"""An object in the memory of a process that serves it, and who serves and calls it."""

from __future__ import annotations

import os
import threading

from multihost import RedisManager
from multihost.managers import SyncManager

__all__ = ["Remote", "Serving"]


class Till:
    """Lives in the memory of a process; counts, and says where."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def add(self) -> tuple[int, int]:
        with self._lock:
            self._number += 1
            return os.getpid(), self._number


class Serving(SyncManager):
    """What serves."""


class Remote(RedisManager):
    """What calls."""


for _manager in (Serving, Remote):
    _manager.register("Till", Till)
