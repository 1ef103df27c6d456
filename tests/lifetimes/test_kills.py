"""A process is killed at each request of what it does: nothing of it stays for ever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from multihost import RedisManager
from multihost.wire import keys as key_names
from multihost.wire.collect import collector, partitions
from tests.chaos.sizes import sample
from tests.lifetimes.keys import (
    collect,
    ident,
    is_gone,
    is_kept,
    let_go_long_ago,
    unnamed,
    unnamed_idents,
)
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer, ownerless_keys
from tests.support.mortal import die_at
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE, wait_until

LEASE = 600.0

Start = Callable[[], None]


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=LEASE) as manager:
        yield manager


def nobody_lives(server: AnyServer) -> None:
    """A lease after the last process has ended."""
    keys = unnamed(server)
    ttls = server.commands(*(("PTTL", key) for key in keys), ("PING",))
    leased = [key for key, ttl in zip(keys, ttls, strict=False) if ttl >= 0]
    server.commands(*(("PEXPIRE", key, 1) for key in leased), ("PING",))
    wait_until(lambda: not any(server.command("EXISTS", key) for key in leased))
    let_go_long_ago(server)


# -- what it does when it is killed


def use_a_queue(m: RedisManager) -> None:
    q = m.Queue()
    q.put([m.list([m.dict()])])
    q.put_many([m.list(), 2, 3])
    assert len(q.get()[0]) == 1
    q.get_many(2)


def use_a_queue_that_delivers_again(m: RedisManager) -> None:
    q = m.JoinableQueue(redeliver=True)
    q.put([m.list([m.dict()])])
    assert len(q.get()[0]) == 1
    q.task_done()


def use_a_priority_queue(m: RedisManager) -> None:
    q = m.PriorityQueue()
    q.put((1, "x"))
    q.get()


def use_locks(m: RedisManager) -> None:
    lock, semaphore = m.RLock(), m.Semaphore(2)
    with lock, lock, semaphore:
        semaphore.acquire()
        semaphore.release(2)


def store_containers(m: RedisManager) -> None:
    """Of three levels, with a queue and a lock among them."""
    d, lock, q = m.dict("d"), m.Lock(), m.Queue()
    q.put(m.list(["in a queue"]))
    d["x"] = m.dict(lock=lock, q=q, deep=m.list([m.list()]))
    with d["x"]["lock"]:
        d["x"]["q"].get()


def hand_on(m: RedisManager) -> None:
    """From a name through a queue to another name."""
    d, q = m.dict("d"), m.Queue("q")
    d["x"] = m.dict(deep=m.list([m.list()]))
    q.put([d.pop("x"), {"y": m.list()}])
    item = q.get()
    m.dict("e")["x"] = item[0]
    item[0]["y"] = item[1]["y"]


def remove(m: RedisManager) -> None:
    d = m.dict("d", {n: m.list([m.list()]) for n in range(3)})
    q = m.Queue()
    q.put(m.list())
    d["q"] = q
    q.get()
    d.pop(0, None)
    d.clear()
    m.delete("d")


SCENES = [
    use_a_queue,
    use_a_queue_that_delivers_again,
    use_a_priority_queue,
    use_locks,
    store_containers,
    hand_on,
    remove,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("is_sent", [False, True], ids=["before", "behind"])
def test_killed_at_each_request(
    server: AnyServer, url: str, scene: Callable[[RedisManager], None], is_sent: bool
) -> None:
    def live(start: Start) -> None:
        m = RedisManager(url, lease=LEASE)
        start()
        scene(m)

    last = 1
    while die_at(last, live, is_sent=is_sent):
        last += 1
    assert last > 5
    with RedisManager(url, lease=LEASE) as m:
        for name in m.names():
            m.delete(name)
        nobody_lives(server)
        assert m.runtime.session.collector.collect().finished
        print([(k,server.command('PTTL',k),server.command('TYPE',k)) for k in unnamed(server)])
        print([(k,server.command('HGETALL',k)) for k in server.keys('*lists')])
        assert unnamed_idents(server) == []
        assert ownerless_keys(server) == []
