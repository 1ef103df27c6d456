"""A process is killed at each request of what it does: nothing of it stays for ever."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager, ServerFull
from multihost.wire import keys as key_names
from multihost.wire.collect import collector, partitions
from multihost.wire.script import Script
from tests.chaos.sizes import sample
from tests.lifetimes.keys import ident, is_kept, let_go_long_ago, unnamed, unnamed_idents
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer, ownerless_keys
from tests.support.mortal import die_at
from tests.support.procs import spawn_script
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

LEASE = 6000.0  # no process has its turn but those that a test gives it

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
def test_killed_behind_each_request(
    server: AnyServer, url: str, scene: Callable[[RedisManager], None]
) -> None:
    """The server executes it, and nobody hears of that."""

    def live(start: Start) -> None:
        m = RedisManager(url, lease=LEASE)
        start()
        scene(m)

    last = 1
    while die_at(last, live, is_sent=True):
        last += 1
    assert last > 5
    with RedisManager(url, lease=LEASE) as m:
        for name in m.names():
            m.delete(name)
        nobody_lives(server)
        assert m.runtime.session.collector.collect().finished
        assert unnamed_idents(server) == []
        assert ownerless_keys(server) == []


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_a_name_is_free_again_whenever_who_takes_it_is_killed(
    start_server: Callable[..., Server], kind: str
) -> None:
    """By the first process of all on a server, which knows no script yet."""
    server = start_server()
    last = 1

    def live(start: Start) -> None:
        lock = getattr(RedisManager(server.url, lease=LEASE), kind)("x")
        start()
        lock.acquire()

    while die_at(last, live, is_sent=True):
        last += 1
        with RedisManager(server.url) as m:
            assert getattr(m, kind)("x").acquire(timeout=PATIENCE)
        server.command("FLUSHALL")
        server.command("SCRIPT", "FLUSH")
    assert last > 1


def test_what_is_moved_to_the_dead_goes_in_the_turn_of_another(
    m: RedisManager, server: AnyServer, proxy: CuttingProxy
) -> None:
    """The server hears of the end of a consumer behind the item, and serves it all the same: nobody
    ever gives the list a lease.
    """
    late = threading.Event()
    rule = proxy.hold_request(late, "BLMOVE")
    with spawn_script(CONSUMER, args=[proxy.url]) as consumer:
        name = consumer.line()
        assert rule.caught.wait(PATIENCE)
        proxy.cut_before_request("PEXPIRE")  # what would have given the list a lease
        consumer.kill()
        consumer.wait()
        late.set()
        (moved,) = wait_until(lambda: server.keys(f"*}}:{name}:inflight:*"))
    assert server.command("PTTL", moved) == -1
    nobody_lives(server)
    assert server.keys(f"*}}:{name}*") == [moved]
    take_turns(m, server)
    wait_until(lambda: not server.keys(f"*}}:{name}*"))
    wait_until(lambda: not server.keys("*}:lists"))


CONSUMER = """
import sys
from multihost import RedisManager
q = RedisManager(sys.argv[1], lease=600.0).Queue()
q.put([1])
print(q._token.ident, flush=True)
q.get()
"""


def take_turns(m: RedisManager, server: AnyServer) -> None:
    """As many as a process has in which it looks at least once without a reason."""
    found = m.runtime.session.collector
    for _ in range(collector.TURNS_UNASKED):
        server.command("DEL", key_names.collector(m.runtime.session.namespace))
        found.take_turn()
        if found._thread is not None:
            found._thread.join(PATIENCE)


# -- collectors


@pytest.fixture
def garbage(m: RedisManager, server: AnyServer) -> Callable[[], list[str]]:
    """Make something that is to stay, and something that is to go; what is to stay."""

    def make() -> list[str]:
        d = m.dict("d")
        outer = m.dict(inner=m.list([m.list()]))
        d["stays"] = outer
        outer["inner"].append(outer)
        kept = [ident(each) for each in (outer, outer["inner"], outer["inner"][0])]
        for _ in range(3):
            one, two = m.dict(), m.dict()
            one["two"], two["one"] = two, one
            d["goes"] = one
        del d["goes"], one, two, outer
        gc.collect()
        wait_until(lambda: not m.runtime.session.references._live)
        let_go_long_ago(server)
        return kept

    return make


def test_a_collector_killed_at_any_request_is_followed_by_another(
    m: RedisManager,
    server: AnyServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    garbage: Callable[[], list[str]],
) -> None:
    """Nothing is lost, the next one knows that there is something to do, and does it."""
    monkeypatch.setattr(partitions, "AT_ONCE", AT_ONCE)
    monkeypatch.setattr(collector, "SWEPT_AT_ONCE", 1)

    def collect_and_die(start: Start) -> None:
        m = RedisManager(url, lease=LEASE)
        start()
        assert m.runtime.session.collector.collect().finished

    last, killed, found = STEP, 0, m.runtime.session.collector
    kept = garbage()
    while die_at(last, collect_and_die):
        killed += 1
        assert is_kept(server, *kept)
        if set(unnamed_idents(server)) != set(kept):
            assert found.survey().reasons > 0
            assert found.collect().finished
        assert set(unnamed_idents(server)) == set(kept)
        assert m.dict("d")["stays"]["inner"][0][:] == []
        last += STEP
        kept = garbage()
    assert killed > 5
    assert set(unnamed_idents(server)) == set(kept)


STEP = sample(1, 23)  # requests of a collection from one death to the next
AT_ONCE = sample(1, partitions.AT_ONCE)


def test_a_full_server_is_collected(start_server: Callable[..., Server]) -> None:
    """Collecting is what makes room. It is refused nothing, by the first script to the last."""
    server = start_server()
    with RedisManager(server.url, lease=LEASE) as m:
        d = m.dict("d", {n: m.list(["x" * 1000, m.list()]) for n in range(30)})
        d["stays"] = m.dict(inner=m.list())
        stays = d["stays"]["inner"]
        for n in range(30):
            del d[n]
        gc.collect()
        wait_until(lambda: len(m.runtime.session.references._live) == 1)
        let_go_long_ago(server)
        server.command("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(ServerFull):
            d["more"] = 1
        take_turns(m, server)
        wait_until(lambda: len(unnamed_idents(server)) == 2)
        assert m.runtime.session.collector.removed == 60
        assert stays[:] == []
        server.command("CONFIG", "SET", "maxmemory", 0)


class Standing:
    """A collection that stands still behind its first scripts until somebody stops it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_under_way = threading.Event()
        run = partitions.Partitions.run

        def run_and_stand(
            found: partitions.Partitions, script: Script, *args: Any, **kw: Any
        ) -> Any:
            answer = run(found, script, *args, **kw)
            if script.name == "collect/roots" and not self.is_under_way.is_set():
                self.is_under_way.set()
                assert found._stopping.wait(PATIENCE)
            return answer

        monkeypatch.setattr(partitions.Partitions, "run", run_and_stand)

    def begin(self, m: RedisManager, server: AnyServer) -> None:
        server.command("DEL", key_names.collector(m.runtime.session.namespace))
        m.runtime.session.collector.take_turn()
        assert self.is_under_way.wait(PATIENCE)


def test_a_fork_during_a_collection(
    m: RedisManager,
    server: AnyServer,
    monkeypatch: pytest.MonkeyPatch,
    garbage: Callable[[], list[str]],
) -> None:
    """The child has no part in it, and no connection of its parent; both go on."""
    kept = garbage()
    Standing(monkeypatch).begin(m, server)
    link = m.runtime.session.link
    ours = link.execute(b"CLIENT", b"ID")

    def live(start: Start) -> None:
        found = m.runtime.session.collector
        assert found._thread is None
        assert not found._stopping.is_set()
        assert link.execute(b"CLIENT", b"ID") != ours
        assert m.dict("d")["stays"]["inner"][0][:] == []
        assert found.collect().finished
        assert found.removed == 6

    assert not die_at(1, live)
    assert link.execute(b"CLIENT", b"ID") == ours
    assert set(unnamed_idents(server)) == set(kept)
    kept = garbage()
    server.command("DEL", key_names.collector(m.runtime.session.namespace))
    m.runtime.session.collector.take_turn()
    wait_until(lambda: set(unnamed_idents(server)) == set(kept))


def test_the_end_of_a_process_during_a_collection(
    m: RedisManager,
    server: AnyServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    garbage: Callable[[], list[str]],
) -> None:
    kept = garbage()
    with RedisManager(url, lease=LEASE) as ends:
        ended = ends.runtime.session.collector
        Standing(monkeypatch).begin(ends, server)
    assert ended.removed == 0
    assert m.runtime.session.collector.collect() == (6, True)
    assert is_kept(server, *kept)
