"""Fencing tokens rise, whatever a server has forgotten, and whichever server draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.address import Address
from tests.faults.calls import Call
from tests.support.leaks import AnyServer
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

MAKE: dict[str, Callable[[RedisManager], Any]] = {
    "Lock": lambda m: m.Lock("x"),
    "RLock": lambda m: m.RLock("x"),
    "Semaphore": lambda m: m.Semaphore("x", 1),
    "Condition": lambda m: m.Condition("x"),
}


def token_of(held: Any) -> int:
    """That of the next hold."""
    assert held.acquire(timeout=PATIENCE)
    token = int(held.fencing_token)
    held.release()
    return token


@pytest.mark.usefixtures("by_clock")
@pytest.mark.parametrize("kind", MAKE)
def test_who_comes_after_a_step_back(kind: str, start_server: Callable[..., Server]) -> None:
    """Who was granted what the server has forgotten is dead: nobody tells which tokens it had."""
    server = start_server(tcp=True)
    with RedisManager(server.url) as m:
        held = MAKE[kind](m)
        server.command("SAVE")
        tokens = [token_of(held) for _ in range(3)]
        assert tokens == sorted(set(tokens))
    server.restart(empty=False, save=False)
    with RedisManager(server.url) as m:
        assert token_of(MAKE[kind](m)) > tokens[-1]


@pytest.fixture(params=[False, True], ids=["counted", "by the clock"])
def by_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether each token is drawn by the clock, as it is with Sentinels and in a cluster."""
    monkeypatch.setattr(Address, "may_fail_over", request.param)
    return bool(request.param)


@pytest.fixture
def replication() -> Iterator[Replication]:
    with Replication(1) as made:
        yield made


@pytest.mark.leaks_ok("its servers end with it")
def test_two_masters_at_once(by_clock: bool, replication: Replication) -> None:
    """Those that went on at the old one, and those of the new one: each grant has a larger token
    than the one before, wherever that was. Counted, those of the new one are larger than all of the
    old one, and none comes twice.
    """
    master, replica = replication.servers
    with RedisManager(master.tcp_url) as old:
        ours = old.Lock("x")
        tokens = [token_of(ours)]
        replication.await_replicas(master, 1)
        replication.promote(replica)
        tokens += [token_of(ours) for _ in range(3)]
        with RedisManager(replica.tcp_url) as new:
            theirs = new.Lock("x")
            turns = (theirs, ours, theirs, ours, theirs, theirs, ours)
            later = [token_of(each) for each in turns]
    assert tokens == sorted(set(tokens))
    assert len({*tokens, *later}) == len(tokens) + len(later)
    if by_clock:
        assert later == sorted(later)
    assert min(token for each, token in zip(turns, later, strict=True) if each is theirs) > max(
        tokens
    )


@pytest.mark.usefixtures("by_clock")
def test_a_clock_that_is_behind(url: str, server: AnyServer) -> None:
    """The token before is what counts then."""
    with RedisManager(url) as m:
        lock = m.Lock("x")
        ahead = token_of(lock) + 10**12
        server.command("HSET", lock._handle.keys.data, "f", ahead)
        assert [token_of(lock) for _ in range(2)] == [ahead + 1, ahead + 2]


@pytest.mark.usefixtures("by_clock")
def test_who_waits_at_a_server_that_forgets_scripts(url: str, server: AnyServer) -> None:
    """It was blocked when the server knew the script that draws the token."""
    with RedisManager(url) as m, RedisManager(url) as other:
        lock, theirs = m.Lock("x"), other.Lock("x")
        assert lock.acquire()
        token = lock.fencing_token
        call = Call(lambda: theirs.acquire(timeout=PATIENCE) and theirs.fencing_token)
        wait_until(lambda: other.runtime.session.link.blocked, what="a waiter")
        wait_until(lambda: lock.statistics().waiters == 1, what="a waiter at the server")
        server.command("SCRIPT", "FLUSH")
        lock.release()
        assert call.outcome() > token
        theirs.release()
        server.command("SCRIPT", "FLUSH")
        assert token_of(lock) > token
        assert not lock.locked()


@pytest.mark.usefixtures("by_clock")
def test_two_that_take_turns_and_one_alone(url: str) -> None:
    """Whether others had the lock since is told by the token before, though none follows on it."""
    with RedisManager(url) as m, RedisManager(url) as other:
        lock, theirs = m.Lock("x"), other.Lock("x")
        assert theirs.acquire()
        call = Call(lambda: lock.acquire(timeout=PATIENCE))
        wait_until(lambda: lock.statistics().waiters == 1, what="a waiter at the server")
        theirs.release()
        assert call.outcome()
        lock.release()
        places = lock._handle.places
        assert places is not None
        assert places.contended
        for _ in range(2):  # nobody else wants it: the first of these waits for it, and learns that
            token_of(lock)
        assert not places.contended
