"""A session in a cluster: what is held at one server has nothing to do with the others, and follows
its partition.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from multihost import LeaseLost, RedisManager
from multihost.proxies.lock import LockProxy
from multihost.wire.keys import Keys
from tests.faults.calls import Call
from tests.support.cluster import Cluster, slot_of
from tests.support.procs import kill9, spawn_script
from tests.support.server import Server
from tests.support.sessions import expirations
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
LONG = 1000.0  # a lease that does not end

HOLD = """
import sys, time
from multihost import RedisManager
from multihost.wire.session import registration, siblings
# Of another host: its end is not seen by those of this one.
registration.host_identity = siblings.host_identity = lambda: b"elsewhere"
manager = RedisManager(sys.argv[1], lease=1000.0)
for name in sys.argv[2:]:
    assert manager.Lock(name).acquire()
print("held", flush=True)
time.sleep(1000)
"""

pytestmark = pytest.mark.leaks_ok("servers were away, with what is released at the end")


@pytest.fixture(scope="module")
def _replicated() -> Iterator[Cluster]:
    with Cluster(3, replicas=1) as own:
        yield own


@pytest.fixture
def replicated(_replicated: Cluster) -> Iterator[Cluster]:
    """Three masters, each with a replica that is in step."""
    _replicated.await_replicas(3)
    yield _replicated
    for master in _replicated.masters:
        master.command("FLUSHALL")


@pytest.fixture(scope="module")
def alone() -> Iterator[Cluster]:
    """Three masters that nobody replaces: one that stands still is away."""
    with Cluster(3) as own:
        yield own


def keys_of(name: str) -> Keys:
    return Keys("multihost", f"n:{name}")


def names_at(cluster: Cluster, *masters: Server, count: int = 1) -> list[str]:
    """Names of locks, so many in different partitions of each of these servers."""
    found: dict[bytes, str] = {}
    left = {master.port: count for master in masters}
    numbers = itertools.count()
    while any(left.values()):
        name = f"lock {next(numbers)}"
        prefix = keys_of(name).prefix
        port = cluster.master_of(prefix).port if prefix not in found else 0
        if left.get(port):
            left[port] -= 1
            found[prefix] = name
    return list(found.values())


def record(cluster: Cluster, manager: RedisManager, name: str) -> dict[bytes, bytes]:
    key = manager.runtime.session.registration.session_keys[keys_of(name).prefix]
    flat = cluster.master_of(key).command("HGETALL", key)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def is_at_home(cluster: Cluster, manager: RedisManager, name: str) -> bool:
    """Whether the record names connections to the server where it lies."""
    master = cluster.master_of(keys_of(name).prefix)
    stored = record(cluster, manager, name)
    connected = {row["id"].encode() for row in master.clients()}
    run = master.info()["run_id"].encode()
    return stored[b"r"] == run and bool(set(stored[b"c"].split(b",")) & connected)


def lapses(manager: RedisManager, names: list[str]) -> int:
    memberships = manager.runtime.session.registration.memberships
    return sum(memberships[keys_of(name).prefix].expirations for name in names)


def acquired(manager: RedisManager, names: list[str]) -> list[LockProxy]:
    locks = [manager.Lock(name) for name in names]
    for lock in locks:
        assert lock.acquire()
    return locks


def test_a_record_names_the_server_of_its_partition(replicated: Cluster) -> None:
    names = names_at(replicated, *replicated.masters, count=2)
    with RedisManager(replicated.url) as manager:
        locks = acquired(manager, names)
        assert all(is_at_home(replicated, manager, name) for name in names)
        assert len({record(replicated, manager, name)[b"r"] for name in names}) == 3
        for lock in locks:
            lock.release()


def test_a_killed_holder_is_found_at_each_server(replicated: Cluster) -> None:
    """By its connections to the server of each lock: nobody of its host is there to see it."""
    names = names_at(replicated, *replicated.masters)
    with (
        spawn_script(HOLD, {}, args=[replicated.url, *names]) as holder,
        RedisManager(replicated.url) as manager,
    ):
        assert holder.line() == "held"
        calls = [Call(manager.Lock(name).acquire) for name in names]
        for name in names:
            wait_until(lambda name=name: manager.Lock(name).statistics().waiters == 1)
        kill9(holder)
        for call in calls:
            assert call.outcome(SECONDS) is True


def test_a_failover_of_one_server_loses_nothing_anywhere(replicated: Cluster) -> None:
    first, *others = replicated.masters
    here, elsewhere = names_at(replicated, first, count=2), names_at(replicated, *others)
    with RedisManager(replicated.url) as manager, RedisManager(replicated.url) as other:
        locks = acquired(manager, [*here, *elsewhere])
        tokens = [lock.fencing_token for lock in locks]
        waiting = Call(other.Lock(here[0]).acquire)
        wait_until(lambda: other.Lock(here[0]).statistics().waiters == 1)
        replicated.fail_over(first)
        wait_until(lambda: all(is_at_home(replicated, manager, name) for name in here), SECONDS)
        assert lapses(manager, elsewhere) == 0
        assert [lock.fencing_token for lock in locks] == tokens
        assert not any(other.Lock(name).acquire(blocking=False) for name in [here[1], *elsewhere])
        for lock in locks:
            lock.release()
        assert waiting.outcome(SECONDS) is True
        assert other.Lock(here[0]).fencing_token > tokens[0]


def test_a_slot_that_moves_takes_what_is_held_along(replicated: Cluster) -> None:
    first, second, _ = replicated.masters
    [name] = names_at(replicated, first)
    slot = slot_of(keys_of(name).prefix)
    with RedisManager(replicated.url, lease=LONG) as manager, RedisManager(replicated.url) as other:
        [lock] = acquired(manager, [name])
        token = lock.fencing_token
        waiting = Call(other.Lock(name).acquire)
        wait_until(lambda: other.Lock(name).statistics().waiters == 1)
        assert replicated.move_slot(slot, second) > 0
        assert replicated.master_of(keys_of(name).prefix) is second
        wait_until(lambda: is_at_home(replicated, manager, name), SECONDS, what="its record there")
        assert lock.fencing_token == token
        assert waiting.is_alive()
        lock.release()
        assert waiting.outcome(SECONDS) is True
        assert other.Lock(name).fencing_token > token
    replicated.move_slot(slot, first)


def test_one_that_is_not_told_of_a_move_is_not_taken_for_dead(replicated: Cluster) -> None:
    """Its record names connections to the server from which the slot came: there they are."""
    first, second, _ = replicated.masters
    [name] = names_at(replicated, first)
    slot = slot_of(keys_of(name).prefix)
    with RedisManager(replicated.url, lease=LONG) as manager, RedisManager(replicated.url) as other:
        session = manager.runtime.session
        session.registration.host = session.registration.process = b""  # nobody can see it live
        [lock] = acquired(manager, [name])
        session.heartbeat.park(SECONDS)  # it hears of nothing
        replicated.move_slot(slot, second)
        waiting = Call(other.Lock(name).acquire)
        janitor = other.runtime.session.janitor
        grace = session.registration.presence_of(keys_of(name).prefix).grace

        def looked() -> bool:
            """Long enough to find it dead, if no connection of it were found."""
            return any(each._answered > 1.2 * grace for each in janitor._verdicts.values())

        wait_until(looked, SECONDS)
        assert waiting.is_alive()
        session.heartbeat.start()
        assert lock.fencing_token
        lock.release()
        assert waiting.outcome(SECONDS) is True
    replicated.move_slot(slot, first)


def test_a_server_that_is_away_holds_up_nobody_at_others(alone: Cluster) -> None:
    away, *others = alone.masters
    there, elsewhere = names_at(alone, away), names_at(alone, *others, count=2)
    with RedisManager(alone.url, lease=3.0, timeout=SECONDS) as manager:
        locks = acquired(manager, [*there, *elsewhere])
        homes = {name: alone.master_of(keys_of(name).prefix) for name in elsewhere}
        records = manager.runtime.session.registration.session_keys

        def beats(name: str) -> int:
            """The counter of its record, read without asking the one that is away."""
            return int(homes[name].command("HGET", records[keys_of(name).prefix], "b"))

        away.pause()
        try:
            before = {name: beats(name) for name in elsewhere}
            wait_until(
                lambda: all(beats(name) > before[name] + 5 for name in elsewhere),
                SECONDS,
                what="heartbeats of the others",
            )
            for lock in locks[1:]:  # no hold is in doubt, and nothing is held up
                lock.release()
                assert lock.acquire(timeout=SECONDS)
            assert expirations(manager.runtime.session) == 0
        finally:
            away.resume()
        wait_until(lambda: away.is_answering, SECONDS)
        for lock in locks:
            lock.release()


def test_what_a_failover_lost_is_lost_and_nothing_else() -> None:
    """A replica that had not heard of a lock takes over: its holder hears of it, others do not."""
    with Cluster(3, replicas=1) as own:
        lose_a_hold(own)


def lose_a_hold(cluster: Cluster) -> None:
    first, *others = cluster.masters
    here, elsewhere = names_at(cluster, first, count=2), names_at(cluster, *others)
    [replica] = cluster.replicas_of(first)
    with RedisManager(cluster.url, timeout=SECONDS) as manager:
        kept, lost = acquired(manager, [here[0], *elsewhere]), manager.Lock(here[1])
        assert first.command("WAIT", 1, 1000 * int(SECONDS)) == 1
        replica.pause()
        first.command("CLIENT", "KILL", "TYPE", "replica")  # what comes next does not reach it
        assert lost.acquire()
        first.kill()
        replica.resume()
        cluster.await_master(replica)
        wait_until(lambda: lapses(manager, here) >= len(here), SECONDS, what="it settles there")
        with pytest.raises(LeaseLost):
            lost.release()
        for lock in kept:
            lock.release()
        assert lapses(manager, elsewhere) == 0
