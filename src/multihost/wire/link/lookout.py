"""The thread that breaks off connections to a server to which calls do not belong any more.

A master that was demoted or cut off may live on: whoever is connected to it would read what is old,
write what is lost, or be blocked there for ever. So while this process writes, or a call of it
takes longer than a second, as where a thread is blocked, the topology is asked, about twice a
second; else every few seconds while there are open connections. Where an address leads to one
server only there is no such thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Sequence
from typing import Protocol

from multihost.wire.link.channel import Channel
from multihost.wire.link.topology import Topology

__all__ = ["Lookout"]

LOOK = 0.5  # seconds between two looks at the connections of this process, on average
LONG = 1.0  # seconds after which a call takes long
SELDOM = 5.0  # seconds between two questions while no call does
LEAVE = 0.1  # seconds for which the end of the thread is waited for

_random = random.SystemRandom().random  # a seeded generator of the program stays reproducible


class Watched(Protocol):
    """The connections of one link."""

    def open_channels(self) -> Sequence[Channel]:
        """Return those that are open."""

    def in_use(self) -> Collection[int]:
        """Return a number for each open connection over which a call is under way."""

    def writes(self) -> int:
        """Return a number that grows with each request that writes."""


class Lookout:
    """Owns a thread from the first connection on."""

    def __init__(self, link: Watched, topology: Topology) -> None:
        self._link = link
        self._topology = topology
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()  # of the thread that there is
        self.is_paused: bool = False
        self._has_ended = False
        self._since: dict[int, float] = {}  # connection -> since when it was seen to be in use
        self._asked = 0.0
        self._writes = 0  # when it was asked

    # any thread

    def start(self) -> None:
        """Start the thread, if it does not run yet."""
        if self._thread is None:
            self._start_once()

    def _start_once(self) -> None:
        with self._lock:
            if self._thread is None and not self._has_ended:
                over = self._over = threading.Event()
                thread = threading.Thread(
                    target=self._run, args=(over,), name="multihost-lookout", daemon=True
                )
                self.is_paused = False
                thread.start()
                self._thread = thread

    def pause(self) -> threading.Thread | None:
        """End the thread until :meth:`start`; return it, for who wants to wait for its end, or None
        if it does not run.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self.is_paused = thread is not None
        self._over.set()
        return thread

    def stop(self) -> None:
        """End the thread for ever."""
        self._has_ended = True
        thread = self.pause()
        if thread is not None and thread is not threading.current_thread():
            thread.join(LEAVE)
        self._topology.close()

    # the thread

    def _run(self, over: threading.Event) -> None:
        while not over.wait(LOOK * (0.5 + _random())):
            if self._is_due(time.monotonic()):
                self.look()
        if self._has_ended:
            self._topology.close()  # stop() may have come in the middle of a question

    def _is_due(self, now: float) -> bool:
        self._since = {each: self._since.get(each, now) for each in self._link.in_use()}
        if any(now - since >= LONG for since in self._since.values()):
            return True
        if self._link.writes() != self._writes:
            return True
        return now - self._asked >= SELDOM and bool(self._link.open_channels())

    def look(self) -> None:
        """Ask the topology, and break off the connections that lead elsewhere."""
        self._writes = self._link.writes()
        answered = self._topology.refresh()
        self._asked = time.monotonic()
        if not answered:
            return
        for channel in self._link.open_channels():
            if channel.node is not None and not self._topology.is_current(channel.node):
                channel.interrupt()
