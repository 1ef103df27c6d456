"""Conversations with a process that has objects, at the end that answers; see wire.speech."""

from __future__ import annotations

from collections.abc import Callable

from multihost.errors import LinkError
from multihost.wire.link import ConnectionBroken, PinnedConnection, Reply
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.rpc.frames import HEAD, LARGE, Endpoint
from multihost.wire.session import Handle
from multihost.wire.wait import FIRST_BLOCK

__all__ = ["ServerChannel"]


class ServerChannel:
    """One conversation, at the end that answers."""

    def __init__(self, handle: Handle, talk: bytes, is_over: Callable[[], bool]) -> None:
        keys = handle.keys
        self._link = link = handle.link
        self._number = 0
        self._is_over = is_over
        self._endpoint = Endpoint(
            link, keys.channel(b"res", talk), keys.channel(b"req", talk), FIRST_BLOCK
        )
        self._skips_replies = self._endpoint.can_skip_replies(FIRST_BLOCK)

    def reply_and_receive(self, answer: bytes | None) -> bytes | None:
        """Answer the last request, if there is one, and return the next; None at the end."""
        word = None if answer is None else b"=%012d" % self._number + answer
        caller = self._link.checkout()
        try:
            heard = None
            fresh = word
            if word is not None and self._skips_replies and len(word) < LARGE:
                mouth = self._endpoint
                try:
                    heard = self._link.send_and_pop(
                        caller,
                        b"%b$%d\r\n%b%b" % (mouth.send_prefix, len(word), word, mouth.send_suffix),
                    )
                    fresh = None
                except ConnectionBroken as error:
                    fresh = self._reconnect(caller, error, word)
            payload = self._wait_for_request(caller, word, fresh, heard)
        except BaseException:
            self._link.disconnect(caller)
            self._link.checkin(caller)
            raise
        self._link.checkin(caller)
        return payload

    def _wait_for_request(
        self, caller: PinnedConnection, word: bytes | None, fresh: bytes | None, heard: Reply
    ) -> bytes | None:
        while True:
            if type(heard) is list:
                said: bytes = heard[1]
                if said[:1] != b"=":
                    return None
                number = int(said[1:HEAD])
                if number > self._number:
                    self._number = number
                    return said[HEAD:]
                if number == self._number:
                    fresh = word
            elif type(heard) is ReplyError:
                if (
                    not heard.is_transient and heard.code != "OOM"
                ):  # a full server may have room again
                    raise to_exception(heard, "an answer", "its caller")
                self._link.back_off()
            if self._is_over():
                return None
            try:
                heard = self._endpoint.send_and_wait(caller, fresh)
                if type(heard) is not ReplyError:
                    fresh = None
            except ConnectionBroken as error:
                heard, fresh = None, self._reconnect(caller, error, word)

    def _reconnect(
        self, caller: PinnedConnection, error: ConnectionBroken, word: bytes | None
    ) -> bytes:
        """Connect again, however long that takes; what to say then."""
        cause = error
        while not self._is_over():
            try:
                self._link.reconnect(caller, cause, self._link.reconnect_timeout)
                break
            except LinkError as problem:
                if self._link.is_closed or not self._link.reconnect_timeout:
                    raise
                cause = ConnectionBroken(str(problem))
        return b"+" + (word or b"=%012d" % self._number)[1:]
