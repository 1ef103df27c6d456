"""A process that serves: its threads, and how it begins and ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from multihost.errors import MultihostError
from multihost.serving.objects import Objects, Registered
from multihost.wire.rpc import hosts as ops
from multihost.wire.rpc.client import hosts_of
from multihost.wire.rpc.server import Listener
from multihost.wire.session import Session

__all__ = ["Host", "announce"]

logger = logging.getLogger(__name__)

REMEMBERED = 10_000  # conversations that are over


def announce(session: Session, ident: str, typeids: Iterable[str]) -> None:
    """Enter a host that is about to serve; until then what clients ask waits for it."""
    handle = session.handle(ident)
    ops.begin(handle, typeids)

    def renew() -> bool:
        ops.renew(handle)
        return True

    session.janitor.errand(session.lease / 3, renew)


class Host:
    """What serves the objects of one process. Owns a thread that hears of new clients, and one for
    each thread that calls.
    """

    def __init__(
        self, session: Session, ident: str, registry: Mapping[str, Registered], natives: Any
    ) -> None:
        self.ident = ident
        self.stopped = threading.Event()
        self._session = session
        self._handle = session.handle(self.ident)
        self._registry = registry
        self._pid = os.getpid()
        self._talks: set[bytes] = set()
        self._over: dict[bytes, None] = {}
        self._is_over = False
        self.objects = Objects(
            session, self.ident, registry, natives, self.stopped.set, self._is_alive
        )

    def start(self) -> None:
        """Be there for clients from now on."""
        announce(self._session, self.ident, self._registry)
        self._watched = ops.tend(self._handle)
        threading.Thread(target=self._hear, name="multihost-host", daemon=True).start()

    def stop(self) -> None:
        """Be there no more: delete the objects, and tell those who wait for an answer."""
        if self._is_over or os.getpid() != self._pid:
            return
        self._is_over = True
        self._watched.waiters.clear()
        try:
            ops.end(self._handle)
            self.objects.end()
        except MultihostError as error:
            logger.warning("the objects of this process were left to expire: %s", error)

    def _is_alive(self, host: str) -> bool:
        return hosts_of(self._session, host).is_there()

    # the thread that hears of new clients

    def _hear(self) -> None:
        link = self._session.link
        while not self._is_over:
            try:
                self._look_around()
            except MultihostError as error:
                if self._is_over:
                    return
                logger.warning("the objects of this process cannot be reached: %s", error)
                if link.is_closed or not link.patience:  # a private server does not come back
                    self.stopped.set()
                    return

    def _look_around(self) -> None:
        every = min(self._session.lease / 3, 20.0)
        sweep = time.monotonic() + every
        while not self._is_over:
            found = ops.visits(self._handle, max(sweep - time.monotonic(), 0.0))
            if self._is_over:
                return
            if found is None:  # this process was taken for dead
                ops.begin(self._handle, self._registry)
                continue
            talks, left = found
            for talk in talks - self._talks:
                self._begin(talk)
            self.objects.let_go(left)
            if len(left) == ops.LEFT:
                ops.hint(self._handle)  # there is more
            if time.monotonic() >= sweep:
                self.objects.sweep()
                sweep = time.monotonic() + every

    def _begin(self, talk: bytes) -> None:
        if talk in self._over:
            ops.refuse(self._handle, talk)
            return
        self._talks.add(talk)
        name = f"multihost-{talk.decode()}"
        threading.Thread(target=self._serve, args=(talk,), name=name, daemon=True).start()

    # a thread for each that calls

    def _serve(self, talk: bytes) -> None:
        listener = Listener(self._handle, talk, lambda: self._is_over)
        answer = self.objects.answer
        self.objects.client.session = talk.partition(b".")[0]
        try:
            request = listener.listen(None)
            while request is not None:
                request = listener.listen(answer(request))
        except MultihostError as error:
            if not self._is_over:
                logger.warning("a client cannot be answered: %s", error)
        finally:
            self._end(talk)

    def _end(self, talk: bytes) -> None:
        self._over[talk] = None
        while len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]
        self._talks.discard(talk)
        if not self._is_over:
            try:
                ops.forget(self._handle, talk)
            except MultihostError as error:
                logger.debug("left to expire: %s", error)
