"""Threads that make calls."""

from __future__ import annotations

import threading


class Caller(threading.Thread):
    """A thread that makes a call, and its result."""

    def __init__(self, method):
        super().__init__()
        self._method = method
        self.error = None

    def run(self):
        try:
            self._method()
        except Exception as error:
            self.error = error
