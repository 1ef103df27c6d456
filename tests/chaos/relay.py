"""A process between clients and a server that breaks connections at random, with whatever is under
way on them.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from tests.chaos.killers import FORK
from tests.support.procs import kill9

__all__ = ["WAYS", "Relay"]

CHUNK = 1 << 16
LATEST = 0.5  # seconds after which a request of a broken connection still arrives
DEAF = 3.0  # seconds for which a connection carries nothing, before it ends
LONG_DEAF = 30.0  # the same, now and then: who waits has to find out by itself

WAYS = ("now", "request", "half a request", "reply", "half a reply", "late", "half open")
"""At once; with the next request, or half of it; with the next reply, or half of it; with a request
that arrives later; neither side is told."""


class _Pair:
    """A client's connection, and the one to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.way = ""
        self.is_mute = False


class _Work:
    """What the process does: carry bytes, and break what it is told to break."""

    def __init__(self, listener: socket.socket, upstream: str, orders: Connection, seed: str):
        self._listener, self._upstream, self._orders = listener, upstream, orders
        self._chance = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._pairs: set[_Pair] = set()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._shut_until = 0.0
        self.cuts = 0

    def run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._orders, selectors.EVENT_READ, self._obey)
        while True:
            for key, _ in self._selector.select(self._until_next()):
                key.data()
            now = time.monotonic()
            due = [act for at, act in self._timers if at <= now]
            self._timers = [each for each in self._timers if each[0] > now]
            for act in due:
                act()

    def _until_next(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(at for at, _ in self._timers) - time.monotonic())

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, act))

    def _obey(self) -> None:
        order, *args = self._orders.recv()
        if order == "break":
            self._break(*args)
        elif order == "shut":
            self._shut(*args)
        self._orders.send(self.cuts)

    def _break(self, ways: list[str]) -> None:
        whole = [pair for pair in self._pairs if not pair.way]
        victims = self._chance.sample(whole, min(len(ways), len(whole)))
        for pair, way in zip(victims, ways, strict=False):
            pair.way = way
            if way == "now":
                self._end(pair)
            elif way == "half open":
                self._mute(pair)
                seconds = LONG_DEAF if self._chance.random() < 0.1 else DEAF
                self._after(self._chance.random() * seconds, lambda pair=pair: self._end(pair))

    def _shut(self, seconds: float) -> None:
        """Everybody is cut off, and cannot come back for a while."""
        self._shut_until = time.monotonic() + seconds
        for pair in list(self._pairs):
            self._end(pair)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            if time.monotonic() < self._shut_until:
                raise ConnectionRefusedError
            server.connect(self._upstream)
        except OSError:
            client.close()
            server.close()
            return
        pair = _Pair(client, server)
        self._pairs.add(pair)
        for source, is_request in ((client, True), (server, False)):
            self._selector.register(
                source, selectors.EVENT_READ, lambda p=pair, r=is_request: self._carry(p, r)
            )

    def _carry(self, pair: _Pair, is_request: bool) -> None:
        source, target = (pair.client, pair.server) if is_request else (pair.server, pair.client)
        if pair not in self._pairs or pair.is_mute:
            return  # it has ended since there was something to carry
        try:
            data = source.recv(CHUNK)
            if not data:
                self._end(pair, counts=False)
                return
            data, ends = self._damage(pair, data, is_request)
            target.sendall(data)
        except OSError:
            ends = True
        if ends:
            self._end(pair, counts=bool(pair.way))

    def _damage(self, pair: _Pair, data: bytes, is_request: bool) -> tuple[bytes, bool]:
        """Return what goes on of some bytes, and whether the connection ends behind them."""
        half = data[: self._chance.randrange(len(data))]
        if pair.way == ("request" if is_request else "reply"):
            return b"", True
        if pair.way == ("half a request" if is_request else "half a reply"):
            return half, True
        if pair.way == "late" and is_request:
            self._mute(pair)
            pair.client.close()
            self._after(self._chance.random() * LATEST, lambda: self._arrive(pair, data))
            self.cuts += 1
            return b"", False
        return data, False

    def _mute(self, pair: _Pair) -> None:
        pair.is_mute = True
        for end in (pair.client, pair.server):
            self._selector.unregister(end)

    def _arrive(self, pair: _Pair, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the server may have closed it meanwhile: the fence
            pair.server.sendall(data)
        self._end(pair, counts=False)

    def _end(self, pair: _Pair, counts: bool = True) -> None:
        if pair not in self._pairs:
            return
        self._pairs.discard(pair)
        self.cuts += counts
        for end in (pair.client, pair.server):
            if end.fileno() >= 0:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(end)
                end.close()


def _work(listener: socket.socket, upstream: str, orders: Connection, seed: str) -> None:
    _Work(listener, upstream, orders, seed).run()


class Relay:
    """The process, and its address; ``cuts``: how many connections it has broken so far."""

    def __init__(self, upstream: str, path: str, seed: str) -> None:
        self.path = path
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(512)
        self._orders, theirs = FORK.Pipe()
        self._process = FORK.Process(target=_work, args=(listener, upstream, theirs, seed))
        self._process.start()
        listener.close()
        theirs.close()
        self.cuts = 0

    def break_some(self, ways: list[str]) -> None:
        """Break as many connections, each in one of :data:`WAYS`."""
        self._say("break", ways)

    def shut(self, seconds: float) -> None:
        """Break all, and let nobody come for a while."""
        self._say("shut", seconds)

    def count(self) -> None:
        """Have ``cuts`` say how many there were."""
        self._say("count")

    def _say(self, *order: object) -> None:
        self._orders.send(order)
        self.cuts = self._orders.recv()

    def close(self) -> None:
        kill9(self._process)
        self._orders.close()
        os.unlink(self.path)
