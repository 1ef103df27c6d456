"""A reply is lost, and the server is full when the call is sent again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager, ServerFull
from tests.support.faults import CuttingProxy
from tests.support.requests import foreground
from tests.support.server import Server
from tests.support.waiting import PATIENCE

SECONDS = PATIENCE

STORING: dict[str, tuple[Callable[[RedisManager], Any], Callable[[Any], Any], Callable[[Any], Any]]]
STORING = {
    "list.append": (lambda m: m.list(name="x"), lambda x: x.append(1), lambda x: x.copy() == [1]),
    "list[i] = v": (
        lambda m: m.list([0], name="x"),
        lambda x: x.__setitem__(0, 1),
        lambda x: x.copy() == [1],
    ),
    "dict[k] = v": (
        lambda m: m.dict("x"),
        lambda x: x.__setitem__("k", 1),
        lambda x: x.copy() == {"k": 1},
    ),
    "dict.increment": (
        lambda m: m.dict("x"),
        lambda x: x.increment("k"),
        lambda x: x.copy() == {"k": 1},
    ),
    "set.add": (lambda m: m.set(name="x"), lambda x: x.add(1), lambda x: x.copy() == {1}),
    "value": (
        lambda m: m.Value("i", 0, name="x"),
        lambda x: setattr(x, "value", 1),
        lambda x: x.value == 1,
    ),
    "array[i] = v": (
        lambda m: m.Array("i", [0], name="x"),
        lambda x: x.__setitem__(0, 1),
        lambda x: x[0] == 1,
    ),
    "namespace": (
        lambda m: m.Namespace("x"),
        lambda x: setattr(x, "k", 1),
        lambda x: x.k == 1,
    ),
    "put": (lambda m: m.Queue("x"), lambda x: x.put(1), lambda x: x.qsize() == 1),
    "put by priority": (
        lambda m: m.PriorityQueue("x"),
        lambda x: x.put(1),
        lambda x: x.qsize() == 1,
    ),
}


@pytest.mark.parametrize("name", STORING)
def test_what_was_done_is_done(name: str, fresh_server: Server) -> None:
    """The first attempt was executed: the call returns, though the second one is refused."""
    make, act, is_done = STORING[name]
    with CuttingProxy(fresh_server) as proxy, RedisManager(proxy.url) as manager:
        x = make(manager)
        rule = proxy.delay_reply(threading.Event(), foreground)
        outcome: list[object] = []

        def call() -> None:
            try:
                act(x)
            except ServerFull as error:
                outcome.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert rule.caught.wait(SECONDS)
        fresh_server.command("CONFIG", "SET", "maxmemory", 1)
        proxy.cut_all()
        thread.join(SECONDS)
        rule.event.set()
        rule.disarm()
        fresh_server.command("CONFIG", "SET", "maxmemory", 0)
        assert not thread.is_alive()
        assert is_done(x)
        assert outcome == []


@pytest.mark.parametrize("name", STORING)
def test_nothing_was_changed_if_the_first_attempt_was_lost(name: str, fresh_server: Server) -> None:
    make, act, is_done = STORING[name]
    with CuttingProxy(fresh_server) as proxy, RedisManager(proxy.url) as manager:
        x = make(manager)
        fresh_server.command("CONFIG", "SET", "maxmemory", 1)
        rule = proxy.cut_before_request(foreground)
        with pytest.raises(ServerFull, match="nothing was changed"):
            act(x)
        assert rule.caught.is_set()
        fresh_server.command("CONFIG", "SET", "maxmemory", 0)
        if name != "namespace":
            assert not is_done(x)
