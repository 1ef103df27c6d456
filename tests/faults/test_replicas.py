"""``replicas=``: what a call acknowledges has reached so many of them, or the call raises."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from queue import Empty
from typing import Any

import pytest

from multihost import AccessDenied, NotReplicated, RedisManager
from multihost.wire.script import staged
from tests.faults.calls import Call, patient
from tests.objects.bodies import BODIES
from tests.support.cluster import Cluster
from tests.support.faults import CuttingProxy
from tests.support.procs import send_signal
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

SHORT = 0.2  # seconds that a call tries where replicas are away: the server is asked once

pytestmark = pytest.mark.leaks_ok("its servers end with it")


@pytest.fixture(scope="module")
def servers() -> Iterator[Replication]:
    with Replication(2) as made:
        yield made


@pytest.fixture
def master(servers: Replication) -> Server:
    master = servers.servers[0]
    assert master.commands(("FLUSHALL",), ("WAIT", 2, int(PATIENCE * 1000)))[1] == 2
    return master


@contextmanager
def stopped(server: Server, *managers: RedisManager) -> Iterator[None]:
    """While it is, it confirms nothing; its master takes it for connected. The managers do not try
    for long then.
    """
    send_signal(server.pid, signal.SIGSTOP)
    for manager in managers:
        patient(manager, SHORT)
    try:
        yield
    finally:
        send_signal(server.pid, signal.SIGCONT)
        for manager in managers:
            patient(manager, PATIENCE)


LEVELS: list[Any] = [1, 2, "all"]


@pytest.mark.parametrize("replicas", LEVELS)
def test_everything_works_while_they_are_there(
    replicas: Any, master: Server, servers: Replication
) -> None:
    """And the replicas have it when the call returns: the first of them that answers, or all."""
    with RedisManager(master.tcp_url, replicas=replicas) as m:
        d, lst, lock, permits = m.dict("d"), m.list("l"), m.Lock("lock"), m.Semaphore("s", 2)
        queue, event, barrier = m.Queue("q"), m.Event("e"), m.Barrier(1, name="b")
        sorted_queue, bounded = m.PriorityQueue("p"), m.Queue("bounded", maxsize=1)
        d["k"] = 1
        d.update({n: n for n in range(3)})
        lst.extend([3, 1, 2])
        lst.sort()
        assert list(lst) == [1, 2, 3]
        with lock:
            assert lock.fencing_token
        assert permits.acquire()
        permits.release()
        queue.put(1)
        queue.put_many([2, 3])
        assert queue.get() == 1
        assert queue.get_many(2) == [2, 3]
        sorted_queue.put(5)
        assert sorted_queue.get() == 5
        event.set()
        assert event.wait(PATIENCE)
        assert barrier.wait() == 0
        bounded.put(1)
        put = Call(lambda: bounded.put(2, timeout=PATIENCE))
        wait_until(lambda: m.runtime.session.link.blocked, what="one that waits for room")
        assert bounded.get() == 1
        put.outcome()
        assert bounded.get() == 2
        d["last"] = "here"
        key = d._handle.keys.data
        have = [each.command("HLEN", key) for each in servers.servers]
        assert sum(n == have[0] for n in have[1:]) >= (2 if replicas == "all" else replicas)


def test_every_type(master: Server) -> None:
    with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
        for body in BODIES:
            body(m)


def test_arguments_that_go_ahead(master: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "MAX_ARGS", 10)
    with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
        d = m.dict("d")
        d.update({n: n for n in range(100)})
        assert len(d) == 100


def test_a_pool(master: Server) -> None:
    with (
        RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m,
        m.Pool(1, context=get_context("fork")) as pool,
    ):
        assert pool.map(abs, [-1, -2]) == [1, 2]


def test_the_background_thread_does_not_wait(master: Server, servers: Replication) -> None:
    """It lets go of an object, which nobody is told of, and has heartbeats to send."""
    with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
        given = m.dict(k=1)
        key = given._handle.keys.data
        process = get_context("spawn").Process(target=len, args=(given,))
        process.start()
        process.join()
        with stopped(servers.servers[1], m):
            del given, process
            wait_until(lambda: not master.command("EXISTS", key), what="its deletion")
            assert "wait" not in [row["cmd"] for row in master.clients() if "b" in row["flags"]]


def test_a_manager_ends_while_a_replica_is_away(master: Server, servers: Replication) -> None:
    """Nobody is told that it lets go: so that waits for none."""
    with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
        unnamed, lock = m.dict(k=1), m.Lock("x")
        assert lock.acquire()
        with stopped(servers.servers[1]):
            m.shutdown()
            assert not master.command("EXISTS", unnamed._handle.keys.data)
            assert master.command("EXISTS", lock._handle.keys.free)
            assert not master.keys("*}:s:*")


CHANGES: dict[str, tuple[Callable[[RedisManager], Any], Callable[[Any], Any]]] = {
    "dict": (lambda m: m.dict("x"), lambda d: d.update(k=1)),
    "value": (lambda m: m.Value("i", 1, name="x"), lambda v: v.add(1)),
    "sort": (lambda m: m.list("x", [2, 1]), lambda x: x.sort()),
    "put": (lambda m: m.Queue("x"), lambda q: q.put(1)),
    "put_many": (lambda m: m.Queue("x"), lambda q: q.put_many([1, 2])),
    "set": (lambda m: m.Event("x"), lambda e: e.set()),
    "notify": (lambda m: m.Event("x"), lambda e: e.clear()),
    "arrive": (lambda m: m.Barrier(2, name="x"), lambda b: b.wait(PATIENCE)),
    "release": (lambda m: m.Semaphore("x", 0), lambda s: s.release()),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_that_a_replica_has_not(what: str, master: Server, servers: Replication) -> None:
    make, change = CHANGES[what]
    with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
        shared = make(m)
        with stopped(servers.servers[1], m), pytest.raises(NotReplicated, match="1 of 2 replicas"):
            change(shared)


HELD: dict[str, Callable[[RedisManager], Any]] = {
    "Lock": lambda m: m.Lock("x"),
    "Semaphore": lambda m: m.Semaphore("x", 1),
}


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_hold_that_a_replica_has_not(kind: str, master: Server, servers: Replication) -> None:
    """It is no hold: others, who do not ask that much, have it next."""
    with (
        RedisManager(master.tcp_url, replicas=2, timeout=PATIENCE) as m,
        RedisManager(master.tcp_url) as other,
    ):
        held, theirs = HELD[kind](m), HELD[kind](other)
        with stopped(servers.servers[2], m):
            for how in ({"timeout": 0.2}, {"blocking": False}, {}):
                with pytest.raises(NotReplicated):
                    held.acquire(**how)
                assert theirs.acquire(timeout=PATIENCE)
                theirs.release()
            # One that waits, behind who has it.
            assert theirs.acquire(timeout=PATIENCE)
            waiting = Call(lambda: held.acquire(timeout=PATIENCE))
            wait_until(lambda: m.runtime.session.link.blocked, what="a waiter")
            theirs.release()
            with pytest.raises(NotReplicated):
                waiting.outcome()
            assert theirs.acquire(timeout=PATIENCE)
            theirs.release()
        assert held.acquire(timeout=PATIENCE)
        held.release()


def test_an_acquisition_goes_on_until_the_replica_is_back(
    master: Server, servers: Replication
) -> None:
    with RedisManager(master.tcp_url, replicas=2, timeout=PATIENCE) as m:
        lock = m.Lock("x")
        with stopped(servers.servers[1]):
            call = Call(lambda: lock.acquire(timeout=PATIENCE))
            wait_until(lambda: not master.command("EXISTS", lock._handle.keys.free), what="a grant")
            assert call.is_alive()
        assert call.outcome() is True
        lock.release()


@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue", "redeliver"])
def test_an_item_that_a_replica_has_not_comes_back(
    kind: str, master: Server, servers: Replication
) -> None:
    def make(m: RedisManager) -> Any:
        return (
            m.JoinableQueue("x", redeliver=True) if kind == "redeliver" else getattr(m, kind)("x")
        )

    with (
        RedisManager(master.tcp_url, replicas=2, timeout=PATIENCE) as m,
        RedisManager(master.tcp_url) as other,
    ):
        queue, theirs = make(m), make(other)
        with stopped(servers.servers[1], m):
            for get in (
                lambda: queue.get(timeout=0.2),
                lambda: queue.get(),
                lambda: queue.get_many(2, timeout=0.2),
            ):
                theirs.put(1)
                with pytest.raises(NotReplicated):
                    get()
                assert theirs.get(timeout=PATIENCE) == 1
        with pytest.raises(Empty):
            queue.get_nowait()
        theirs.put(2)
        assert queue.get(timeout=PATIENCE) == 2


def test_one_of_two_is_not_enough() -> None:
    """Where the other one takes over what one has is lost; of what all had to have nothing was
    acknowledged.
    """
    with Replication(2) as servers:
        master, _, behind = servers.servers
        with (
            RedisManager(master.tcp_url, replicas=1, timeout=PATIENCE) as one,
            RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as everyone,
        ):
            theirs, ours = one.dict("theirs"), everyone.dict("ours")
            theirs["k"] = ours["k"] = 0
            servers.await_replicas(master, 2)
            servers.promote(behind)
            theirs["k"] = 1
            patient(everyone, SHORT)
            with pytest.raises(NotReplicated, match="1 of 2"):
                ours["k"] = 1
        with RedisManager(behind.tcp_url) as m:
            assert m.dict("theirs")["k"] == 0, "and it was acknowledged"


def test_fewer_replicas_than_wanted(master: Server) -> None:
    with RedisManager(master.tcp_url, replicas=3, timeout=PATIENCE) as m:
        patient(m, SHORT)
        with pytest.raises(NotReplicated, match="2 of 3 replicas"):
            m.dict("d")
        with pytest.raises(NotReplicated):
            m.Lock("x")


def test_all_is_not_none(url: str) -> None:
    """A server without replicas has nobody who confirms."""
    with RedisManager(url, replicas="all", timeout=PATIENCE) as m:
        patient(m, SHORT)
        with pytest.raises(NotReplicated, match="0 of 1 replicas"):
            m.dict("d")
    with RedisManager(url) as m:
        m.delete("d")


def test_all_is_as_many_as_there_were() -> None:
    """A replica that has gone does not lower what is asked for."""
    with Replication(2) as servers:
        master = servers.servers[0]
        with RedisManager(master.tcp_url, replicas="all", timeout=PATIENCE) as m:
            d = m.dict("d")
            d["k"] = 1
            servers.servers[2].kill()
            wait_until(lambda: master.info("replication")["connected_slaves"] == "1")
            m.runtime.session.link._asked = 0.0  # as if it were a while ago
            patient(m, SHORT)
            with pytest.raises(NotReplicated, match="1 of 2 replicas"):
                d["k"] = 2
            assert d["k"] == 2, "which was executed"


@pytest.mark.parametrize("what", ["EVALSHA", "WAIT"])
def test_a_cut_between_the_call_and_the_replicas(
    what: str, master: Server, servers: Replication
) -> None:
    """The call happens once, and a new connection does not take for confirmed what is not."""
    with CuttingProxy(master) as proxy:
        with RedisManager(proxy.url, replicas=2, timeout=PATIENCE) as m:
            v = m.Value("i", 0, name="v")
            v.add(1)  # the server knows the script
            proxy.cut_after_reply(what)
            v.add(1)
            assert v.value == 2
            with stopped(servers.servers[1], m):
                proxy.cut_after_reply(what)
                with pytest.raises(NotReplicated):
                    v.add(1)
            assert v.value == 3


def test_the_server_is_killed_between_a_grant_and_its_confirmation() -> None:
    """It comes back without the grant, and the replica confirms all that there is then."""
    with Replication(1) as servers:
        master, replica = servers.servers
        with RedisManager(master.tcp_url, replicas=1, timeout=PATIENCE) as m:
            held = m.Lock("x")
            assert held.acquire()
            token = held.fencing_token
            held.release()
            master.command("SAVE")
            with stopped(replica):
                call = Call(lambda: held.acquire(timeout=PATIENCE))
                free = held._handle.keys.free
                wait_until(lambda: not master.command("EXISTS", free), what="a grant")
                assert call.is_alive()
                master.restart(empty=False, save=False)
            assert call.outcome() is True
            assert held.fencing_token > token
            assert not master.command("EXISTS", free)
            servers.await_replicas(master, 1)
            assert not replica.command("EXISTS", free)
            held.release()
            assert master.command("LLEN", free) == 1


@pytest.mark.parametrize("replicas", [2, "all"])
def test_a_pickled_proxy_confirms_too(replicas: Any, master: Server, servers: Replication) -> None:
    """Though its process has a manager there that does not."""
    with RedisManager(master.tcp_url, replicas=replicas, timeout=PATIENCE) as m:
        packed = pickle.dumps((m.dict("d"), m.Lock("x")))
        with RedisManager(master.tcp_url) as other:
            theirs, lock = pickle.loads(packed)
            other.dict("d")["k"] = 0
            with stopped(servers.servers[1], m):
                theirs._handle.link.reconnect_timeout = SHORT
                other.dict("d")["k"] = 1
                with pytest.raises(NotReplicated):
                    theirs["k"] = 2
                with pytest.raises(NotReplicated):
                    lock.acquire()
            theirs._handle.session.close()


def test_in_a_cluster_the_replicas_of_each_master_count() -> None:
    with Cluster(2, replicas=1) as cluster:
        with RedisManager(cluster.url, replicas="all", timeout=PATIENCE) as m:
            both = {cluster.master_of(d._handle.keys.data): d for d in map(m.dict, "abcdef")}
            (first, d), (_, other) = both.items()
            locks = [m.Lock(name) for name in "uvwxyz"]
            for lock in locks:
                with lock:
                    d["k"] = other["k"] = 0
            with stopped(cluster.replicas_of(first)[0], m):
                with pytest.raises(NotReplicated, match="0 of 1 replicas"):
                    d["k"] = 1
                other["k"] = 1
                for lock in locks:
                    if cluster.master_of(lock._handle.keys.data) is first:
                        with pytest.raises(NotReplicated):
                            lock.acquire()
                    else:
                        with lock:
                            pass


def test_sentinels_say_how_many_all_are() -> None:
    """Also to a process that begins while one is away."""
    with Replication(2, sentinels=1) as servers:
        servers.servers[2].kill()
        wait_until(lambda: servers.servers[0].info("replication")["connected_slaves"] == "1")
        with RedisManager(servers.url, replicas="all", timeout=PATIENCE) as m:
            patient(m, SHORT)
            with pytest.raises(NotReplicated, match="1 of 2 replicas"):
                m.dict("d")


def test_who_may_not_wait(start_server: Callable[..., Server]) -> None:
    """That is said before anything is changed."""
    server = start_server(tcp=True)
    server.command("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-wait")
    url = server.tcp_url.replace("redis://", "redis://u:p@")
    with pytest.raises(AccessDenied, match="'wait'"):
        RedisManager(url, replicas=1)
    with RedisManager(url) as m:
        m.dict("d").update(k=1)


@pytest.mark.parametrize(
    ("replicas", "error"),
    [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("al", TypeError)],
)
def test_what_is_no_number_of_replicas(replicas: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="replicas="):
        RedisManager("redis://localhost:1", replicas=replicas)
