"""A signal handler raises at any bytecode of a call of a queue: nothing is without an owner.

Each item is taken once, by the call or the one behind it; none stays in flight, no connection stays
open. A sample of the bytecodes, all of them with ``make interrupts``.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
from collections.abc import Iterator
from queue import Empty
from typing import Any, NamedTuple

import pytest
import redis

from multihost import RedisManager
from multihost.wire.ops.queue import in_flight
from tests.interrupts.steps import STEP
from tests.support.interrupts import Outcome, every_bytecode, interrupt
from tests.support.leaks import AnyServer
from tests.support.waiting import PATIENCE, wait_until


class Scene(NamedTuple):
    """A call to be interrupted: of which queue, and what it takes."""

    kind: str
    options: dict[str, Any] = {}
    count: int = 1
    prefetch: int = 0
    blocks: bool = False
    is_cold: bool = False
    has_proxies: bool = False
    name: str | None = "q"
    by_client: bool = False


AGAIN = {"redeliver": True}
SCENES = {
    "get": Scene("Queue"),
    "get, SimpleQueue": Scene("SimpleQueue"),
    "get, without a name": Scene("Queue", name=None),
    "get, bounded": Scene("Queue", {"maxsize": 9}),
    "get, last in first out": Scene("LifoQueue"),
    "get, by priority": Scene("PriorityQueue"),
    "get, to be done": Scene("Queue", AGAIN),
    "get, to be done, without a name": Scene("Queue", AGAIN, name=None),
    "get, to be done, by priority": Scene("PriorityQueue", AGAIN),
    "get of a proxy": Scene("Queue", has_proxies=True),
    "get, disconnected": Scene("Queue", is_cold=True),
    "get, by a client of redis-py": Scene("Queue", by_client=True),
    "get, waiting": Scene("Queue", blocks=True),
    "get, waiting, by priority": Scene("PriorityQueue", blocks=True),
    "get, prefetching": Scene("Queue", prefetch=2),
    "get, prefetching, to be done": Scene("Queue", AGAIN, prefetch=2),
    "get, prefetching, by priority": Scene("PriorityQueue", prefetch=2),
    "get_many": Scene("Queue", count=3),
    "get_many, by a script": Scene("Queue", count=in_flight.BATCH + 1),
    "get_many, to be done": Scene("Queue", AGAIN, count=3),
    "get_many, by priority": Scene("PriorityQueue", count=3),
    "get_many of proxies": Scene("Queue", count=3, has_proxies=True),
    "get_many, prefetched": Scene("Queue", count=3, prefetch=2),
}


@contextlib.contextmanager
def manager_of(url: str, by_client: bool) -> Iterator[RedisManager]:
    if not by_client:
        with RedisManager(url) as manager:
            yield manager
        return
    client = redis.Redis.from_url(url)
    with RedisManager(client=client) as manager:
        yield manager
    client.close()


def open_channels(manager: RedisManager) -> int:
    gc.collect()
    link = manager.runtime.session.link
    return sum(connection.channel is not None for connection in list(link._connections))


def take(queue: Any, scene: Scene, block: bool) -> list[Any]:
    timeout = PATIENCE if block else None
    if scene.count > 1:
        return list(queue.get_many(scene.count, block, timeout))
    return [queue.get(block, timeout)]


def put_all(queue: Any, items: list[Any]) -> None:
    for item in items:
        queue.put(item)


def late_put(queue: Any, items: list[Any]) -> threading.Thread:
    """Put items a moment later, when the call waits, or is about to."""
    timer = threading.Timer(0.003, put_all, [queue, items])
    timer.start()
    return timer


# A socket between its making and its place in a connection is closed by nobody but the collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("name", SCENES)
def test_get(name: str, server: AnyServer) -> None:
    scene = SCENES[name]
    numbers = itertools.count()
    with manager_of(server.url, scene.by_client) as manager, RedisManager(server.url) as other:
        queue = getattr(manager, scene.kind)(scene.name, **scene.options)
        if scene.prefetch:
            queue.prefetch = scene.prefetch
        theirs = getattr(other, scene.kind)("q", **scene.options) if scene.name else queue

        def plain(item: Any) -> int:
            return int(item[0] if scene.has_proxies else item)

        def act(at: int) -> Outcome:
            wanted = [next(numbers) for _ in range(max(scene.count, 1 + scene.prefetch))]
            items = [manager.list([n]) for n in wanted] if scene.has_proxies else wanted
            if scene.is_cold:
                manager.runtime.session.link.disconnect_current()
            if scene.blocks:
                timer = late_put(theirs, items)
            else:
                put_all(queue, items)
            outcome = interrupt(lambda: take(queue, scene, scene.blocks), at)
            got = [plain(item) for item in outcome.result] if outcome.has_returned else []
            if scene.blocks:
                timer.join()
            while len(got) < len(wanted):
                try:
                    got += map(plain, take(queue, scene, True))
                except Empty:
                    pytest.fail(f"{wanted} were put, {got} got: {outcome}")
            assert sorted(got) == wanted, outcome
            if scene.kind != "SimpleQueue":
                assert queue.deliveries == 1, outcome
            if scene.kind != "SimpleQueue":
                for _ in got:
                    queue.task_done()
            return outcome

        outcomes = list(every_bytecode(STEP, act))
        print(f"{name}: {len(outcomes)} bytecodes")
        with pytest.raises(Empty):
            queue.get(timeout=0.05)
        wait_until(lambda: not queue.statistics().in_flight, PATIENCE, "nothing is in flight")
        state = queue.statistics()
        assert (state.size, state.waiters, state.dead_letters) == (0, 0, 0)
        if scene.kind != "SimpleQueue":
            assert state.unfinished == 0
        assert open_channels(manager) <= 2
