"""Conversations with a process that has objects, at the end that asks; see wire.speech."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from multihost.errors import LinkLost
from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply, transaction
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.rpc.frames import FRAME_TTL, HEAD, LARGE, Endpoint
from multihost.wire.script import Script
from multihost.wire.session import Handle, Session
from multihost.wire.wait import start_watching

__all__ = ["HostNotFound", "HostDied", "HostClient", "host_client"]

FIRST = 0.3  # seconds of a call after which it counts as a long one: the host is looked after

_reap = Script("host/reap")
_open_channel = Script("host/open_channel")


class HostNotFound(Exception):
    """There is no such host; nothing was sent, or nothing was heard."""


class HostDied(Exception):
    """The host has ended during a call."""


class HostClient:
    """A process that serves objects, as the threads that call it see it."""

    def __init__(self, session: Session, ident: str) -> None:
        self.ident = ident
        self.session = session
        self.handle: Handle = session.handle(ident)
        self._numbers = itertools.count()
        self._local = _ThreadChannels(self)
        self._waiting: set[RpcChannel] = set()
        self.channels: set[RpcChannel] = set()
        self.deaths: int = 0  # how often it was found dead

    def call(self, payload: bytes) -> bytes:
        """Send a request and return the answer. 1 round trip to the server and one from there to
        the host. The first call of a thread takes one or two more.

        Raises Absent, Ended, LinkLost.
        """
        session = self.session
        if time.monotonic() > session.registration.valid_until:  # it may have been taken for dead
            session.ensure_registered(self.handle.keys)
        talks = self._local.free
        talk = talks.pop() if talks else RpcChannel(self)
        if talk.is_over:
            talk.close()
            talk = RpcChannel(self)
        try:
            answer = talk.request(payload)
        except (HostNotFound, HostDied):
            self.channels.discard(talk)
            raise
        except BaseException:
            talk.close()
            raise
        talks.append(talk)
        return answer

    def is_alive(self) -> bool:
        """Whether it lives, as far as one can know at this moment. 1 round trip."""
        return _reap.run_idempotent(self.handle, b"", b"0") is not None

    def next_id(self) -> bytes:
        return b"%b.%d" % (self.session.registration.sid, next(self._numbers))

    def wait_for(self, talk: RpcChannel) -> Any:
        """Have the background thread look whether the host lives, while a call waits for it."""
        self._waiting.add(talk)
        watched = start_watching(self.handle, _reap)
        watched.on_deleted.add(self._notify_waiters)
        return watched

    def stop_waiting(self, talk: RpcChannel, watched: Any) -> None:
        self._waiting.discard(talk)
        watched.waiters.discard(threading.get_ident())

    def _notify_waiters(self) -> None:
        """It is dead: those who wait for it find out."""
        self.deaths += 1
        for talk in list(self._waiting):
            transaction(
                self.session.link, (b"LPUSH", talk.inbox, b"!"), (b"PEXPIRE", talk.inbox, FRAME_TTL)
            )

    def close_channels(self) -> None:
        """This process ends: so do its conversations."""
        commands: list[Sequence[bytes]] = []
        for talk in list(self.channels):
            commands += [(b"LPUSH", talk.outbox, b"."), (b"PEXPIRE", talk.outbox, FRAME_TTL)]
        self.channels.clear()
        if commands:
            transaction(self.session.link, *commands)


class _FreeChannels(list["RpcChannel"]):
    """The free conversations of one thread with a host. Ends them with the thread."""

    __slots__ = ()

    def __del__(self) -> None:
        for talk in self:
            talk.close()


class _ThreadChannels(threading.local):
    def __init__(self, host: HostClient) -> None:  # noqa: ARG002 - threading.local calls it in each thread
        self.free = _FreeChannels()


class RpcChannel:
    """One conversation, at the end that asks."""

    def __init__(self, host: HostClient) -> None:
        session = host.session
        keys = host.handle.keys
        session.ensure_registered(keys)
        self._host = host
        self.id: bytes = host.next_id()
        self._expirations = session.registration.expirations
        self._deaths = host.deaths
        self.outbox: bytes = keys.channel(b"a", self.id)
        self.inbox: bytes = keys.channel(b"b", self.id)
        self._number = 0
        self._link = session.link
        self._endpoint = Endpoint(session.link, self.outbox, self.inbox, FIRST)
        self._skips_replies = self._endpoint.can_skip_replies(FIRST)
        self._registration = session.registration
        self._open()
        host.channels.add(self)

    def _open(self) -> None:
        if _open_channel.run_idempotent(self._host.handle, self.id) is None:
            raise HostNotFound

    @property
    def is_over(self) -> bool:
        """Whether one of the two was dead meanwhile, or taken for it."""
        return (
            self._expirations != self._registration.expirations or self._deaths != self._host.deaths
        )

    def request(self, payload: bytes) -> bytes:
        """Send a request, and wait for its answer."""
        self._number = number = self._number + 1
        word = b"=%012d" % number + payload
        caller = self._link.checkout()
        heard, broken = None, False
        try:
            if self._skips_replies and len(word) < LARGE:
                mouth = self._endpoint
                try:
                    heard = self._link.send_and_pop(
                        caller,
                        b"%b$%d\r\n%b%b" % (mouth.send_prefix, len(word), word, mouth.send_suffix),
                    )
                except ConnectionBroken as error:
                    self._link.reconnect(caller, error, self._link.reconnect_timeout)
                    broken = True
            if type(heard) is list and heard[1][:HEAD] == word[:HEAD]:
                answer = heard[1][HEAD:]
            else:
                answer = self._wait_for_reply(caller, word, heard, broken)
        except BaseException:
            self._link.disconnect(caller)  # with the connection the server forgets what it blocks
            self._link.checkin(caller)
            raise
        self._link.checkin(caller)
        return answer  # type: ignore[no-any-return]

    def _wait_for_reply(
        self, caller: PinnedConnection, word: bytes, heard: Reply, broken: bool
    ) -> bytes:
        """Wait for as long as it takes, and see whether the host lives."""
        again: bytes | None = word
        once = type(heard) is list  # it was said once, and not lost
        watched = self._host.wait_for(self)
        try:
            if broken and not self._reopen(caller):
                raise HostDied
            while True:
                if type(heard) is list:
                    again = None
                    said = heard[1]
                    kind, number = said[:1], said[1:HEAD]
                    if number == word[1:HEAD] and kind in (b"=", b"+"):
                        return said[HEAD:]  # type: ignore[no-any-return]
                    if kind == b"x":
                        raise LinkLost(
                            "this process was taken for dead during the call: whether it took "
                            "effect is unknown"
                        )
                    if kind == b"!" and not self._reopen(caller):
                        self._host.deaths += 1
                        raise (
                            HostNotFound
                            if once and self._withdraw_request(caller, word)
                            else HostDied
                        )
                    if kind == b"+":
                        again = word
                elif type(heard) is ReplyError:
                    if not heard.is_transient:
                        raise to_exception(heard, "a call", self._host.ident)
                    self._link.back_off()
                once = once and again is None
                try:
                    heard = self._endpoint.send_and_wait(caller, again)
                    again = word  # unless it is heard of: a server may have lost it
                except ConnectionBroken as error:
                    self._link.reconnect(caller, error, self._link.reconnect_timeout)
                    heard, again = None, word
                if heard is None and not self._reopen(caller):
                    raise HostDied
        finally:
            self._host.stop_waiting(self, watched)

    def _reopen(self, caller: PinnedConnection) -> bool:
        """Say once more that this conversation exists; whether there is a host to hear it."""
        with self._connection_lent(caller):
            return (
                self._host.is_alive()
                and _open_channel.run_idempotent(self._host.handle, self.id) is not None
            )

    def _withdraw_request(self, caller: PinnedConnection, word: bytes) -> bool:
        """Take back what the host had not heard when it ended; whether that is so."""
        with self._connection_lent(caller):
            return bool(self._link.execute(b"LREM", self.outbox, b"1", word))

    @contextlib.contextmanager
    def _connection_lent(self, caller: PinnedConnection) -> Iterator[None]:
        """Other calls take the connection, and nobody else may."""
        caller.reserved = True
        self._link.checkin(caller)
        try:
            yield
        finally:
            self._link.withdraw(caller)
            caller.reserved = False

    def close(self) -> None:
        """The conversation is over; finalizers call this in any thread, so it only leaves word."""
        session = self._host.session
        self._host.channels.discard(self)
        if session.registration is self._registration and not session.link.is_closed:
            session.call_soon(self._send_close)

    def _send_close(self) -> None:
        transaction(self._link, (b"LPUSH", self.outbox, b"."), (b"PEXPIRE", self.outbox, FRAME_TTL))


def host_client(session: Session, ident: str) -> HostClient:
    """The host of that identity, as this process sees it."""
    host: HostClient | None = session.rpc_clients.get(ident)
    if host is None:
        host = session.rpc_clients.setdefault(ident, HostClient(session, ident))
        session.exit_callbacks.append(host.close_channels)
    return host
