"""A request of a connection that broke does not arrive after the next one was used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import LinkError, RedisManager
from tests.support.faults import CuttingProxy, Rule
from tests.support.requests import foreground, script_of
from tests.support.server import Server
from tests.support.sessions import close_gates, is_unsettled
from tests.support.waiting import wait_until

SECONDS = 60.0
USER = {"limited": "on >x ~* +@all -client|kill"}


@pytest.fixture
def proxy(fresh_server: Server) -> Iterator[CuttingProxy]:
    with CuttingProxy(fresh_server) as proxy:
        yield proxy


def is_move(args: list[bytes]) -> bool:
    return foreground(args) and args[0].upper() in (b"LMOVE", b"BLMOVE")


def is_acknowledgement(args: list[bytes]) -> bool:
    return args[0].upper() == b"DEL" and b":inflight:" in args[1]


def calls(server: Server, *commands: str) -> int:
    """How often the server has executed these commands, in scripts and outside."""
    lines = bytes(server.command("INFO", "commandstats")).decode().splitlines()
    stats = [line.removeprefix("cmdstat_").partition(":calls=") for line in lines]
    return sum(int(count.split(",")[0]) for name, _, count in stats if name in commands)


def deliver(proxy: CuttingProxy, rule: Rule) -> None:
    """Send the request that was held, and wait until the server has had it, or its connection has
    ended.
    """
    old = set(proxy._connections)
    rule.event.set()
    wait_until(lambda: rule.done.is_set() or old - proxy._connections, what="it is delivered")


def is_quiet(ours: Any) -> bool:
    """Whether nothing is in flight, and no list of this process waits until it can be used."""
    hold = ours._handle.session.holds["consumer", ours._handle.keys.ident]
    return ours.statistics().in_flight == 0 and not hold.consumer.quarantined._lists


@pytest.fixture
def two(proxy: CuttingProxy, fresh_server: Server) -> Iterator[tuple[Any, Any]]:
    """A queue, of a process whose connections break, and of another one."""
    with RedisManager(proxy.url) as manager, RedisManager(fresh_server.url) as other:
        yield manager.Queue("x"), other.Queue("x")


def test_a_late_move_takes_no_item(
    two: tuple[Any, Any], proxy: CuttingProxy, fresh_server: Server
) -> None:
    ours, theirs = two
    theirs.put_many([1, 2])
    assert ours.get() == 1
    rule = proxy.hold_request(threading.Event(), is_move, hang_up=True)
    assert ours.get() == 2
    assert rule.caught.is_set()
    wait_until(lambda: is_quiet(ours))
    theirs.put(3)
    before = calls(fresh_server, "lmove", "blmove")
    deliver(proxy, rule)
    assert calls(fresh_server, "lmove", "blmove") == before
    assert theirs.qsize() == 1


def test_a_late_acknowledgement_deletes_nothing(
    two: tuple[Any, Any], proxy: CuttingProxy, fresh_server: Server
) -> None:
    """What it would delete is the next item of that list."""
    ours, theirs = two
    rule = proxy.hold_request(threading.Event(), is_acknowledgement, hang_up=True)
    theirs.put(1)
    assert ours.get() == 1
    assert rule.caught.wait(SECONDS)
    wait_until(lambda: is_quiet(ours), what="the second attempt was executed")
    before = calls(fresh_server, "del")
    deliver(proxy, rule)
    assert calls(fresh_server, "del") == before


def test_a_late_settling_gives_back_nothing(proxy: CuttingProxy, fresh_server: Server) -> None:
    """What it would give back was acquired since."""

    def is_settling(args: list[bytes]) -> bool:
        return script_of(args) == "hold/settle"

    with RedisManager(proxy.url) as manager:
        lock = manager.Lock("x")
        with lock:
            pass
        session = manager.runtime.session
        rule = proxy.hold_request(threading.Event(), is_settling, hang_up=True)
        close_gates(session)
        assert rule.caught.wait(SECONDS)
        wait_until(lambda: not is_unsettled(session))
        assert lock.acquire()
        deliver(proxy, rule)
        assert lock.locked()
        lock.release()


def test_lists_are_used_again_behind_breaks(two: tuple[Any, Any], proxy: CuttingProxy) -> None:
    """Without the fence each break costs a list for a minute."""
    ours, theirs = two
    for number in range(30):
        rule = proxy.cut_after_reply(is_move)
        theirs.put(number)
        assert ours.get() == number
        assert rule.caught.is_set()
        wait_until(lambda: is_quiet(ours))
    consumer = ours._handle.session.holds["consumer", ours._handle.keys.ident].consumer
    assert consumer.list_count < 10


def test_without_the_right_nothing_is_taken_while_a_settling_may_arrive(
    start_server: Callable[..., Server],
) -> None:
    """What it would give back was acquired since, otherwise. Others read meanwhile."""
    server = start_server(users=USER)
    moment = threading.Event()
    with (
        CuttingProxy(server.url_for("limited", "x")) as proxy,
        RedisManager(proxy.url, timeout=1.0) as manager,
    ):
        lock, shared = manager.Lock("x"), manager.dict("d")
        with lock:
            shared["a"] = 1
        session = manager.runtime.session
        settling = session.settling
        rule = proxy.hold_request(
            moment, lambda args: script_of(args) == "hold/settle", hang_up=True
        )
        close_gates(session)
        assert rule.caught.wait(SECONDS)
        wait_until(lambda: settling._late_until)
        with pytest.raises(LinkError):
            lock.acquire()
        assert is_unsettled(session)
        assert shared["a"] == 1
        deliver(proxy, rule)
        settling._late_until = {None: 1.0}  # a minute later
        wait_until(lambda: not is_unsettled(session))
        assert lock.acquire()
        assert lock.locked()
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
@pytest.mark.parametrize("user", [None, "limited"])
def test_places_are_used_again_behind_breaks(kind: str, user: str | None) -> None:
    """At once where the server closes what broke; else a late request may still find them."""
    with Server(tcp=True, users=USER) as server, CuttingProxy(server) as proxy:
        url = proxy.url if user is None else proxy.url.replace("://", f"://{user}:x@")
        with RedisManager(url) as manager:
            held = manager.Lock("x") if kind == "Lock" else manager.Semaphore("x", 2)
            for _ in range(3):
                rule = proxy.cut_after_reply("LMOVE")
                assert held.acquire()
                held.release()
                assert rule.done.is_set()
            places = held._handle.places
            doubtful = [place for place in places.all() if place.is_doubtful]
            if user is None:  # some of them may be used again already
                wait_until(lambda: not any(place.is_doubtful for place in places.all()))
                assert {id(each) for each in places._idle} == {id(each) for each in places.all()}
            else:
                again = threading.Event()
                manager.runtime.session.janitor.call_every(1.0, lambda: bool(again.set()))
                assert doubtful and again.wait(SECONDS)
                assert all(place.is_doubtful for place in doubtful)
            assert held.acquire()
            held.release()


def test_without_the_right_a_late_move_is_made_good_for(
    proxy: CuttingProxy, start_server: Callable[..., Server]
) -> None:
    """Its list is not used meanwhile, and what it takes is requeued."""
    server = start_server(users=USER)
    url = server.url_for("limited", "x")
    with CuttingProxy(url) as proxy, RedisManager(proxy.url) as m, RedisManager(url) as other:
        ours, theirs = m.Queue("x"), other.Queue("x")
        theirs.put_many([1, 2])
        assert ours.get() == 1
        rule = proxy.hold_request(threading.Event(), is_move, hang_up=True)
        assert ours.get() == 2
        assert not m.runtime.session.link.fence.is_permitted
        theirs.put(3)
        before = calls(server, "lmove", "blmove")
        deliver(proxy, rule)
        assert calls(server, "lmove", "blmove") > before, "it is executed"
        assert theirs.get(timeout=SECONDS) == 3


def owed(manager: RedisManager) -> int:
    """How many actions the background thread is going to repeat, as it sees that itself."""
    session, seen = manager.runtime.session, queue.SimpleQueue[int]()
    session.heartbeat.call_soon(lambda: seen.put(len(session.janitor._deferred)))
    return seen.get(timeout=SECONDS)


def test_an_outage_leaves_nothing_to_repeat(proxy: CuttingProxy, fresh_server: Server) -> None:
    """A process tries again and again to acquire a lock, which others want, too: when the server is
    back there is one connection a thread, as before, and nothing that is repeated for a minute.
    """
    with RedisManager(proxy.url) as manager, RedisManager(fresh_server.url) as other:
        lock, theirs = manager.Lock("x"), other.Lock("x")
        assert theirs.acquire()
        assert not lock.acquire(timeout=0.1)
        link = manager.runtime.session.link
        proxy.refuse()
        proxy.cut_all()
        for _ in range(20):
            with pytest.raises(LinkError):
                lock.acquire(timeout=0.01)
        proxy.accept()
        wait_until(lambda: not owed(manager), 30.0, "all that was owed is done")
        assert not lock.acquire(timeout=0.1)
        assert len([c for c in list(link._connections) if c.channel is not None]) <= 2
        theirs.release()
        assert lock.acquire(timeout=SECONDS)
        lock.release()
