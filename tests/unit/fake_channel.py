"""A link without a server: what its channels reply is given beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from multihost.wire.address import Address, Credentials
from multihost.wire.link import Link, Route
from multihost.wire.link.channel import Node, is_rejected
from multihost.wire.replies import ReplyError

__all__ = ["FakeChannel", "make_link"]


class FakeChannel:
    """Gives the replies one after the other, and then OK.

    An exception among them, but for ReplyError, is raised; a function is called for the reply.
    """

    def __init__(self, *replies: Any) -> None:
        self.replies = deque(replies)
        self.requests: list[bytes] = []
        self.loaded_scripts: set[object] = set()
        self.client_id, self.run = b"", b""
        self.node: Node | None = None
        self.limits: list[float] = []
        self.is_closed = False
        self.was_interrupted = False

    def exchange(self, request: bytes) -> Any:
        self.requests.append(request)
        return self._reply()

    def exchange_many(self, requests: bytes, count: int) -> list[Any]:
        self.requests.append(requests)
        return [self._reply() for _ in range(count)]

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Any]:
        self.requests.append(requests)
        replies = [self._reply()]
        while len(replies) < count and not is_rejected(replies[0]):
            replies.append(self._reply())
        return replies

    def _reply(self) -> Any:
        reply = self.replies.popleft() if self.replies else b"OK"
        if isinstance(reply, BaseException) and not isinstance(reply, ReplyError):
            raise reply
        return reply() if callable(reply) else reply

    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.is_closed = True

    shutdown = close

    def interrupt(self) -> None:
        self.was_interrupted = True


def make_link(
    *channels: FakeChannel | BaseException | Callable[[], FakeChannel], **options: float
) -> Link:
    """Make a link whose connections are those, in turn, and then new ones. An exception is what an
    attempt to connect raises.
    """
    left = deque(channels)

    def connect(timeout: float) -> FakeChannel:
        channel = left.popleft() if left else FakeChannel()
        if isinstance(channel, BaseException):
            raise channel
        return channel if isinstance(channel, FakeChannel) else channel()

    return Link(Address("redis", "nowhere", 1), Credentials(), route=Route(connect), **options)
