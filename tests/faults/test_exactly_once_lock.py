"""Whatever breaks, and wherever: an operation of a lock and its kin happens once.

As ``test_exactly_once`` does for data: each case runs undisturbed, then with a fault at each of its
requests in turn, and must leave the same on the server.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.proxies.list import ListProxy
from multihost.wire import take as take_module
from multihost.wire import wait as wait_module
from multihost.wire.places import places_of
from multihost.wire.session import blocked
from tests.faults.calls import Call
from tests.faults.sync import CASES, Case, Stage, facts, staging
from tests.support.faults import CuttingProxy, Rule
from tests.support.requests import foreground, script_of
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
BY_NAME = {case.name: case for case in CASES}

# One of each kind, for what takes long or differs little.
SOME = [
    "Lock acquire",
    "Lock acquire in turn",
    "Lock acquire crowded, in turn",
    "Lock acquire refused",
    "Lock acquire too late",
    "Lock release",
    "Lock release to who waits",
    "Lock release of theirs",
    "Semaphore acquire",
    "Semaphore acquire in turn",
    "Semaphore acquire too late",
    "Semaphore release one",
    "Semaphore release for one",
    "Condition wait",
    "Condition wait too late",
    "Condition notify one",
    "Event set for who waits",
    "Event clear",
    "Event wait",
    "Barrier wait first",
    "Barrier wait last of three",
    "Barrier wait with an action",
    "Barrier abort of who waits",
]

FAULTS: dict[str, Callable[[CuttingProxy, int], Rule]] = {
    "reply lost": lambda proxy, nth: proxy.cut_after_reply(foreground, nth),
    "reply torn": lambda proxy, nth: proxy.cut_mid_reply(foreground, nth),
    "request lost": lambda proxy, nth: proxy.cut_before_request(foreground, nth),
}

_undisturbed: dict[str, tuple[int, dict[str, Any]]] = {}


def undisturbed(case: Case, server: Any, proxy: CuttingProxy) -> tuple[int, dict[str, Any]]:
    """How many requests the case makes, and what it leaves behind."""
    if case.name not in _undisturbed:
        with staging(proxy.url, server) as make:
            play(case, make(case))  # the scripts are known to the server from now on
            stage = make(case)
            seen: list[list[bytes]] = []

            def count(args: list[bytes]) -> bool:
                if foreground(args):
                    seen.append(args)
                return False

            rule = proxy.hold_request(threading.Event(), count)
            assert case.run(stage) == case.result
            rule.disarm()
            requests = len(seen)
            case.calm(stage)
            found = facts(stage)
            case.finish(stage)
        assert requests
        _undisturbed[case.name] = requests, found
    return _undisturbed[case.name]


def play(case: Case, stage: Stage) -> None:
    assert case.run(stage) == case.result
    case.calm(stage)
    case.finish(stage)


def assert_met(rule: Rule, case: Case, nth: int) -> None:
    """The fault was met. Some requests have no reply to break: the first of who has waited before,
    the last of a wait that runs out; and who has been notified may have to wait for the lock.
    """
    unsure = re.search("too late|crowded|^Condition wait", case.name)
    if not rule.caught.wait(0 if unsure else SECONDS):
        assert unsure, nth
        rule.disarm()


@pytest.mark.parametrize(
    ("name", "fault"),
    [(n, f) for n in BY_NAME for f in FAULTS if f != "reply torn" or n in SOME],
)
def test_it_happens_once(name: str, fault: str, server: Any, proxy: CuttingProxy) -> None:
    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    with staging(proxy.url, server) as make:
        for nth in range(1, requests + 1):
            stage = make(case)
            rule = FAULTS[fault](proxy, nth)
            result = case.run(stage)
            assert_met(rule, case, nth)
            assert result == case.result, (nth, rule.args)
            case.calm(stage)
            assert facts(stage) == expected, (nth, rule.args)
            case.finish(stage)


@pytest.mark.parametrize("name", SOME)
def test_replies_that_come_too_late_are_not_missed(
    name: str, server: Any, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    for module in (wait_module, take_module):
        monkeypatch.setattr(module, "MAX_BLOCK", 0.2)
        monkeypatch.setattr(module, "BLOCK_GRACE", 0.1)
    monkeypatch.setattr(wait_module, "WAKE_GRACE", 0.1)
    monkeypatch.setattr(blocked, "INTERVAL", 0.1)
    with staging(proxy.url, server, late=0.1) as make:
        for nth in range(1, requests + 1):
            stage = make(case)
            rule = proxy.delay_reply(threading.Event(), foreground, nth)
            result = case.run(stage)
            assert_met(rule, case, nth)
            assert result == case.result, (nth, rule.args)
            case.calm(stage)
            assert facts(stage) == expected, (nth, rule.args)
            case.finish(stage)
            rule.event.set()


@pytest.mark.parametrize("name", BY_NAME)
def test_what_arrives_late_is_without_effect(name: str, server: Any, proxy: CuttingProxy) -> None:
    """At once, or in a lock, which is taken by plain commands, about a second later."""
    case = BY_NAME[name]
    requests, expected = undisturbed(case, server, proxy)
    with staging(proxy.url, server) as make:
        for nth in range(1, requests + 1):
            stage = make(case)
            rule = proxy.hold_request(threading.Event(), foreground, nth, hang_up=True)
            result = case.run(stage)
            assert_met(rule, case, nth)
            assert result == case.result, (nth, rule.args)
            case.calm(stage)
            assert facts(stage) == expected, (nth, rule.args)
            case.finish(stage)
            if rule.is_spent and not rule.caught.is_set():
                continue
            between = facts(stage)
            deliver(proxy, rule)
            wait_until(lambda: facts(stage) == between, SECONDS, f"{nth} {rule.args}")


def deliver(proxy: CuttingProxy, rule: Rule) -> None:
    """Let the held request go on, with those that were sent behind it, and wait for their end."""
    old = set(proxy._connections)
    rule.event.set()
    wait_until(lambda: old - proxy._connections, SECONDS, "the old connection is closed")


@pytest.mark.parametrize("typeid", ["Lock", "RLock"])
def test_a_release_is_not_overtaken_by_what_undoes_a_late_attempt(
    typeid: str, server: Any, proxy: CuttingProxy
) -> None:
    """The background thread empties the place of a broken attempt, but not that of the hold which a
    release is about to end.
    """
    emptied = threading.Semaphore(0)

    def count(args: list[bytes]) -> bool:
        if script_of(args) == "hold/recover":
            emptied.release()
        return False

    with RedisManager(proxy.url) as ours, RedisManager(server.url) as others:
        lock, theirs = getattr(ours, typeid)("x"), getattr(others, typeid)("x")
        broken = proxy.cut_after_reply("LMOVE")
        proxy.hold_request(threading.Event(), count)

        def gives_back(args: list[bytes]) -> bool:
            return args[0] == b"LMOVE" and args[3] == b"RIGHT"

        held = proxy.hold_request(threading.Event(), gives_back)

        def take_and_release() -> int:
            lock.acquire()
            token = int(lock.fencing_token)
            lock.release()
            return token

        call = Call(take_and_release)
        assert broken.caught.wait(SECONDS)
        assert held.caught.wait(SECONDS)
        for _ in range(2):  # the attempt itself, and the background thread
            assert emptied.acquire(timeout=SECONDS)
        assert theirs.acquire(False) is False
        held.event.set()
        token = call.outcome()
        assert theirs.acquire(timeout=SECONDS)
        assert theirs.fencing_token > token
        theirs.release()


def test_several_who_try_a_lock_that_is_gone_leave_nothing(
    server: Any, proxy: CuttingProxy
) -> None:
    """Each leaves something before it finds out, and another one may look meanwhile."""
    with RedisManager(proxy.url) as ours, RedisManager(server.url) as others:
        lock, theirs = ours.Lock("x"), others.Lock("x")
        for each in (lock, theirs):  # they are known to the server
            each.acquire()
            each.release()
        key = lock._handle.keys.data
        theirs.delete()
        held = proxy.hold_request(threading.Event(), lambda args: script_of(args) == "hold/recover")
        call = Call(lock.acquire)
        assert held.caught.wait(SECONDS)
        assert server.command("HLEN", key) == 2
        with pytest.raises(ObjectGone):
            theirs.acquire()
        held.event.set()
        with pytest.raises(ObjectGone):
            call.outcome()
        assert server.command("EXISTS", key) == 0


def test_late_attempts_at_a_lock_spare_what_has_its_name_now(server: Any) -> None:
    with RedisManager(server.url) as manager:
        lock = manager.Lock("x")
        places = places_of(lock._handle)
        place = places.checkout()
        lock.delete()
        for make in (manager.dict, manager.Namespace, lambda name, **_: manager.list(name)):
            made = make("x", h=1, f=2)
            if isinstance(made, ListProxy):
                made.extend("hf")
            before = server.command("DUMP", lock._handle.keys.data)
            places.abandon(place)
            assert server.command("DUMP", lock._handle.keys.data) == before
            manager.delete("x")


def test_a_grant_whose_reply_is_lost_passes_on_without_being_asked_for(
    server: Any, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end of the connection breaks: only the server knows that it has answered."""
    monkeypatch.setattr(blocked, "INTERVAL", 0.2)
    with RedisManager(proxy.url) as ours, RedisManager(server.url) as others:
        lock, theirs = ours.Lock("x"), others.Lock("x")
        assert theirs.acquire()
        lost = proxy.delay_reply(threading.Event(), "BLMOVE")
        call = Call(lock.acquire)
        wait_until(lambda: theirs.statistics().waiters == 1, SECONDS)
        theirs.release()
        assert lost.caught.wait(SECONDS)
        assert call.outcome() is True
        lost.event.set()
        assert theirs.acquire(False) is False
        lock.release()
        assert theirs.acquire(False) is True
        theirs.release()


def test_who_waits_longest_is_served_first_however_long_that_is(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than any command of those that are sent again would block."""
    monkeypatch.setattr(wait_module, "MAX_BLOCK", 0.1)
    monkeypatch.setattr(take_module, "MAX_BLOCK", 0.1)
    monkeypatch.setattr(blocked, "INTERVAL", 0.1)
    served: list[int] = []
    with RedisManager(server.url) as holder, contextlib.ExitStack() as stack:
        held = [holder.Lock("lock"), holder.Semaphore("permits", 1)]
        for each in held:
            assert each.acquire()
        calls = []
        for number in range(6):
            manager = stack.enter_context(RedisManager(server.url))
            name, typeid = ("lock", "Lock") if number % 2 else ("permits", "Semaphore")
            timeout = None if number % 3 else 60.0

            def work(thing: Any, number: int = number, timeout: float | None = timeout) -> None:
                assert thing.acquire(timeout=timeout)
                served.append(number)
                thing.release()

            thing = getattr(manager, typeid)(name, *((1,) if typeid == "Semaphore" else ()))
            calls.append(Call(lambda thing=thing, work=work: work(thing)))
            wait_until(lambda: sum(e.statistics().waiters for e in held) == number + 1, SECONDS)
        moves = server.info("commandstats").get("cmdstat_blmove")  # those that block do not count
        # Long enough for several checks, and for moves that would be sent again.
        wait_until(lambda: checks(server) >= 30, SECONDS)
        assert server.info("commandstats").get("cmdstat_blmove") == moves, "nobody asks again"
        for each in held:
            each.release()
        for call in calls:
            call.outcome()
    assert [n for n in served if n % 2] == [1, 3, 5]
    assert [n for n in served if not n % 2] == [0, 2, 4]


def checks(server: Any) -> int:
    """How often somebody asked which connections there are; Redis 6.2 counts no subcommands."""
    stats = server.info("commandstats")
    found = stats.get("cmdstat_client|list", stats.get("cmdstat_client", "calls=0,"))
    return int(found.split("calls=")[1].split(",")[0])
