"""A process that serves: its threads, and how it begins and ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from multihost.errors import MultihostError
from multihost.serving.objects import ObjectTable, Registered
from multihost.wire.rpc import hosts as ops
from multihost.wire.rpc.client import host_client
from multihost.wire.rpc.server import ServerChannel
from multihost.wire.session import Session

__all__ = ["Host", "register_host"]

logger = logging.getLogger(__name__)

MAX_CLOSED = 10_000  # conversations that are over


def register_host(session: Session, ident: str, typeids: Iterable[str]) -> None:
    """Enter a host that is about to serve; until then what clients ask waits for it."""
    handle = session.handle(ident)
    ops.register(handle, typeids)

    def renew() -> bool:
        ops.renew(handle)
        return True

    session.janitor.call_every(session.lease / 3, renew)


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
        self._channels: set[bytes] = set()
        self._closed: dict[bytes, None] = {}
        self._is_closed = False
        self.objects = ObjectTable(
            session, self.ident, registry, natives, self.stopped.set, self._is_alive
        )

    def start(self) -> None:
        """Be there for clients from now on."""
        register_host(self._session, self.ident, self._registry)
        self._watched = ops.watch_clients(self._handle)
        threading.Thread(target=self._run, name="multihost-host", daemon=True).start()

    def stop(self) -> None:
        """Be there no more: delete the objects, and tell those who wait for an answer."""
        if self._is_closed or os.getpid() != self._pid:
            return
        self._is_closed = True
        self._watched.waiters.clear()
        try:
            ops.unregister(self._handle)
            self.objects.end()
        except MultihostError as error:
            logger.warning("the objects of this process were left to expire: %s", error)

    def _is_alive(self, host: str) -> bool:
        return host_client(self._session, host).is_alive()

    # the thread that hears of new clients

    def _run(self) -> None:
        link = self._session.link
        while not self._is_closed:
            try:
                self._poll_loop()
            except MultihostError as error:
                if self._is_closed:
                    return
                logger.warning("the objects of this process cannot be reached: %s", error)
                if (
                    link.is_closed or not link.reconnect_timeout
                ):  # a private server does not come back
                    self.stopped.set()
                    return

    def _poll_loop(self) -> None:
        every = min(self._session.lease / 3, 20.0)
        sweep = time.monotonic() + every
        while not self._is_closed:
            found = ops.poll(self._handle, max(sweep - time.monotonic(), 0.0))
            if self._is_closed:
                return
            if found is None:  # this process was taken for dead
                ops.register(self._handle, self._registry)
                continue
            talks, left = found
            for talk in talks - self._channels:
                self._begin(talk)
            self.objects.release_references(left)
            if len(left) == ops.MAX_RELEASED:
                ops.wake(self._handle)  # there is more
            if time.monotonic() >= sweep:
                self.objects.sweep()
                sweep = time.monotonic() + every

    def _begin(self, talk: bytes) -> None:
        if talk in self._closed:
            ops.reject_channel(self._handle, talk)
            return
        self._channels.add(talk)
        name = f"multihost-{talk.decode()}"
        threading.Thread(target=self._serve, args=(talk,), name=name, daemon=True).start()

    # a thread for each that calls

    def _serve(self, talk: bytes) -> None:
        listener = ServerChannel(self._handle, talk, lambda: self._is_closed)
        answer = self.objects.answer
        self.objects.client.session = talk.partition(b".")[0]
        try:
            request = listener.reply_and_receive(None)
            while request is not None:
                request = listener.reply_and_receive(answer(request))
        except MultihostError as error:
            if not self._is_closed:
                logger.warning("a client cannot be answered: %s", error)
        finally:
            self._end(talk)

    def _end(self, talk: bytes) -> None:
        self._closed[talk] = None
        while len(self._closed) > MAX_CLOSED:
            del self._closed[next(iter(self._closed))]
        self._channels.discard(talk)
        if not self._is_closed:
            try:
                ops.close_channel(self._handle, talk)
            except MultihostError as error:
                logger.debug("left to expire: %s", error)
