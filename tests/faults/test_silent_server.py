"""A call whose time ends while the server says nothing: what is in a queue, who has a lock and
whether an event is set is not known then. One rule: LinkError, and what the call would return if
there were nothing (Empty, Full, False, a broken barrier) only if the server has said so.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import LinkError, RedisManager
from multihost.wire.link import Patience
from multihost.wire.ops.queue import receive
from multihost.wire.wait import WAKE_GRACE
from tests.faults.calls import Call
from tests.support.faults import CuttingProxy
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

TIMEOUT = 0.5  # seconds that a call waits
LONG = 50.0
"""A timeout of managers: shorter than the minute for which a server remembers requests."""


def notified(condition: Any) -> bool:
    with condition:
        return condition.wait(TIMEOUT)


def full(manager: RedisManager) -> Any:
    jobs = manager.Queue(1)
    jobs.put("first")
    return jobs


def taken(lock: Any) -> Any:
    holder = threading.Thread(target=lock.acquire)  # another thread: an RLock could be taken again
    holder.start()
    holder.join()
    return lock


# What is waited for, how, and what says that it did not come.
WAITS: dict[str, tuple[Callable[[RedisManager], Any], Callable[[Any], Any], object]] = {
    "Queue.get": (lambda m: m.Queue(), lambda q: q.get(timeout=TIMEOUT), queue.Empty),
    "Queue.get, redeliver": (
        lambda m: m.Queue(redeliver=True),
        lambda q: q.get(timeout=TIMEOUT),
        queue.Empty,
    ),
    "Queue.get_many": (lambda m: m.Queue(), lambda q: q.get_many(3, timeout=TIMEOUT), queue.Empty),
    "LifoQueue.get": (lambda m: m.LifoQueue(), lambda q: q.get(timeout=TIMEOUT), queue.Empty),
    "PriorityQueue.get": (
        lambda m: m.PriorityQueue(),
        lambda q: q.get(timeout=TIMEOUT),
        queue.Empty,
    ),
    "SimpleQueue.get": (lambda m: m.SimpleQueue(), lambda q: q.get(timeout=TIMEOUT), queue.Empty),
    "Queue.put": (full, lambda q: q.put(2, timeout=TIMEOUT), queue.Full),
    "Lock": (lambda m: taken(m.Lock()), lambda x: x.acquire(timeout=TIMEOUT), False),
    "RLock": (lambda m: taken(m.RLock()), lambda x: x.acquire(timeout=TIMEOUT), False),
    "Semaphore": (lambda m: m.Semaphore(0), lambda x: x.acquire(timeout=TIMEOUT), False),
    "BoundedSemaphore": (
        lambda m: taken(m.BoundedSemaphore(1)),
        lambda x: x.acquire(timeout=TIMEOUT),
        False,
    ),
    "Event": (lambda m: m.Event(), lambda x: x.wait(TIMEOUT), False),
    "Condition": (lambda m: m.Condition(), notified, False),
    "Barrier": (lambda m: m.Barrier(2), lambda x: x.wait(TIMEOUT), threading.BrokenBarrierError),
}


POPS = (b"BLMOVE", b"BLPOP", b"BRPOPLPUSH")


def fall_silent(proxy: CuttingProxy) -> threading.Event:
    """Let through no reply from that of the first blocking pop on, until the event is set."""
    silent, over = threading.Event(), threading.Event()

    def is_silent(args: list[bytes]) -> bool:
        if args[0].upper() in POPS:
            silent.set()
        return silent.is_set()

    proxy.delay_reply(over, is_silent, times=10**6)
    return over


@contextlib.contextmanager
def waiting(
    server: Server, timeout: float, attempt: float | None = None
) -> Iterator[dict[str, tuple[threading.Event, Call]]]:
    """Wait in all these ways, each for a server of its own that falls silent, until the event is
    set. With ``attempt`` a call looks for it once more for so many seconds.
    """
    with contextlib.ExitStack() as stack:
        calls = {}
        for kind, (make, wait, _) in WAITS.items():
            proxy = stack.enter_context(CuttingProxy(server.url))
            manager = stack.enter_context(RedisManager(proxy.url, timeout=timeout))
            over = fall_silent(proxy)
            stack.callback(over.set)
            call = functools.partial(wait, make(manager))
            if attempt is not None:
                patience = Patience(manager.runtime.session.link, 0.0, attempt=attempt)
                call = functools.partial(patiently, patience, call)
            calls[kind] = over, Call(call)
        yield calls


def patiently(patience: Patience, call: Callable[[], Any]) -> Any:
    with patience:
        return call()


def test_time_ends_at_a_server_that_fell_silent(server: Server) -> None:
    with waiting(server, 2.0) as calls:
        for kind, (_, call) in calls.items():
            with pytest.raises(LinkError):
                pytest.fail(f"{kind} returned {call.outcome()!r}")


def test_a_server_that_answers_late_is_believed(server: Server) -> None:
    with waiting(server, LONG, PATIENCE) as calls:
        late = time.monotonic() + TIMEOUT + 2 * WAKE_GRACE
        wait_until(lambda: time.monotonic() >= late)
        for kind, (over, call) in calls.items():
            over.set()
            nothing = WAITS[kind][2]
            if isinstance(nothing, type):
                with pytest.raises(nothing):
                    pytest.fail(f"{kind} returned {call.outcome()!r}")
            else:
                assert call.outcome() is nothing, kind


@pytest.mark.parametrize("typeid", ["Queue", "LifoQueue", "PriorityQueue"])
def test_an_item_whose_delivery_was_late_is_returned(
    typeid: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was moved to this consumer in time, and nobody else can get it."""
    name = "receive_from_sorted_set" if typeid == "PriorityQueue" else "receive_from_list"
    original = getattr(receive, name)

    def late(handle: Any, consumer: Any, hand: Any, count: int, _: bool, deadline: float) -> None:
        """As if the reply had not come."""
        assert original(handle, consumer, hand, count, False, None)
        consumer.doubt(hand)
        wait_until(lambda: time.monotonic() >= deadline)
        monkeypatch.undo()

    with RedisManager(url) as manager:
        jobs = getattr(manager, typeid)()
        jobs.put("item")
        monkeypatch.setattr(receive, "receive_available", lambda *_: None)
        monkeypatch.setattr(receive, name, late)
        assert jobs.get(timeout=0.01) == "item"
