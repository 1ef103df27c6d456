"""Connections of a consumer break: its items stay in order."""

from __future__ import annotations

import threading
from queue import Empty

import pytest

from multihost import RedisManager
from tests.chaos.sizes import sample
from tests.support.faults import CuttingProxy
from tests.support.requests import foreground
from tests.support.server import Server
from tests.support.waiting import PATIENCE

SECONDS = PATIENCE
ITEMS = sample(10_000, 1000)


@pytest.mark.parametrize("count", [1, 3])
def test_items_stay_in_order_behind_breaks(count: int, fresh_server: Server) -> None:
    """All connections of the consumer are cut again and again, while it waits and while it does
    not; half of the replies that are under way are lost. What it got since is waited for in
    between: however slow the machine is, it is back by then.
    """
    with (
        CuttingProxy(fresh_server) as proxy,
        RedisManager(proxy.url) as manager,
        RedisManager(fresh_server.url) as other,
    ):
        ours, theirs = manager.Queue("x"), other.Queue("x")
        done, got_some = threading.Event(), threading.Event()

        got: list[int] = []
        breaks: list[int] = []

        def cut() -> None:
            while not done.wait(0.02):
                proxy.cut_after_reply(foreground)
                done.wait(0.01)
                proxy.cut_all()
                breaks.append(len(got))
                got_some.clear()
                while not (done.is_set() or got_some.wait(0.05)):
                    pass

        def put() -> None:
            for number in range(0, ITEMS, 5):
                theirs.put_many(range(number, number + 5))
                done.wait(0.002)

        threads = [threading.Thread(target=cut), threading.Thread(target=put)]
        for thread in threads:
            thread.start()
        while len(got) < ITEMS:
            got += (
                ours.get_many(count, timeout=SECONDS) if count > 1 else [ours.get(timeout=SECONDS)]
            )
            got_some.set()
        done.set()
        for thread in threads:
            thread.join()
        assert got == list(range(ITEMS))
        assert len(breaks) > 5
        with pytest.raises(Empty):
            ours.get_nowait()
