"""An acknowledgement that the server refused has not happened: the item is not received again."""

from __future__ import annotations

from queue import Empty
from typing import Any

import pytest

from multihost import LinkError, RedisManager
from multihost.wire.ops.queue import pending_acks
from multihost.wire.replies import ReplyError


class Refusing:
    """A channel to a server that refuses the next request, and everything in it."""

    def __init__(self, channel: Any, connection: Any, text: str) -> None:
        self._channel, self._connection, self._text = channel, connection, text
        self.was_used = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def exchange_many(self, requests: bytes, count: int) -> list[Any]:
        self._connection.channel = self._channel
        self.was_used = True
        return [ReplyError(self._text)] * count

    def block(self, requests: bytes, seconds: Any, count: int = 3, grace: float = 0.0) -> list[Any]:
        return self.exchange_many(requests, 1)


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
@pytest.mark.parametrize("blocking", [True, False])
def test_an_item_comes_once_though_its_acknowledgement_was_refused(
    kind: str, blocking: bool, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_acks, "FIRST_DELAY", 3600.0)
    monkeypatch.setattr(pending_acks, "ACK_DELAY", 3600.0)
    with RedisManager(url) as manager:
        q = getattr(manager, kind)()
        for number in range(20):
            q.put(number)
        link = q._handle.link
        received: list[int] = []
        refusals, refused = 0, set[int]()
        while True:
            connection = link.peek()
            if connection.channel is not None and len(received) in {1, 2, 7} - refused:
                refused.add(len(received))
                connection.channel = refusing = Refusing(
                    connection.channel, connection, "READONLY You can't write against a replica."
                )
            else:
                refusing = None
            try:
                received.append(q.get(blocking, 0.5 if blocking else None))
            except Empty:
                break
            except LinkError:  # who does not wait hears of it
                assert not blocking
            refusals += refusing is not None and refusing.was_used
        assert refusals == 3
        assert sorted(received) == list(range(20))
