"""The end of a channel at the host; see :mod:`multihost.wire.rpc.frames`."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from multihost.errors import BadPayload, LinkError
from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.rpc.frames import CLOSE, HEAD, NUMBERED_HEAD, REPEATED, Endpoint, frame_number
from multihost.wire.session import Handle
from multihost.wire.stored import report_damage
from multihost.wire.values.signing import Conversation
from multihost.wire.wait import FIRST_BLOCK

__all__ = ["ServerChannel", "server_channel"]


class ServerChannel(Endpoint["bytes | None"]):
    """The channel of one thread that calls; ``is_over`` returns whether the host has ended."""

    def __init__(self, handle: Handle, channel: bytes, is_over: Callable[[], bool]) -> None:
        keys = handle.keys
        super().__init__(
            handle.link, keys.channel(b"res", channel), keys.channel(b"req", channel), FIRST_BLOCK
        )
        self._is_over = is_over

    def reply_and_receive(self, reply: bytes | None) -> bytes | None:
        """Send the reply to the last request, if there was one, and return the next request; None
        when the channel was closed. 1 round trip, and the wait.
        """
        return self._exchange(b"" if reply is None else NUMBERED_HEAD % self._number + reply)

    def _receive(
        self, connection: PinnedConnection, frame: bytes, unsent: bytes, received: Reply
    ) -> bytes | None:
        while True:
            if type(received) is list:
                data: bytes = received[1]
                number = frame_number(data)
                if number is None:
                    if data == CLOSE:
                        return None
                    report_damage("a request", data)
                    number = -1
                if number > self._number:
                    self._number = number
                    return data[HEAD:]
                if number == self._number:  # repeated: the client has not received the reply
                    unsent = frame
            elif type(received) is ReplyError:
                # A full server may have room again: the client waits as well.
                if not received.passes:
                    raise to_exception(received, "a reply", "its client")
                self._link.back_off()
            if self._is_over():
                return None
            try:
                received = self._send_and_pop(connection, unsent)
                if type(received) is not ReplyError:
                    unsent = b""
            except ConnectionBroken as error:
                received, unsent = b"", self._reconnect(connection, error, frame)

    def _reconnect(
        self, connection: PinnedConnection, error: ConnectionBroken, frame: bytes
    ) -> bytes:
        """Connect again, however long that takes, and repeat the last reply: it may be lost, and so
        may the next request, which the client repeats then.
        """
        cause = error
        while not self._is_over():
            try:
                self._link.reconnect(connection, cause, self._link.reconnect_timeout)
                break
            except LinkError as problem:
                if self._link.is_closed or not self._link.reconnect_timeout:
                    raise
                cause = ConnectionBroken(str(problem))
        return REPEATED + (frame or NUMBERED_HEAD % self._number)[1:]


class _SignedChannel(ServerChannel):
    """The same in a manager with an authkey.

    Whoever can write to the server can send again what a client signed once. So the host greets
    each channel with a nonce of its own, to which all calls are bound: those that were signed for
    another channel, host or greeting are refused.
    """

    def __init__(
        self, handle: Handle, channel: bytes, is_over: Callable[[], bool], opening: Conversation
    ) -> None:
        super().__init__(handle, channel, is_over)
        self._signing = opening

    def reply_and_receive(self, reply: bytes | None) -> bytes | None:
        """As in the base class. Raises BadPayload for a request that was not signed for this place:
        the channel is to be rejected.
        """
        request = self._greet() if reply is None else self._exchange(self._signed(reply))
        return None if request is None else self._verified(request)

    def _greet(self) -> bytes | None:
        """Reply to the opening with a nonce; return the first request behind it."""
        frame = b""
        while (request := self._exchange(frame)) is not None:
            try:
                self._verified(request)
            except BadPayload:
                # Without a nonce. A client that has another key, or none, sees the signature.
                frame = self._signed(b"")
                continue
            nonce = secrets.token_bytes(16)
            frame = self._signed(nonce)
            self._signing = self._signing.behind(nonce)
            return self._exchange(frame)
        return None

    def _verified(self, request: bytes) -> bytes:
        return self._signing.requests.verified(request, b"%012d" % self._number)

    def _signed(self, reply: bytes) -> bytes:
        head = NUMBERED_HEAD % self._number
        return head + self._signing.replies.sign(reply, head[1:])


def server_channel(handle: Handle, channel: bytes, is_over: Callable[[], bool]) -> ServerChannel:
    """Return the end of a channel at the host of ``handle``."""
    opening = handle.codec.conversation(handle.keys.ident, channel)
    if opening is None:
        return ServerChannel(handle, channel, is_over)
    return _SignedChannel(handle, channel, is_over, opening)
