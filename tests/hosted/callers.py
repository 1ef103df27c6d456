"""Threads that make calls."""

from __future__ import annotations

import threading
import time


class Caller(threading.Thread):
    """A thread that makes a call, and its result."""

    def __init__(self, method):
        super().__init__()
        self._method = method
        self.error = None
        self.ended = 0.0

    def run(self):
        try:
            self._method()
        except Exception as error:
            self.error = error
        self.ended = time.monotonic()
