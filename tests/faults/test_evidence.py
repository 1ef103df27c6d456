"""Who is taken for dead, and who is not: the dead at once, the living never."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from multihost import LeaseLost, RedisManager
from tests.faults.calls import Call
from tests.support.faults import CuttingProxy
from tests.support.procs import Script, kill9, spawn_script
from tests.support.requests import script_of
from tests.support.server import Server
from tests.support.sessions import connections, expire
from tests.support.slow import SlowLink
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
LONG = 10 * PATIENCE
"""A lease, or a grace, that lasts longer than anybody is patient."""
LOCKS = 100
LEASE = 2.0

HOLD = """
import sys, time
from multihost import RedisManager
manager = RedisManager(sys.argv[1], lease=float(sys.argv[2]))
assert manager.Lock("x").acquire()
print("holds", flush=True)
time.sleep(1000)
"""


def is_look(args: list[bytes]) -> bool:
    return script_of(args) == "hold/reap"


def alone(manager: RedisManager) -> None:
    """Have no other process of this host see the process of a manager: as if on another host."""
    manager.runtime.session.registration.host = b""


@pytest.fixture(params=["with siblings", "alone"])
def holder(request: pytest.FixtureRequest, proxy: CuttingProxy) -> Iterator[RedisManager]:
    with RedisManager(proxy.url, grace=LONG) as manager:
        if request.param == "alone":
            alone(manager)
        yield manager


@pytest.fixture
def other(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.url) as manager:
        yield manager


# -- the living


def test_who_comes_back_late_has_lost_nothing(
    holder: RedisManager, other: RedisManager, proxy: CuttingProxy
) -> None:
    """Its proxy restarts, which takes longer than a moment."""
    locks = [holder.Lock(f"late-{n}") for n in range(15)]
    for lock in locks:
        assert lock.acquire()
    calls = [Call(lambda n=n: other.Lock(f"late-{n}").acquire(timeout=SECONDS)) for n in range(15)]
    wait_until(lambda: all(lock.statistics().waiters for lock in locks), SECONDS)
    proxy.refuse()
    proxy.cut_all()
    for call in calls:  # nobody gets one of them meanwhile: that is what is waited for
        call.join(3.0 / len(calls))
    proxy.accept()
    wait_until(lambda: proxy.connections > 0, SECONDS)
    assert all(call.is_alive() for call in calls)
    for lock in locks:
        assert lock.fencing_token
        lock.release()
    assert all(call.outcome() for call in calls)


@pytest.mark.parametrize("round_trip", [0.02, 0.1])
def test_one_reset_of_a_process_with_many_locks(fresh_server: Server, round_trip: float) -> None:
    """The way back is one write, whatever the number of partitions."""
    path = fresh_server.url.removeprefix("unix://")
    with SlowLink(path, 0.0) as link, RedisManager(link.url, grace=LONG) as far:
        alone(far)
        locks = [far.Lock(f"l{n}") for n in range(LOCKS)]
        with RedisManager(fresh_server.url, lease=LONG) as near:
            for lock in locks:
                assert lock.acquire()
            calls = [Call(lambda n=n: near.Lock(f"l{n}").acquire()) for n in range(LOCKS)]
            wait_until(lambda: len(near.runtime.session.janitor._watched) == LOCKS)
            link.delay = round_trip / 2
            before = connections(fresh_server)
            sent = link.sent
            link.reset()
            far.runtime.session.heartbeat.wake()

            def is_back() -> bool:
                there = {row["id"].encode() for row in fresh_server.clients()}
                now = connections(fresh_server)
                return len(now) == len(before) and all(each & there for each in now)

            wait_until(is_back)
            assert link.sent - sent < LOCKS / 5, "it went back partition by partition"
            calls[0].join(1.0)
            assert sum(not call.is_alive() for call in calls) == 0
            link.delay = 0.0
            for lock in locks:
                lock.release()
            assert all(call.outcome() for call in calls)


def test_a_half_open_background_connection(fresh_server: Server) -> None:
    """The server has closed it, and the process does not hear of that; its others work."""
    path = fresh_server.url.removeprefix("unix://")
    with SlowLink(path, 0.0) as link, RedisManager(link.url, grace=1.0) as manager:
        alone(manager)
        with RedisManager(fresh_server.url) as other:
            mine = manager.Lock("half")
            assert mine.acquire()
            call = Call(lambda: other.Lock("half").acquire(timeout=3.0))
            wait_until(lambda: mine.statistics().waiters == 1, SECONDS)
            link.is_deaf = True
            own = manager.runtime.session.registration.at_work()[0].channel
            assert own is not None
            fresh_server.command("CLIENT", "KILL", "ID", own.client_id)
            assert call.outcome() is False
            assert mine.fencing_token
            mine.release()


def test_a_consumer_with_a_half_open_background_connection(fresh_server: Server) -> None:
    """What is in flight to it is delivered to nobody else."""
    path = fresh_server.url.removeprefix("unix://")
    with SlowLink(path, 0.0) as link, RedisManager(link.url) as manager:
        alone(manager)
        with RedisManager(fresh_server.url) as other:
            mine, theirs = (m.Queue("half", redeliver=True) for m in (manager, other))
            theirs.put(1)
            assert mine.get() == 1
            call = Call(lambda: theirs.get(timeout=SECONDS))
            janitor = other.runtime.session.janitor
            [watched] = wait_until(lambda: list(janitor._watched.values()), SECONDS)
            link.is_deaf = True
            own = manager.runtime.session.registration.at_work()[0].channel
            assert own is not None
            fresh_server.command("CLIENT", "KILL", "ID", own.client_id)
            looks = watched.checks + 8
            wait_until(lambda: watched.checks >= looks or not call.is_alive(), SECONDS)
            assert call.is_alive(), "it was looked at again and again"
            mine.task_done()
            theirs.put(2)
            assert call.outcome(SECONDS) == 2


@pytest.mark.parametrize("way", ["away", "paused"])
@pytest.mark.leaks_ok("the server was killed with its connections")
def test_a_server_that_answers_nobody_for_longer_than_a_lease(
    way: str, start_server: Callable[..., Server]
) -> None:
    """It is down, or stands still, and somebody else looks before the holder is back: nobody alive
    has lost anything.
    """
    server = start_server(appendonly="yes", appendfsync="always")
    with (
        CuttingProxy(server) as mine,
        CuttingProxy(server) as theirs,
        RedisManager(mine.url, lease=LEASE, timeout=SECONDS) as m,
        RedisManager(theirs.url, lease=LEASE, timeout=SECONDS) as other,
    ):
        alone(m)
        lock = m.Lock("x")
        assert lock.acquire()
        call = Call(lambda: other.Lock("x").acquire(timeout=SECONDS))
        wait_until(lambda: lock.statistics().waiters == 1, SECONDS)
        mine.refuse()
        mine.cut_all()
        if way == "away":
            server.kill()
        else:
            server.pause()
        call.join(1.5 * LEASE)  # nobody gets it meanwhile
        if way == "away":
            server.restart(empty=False)
        else:
            server.resume()
        # One look, and no second one before the holder is back.
        second = theirs.hold_request(threading.Event(), is_look, nth=2)
        wait_until(lambda: second.caught.is_set() or not call.is_alive(), SECONDS)
        mine.accept()
        assert lock.fencing_token
        assert call.is_alive()
        second.event.set()
        lock.release()
        assert call.outcome(SECONDS) is True
        other.Lock("x").release()


def test_no_clock_of_the_server_ends_a_session(server: Server, other: RedisManager) -> None:
    """Its record lives for a day, whatever the lease: a jump of an hour is nothing."""
    lock = other.Lock("clock")
    assert lock.acquire()
    left = [server.command("PTTL", key) for key in server.keys("*}:s:*")]
    assert min(left) > 20 * 3600 * 1000
    lock.release()


# -- the dead


@contextlib.contextmanager
def held(url: str, lease: float = LONG) -> Iterator[Script]:
    with spawn_script(HOLD, args=[url, str(lease)]) as process:
        assert process.line() == "holds"
        yield process


@pytest.mark.parametrize("when", ["before", "while it is down", "after"])
def test_killed_at_a_restart_of_the_server(start_server: Callable[..., Server], when: str) -> None:
    server = start_server(tcp=True, appendonly="yes", appendfsync="always")
    with RedisManager(server.url, timeout=SECONDS) as manager, held(server.tcp_url) as process:
        lock = manager.Lock("x")
        call = Call(lambda: lock.acquire(timeout=SECONDS))
        wait_until(lambda: lock.statistics().waiters == 1, SECONDS)
        if when == "before":
            kill9(process)
        server.kill()
        if when == "while it is down":
            kill9(process)
        server.restart(empty=False)
        if when == "after":
            wait_until(lambda: lock.statistics().waiters == 1, SECONDS)
            kill9(process)
        assert call.outcome(SECONDS) is True
        lock.release()


def test_a_lone_process_is_dead_after_its_grace(server: Server, other: RedisManager) -> None:
    with RedisManager(server.url, grace=1.0, lease=LONG) as manager:
        alone(manager)
        lock = manager.Lock("grace")
        assert lock.acquire()
        call = Call(lambda: other.Lock("grace").acquire(timeout=SECONDS))
        wait_until(lambda: lock.statistics().waiters == 1, SECONDS)
        session = manager.runtime.session
        session.heartbeat.stop()  # as if it were suspended
        begun = time.monotonic()
        for connection in set.union(*connections(server)) - {
            each.client_id
            for each in [c.channel for c in other.runtime.session.link._connections]
            if each is not None
        }:
            server.command("CLIENT", "KILL", "ID", connection)
        assert call.outcome() is True
        assert 1.0 <= time.monotonic() - begun
        other.Lock("grace").release()


def test_the_error_names_the_evidence(server: Server, other: RedisManager) -> None:
    with RedisManager(server.url) as manager:
        lock = manager.Lock("why")
        assert lock.acquire()
        for key in server.keys("*}:s:*"):
            server.command("DEL", key)
        expire(manager.runtime.session)
        manager.runtime.session.ensure_registered(lock._handle.keys)
        with pytest.raises(LeaseLost, match="taken for dead") as raised:
            lock.fencing_token
        assert "no heartbeat for its lease" not in str(raised.value)
        assert other.Lock("why").acquire(timeout=SECONDS), "what it held is given to others"
