"""Conversations with a process that has objects, at the end that answers; see wire.speech."""

from __future__ import annotations

from collections.abc import Callable

from multihost.errors import LinkError
from multihost.wire.link import Broken, Caller, Reply
from multihost.wire.replies import ReplyError, failure
from multihost.wire.rpc.frames import HEAD, LARGE, Mouth
from multihost.wire.session import Handle
from multihost.wire.wait import QUIET

__all__ = ["Listener"]


class Listener:
    """One conversation, at the end that answers."""

    def __init__(self, handle: Handle, talk: bytes, is_over: Callable[[], bool]) -> None:
        keys = handle.keys
        self._link = link = handle.link
        self._number = 0
        self._is_over = is_over
        self._mouth = Mouth(link, keys.talk(b"b", talk), keys.talk(b"a", talk), QUIET)
        self._is_quick = self._mouth.can_be_quick(QUIET)

    def listen(self, answer: bytes | None) -> bytes | None:
        """Answer the last request, if there is one, and return the next; None at the end."""
        word = None if answer is None else b"=%012d" % self._number + answer
        caller = self._link.take()
        try:
            heard = None
            fresh = word
            if word is not None and self._is_quick and len(word) < LARGE:
                mouth = self._mouth
                try:
                    heard = self._link.converse(
                        caller, b"%b$%d\r\n%b%b" % (mouth.quick, len(word), word, mouth.rest)
                    )
                    fresh = None
                except Broken as error:
                    fresh = self._returned(caller, error, word)
            payload = self._patiently(caller, word, fresh, heard)
        except BaseException:
            self._link.drop(caller)
            self._link.give_back(caller)
            raise
        self._link.give_back(caller)
        return payload

    def _patiently(
        self, caller: Caller, word: bytes | None, fresh: bytes | None, heard: Reply
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
                if not heard.passing and heard.code != "OOM":  # a full server may have room again
                    raise failure(heard, "an answer", "its caller")
                self._link.pause()
            if self._is_over():
                return None
            try:
                heard = self._mouth.slowly(caller, fresh)
                if type(heard) is not ReplyError:
                    fresh = None
            except Broken as error:
                heard, fresh = None, self._returned(caller, error, word)

    def _returned(self, caller: Caller, error: Broken, word: bytes | None) -> bytes:
        """Connect again, however long that takes; what to say then."""
        cause = error
        while not self._is_over():
            try:
                self._link.revive(caller, cause, self._link.patience)
                break
            except LinkError as problem:
                if self._link.is_closed or not self._link.patience:
                    raise
                cause = Broken(str(problem))
        return b"+" + (word or b"=%012d" % self._number)[1:]
