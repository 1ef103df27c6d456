"""A channel over a connection of redis-py."""

from __future__ import annotations

import contextlib
import math
import socket
import sys
from typing import Any

from multihost.wire.link.channel import (
    EMPTY_COMMAND,
    ConnectionBroken,
    Node,
    Reply,
    ReplyTimeout,
    failure,
    is_rejected,
)
from multihost.wire.link.named import peer_of
from multihost.wire.printable import printable
from multihost.wire.redaction import Redactor
from multihost.wire.replies import ReplyError

__all__ = ["UNREADABLE", "ClientChannel", "as_reply", "broken_by"]

# What redis-py raises for answers that it cannot read.
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, MemoryError)


def _code(error: Exception) -> str | None:
    """Return the code that redis-py took out of the text of an error reply, if it did."""
    return getattr(error, "status_code", None)


def as_reply(error: Exception, redact: Redactor) -> ReplyError:
    """Return the error reply from which redis-py made an error."""
    code = _code(error)
    return ReplyError(redact(f"{code} {error}" if code else str(error)))


class ClientChannel:
    """A channel over a connection of redis-py."""

    def __init__(self, connection: Any, redact: Redactor) -> None:
        import redis.exceptions

        self._connection = connection
        self._timeout: dict[str, float] = {}
        self._redact = redact
        self.loaded_scripts: set[object] = set()
        self.client_id: bytes = b""  # redis-py does not tell
        self.run: bytes = b""
        self.node: Node | None = None
        self._is_shut = False  # maybe by another thread, in the middle of an exchange
        self._errors = redis.exceptions

    def exchange(self, request: bytes) -> Reply:
        return self.exchange_many(request, 1)[0]

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]:
        self._write(requests)
        return [self._read() for _ in range(count)]

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        self._write(requests)
        replies: list[Reply] = [self._read()]
        if is_rejected(replies[0]):
            return replies
        how: dict[str, Any] = {} if seconds in (None, math.inf) else {"timeout": seconds}
        while len(replies) < count:
            if seconds == math.inf:
                with contextlib.suppress(ReplyTimeout):
                    replies.append(self._read(disconnect_on_error=False))
                continue
            if not grace:
                replies.append(self._read(**how))
                continue
            try:
                replies.append(self._read(disconnect_on_error=False, **how))
            except ReplyTimeout:
                self._write(EMPTY_COMMAND)
                how, grace = {"timeout": grace}, 0.0
        return replies

    def _write(self, requests: bytes) -> None:
        handled = sys.exception()
        self._check()
        try:
            self._connection.send_packed_command([requests])
            return
        except (self._errors.RedisError, OSError) as error:
            broken = self._broken(error, handled)
        except Exception as error:
            if not self._is_shut:
                raise
            broken = self._broken(error, handled)
        raise broken  # outside, for the error of redis-py may have what the server said

    def limit(self, seconds: float) -> None:
        self._timeout = {"timeout": seconds}

    def _read(self, **how: Any) -> Reply:
        how, handled = self._timeout | how, sys.exception()
        self._check()
        try:
            return self._plain(self._connection.read_response(disable_decoding=True, **how))
        except (self._errors.RedisError, OSError) as error:
            if isinstance(error, self._errors.ResponseError) or _code(error):
                return self._plain(error)
            broken = self._broken(error, handled)
        except Exception as error:
            # Where its socket was redis-py finds nothing, and raises anything.
            if not (self._is_shut or isinstance(error, UNREADABLE)):
                raise
            broken = self._broken(error, handled)
        raise broken

    def _check(self) -> None:
        """Raise if another thread has shut it down: redis-py would connect again, or just has."""
        if self._is_shut:
            self.close()
            raise ConnectionBroken("the connection was shut down")

    def _broken(self, error: Exception, handled: BaseException | None) -> Exception:
        if isinstance(error, self._errors.TimeoutError):
            return ReplyTimeout("no answer within the timeout")
        if isinstance(error, MemoryError):
            return failure(error)
        return broken_by(error, self._redact, handled)

    def fileno(self) -> int:
        sock = getattr(self._connection, "_sock", None)  # a fakeredis has none
        return sock.fileno() if isinstance(sock, socket.socket) else -1

    @property
    def peer(self) -> Node | None:
        """The server at the other end."""
        sock = getattr(self._connection, "_sock", None)
        return peer_of(sock) if isinstance(sock, socket.socket) else None

    def _plain(self, reply: Reply) -> Reply:
        if isinstance(reply, self._errors.RedisError):
            return as_reply(reply, self._redact)
        if isinstance(reply, list):
            return [self._plain(item) for item in reply]
        return reply

    def close(self) -> None:
        self._connection.disconnect()  # in a forked child the parent's connection stays open

    def shutdown(self) -> None:
        self._is_shut = True
        self.interrupt()
        self.close()

    def interrupt(self) -> None:
        if self.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - no public name


def broken_by(
    error: Exception, redact: Redactor, handled: BaseException | None
) -> ConnectionBroken:
    """Return what an error of redis-py means; it hides that of the operating system.

    The caller may itself be handling an exception, with which all that happens here has nothing to
    do, though it is the context of the first error: ``handled``.
    """
    reason: BaseException | None = error
    while reason is not handled and reason is not None and not isinstance(reason, OSError):
        reason = reason.__cause__ or reason.__context__
    if isinstance(reason, OSError) and reason is not handled:
        return ConnectionBroken.of(reason)
    return ConnectionBroken(printable(redact(str(error).rstrip(".") or type(error).__name__)))
