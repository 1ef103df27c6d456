"""The channel that is a connection of redis-py, which connects again where it finds none."""

from __future__ import annotations

import pytest
import redis

from multihost import RedisManager
from multihost.wire.link.channel import Channel, ConnectionBroken
from multihost.wire.link.resp import pack
from tests.support.server import Server
from tests.support.waiting import wait_until

PING = pack((b"PING",))


def channel_of(manager: RedisManager) -> Channel:
    link = manager.runtime.session.link
    link.execute(b"PING")
    channel = link.current_channel()
    assert channel is not None
    return channel


@pytest.mark.parametrize("has_connected", [False, True])
def test_what_another_thread_has_shut_down_connects_no_more(
    server: Server, has_connected: bool
) -> None:
    """Else a call went on with objects that the end of the manager has deleted meanwhile."""
    with (
        redis.Redis.from_url(server.url) as client,
        RedisManager(client=client) as manager,
    ):
        channel = channel_of(manager)
        before = len(server.clients())
        channel.shutdown()
        if has_connected:  # as redis-py does where it was closed a moment before it sends
            channel._connection.connect()
        with pytest.raises(ConnectionBroken):
            channel.exchange(PING)
        wait_until(lambda: len(server.clients()) < before)
        manager.runtime.session.link.disconnect_current()
