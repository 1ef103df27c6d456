"""An item is put once, and received once, whatever request a fault hits.

Each case runs with a fault at each of its requests in turn, and must have the same outcome.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable
from queue import Empty, Full
from typing import Any

import pytest

from multihost import BadPayload, RedisManager, ShutDown
from multihost.wire import wait as wait_module
from multihost.wire.ops.queue import in_flight, receive_list
from tests.faults.calls import impatient
from tests.faults.test_exactly_once_lock import deliver
from tests.support.faults import CuttingProxy, Rule
from tests.support.requests import foreground
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
SOON = 0.05
_namespaces = itertools.count()

FAULTS: dict[str, Callable[[CuttingProxy, int], Rule]] = {
    "reply lost": lambda proxy, nth: proxy.cut_after_reply(foreground, nth),
    "reply torn": lambda proxy, nth: proxy.cut_mid_reply(foreground, nth),
    "request lost": lambda proxy, nth: proxy.cut_before_request(foreground, nth),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """``act`` on a queue that has ``items``; the ``result``, and the items that are ``left``."""

    act: Callable[[Any], Any]
    result: Any
    left: list[Any]
    items: tuple[Any, ...] = (1, 2, 3)
    kind: str = "Queue"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    unfinished: int = 3
    in_flight: int = 0  # items that were received and are not done
    meanwhile: Callable[[Any], Any] | None = None  # the action of another process


def get_and_finish(q: Any) -> Any:
    item = q.get()
    q.task_done()
    return item


def get_prefetched(q: Any) -> Any:
    q.prefetch = 2
    return q.get(), q.get_many(2)


def get_proxies(q: Any) -> Any:
    """Behind the other items, which are received and put again."""
    others = q.get_many(3)
    q.put_many([q._manager.list(["a"]), q._manager.list(["b"])])
    got = [each.copy() for each in q.get_many(2)]
    for _ in others:
        q.task_done()
    q.put_many(others)
    return got


def get_after_recreation(q: Any) -> Any:
    """The queue is not the one of which it received before."""
    q.get()
    q.delete()
    getattr(q._manager, q._typeid_)("q").put_many([1, 2, 3])
    return q.get()


def raising(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(q: Any) -> Any:
        try:
            return act(q)
        except (Empty, Full, ShutDown) as error:
            return type(error)

    return run


def reopen_and_put(q: Any) -> None:
    q.shutdown()
    q.reopen()
    q.put(4)


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)

    def __lt__(self, other: Any) -> bool:
        return False


def get_readable(q: Any) -> Any:
    """Of a batch with one that cannot be unpickled; it becomes a dead letter."""
    items = q.get_many(3)
    items += [type(letter) for letter in q.dead_letters()]
    q.purge_dead_letters()
    return items


class Interrupting:
    """Interrupts the first one who unpickles it."""

    armed = True

    def __reduce__(self) -> Any:
        return interrupt_once, ()


def interrupt_once() -> str:
    if Interrupting.armed:
        Interrupting.armed = False
        raise KeyboardInterrupt
    return "calm"


def get_interrupted(q: Any) -> Any:
    """The whole batch goes back."""
    Interrupting.armed = True
    try:
        return q.get_many(2)
    except KeyboardInterrupt as error:
        return type(error)


def take_batch(q: Any) -> Any:
    """More than are moved one by one."""
    return q.get_many(len(BATCH))


AGAIN = {"redeliver": True}
BATCH = list(range(in_flight.BATCH + 1))
LEFT = [-1, -2]
MANY = len(BATCH) + len(LEFT)
OF_BATCH: dict[str, Any] = {"unfinished": MANY}
WITH_A_BAD_ONE = (1, Unreadable(), 3)
CASES = {
    "put": Case(lambda q: q.put(4), None, [1, 2, 3, 4], unfinished=4),
    "put_many": Case(lambda q: q.put_many([4, 5]), None, [1, 2, 3, 4, 5], unfinished=5),
    "put, no room": Case(
        raising(lambda q: q.put(4, timeout=SOON)), Full, [1, 2, 3], options={"maxsize": 3}
    ),
    "put, room in time": Case(
        lambda q: q.put(4, timeout=SECONDS),
        None,
        [2, 3, 4],
        options={"maxsize": 3},
        meanwhile=lambda q: q.get(),
        unfinished=4,
    ),
    "put by priority": Case(
        lambda q: q.put(0), None, [0, 1, 2, 3], kind="PriorityQueue", unfinished=4
    ),
    "put strings by priority": Case(
        lambda q: q.put("b"), None, ["a", "b", "c"], ("c", "a"), kind="PriorityQueue", unfinished=3
    ),
    "put by priority, room in time": Case(
        lambda q: q.put(0, timeout=SECONDS),
        None,
        [0, 2, 3],
        kind="PriorityQueue",
        options={"maxsize": 3},
        meanwhile=lambda q: q.get(),
        unfinished=4,
    ),
    "get": Case(lambda q: q.get(), 1, [2, 3]),
    "get twice": Case(lambda q: (q.get(), q.get()), (1, 2), [3]),
    "get_nowait": Case(lambda q: q.get_nowait(), 1, [2, 3]),
    "get of a bounded queue": Case(lambda q: q.get(), 1, [2, 3], options={"maxsize": 3}),
    "get the last": Case(lambda q: q.get(), 3, [2, 1], kind="LifoQueue"),
    "get the smallest": Case(lambda q: q.get(), 1, [2, 3], (3, 1, 2), kind="PriorityQueue"),
    "get_many": Case(lambda q: q.get_many(2), [1, 2], [3]),
    "get_many, by a script": Case(take_batch, BATCH, LEFT, (*BATCH, *LEFT), **OF_BATCH),
    "get_many, by a script, last first": Case(
        take_batch, BATCH, LEFT, (*reversed(LEFT), *reversed(BATCH)), "LifoQueue", **OF_BATCH
    ),
    "get_many, by a script, to be done": Case(
        take_batch, BATCH, LEFT, (*BATCH, *LEFT), options=AGAIN, in_flight=len(BATCH), **OF_BATCH
    ),
    "get_many, by a script, of a bounded queue": Case(
        take_batch, BATCH, LEFT, (*BATCH, *LEFT), options={"maxsize": MANY}, **OF_BATCH
    ),
    "get_many by priority": Case(
        lambda q: q.get_many(2), [1, 2], [3], (3, 2, 1), kind="PriorityQueue"
    ),
    "get_many of prefetched items": Case(get_prefetched, (1, [2, 3]), []),
    "get_many of prefetched items by priority": Case(
        get_prefetched, (1, [2, 3]), [], (3, 2, 1), kind="PriorityQueue"
    ),
    "get of proxies": Case(get_proxies, [["a"], ["b"]], [1, 2, 3], unfinished=5),
    "get after the queue was created again": Case(get_after_recreation, 1, [2, 3]),
    "get after the queue was created again by priority": Case(
        get_after_recreation, 1, [2, 3], kind="PriorityQueue"
    ),
    "get_many with one that cannot be read": Case(
        get_readable, [1, 3, BadPayload], [], WITH_A_BAD_ONE, unfinished=2
    ),
    "get_many with one that cannot be read, to be done": Case(
        get_readable,
        [1, 3, BadPayload],
        [],
        WITH_A_BAD_ONE,
        options=AGAIN,
        unfinished=2,
        in_flight=2,
    ),
    "get_many interrupted": Case(
        get_interrupted, KeyboardInterrupt, ["calm", 2, 3], (Interrupting(), 2, 3)
    ),
    "get_many interrupted, to be done": Case(
        get_interrupted,
        KeyboardInterrupt,
        ["calm", 2, 3],
        (Interrupting(), 2, 3),
        options=AGAIN,
    ),
    "get too late": Case(raising(lambda q: q.get(timeout=SOON)), Empty, [], (), unfinished=0),
    "get too late by priority": Case(
        raising(lambda q: q.get(timeout=SOON)), Empty, [], (), kind="PriorityQueue", unfinished=0
    ),
    "get in time": Case(
        lambda q: q.get(timeout=SECONDS), 4, [], (), meanwhile=lambda q: q.put(4), unfinished=1
    ),
    "get in time by priority": Case(
        lambda q: q.get(timeout=SECONDS),
        4,
        [],
        (),
        kind="PriorityQueue",
        meanwhile=lambda q: q.put(4),
        unfinished=1,
    ),
    "get, to be done": Case(lambda q: q.get(), 1, [2, 3], options=AGAIN, in_flight=1),
    "task_done": Case(get_and_finish, 1, [2, 3], options=AGAIN, unfinished=2),
    "task_done of any": Case(lambda q: q.task_done(), None, [1, 2, 3], unfinished=2),
    "join": Case(lambda q: q.join(), None, [], (), unfinished=0),
    "shutdown": Case(lambda q: q.shutdown(), None, [1, 2, 3]),
    "reopen": Case(reopen_and_put, None, [1, 2, 3, 4], unfinished=4),
    "reopen, last first": Case(reopen_and_put, None, [4, 3, 2, 1], kind="LifoQueue", unfinished=4),
    "reopen by priority": Case(
        reopen_and_put, None, [1, 2, 3, 4], kind="PriorityQueue", unfinished=4
    ),
    "reopen an open one": Case(lambda q: q.reopen(), None, [1, 2, 3]),
    "shutdown, immediate": Case(lambda q: q.shutdown(True), None, [], unfinished=0),
}


def run(
    case: Case,
    url: str,
    server: Any,
    break_it: Callable[[], Rule] | None,
    after: Callable[[Rule], None] = Rule.disarm,
    late: float | None = None,
) -> Rule | None:
    """Run a case; return the rule if its fault was met. ``after`` ends the fault."""
    namespace = f"multihost-{next(_namespaces):06d}-once"
    with (
        RedisManager(url, namespace=namespace) as manager,
        RedisManager(server.url, namespace=namespace) as other,
        # Until then: a manager that closes asks once, and a machine may need longer to answer.
        contextlib.nullcontext() if late is None else impatient(manager, late, PATIENCE / 2),
    ):
        theirs = getattr(other, case.kind)("q", **case.options)
        ours = getattr(manager, case.kind)("q", **case.options)
        theirs.put_many(case.items)
        manager.runtime.session.ensure_registered(ours._handle.keys)
        rule = break_it() if break_it else None
        helper = threading.Thread(target=lambda: wait_and(case, ours, theirs), daemon=True)
        if case.meanwhile:
            helper.start()
        result = case.act(ours)
        if case.meanwhile:
            helper.join(SECONDS)
            assert not helper.is_alive()
        met = rule if rule is not None and rule.caught.is_set() else None
        assert result == case.result, rule
        expected = (len(case.left), case.in_flight)

        def settled() -> bool:
            state = theirs.statistics()
            return (state.size, state.in_flight) == expected

        wait_until(settled, SECONDS, f"{expected} but {theirs.statistics()}")
        if rule is not None:
            after(rule)
            wait_until(settled, SECONDS, f"{expected} but {theirs.statistics()}")
        state = theirs.statistics()
        assert state.waiters == 0
        assert state.unfinished == case.unfinished
        left = [theirs.get_nowait() for _ in case.left]
        assert left == case.left
        theirs.delete()
    return met


def wait_and(case: Case, ours: Any, theirs: Any) -> None:
    """Run the action of another process, once ours waits."""
    server = theirs._handle.link

    def waits() -> bool:
        rows = server.execute(b"CLIENT", b"LIST").splitlines()
        return any(
            b"flags=b" in row and any(b"cmd=" + c in row for c in (b"blpop", b"blmove"))
            for row in rows
        )

    wait_until(waits, SECONDS, "ours waits")
    assert case.meanwhile is not None
    case.meanwhile(theirs)


@pytest.mark.parametrize("name", CASES)
def test_without_faults(name: str, server: Any) -> None:
    run(CASES[name], server.url, server, None)


# A reply that is torn differs from one that is lost in what was read of it, not in what is done.
TORN = ["put", "get", "get of proxies", "get_many of prefetched items", "get in time", "task_done"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [(n, f) for n in CASES for f in FAULTS if f != "reply torn" or n in TORN],
)
def test_every_fault_leaves_the_same_outcome(
    name: str, fault: str, server: Any, proxy: CuttingProxy
) -> None:
    met = 0
    for nth in itertools.count(1):
        if run(CASES[name], proxy.url, server, lambda: FAULTS[fault](proxy, nth)) is None:
            break
        met += 1
    assert met


@pytest.mark.parametrize("name", CASES)
def test_late_replies_are_not_missed(
    name: str, server: Any, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wait_module, receive_list):
        monkeypatch.setattr(module, "MAX_BLOCK", 0.2)
        monkeypatch.setattr(module, "BLOCK_GRACE", 0.1)
    monkeypatch.setattr(wait_module, "WAKE_GRACE", 0.1)

    def end(rule: Rule) -> None:
        rule.event.set()
        rule.disarm()

    for nth in itertools.count(1):

        def delay(nth: int = nth) -> Rule:
            return proxy.delay_reply(threading.Event(), foreground, nth)

        if run(CASES[name], proxy.url, server, delay, end, late=0.1) is None:
            break


@pytest.mark.parametrize("name", CASES)
def test_late_requests_have_no_effect(name: str, server: Any, proxy: CuttingProxy) -> None:
    """Immediately, or where an item is moved by a plain command, soon."""

    def end(rule: Rule) -> None:
        if rule.caught.is_set():
            deliver(proxy, rule)
        else:
            rule.disarm()

    for nth in itertools.count(1):

        def hold(nth: int = nth) -> Rule:
            return proxy.hold_request(threading.Event(), foreground, nth, hang_up=True)

        if run(CASES[name], proxy.url, server, hold, end) is None:
            break
