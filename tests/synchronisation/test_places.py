"""Where what is held lies: nothing is given to who is taken for dead, and nothing stays behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import LeaseLost, ObjectGone, RedisManager
from multihost.wire.giving import give_back
from multihost.wire.places import RELEASED, Place, Places
from tests.faults.calls import Call
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until
from tests.synchronisation.test_holder_crash import child

MAKE: dict[str, Any] = {
    "Lock": lambda m: m.Lock("x"),
    "RLock": lambda m: m.RLock("x"),
    "Semaphore": lambda m: m.Semaphore("x", 1),
    "BoundedSemaphore": lambda m: m.BoundedSemaphore("x", 1),
    "Condition": lambda m: m.Condition("x"),
}


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def other(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


def elements(server: AnyServer, held: Any) -> int:
    """How many there are, wherever they lie."""
    data = held._handle.keys.data.decode()
    keys = [*server.keys(f"{data}:free"), *server.keys(f"{data}:held:*")]
    return sum(server.command("LLEN", key) for key in keys)


def registered(server: AnyServer, held: Any, kind: bytes = b"f:") -> list[bytes]:
    """The sessions that may use places, or, with ``x:``, that are known to be dead."""
    return [f for f in server.command("HKEYS", held._handle.keys.refs) if f[:2] == kind]


def test_threads_that_begin_at_once_share_the_places(
    m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would number its own from one, and take what the other one holds for its own."""
    locks = [m.Lock("x"), m.Lock("x")]

    def take_and_release(lock: Any) -> bool:  # either may be the first
        taken = lock.acquire(timeout=PATIENCE)
        lock.release()
        return bool(taken)

    init, calls, made = Places.__init__, list[Call](), list[Places]()

    def slowly(self: Places, *args: Any) -> None:
        init(self, *args)
        made.append(self)
        if not calls:
            calls.append(Call(lambda: take_and_release(locks[1])))
            calls[0].join(0.3)  # it waits for us; else it would have made some by then

    monkeypatch.setattr(Places, "__init__", slowly)
    assert locks[0].acquire()
    locks[0].release()
    assert calls[0].outcome() is True
    assert len(made) == 1


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("missing", ["record", "registration", "both"])
def test_nothing_is_held_that_nobody_would_miss(
    kind: str, missing: str, m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    """As after a loss of data, or if others declared this process dead just now."""
    held, theirs = MAKE[kind](m), MAKE[kind](other)
    assert held.acquire()
    token = held.fencing_token
    held.release()
    if missing != "registration":
        server.command("DEL", *server.keys("*}:s:*"))
    if missing != "record":
        server.command("DEL", held._handle.keys.refs)
    assert held.acquire()
    assert held.fencing_token > token
    assert len(server.keys("*}:s:*")) >= 1
    assert len(registered(server, held)) >= 1
    assert elements(server, held) == 1
    assert theirs.acquire(False) is False
    held.release()
    assert theirs.acquire(False) is True
    theirs.release()


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_what_is_moved_to_a_dead_session_comes_back(
    kind: str, m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    """Its host vanished while it waited, so the server serves it all the same."""
    held, theirs = MAKE[kind](m), MAKE[kind](other)
    keys = held._handle.keys
    assert held.acquire()
    with RedisManager(server.url) as ghost:
        server.command("HSET", keys.refs, "f:ghost", 4)
        link = ghost.runtime.session.link
        place = keys.held(b"ghost.1")
        served = Call(lambda: link.execute(b"BLMOVE", keys.free, place, b"LEFT", b"RIGHT", b"20"))
        wait_until(lambda: any("b" in row["flags"] for row in server.clients()))
        waits = Call(lambda: theirs.acquire(timeout=PATIENCE))
        wait_until(lambda: registered(server, held, b"x:") == [b"x:ghost"])
        assert registered(server, held, b"f:ghost") == []
        held.release()
        assert served.outcome() == b"1", "it was the first in the line"
        assert waits.outcome() is True
        theirs.release()
    assert elements(server, held) == 1


def test_a_lock_that_another_released_is_no_loss(m: RedisManager, other: RedisManager) -> None:
    lock, theirs = m.Lock("x"), other.Lock("x")
    for _ in range(3):
        assert lock.acquire()
        theirs.release()
        assert theirs.acquire(False)
        lock.release()  # as in the standard library: whoever has it
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()
        theirs._handle.session.holds.clear()


def test_a_lock_that_was_lost_is_not_taken_from_others(
    m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    """A server that lost its last second does not know of a grant: others were granted the lock."""
    lock, theirs = m.Lock("x"), other.Lock("x")
    assert lock.acquire()
    keys = lock._handle.keys
    (place,) = server.keys(keys.data.decode() + ":held:*")
    server.command("LMOVE", place, keys.free, "LEFT", "LEFT")
    assert theirs.acquire(False)
    with pytest.raises(LeaseLost):
        lock.release()
    assert lock.acquire(False) is False, "it did not release theirs"
    theirs.release()


def test_permits_that_are_only_counted(m: RedisManager, server: AnyServer) -> None:
    signals = m.Semaphore("x", 0)
    signals.release(300)
    for _ in range(300):
        assert signals.acquire(False)
    assert elements(server, signals) <= 65
    assert sum(signals.statistics().holders.values()) == 300
    assert not signals.acquire(False)
    signals.release(100)
    signals.release(200)
    statistics = signals.statistics()
    assert (statistics.permits, statistics.holders) == (300, {})


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_counted_permits_of_a_killed_process_come_back(kind: str, m: RedisManager) -> None:
    permits = getattr(m, kind)("x", 100)
    with child(permits) as holder:
        for _ in range(100):
            assert holder.call("acquire", False)
        assert not permits.acquire(False)
        holder.send(signal.SIGKILL)
        assert permits.acquire(True, PATIENCE)
        wait_until(lambda: permits.statistics().permits == 99)
        permits.release()


def test_more_permits_than_a_list_should_have(m: RedisManager, server: AnyServer) -> None:
    many = m.Semaphore("many", 2**31)
    assert elements(server, many) == 10_000
    assert many.acquire() and many.statistics().permits == 2**31 - 1
    few = m.BoundedSemaphore("few", 10_003)
    for _ in range(10_003):
        assert few.acquire(False)
    assert not few.acquire(False)
    few.release(10_003)
    assert few.statistics().permits == 10_003
    with pytest.raises(ValueError, match="too many"):
        few.release()


def test_sessions_that_have_ended_are_forgotten(
    url: str, m: RedisManager, server: AnyServer
) -> None:
    """As of a program that runs every minute, where nobody ever waits."""
    lock = m.Lock("x")
    for _ in range(20):
        with RedisManager(url) as each, each.Lock("x"):
            pass
    assert len(registered(server, lock)) <= 2


def test_permits_lost_are_told_once_each(url: str) -> None:
    with RedisManager(url, lease=0.6) as m:
        permits = m.BoundedSemaphore("x", 3)
        with child(permits) as sleeper:
            assert sleeper.call("acquire") and sleeper.call("acquire")
            sleeper.send(signal.SIGSTOP)
            for _ in range(3):
                assert permits.acquire(True, PATIENCE)
            sleeper.send(signal.SIGCONT)
            assert [sleeper.call("release") for _ in range(2)] == ["LeaseLost"] * 2
            permits.release(3)
            assert sleeper.call("acquire", True, PATIENCE) is True
            assert sleeper.call("release") is None


@pytest.mark.parametrize("moved", [False, True])
def test_a_release_that_takes_long_holds_nobody_up(
    moved: bool, url: str, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session lapses meanwhile, and what the background thread does then is done; of two
    permits, one that is released is not lost.
    """
    done = threading.Event()
    with RedisManager(url) as m:
        permits = m.BoundedSemaphore("x", 2)
        assert permits.acquire() and permits.acquire()
        session, account = m.runtime.session, permits._account()
        places = [place for place in account.places.all() if place.count]

        def slowly(place: Place, operation: str, count: int = 1) -> int:
            server.command("DEL", *session.registration.session_keys.values())
            if moved:
                server.command("DEL", *(each.key for each in places))
            session.registration.doubt(places[0].places.keys.prefix)
            session.ensure_registered(permits._handle.keys)
            session.heartbeat.call_soon(done.set)
            assert done.wait(PATIENCE), "it waits for the release"
            return give_back(place, operation, count)

        monkeypatch.setattr("multihost.wire.ops.semaphore.give_back", slowly)
        if moved:
            with pytest.raises(LeaseLost):
                permits.release()
        else:
            permits.release()
        assert (account.count, account.missing) == (1, 1)
        monkeypatch.undo()
        with pytest.raises(LeaseLost):
            permits.release()
        assert (account.count, account.missing) == (0, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_a_release_of_some_whose_reply_is_lost(
    count: int, proxy: CuttingProxy, server: Server
) -> None:
    """It is not sent again: that would give back others, which lie at the same place."""
    with RedisManager(proxy.url) as m, RedisManager(server.url) as other:
        permits, theirs = m.BoundedSemaphore("x", 4), other.BoundedSemaphore("x", 4)
        for _ in range(3):
            assert permits.acquire()
        rule = proxy.cut_after_reply("LMOVE")
        permits.release(count)
        assert rule.done.is_set()
        assert theirs.statistics().permits == 1 + count
        for _ in range(3 - count):
            permits.release()
        assert theirs.statistics().permits == 4
        with pytest.raises(ValueError, match="released too many times"):
            permits.release()


def test_a_release_of_some_whose_reply_is_lost_says_that_nothing_is_there(
    proxy: CuttingProxy, server: Server
) -> None:
    with RedisManager(proxy.url) as m, RedisManager(server.url) as other:
        permits = m.Semaphore("x", 4)
        for _ in range(2):
            assert permits.acquire()
        assert other.delete("x")
        rule = proxy.cut_after_reply("LMOVE")
        with pytest.raises(ObjectGone):
            permits.release()
        assert rule.done.is_set()


def test_what_others_released_before_it_was_known_is_not_released_again(
    m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    """Others released an element that a call took which was interrupted: the next one is held."""
    permits, theirs = m.Semaphore("x", 1), other.Semaphore("x", 1)
    assert permits.acquire()
    [place] = [each for each in permits._account().places.all() if each.count]
    server.command("RPUSH", place.key, "1")  # what the call took
    theirs.release(2)
    place.places.abandon(place)
    assert int(server.command("HGET", place.places.keys.data, RELEASED + place.name)) == 1


def test_a_deleted_lock_that_is_made_again_is_another_one(
    m: RedisManager, other: RedisManager
) -> None:
    lock = m.Lock("x")
    assert lock.acquire()
    lock.delete()
    again = other.Lock("x")
    assert again.acquire(False)
    with pytest.raises((LeaseLost, ObjectGone)):
        lock.release()
    assert again.locked()
    again.release()


def test_who_waits_keeps_the_place_in_the_line(
    m: RedisManager, other: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the time for which other commands block: it asks once, and the server serves."""
    monkeypatch.setattr("multihost.wire.take.MAX_BLOCK", 0.01)
    asked: list[float] = []
    ask = Place.take_blocking

    def asks(place: Place, seconds: float) -> bytes:
        asked.append(seconds)
        return ask(place, seconds)

    monkeypatch.setattr(Place, "take_blocking", asks)
    lock, order = m.Lock("x"), []
    assert lock.acquire()

    def take(number: int) -> None:
        with (m, other)[number % 2].Lock("x"):
            order.append(number)

    calls = []
    for number in range(4):
        calls.append(Call(lambda number=number: take(number)))
        wait_until(lambda number=number: lock.statistics().waiters == number + 1)
    assert len(asked) == 4, "each asked once"
    lock.release()
    for call in calls:
        call.outcome(PATIENCE)
    assert order == [0, 1, 2, 3]
    wait_until(lambda: lock.statistics().waiters == 0)


def test_nobody_is_told_of_a_wait_before_the_server_has_it(
    m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    lock, theirs = m.Lock("x"), other.Lock("x")
    assert lock.acquire()
    call = Call(theirs.acquire)
    wait_until(lambda: lock.statistics().waiters == 1)
    waiting = [row for row in server.clients() if "b" in row["flags"] and row["cmd"] == "blmove"]
    assert len(waiting) == 1
    lock.release()
    assert call.outcome(PATIENCE) is True
    theirs.release()


def test_a_late_take_comes_back(m: RedisManager, server: AnyServer) -> None:
    """A command of a broken connection moves the element to a place that nobody uses."""
    lock = m.Lock("x")
    with lock:
        pass
    keys, places = lock._handle.keys, lock._handle.places
    [place] = places.all()
    places.abandon(place)
    assert server.command("LMOVE", keys.free, place.key, "LEFT", "RIGHT") == b"1"
    assert lock.acquire(timeout=PATIENCE)
    assert place.hold is None, "nothing is taken to it for a while"
    lock.release()
    assert elements(server, lock) == 1


def test_what_others_released_is_forgotten_with_a_place(
    m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both sides, before the place is used again."""
    permits = m.BoundedSemaphore("x", 1)
    assert permits.acquire()
    permits.release()
    monkeypatch.setattr("multihost.wire.places.UNUSED", -1.0)
    monkeypatch.setattr(m.runtime.session.janitor, "call_every", lambda *_: None)
    places = permits._account().places
    place = places.all()[0]
    places.abandon(place)
    place.seen = 1  # it was told since that others had released the one that was there
    places._recover()
    assert (place.is_doubtful, place.seen) == (False, 0)


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_the_first_acquisition_is_one_request(
    kind: str, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It registers the session, and takes."""
    held = MAKE[kind](m)
    m.runtime.session.ensure_registered(held._handle.keys)
    exchanges = []
    link, caller = held._handle.link, threading.get_ident()

    def counted(exchange: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            if threading.get_ident() == caller:  # the thread of the session has its own
                exchanges.append(args)
            return exchange(*args)

        return count

    for name in ("exchange", "exchange_many"):
        monkeypatch.setattr(link, name, counted(getattr(link, name)))
    assert held.acquire()
    assert len(exchanges) == 1
    monkeypatch.undo()
    held.release()


def test_what_was_moving_when_a_process_ended_is_not_lost(
    url: str, m: RedisManager, server: AnyServer
) -> None:
    """Its thread waited: the server may serve it when the process has given up its places."""
    lock = m.Lock("x")
    assert lock.acquire()
    with RedisManager(url) as manager:
        call = Call(manager.Lock("x").acquire)
        wait_until(lambda: lock.statistics().waiters == 1)
        [name] = [f[2:] for f in registered(server, lock) if f[2:] not in lock._hold().id]
    call.join(PATIENCE)
    assert registered(server, lock, b"x:") == [b"x:" + name], "it is looked through"
    keys = lock._handle.keys
    lock.release()
    assert server.command("LMOVE", keys.free, keys.held(name + b".1"), "LEFT", "RIGHT") == b"1"
    assert lock.acquire(timeout=PATIENCE)
    lock.release()


def test_what_an_interrupted_end_leaves_expires(
    url: str, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of an unnamed lock come and go, and have no lease until they are renewed."""
    manager = RedisManager(url)
    lock = manager.Lock()
    with lock:
        pass
    keys, session = lock._handle.keys, manager.runtime.session

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.references, "drop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        manager.shutdown()
    assert server.command("PTTL", keys.free) > 0
    assert server.command("PTTL", keys.data) > 0
    session.link.close_now()
    server.command("DEL", *server.keys(keys.data.decode() + "*"), *server.keys("*}:s:*"))
