"""A host: the threads of a process that answers calls to its objects."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.serving.objects import Natives, ObjectTable, Registered
from multihost.wire.identity import session_of, sid_of
from multihost.wire.redaction import as_logged
from multihost.wire.rpc import hosts as ops
from multihost.wire.rpc.client import host_client
from multihost.wire.rpc.server import server_channel
from multihost.wire.session import Session
from multihost.wire.stored import report_damage

__all__ = ["Host", "register_host"]

logger: logging.Logger = logging.getLogger(__name__)

CHANNEL = rb"[\w-]{1,64}(?:~[0-9]{1,9})?\.[0-9]{1,18}"
SWEEPS_PER_LEASE = 3
MAX_CLOSED = 10_000  # closed channels that are remembered, since a late poll may return them


def register_host(session: Session, ident: str, typeids: Iterable[str]) -> bytes:
    """Register a host that is about to serve; requests wait for it until it does. Return the name
    of the session with which it is registered.
    """
    handle = session.handle(ident)
    name = ops.register(handle, typeids)

    def renew() -> bool:
        ops.renew(handle)
        return True

    session.janitor.call_every(session.lease / 3, renew)
    return name


class Host:
    """Serves the objects of one process. Owns a thread that polls for new channels, and one for
    each channel, that is for each thread of a client.
    """

    def __init__(
        self,
        session: Session,
        ident: str,
        registry: Mapping[str, Registered],
        natives: Natives,
        stopped: threading.Event,
    ) -> None:
        self.ident = ident
        self._stopped = stopped  # set when it is asked to stop
        self._session = session
        self._handle = session.handle(self.ident)
        self._registry = registry
        self._pid = os.getpid()
        self._channels: set[bytes] = set()
        self._closed_channels: dict[bytes, None] = {}
        self._is_stopped = False
        self._name = b""
        self.objects: ObjectTable = ObjectTable(
            session, self.ident, registry, natives, stopped.set, self._is_alive
        )

    def start(self) -> None:
        """Serve clients from now on."""
        self._name = register_host(self._session, self.ident, self._registry)
        self._watched = ops.watch_clients(self._handle)
        threading.Thread(target=self._run, name="multihost-host", daemon=True).start()

    def stop(self) -> None:
        """Serve no more: delete the objects, and fail the calls that are in flight."""
        if self._is_stopped or os.getpid() != self._pid:
            return
        self._is_stopped = True
        self._watched.waiters.clear()
        try:
            ops.unregister(self._handle)
            self.objects.end()
        except MultihostError as error:
            self._report("cannot delete the hosted objects, they will expire: %s", error)

    def _report(self, message: str, error: MultihostError) -> None:
        """Log an error, unless it is the end of the server, or of this manager, on purpose."""
        link = self._session.link
        level = logging.DEBUG if link.is_closed or link.address.is_embedded else logging.WARNING
        logger.log(level, message, error)

    def _is_alive(self, host: str) -> bool:
        return host_client(self._session, host).is_alive()

    def _lapsed(self) -> bool:
        """Return whether the session has another name than the host was registered with."""
        return self._session.registration.names[self._handle.keys.prefix] != self._name

    # the thread that polls for new channels

    def _run(self) -> None:
        link = self._session.link
        while not self._is_stopped:
            try:
                self._poll_loop()
            except (BadPayload, InternalError) as error:
                self._restore(error)
            except MultihostError as error:
                if self._is_stopped:
                    return
                self._report("clients cannot reach the hosted objects: %s", error)
                # A private server has no reconnect timeout: it does not return.
                if link.is_closed or not link.reconnect_timeout:
                    self._stopped.set()
                    return
            except BaseException as error:
                # Not expected. Nobody would be served any more: callers are to hear of it.
                names = ", ".join(self._registry)
                logger.error("the host of %s ends", names, exc_info=as_logged(error))
                self._stopped.set()
                return

    def _restore(self, error: MultihostError) -> None:
        """Make the keys of this host anew, which another program has altered."""
        report_damage("the keys of this host", str(error))
        try:
            ops.restore(self._handle, self._registry, list(self._channels))
        except MultihostError as problem:
            self._report("clients cannot reach the hosted objects: %s", problem)
        self._session.link.back_off()  # somebody may alter them again and again

    def _poll_loop(self) -> None:
        every = min(self._session.lease / SWEEPS_PER_LEASE, 20.0)
        sweep = time.monotonic() + every
        while not self._is_stopped:
            found = ops.poll(self._handle, max(sweep - time.monotonic(), 0.0))
            if self._is_stopped:
                return
            if found is None or self._lapsed():  # this process was declared dead
                self._name = ops.register(self._handle, self._registry)
                continue
            channels, released = found
            for channel in channels - self._channels:
                self._open(channel)
            self.objects.release_references(released)
            if len(released) == ops.MAX_RELEASED:
                ops.wake(self._handle)  # there is more
            if time.monotonic() >= sweep:
                self.objects.sweep()
                sweep = time.monotonic() + every

    def _open(self, channel: bytes) -> None:
        if channel in self._closed_channels:
            self._reject(channel)
            return
        if not re.fullmatch(CHANNEL, channel):
            report_damage("the channels of this host", channel)
            ops.close_channel(self._handle, channel)
            return
        self._channels.add(channel)
        name = f"multihost-{channel.decode()}"
        thread = threading.Thread(target=self._serve, args=(channel,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # too many threads, or the interpreter ends
            logger.warning("a client is not served: %s", error)
            self._reject(channel)

    # a thread for each channel

    def _serve(self, channel: bytes) -> None:
        server = server_channel(self._handle, channel, lambda: self._is_stopped)
        answer = self.objects.answer
        self.objects.client.session = sid_of(session_of(channel))
        end = self._close
        try:
            request = server.reply_and_receive(None)
            while request is not None:
                request = server.reply_and_receive(answer(request))
        except (BadPayload, InternalError) as error:
            logger.warning("a client is served no more, for what came instead of a call: %s", error)
            end = self._reject
        except MultihostError as error:
            if not self._is_stopped:
                self._report("cannot reply to a client: %s", error)
        except BaseException as error:
            logger.error("cannot reply to a client", exc_info=as_logged(error))
            end = self._reject  # it waits
        finally:
            self._remember(channel)
            end(channel)

    def _reject(self, channel: bytes) -> None:
        """Tell the client of a channel that nobody answers it."""
        try:
            ops.reject_channel(self._handle, channel)
        except MultihostError as error:
            logger.warning("cannot tell a client that it is not served: %s", error)
        self._channels.discard(channel)

    def _remember(self, channel: bytes) -> None:
        self._closed_channels[channel] = None
        while len(self._closed_channels) > MAX_CLOSED:
            del self._closed_channels[next(iter(self._closed_channels))]

    def _close(self, channel: bytes) -> None:
        self._channels.discard(channel)
        if not self._is_stopped:
            try:
                ops.close_channel(self._handle, channel)
            except MultihostError as error:
                logger.debug("cannot close a channel, it will expire: %s", error)
