"""Processes of a host watch each other, whatever they use: those of other hosts hear of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from multihost import RedisManager
from multihost.wire.session.ring import WATCHED
from tests.faults.calls import Call
from tests.support.procs import kill9, spawn_script
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
LEASE = 1.5  # of the sibling, who looks after the others each third of it
LONG = 1000.0

HOLD = """
import sys, time
from multihost import RedisManager
manager = RedisManager(sys.argv[1], lease=1000.0, grace=1000.0)
assert manager.Lock("x").acquire()
print(manager.runtime.session.registration.sid.decode(), flush=True)
time.sleep(1000)
"""


def watched_by(manager: RedisManager) -> set[bytes]:
    return set(manager.runtime.session.ring._watched)


def sid(manager: RedisManager) -> bytes:
    return manager.runtime.session.registration.sid


@pytest.fixture
def server(fresh_server: Server) -> Server:
    """Nobody else stands in the ring."""
    return fresh_server


@pytest.fixture
def sibling(server: Server) -> Iterator[RedisManager]:
    """It has nothing to do with what the others want."""
    with RedisManager(server.url, lease=LEASE) as manager:
        assert manager.Lock("of its own").acquire()
        yield manager


@pytest.fixture
def other(server: Server) -> Iterator[RedisManager]:
    """On another host: it sees no process of this one."""
    with RedisManager(server.url) as manager:
        session = manager.runtime.session
        session.registration.host = session.siblings._host = b"elsewhere"
        yield manager


def test_a_sibling_sees_the_end(server: Server, sibling: RedisManager, other: RedisManager) -> None:
    """There is no other evidence for a quarter of an hour."""
    with spawn_script(HOLD, args=[server.url]) as process:
        killed = process.line().encode()
        wait_until(lambda: killed in watched_by(sibling), SECONDS)
        call = Call(lambda: other.Lock("x").acquire(timeout=SECONDS))
        wait_until(lambda: other.Lock("x").statistics().waiters == 1, SECONDS)
        kill9(process)
        assert call.outcome(SECONDS) is True
        other.Lock("x").release()
    assert killed not in watched_by(sibling)
    ring = sibling.runtime.session.ring
    assert killed not in server.command("HKEYS", ring._keys(ring._registration.host)[1])


def test_a_session_with_siblings_is_not_doubted(
    server: Server, sibling: RedisManager, other: RedisManager
) -> None:
    """All its connections have ended, and it was not back within its grace: it lives. When nobody
    of its host vouches for it any more it is taken for dead.
    """
    with RedisManager(server.url, grace=0.5, lease=LONG) as manager:
        lock = manager.Lock("x")
        assert lock.acquire()
        wait_until(lambda: sid(manager) in watched_by(sibling), SECONDS)
        call = Call(lambda: other.Lock("x").acquire(timeout=SECONDS))
        wait_until(lambda: lock.statistics().waiters == 1, SECONDS)
        session = manager.runtime.session
        session.heartbeat.stop()  # as if it were suspended
        for id_ in session.link.client_ids():
            server.command("CLIENT", "KILL", "ID", id_)
        [watched] = other.runtime.session.janitor._watched.values()
        looks = watched.checks + 12
        wait_until(lambda: watched.checks >= looks or not call.is_alive(), SECONDS)
        assert call.is_alive(), "it was looked at for several times its grace"
        sibling.shutdown()
        assert call.outcome(SECONDS) is True
        other.Lock("x").release()


def test_each_watches_a_few(server: Server) -> None:
    """However many they are; and each is watched by as many."""
    managers = [RedisManager(server.url, lease=LEASE) for _ in range(8)]
    for number, manager in enumerate(managers):
        assert manager.Lock(f"x{number}").acquire()
    sids = sorted(map(sid, managers))
    for manager in managers:
        at = sids.index(sid(manager))
        following = {sids[(at + step) % len(sids)] for step in range(1, WATCHED + 1)}
        wait_until(lambda m=manager, f=following: watched_by(m) == f, SECONDS)
        assert len(manager.runtime.session.ring.siblings.fds) <= WATCHED
    for manager in managers:
        manager.shutdown()
    assert server.keys("*ring*") == [], "nothing is left of those that ended in order"


def test_an_entry_is_stored_when_it_changes(
    fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with each heartbeat; but now and then, for it may have been removed."""

    def stored() -> int:
        stats = fresh_server.command("INFO", "commandstats").decode()
        return int(stats.partition("cmdstat_zadd:calls=")[2].partition(",")[0] or 0)

    with RedisManager(fresh_server.url, lease=1000.0) as m:
        assert m.Lock("x").acquire()
        ring = m.runtime.session.ring
        ring.stand()
        before = stored()
        for _ in range(3):
            ring.stand()
        assert before and stored() == before
        monkeypatch.setattr("multihost.wire.session.ring.AGAIN", 0.0)
        ring.stand()
        assert stored() > before
