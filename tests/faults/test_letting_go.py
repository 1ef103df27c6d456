"""Who lets go of an object is counted once, whatever breaks."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.session import gifts
from tests.support.faults import CuttingProxy, Rule
from tests.support.requests import script_of
from tests.support.waiting import PATIENCE, wait_until

FAULTS: dict[str, Callable[[CuttingProxy], Rule]] = {
    "reply lost": lambda proxy: proxy.cut_after_reply(lets_go),
    "reply torn": lambda proxy: proxy.cut_mid_reply(lets_go),
    "request lost": lambda proxy: proxy.cut_before_request(lets_go),
    "twice": lambda proxy: proxy.cut_after_reply(lets_go, times=2),
}


def lets_go(args: list[bytes]) -> bool:
    return script_of(args) == "object/let_go"


@pytest.mark.parametrize("fault", FAULTS)
def test_one_child_does_not_count_for_two(server: Any, proxy: CuttingProxy, fault: str) -> None:
    with RedisManager(server.url) as parent, RedisManager(proxy.url) as child:
        d = parent.dict(a=1)
        references, keys = parent.runtime.session.references, d._handle.keys
        given = [references.give(keys.ident) for _ in range(2)]

        def let_go(number: int) -> None:
            reference = gifts.ObjectReference(keys, False, 0)
            reference.owed.add(str(given[number]))
            gifts.let_go(child.runtime.session.link, f"child{number}", 0, [reference])

        rule = FAULTS[fault](proxy)
        let_go(0)
        assert rule.done.wait(PATIENCE)
        del d
        gc.collect()
        wait_until(lambda: server.command("HVALS", keys.data + b":given") == [b"1"])
        assert server.command("EXISTS", keys.data) == 1
        let_go(1)
        assert server.command("EXISTS", keys.data) == 0
