"""Connections of a consumer break: its items stay in order."""

from __future__ import annotations

import threading
from queue import Empty

import pytest

from multihost import RedisManager
from tests.faults.sync import foreground
from tests.support.faults import CuttingProxy
from tests.support.server import Server

SECONDS = 10.0
ITEMS = 1000


@pytest.mark.parametrize("count", [1, 3])
def test_items_stay_in_order_behind_breaks(count: int, fresh_server: Server) -> None:
    """All connections of the consumer are cut again and again, while it waits and while it does
    not; half of the replies that are under way are lost.
    """
    with (
        CuttingProxy(fresh_server) as proxy,
        RedisManager(proxy.url) as manager,
        RedisManager(fresh_server.url) as other,
    ):
        ours, theirs = manager.Queue("x"), other.Queue("x")
        done = threading.Event()

        def cut() -> None:
            while not done.wait(0.02):
                proxy.cut_after_reply(foreground)
                done.wait(0.01)
                proxy.cut_all()

        def put() -> None:
            for number in range(0, ITEMS, 5):
                theirs.put_many(range(number, number + 5))
                done.wait(0.002)

        threads = [threading.Thread(target=cut), threading.Thread(target=put)]
        for thread in threads:
            thread.start()
        got: list[int] = []
        while len(got) < ITEMS:
            got += (
                ours.get_many(count, timeout=SECONDS) if count > 1 else [ours.get(timeout=SECONDS)]
            )
        done.set()
        for thread in threads:
            thread.join()
        assert got == list(range(ITEMS))
        with pytest.raises(Empty):
            ours.get_nowait()
