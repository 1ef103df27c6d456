"""A server that goes back: it was restarted from what it had saved a moment before.

What it had acknowledged since is undone there, and the processes that heard it live on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import LeaseLost, LinkError, RedisManager
from multihost.wire.session.heartbeat import RETRY
from multihost.wire.session.presence import Presence
from tests.faults.calls import Call
from tests.support.server import Server
from tests.support.sessions import expirations, expire
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE


@pytest.fixture
def server(going_back: Server) -> Server:
    return going_back


@pytest.fixture
def m(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.tcp_url, timeout=SECONDS) as manager:
        yield manager


@pytest.fixture
def other(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.url, timeout=SECONDS) as manager:
        yield manager


def go_back(server: Server, *managers: RedisManager) -> None:
    """Restart from the last snapshot, and wait until these have settled."""
    before = [expirations(manager.runtime.session) for manager in managers]
    server.restart(empty=False, save=False)
    for manager, count in zip(managers, before, strict=True):
        session = manager.runtime.session
        wait_until(lambda s=session, c=count: expirations(s) > c, SECONDS)


pytestmark = pytest.mark.leaks_ok("the server was killed with its connections")


def test_a_release_that_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """Nobody holds the lock, and nobody has to end for that."""
    lock, permits = m.Lock("x"), m.BoundedSemaphore("y", 1)
    assert lock.acquire()
    assert permits.acquire()
    server.command("SAVE")
    lock.release()
    permits.release()
    go_back(server, m)
    assert lock.holder() is None
    assert other.Lock("x").acquire(timeout=SECONDS)
    assert other.BoundedSemaphore("y", 1).acquire(timeout=SECONDS)
    assert not lock.acquire(False)
    assert not permits.acquire(False)


def test_a_grant_that_was_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    """The one that held it is told, and cannot free what another one has now."""
    lock, theirs = m.Lock("x"), other.Lock("x")
    server.command("SAVE")
    assert lock.acquire()
    token = lock.fencing_token
    go_back(server, m)
    with pytest.raises(LeaseLost):
        lock.fencing_token
    assert theirs.acquire(timeout=SECONDS)
    assert theirs.fencing_token > token, "tokens rise also across a step back"
    with pytest.raises(LeaseLost):
        lock.release()
    assert theirs.locked()
    assert not m.Lock("x").acquire(False)
    theirs.release()


def test_permits_that_were_undone(server: Server, m: RedisManager, other: RedisManager) -> None:
    permits = m.BoundedSemaphore("y", 2)
    assert permits.acquire()
    server.command("SAVE")
    assert permits.acquire()
    go_back(server, m)
    with pytest.raises(LeaseLost):
        permits.fencing_token
    assert other.BoundedSemaphore("y", 2).statistics().permits == 1


def test_permits_that_are_only_counted(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    permits = m.BoundedSemaphore("y", 100)
    for _ in range(70):
        assert permits.acquire()
    server.command("SAVE")
    for _ in range(10):
        permits.release()
    go_back(server, m)
    assert other.BoundedSemaphore("y", 100).statistics().permits == 40
    permits.release(60)
    assert other.BoundedSemaphore("y", 100).statistics()[2:4] == (100, {})


def test_what_others_released_is_no_loss(
    server: Server, m: RedisManager, other: RedisManager
) -> None:
    lock, theirs = m.Lock("x"), other.Lock("x")
    assert lock.acquire()
    theirs.release()
    server.command("SAVE")
    go_back(server, m)
    assert theirs.acquire(timeout=SECONDS)
    assert lock.locked()
    lock.release()  # that of the other one, as in the standard library
    assert not theirs.locked()


def test_what_was_not_undone_is_kept(server: Server, m: RedisManager, other: RedisManager) -> None:
    lock, permits = m.Lock("x"), m.BoundedSemaphore("y", 1)
    assert lock.acquire()
    assert permits.acquire()
    token = lock.fencing_token
    server.command("SAVE")
    theirs = other.Lock("x")

    def acquire() -> int:
        assert theirs.acquire()
        return int(theirs.fencing_token)

    call = Call(acquire)
    wait_until(lambda: lock.statistics().waiters == 1)
    go_back(server, m)
    wait_until(lambda: lock.statistics().waiters == 1)
    call.join(1.0)
    assert call.is_alive()
    assert lock.fencing_token == token
    assert permits.fencing_token
    lock.release()
    permits.release()
    assert call.outcome() > token


def test_nothing_is_taken_before_the_session_has_settled(
    server: Server, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that finds the new server first waits: what it were given would be given back."""
    lock = m.Lock("x")
    assert lock.acquire()
    lock.release()
    session = m.runtime.session
    settle, order = session.settling.settle, []

    def slowly(presence: Presence, lapsed: int) -> None:
        wait_until(lambda: call.is_alive() and server.clients() != [], SECONDS)
        order.append("settles")
        settle(presence, lapsed)

    monkeypatch.setattr(session.settling, "settle", slowly)
    server.command("SAVE")
    server.restart(empty=False, save=False)

    def acquire() -> bool:
        acquired = lock.acquire(timeout=SECONDS)
        order.append("acquired")
        return acquired

    call = Call(acquire)
    assert call.outcome(SECONDS) is True
    assert order[0] == "settles"
    assert lock.holder() is not None
    lock.release()


def test_one_line_says_what_was_lost(
    server: Server, m: RedisManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multihost")
    locks = [m.Lock(f"x{n}") for n in range(3)]
    assert locks[0].acquire()
    server.command("SAVE")
    assert locks[1].acquire()
    assert locks[2].acquire()
    go_back(server, m)

    def lines() -> list[str]:
        return [r.getMessage() for r in caplog.records if "settled with" in r.getMessage()]

    wait_until(lambda: len(lines()) == 1, SECONDS)
    assert lines()[0].endswith("2 holds lost")


def test_a_server_that_goes_back_unnoticed(server: Server, m: RedisManager) -> None:
    """The same run and the same connections, as of a replica that loads what another one has."""
    lock = m.Lock("x")
    assert lock.acquire()
    session, keys = m.runtime.session, lock._handle.keys
    record = session.registration.session_keys[keys.prefix]
    saved = server.command("DUMP", record)
    for _ in range(3):
        expire(session)
        session.ensure_registered(keys)
    assert expirations(session) == 0
    server.command("RESTORE", record, 0, saved, "REPLACE")
    [place] = server.keys("*:held:*")
    server.command("LMOVE", place, keys.free, "LEFT", "RIGHT")
    expire(session)
    session.ensure_registered(keys)
    with pytest.raises(LeaseLost):
        lock.release()


def test_a_release_that_a_restart_interrupts(
    server: Server, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session gives back what is being released, and the release has nothing to complain of."""
    lock, session = m.Lock("x"), m.runtime.session
    assert lock.acquire()
    holds = session.holds

    class Restarting(dict[Any, Any]):
        """Lets the server go when the hold was forgotten here, and not released there yet."""

        def pop(self, key: Any, *default: Any) -> Any:
            hold = super().pop(key, *default)
            if not restarted:
                restarted.append(True)
                server.restart(empty=False)
            return hold

    restarted: list[bool] = []
    restarting = Restarting(holds)
    monkeypatch.setattr(session, "holds", restarting)
    monkeypatch.setattr(session.settling, "_holds", restarting)
    lock.release()
    assert restarted
    assert lock.acquire(False)
    lock.release()


def test_a_server_that_lets_nobody_settle_is_not_asked_without_a_pause(
    server: Server, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads its data for minutes, or refuses writes: each attempt costs both sides."""
    lock = m.Lock("x")
    with lock:
        pass
    settling, attempts = m.runtime.session.settling, []
    settle = settling.settle

    def refused(presence: Presence, lapsed: int) -> None:
        attempts.append(time.monotonic())
        if len(attempts) < 6:
            raise LinkError("not yet")
        settle(presence, lapsed)

    monkeypatch.setattr(settling, "settle", refused)
    server.command("SAVE")
    go_back(server, m)
    assert attempts[-1] - attempts[0] > 5 * RETRY[0], "with a pause after each"
    assert lock.acquire(timeout=SECONDS)
    lock.release()


def test_others_read_while_a_server_lets_nobody_settle(start_server: Callable[..., Server]) -> None:
    """It came back and refuses writes, for as long as it takes somebody to see to that: only what
    is taken has to wait.
    """
    refusing = {"min-replicas-to-write": "1"}
    accept = "CONFIG", "SET", "min-replicas-to-write", "0"
    server = start_server(tcp=True, **refusing)
    server.command(*accept)
    with RedisManager(server.tcp_url, timeout=4.0) as m:
        lock, shared = m.Lock("x"), m.dict(name="d")
        shared["a"] = 1
        with lock:
            pass
        server.command("SAVE")
        server.go_back()
        assert shared["a"] == 1
        assert Call(lambda: shared["a"]).outcome(SECONDS) == 1, "over another connection"
        with pytest.raises(LinkError, match="replica"):
            shared["a"] = 2
        with pytest.raises(LinkError):
            lock.acquire(timeout=0.1)
        server.command(*accept)
        assert lock.acquire(timeout=SECONDS)
        lock.release()


def test_one_that_is_damaged_holds_up_no_other(server: Server, m: RedisManager) -> None:
    """The gate opens although the script of one object fails."""
    ill, well = m.Lock("ill"), m.Lock("well")
    with ill, well:
        pass
    assert well.acquire()
    server.command("SET", ill._handle.keys.data, "x")
    server.command("SAVE")
    well.release()
    go_back(server, m)
    assert well.holder() is None
    assert well.acquire(timeout=SECONDS)


def test_settling_remembers_only_so_many(m: RedisManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that uses a lock for each of its users, for days; what it holds stays."""
    settling = m.runtime.session.settling
    monkeypatch.setattr(settling, "_room", 20)
    monkeypatch.setattr("multihost.wire.session.settling.MAX_IDLE", 20)
    held = [m.Lock(f"held {number}") for number in range(30)]
    for lock in held:
        lock.acquire()
    for number in range(200):
        with m.Lock(f"idle {number}"):
            pass
    idents = {user.ident for user in settling.users.values()}
    assert idents >= {lock._handle.keys.ident for lock in held}
    assert len(idents) <= len(held) + 20
    assert held[0]._handle.session.settling.users["places", "n:idle 199"]
