"""Calls to a host, and the end of a channel at the client; see :mod:`multihost.wire.rpc.frames`."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial

from multihost.errors import BadPayload, LinkLost
from multihost.patching import per_thread
from multihost.weak import WeakMembers
from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.rpc.frames import (
    CHECK,
    CLOSE,
    CLOSED,
    FRAME_TTL,
    HEAD,
    NUMBERED,
    NUMBERED_HEAD,
    REPEATED,
    Endpoint,
)
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle, RpcClient, Session
from multihost.wire.values.signing import Conversation
from multihost.wire.wait import Outage, start_watching, stop_watching

__all__ = ["HostClient", "HostDied", "HostNotFound", "host_client"]

FIRST_BLOCK = 0.3  # seconds of a call after which it is a long one: the host is watched
RELEASED_PER_CALL = 200

_reap = Script("host/reap")
_open_channel = Script("host/open_channel")
_release = Script("host/release")


class HostNotFound(Exception):
    """There is no such host; the request was not executed."""


class HostDied(Exception):
    """The host died during a call; the request may have been executed."""


class HostClient:
    """A host, as the threads of this process that call it see it."""

    def __init__(self, session: Session, ident: str) -> None:
        self.ident = ident
        self.session = session
        self.handle: Handle = session.handle(ident)
        self._numbers = itertools.count()
        self._local = per_thread(_ThreadChannels)
        self._waiting: set[RpcChannel] = set()
        # Weak: one that a call has belongs to its frames, and closes itself if nothing refers to
        # it, for the call was interrupted or its thread has ended.
        self.channels: WeakMembers[RpcChannel] = WeakMembers()
        self.deaths: int = 0  # how often the host was found dead

    def call(self, payload: bytes) -> bytes:
        """Send a request and return the reply. 1 round trip to the server, and one from there to
        the host; the first call of a thread takes one or two more.

        Raises HostNotFound, HostDied, LinkLost.
        """
        keys = self.handle.keys
        membership = self.session.registration.memberships[keys.prefix]
        if time.monotonic() > membership.valid_until:  # it may have expired
            self.session.ensure_registered(keys)
        free = self._local.free
        channel = free.pop() if free else RpcChannel(self)
        # Of one that was open while either end was dead, or declared dead, the host may know
        # nothing.
        if channel.expirations != membership.expirations or channel.deaths != self.deaths:
            channel.close()
            channel = RpcChannel(self)
        try:
            reply = channel.request(payload)
        except (HostNotFound, HostDied):
            channel.forget()
            raise
        except BaseException:
            self.stop_waiting(channel)  # a signal may have come when it did that
            channel.close()
            raise
        free.append(channel)
        return reply

    def is_alive(self) -> bool:
        """Return whether the server has a live session of the host. 1 round trip."""
        return _reap.run_idempotent(self.handle, b"", b"0", b"") is not None

    def next_id(self) -> bytes:
        """Return the id of a new channel."""
        name = self.session.registration.names[self.handle.keys.prefix]
        return b"%b.%d" % (name, next(self._numbers))

    def start_waiting(self, channel: RpcChannel) -> None:
        """Have the janitor check whether the host is alive, while a call waits for it."""
        self._waiting.add(channel)
        start_watching(self.handle, _reap).on_deleted.add(self._notify_waiters)

    def stop_waiting(self, channel: RpcChannel) -> None:
        """Undo :meth:`start_waiting`, as far as it came."""
        self._waiting.discard(channel)
        stop_watching(self.handle)

    def _notify_waiters(self) -> None:
        """Wake the calls that wait for the host, which is dead."""
        self.deaths += 1
        for channel in list(self._waiting):
            inbox = channel.inbox
            transaction(self.handle.link, (b"LPUSH", inbox, CHECK), (b"PEXPIRE", inbox, FRAME_TTL))

    def release_references(self, references: Sequence[tuple[str, int]]) -> None:
        """Release references, ``(ident, version)``, to objects of the host, which deletes those
        that no process refers to any more. A host that has ended is not notified. 1 round trip for
        each 200.
        """
        sid = self.session.registration.sid
        for start in range(0, len(references), RELEASED_PER_CALL):
            chunk = references[start : start + RELEASED_PER_CALL]
            args = [b"%b %b %d" % (ident.encode(), sid, version) for ident, version in chunk]
            _release.run_idempotent(self.handle, *args)

    def close_channels(self) -> None:
        """Close every channel of this process, which ends. 1 round trip."""
        commands: list[Sequence[bytes]] = []
        for channel in self.channels:
            commands += channel.close_commands()
            channel.forget()
        if commands:
            transaction(self.handle.link, *commands)


class _ThreadChannels:
    """The free channels of one thread to a host."""

    def __init__(self) -> None:
        self.free: list[RpcChannel] = []


class RpcChannel(Endpoint[bytes]):
    """The channel of one thread to one host."""

    _is_open = False  # the host knows of it, or will

    def __init__(self, host: HostClient) -> None:
        session, keys = host.session, host.handle.keys
        session.ensure_registered(keys)
        self.id: bytes = host.next_id()
        super().__init__(
            host.handle.link,
            keys.channel(b"req", self.id),
            keys.channel(b"res", self.id),
            FIRST_BLOCK,
        )
        self._host = host
        self._registration = session.registration
        self.expirations: int = session.registration.memberships[keys.prefix].expirations
        self.deaths: int = host.deaths
        self._signing: Conversation | None = None
        self._is_open = True
        if not self._open():
            self.forget()
            raise HostNotFound
        host.channels.add(self)
        self._greet(session)

    def _open(self) -> bool:
        """Enter the channel, if there is such a host; return whether there is."""
        return _open_channel.run_idempotent(self._host.handle, self.id) is not None

    def _greet(self, session: Session) -> None:
        """Have the host choose the nonce to which all calls on this channel are bound, in a manager
        with an authkey. 1 round trip to the host.
        """
        self._signing = opening = session.codec.conversation(self._host.ident, self.id)
        if opening is None:
            return
        try:
            nonce = self.request(b"")
            if not nonce:
                raise BadPayload("the host did not accept how this process signs: was it altered?")
        except HostDied:  # but no call was sent to it
            self.forget()
            raise HostNotFound from None
        except BaseException:
            self.close()
            raise
        self._signing = opening.behind(nonce)

    def request(self, payload: bytes) -> bytes:
        """Send a request, and return the reply to it."""
        self._number = number = self._number + 1
        signing = self._signing
        if signing is None:
            return self._exchange(NUMBERED_HEAD % number + payload)
        head = NUMBERED_HEAD % number
        place = head[1:]
        reply = self._exchange(head + signing.requests.sign(payload, place))
        return signing.replies.verified(reply, place)

    def _receive(
        self,
        connection: PinnedConnection,
        frame: bytes,
        unsent: bytes,  # noqa: ARG002 - the request, unless something was received
        received: Reply,
    ) -> bytes:
        if type(received) is list and received[1][:HEAD] == frame[:HEAD]:
            return received[1][HEAD:]  # type: ignore[no-any-return]
        try:
            self._host.start_waiting(self)
            return self._wait_for_reply(connection, frame, received)
        finally:
            self._host.stop_waiting(self)

    def _wait_for_reply(self, connection: PinnedConnection, frame: bytes, received: Reply) -> bytes:
        """Wait for as long as it takes, and check that the host is alive."""
        unsent = frame
        outage = Outage(self._link)
        sent_once = type(received) is list  # that it was sent is sure, and that it was once
        while True:
            if type(received) is list:
                outage.end()
                data: bytes = received[1]
                kind = data[:1]
                if data[1:HEAD] == frame[1:HEAD] and kind in (NUMBERED, REPEATED):
                    return data[HEAD:]
                if kind == CLOSED:
                    raise LinkLost(
                        "the host closed the channel during the call, since this process was "
                        "declared dead, or no thread can serve it: whether the call took "
                        "effect is unknown"
                    )
                if kind == CHECK and not self._reopen(connection):
                    self._host.deaths += 1
                    if sent_once and self._withdraw(connection, frame):
                        raise HostNotFound
                    raise HostDied
                unsent = frame if kind == REPEATED else b""
            elif type(received) is ReplyError and not outage.back_off(received):
                raise to_exception(received, "a call", self._host.ident)
            sent_once = sent_once and not unsent
            try:
                received = self._send_and_pop(connection, unsent)
            except ConnectionBroken as error:
                received, unsent = None, self._reconnect(connection, error, frame)
                continue
            unsent = frame  # unless something was received: the server may have lost it
            if received is None:
                outage.end()
                self._reopen_or_raise(connection)

    def _reconnect(
        self, connection: PinnedConnection, error: ConnectionBroken, frame: bytes
    ) -> bytes:
        """Connect again, and repeat the request. Raises LinkError, HostDied."""
        self._link.reconnect(connection, error, self._link.reconnect_timeout)
        self._reopen_or_raise(connection)
        return frame

    def _reopen_or_raise(self, connection: PinnedConnection) -> None:
        if not self._reopen(connection):
            raise HostDied

    def _reopen(self, connection: PinnedConnection) -> bool:
        """Enter the channel again, if the host is alive; return whether it is."""
        with self._lent(connection):
            return self._host.is_alive() and self._open()

    def _withdraw(self, connection: PinnedConnection, frame: bytes) -> bool:
        """Remove the request from the channel; return whether the host had not received it."""
        with self._lent(connection):
            return bool(self._link.execute(b"LREM", self.outbox, b"1", frame))

    @contextlib.contextmanager
    def _lent(self, connection: PinnedConnection) -> Iterator[None]:
        """Have calls of this thread use the connection, which stays ours."""
        connection.reserved = True
        self._link.checkin(connection)
        try:
            yield
        finally:
            self._link.withdraw(connection)
            connection.reserved = False

    def __del__(self) -> None:
        self.close()

    def forget(self) -> None:
        """There is no host that would have to know that it is closed."""
        self._is_open = False
        self._host.channels.discard(self)

    def close(self) -> None:
        """Close the channel; repeatable. In any thread: the background thread sends it."""
        if not self._is_open:
            return
        self.forget()
        session = self._host.session
        if session.registration is self._registration and not session.link.is_closed:
            # Not a method: it would keep this alive, which may be about to be destroyed.
            session.heartbeat.call_soon(partial(transaction, self._link, *self.close_commands()))

    def close_commands(self) -> list[Sequence[bytes]]:
        """Return the commands that close the channel."""
        return [(b"LPUSH", self.outbox, CLOSE), (b"PEXPIRE", self.outbox, FRAME_TTL)]


def host_client(session: Session, ident: str) -> RpcClient:
    """Return the client of a host; one for all threads of this process."""
    host = session.rpc_clients.get(ident)
    if host is None:
        host = session.rpc_clients.setdefault(ident, HostClient(session, ident))
    return host
