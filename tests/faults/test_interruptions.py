"""Signals, threads and forks in the middle of calls: each call gets its own reply."""

from __future__ import annotations

import contextlib
import gc
import itertools
import linecache
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import multihost
from multihost import RedisManager
from tests.support.faults import CuttingProxy, Rule
from tests.support.interrupts import isolated
from tests.support.procs import run_all
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE
SOURCES = os.path.dirname(multihost.__file__)
THREADS, CALLS = 20, 200


@contextlib.contextmanager
def handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def signalled(rule: Rule) -> Iterator[None]:
    """The main thread gets a signal once the rule's request is in hand."""

    def shoot() -> None:
        assert rule.caught.wait(SECONDS)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# -- signals


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["socket", "client"])
def test_after_an_interrupted_call_the_next_gets_its_own_reply(
    kind: str, proxy: CuttingProxy
) -> None:
    import redis

    options: dict[str, Any] = {"url": proxy.url}
    client = None
    if kind == "client":
        client = redis.Redis.from_url(proxy.url)
        options = {"client": client}
    with RedisManager(**options) as manager, handling(_interrupt):
        d, l = manager.dict(a="A", b="B", n=0), manager.list([2, 1])
        d.increment("n")
        count = 1
        for call in (
            lambda: d["a"],
            lambda: d.increment("n"),
            d.copy,
            lambda: d.update(a="A"),
            l.sort,
        ):
            rule = proxy.delay_reply(threading.Event())
            with signalled(rule), pytest.raises(KeyboardInterrupt):
                call()
            assert d["b"] == "B"
            rule.event.set()
            count = d["n"] + 1
            assert d.increment("n") == count
            assert d.copy() == {"a": "A", "b": "B", "n": count}
        assert count <= 1 + 5 + 1, "the interrupted increment happened at most once"
        assert l.copy() in ([1, 2], [2, 1])
    if client is not None:
        client.close()


def test_an_interrupted_request_that_arrives_late(server: Any, proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager, handling(_interrupt):
        d = manager.dict(n=0)
        assert d.increment("n") == 1
        rule = proxy.hold_request(threading.Event())
        with signalled(rule), pytest.raises(KeyboardInterrupt):
            d.increment("n", 10)
        assert d.increment("n") == 2
        old = set(proxy._connections)
        rule.event.set()
        wait_until(lambda: old - proxy._connections, SECONDS, "the old connection is closed")
        assert d["n"] == 2, "the caller went on: its old request is void"


def test_a_signal_handler_may_use_the_same_proxy(proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d, l = manager.dict(a="A", n=0), manager.list([2, 1])
        inside = []

        def handler(signum: int, frame: FrameType | None) -> None:
            inside.append(d.increment("n"))
            l.append(0)
            l.sort()

        d.increment("n")
        with handling(handler):
            for call, expected in (
                (lambda: d["a"], "A"),
                (lambda: d.pop("none", "default"), "default"),
                (lambda: d.setdefault("a", "B"), "A"),
                (lambda: len(l), 5),
                (l.pop, 2),
            ):
                event = threading.Event()
                rule = proxy.delay_reply(event)
                signals = len(inside)

                def release(rule: Rule = rule, signals: int = signals) -> None:
                    wait_until(lambda: len(inside) > signals, SECONDS, "the handler ran")
                    rule.event.set()

                thread = threading.Thread(target=release)
                thread.start()
                with signalled(rule):
                    assert call() == expected
                thread.join()
        assert inside == [2, 3, 4, 5, 6]
        assert l.copy()[-1] in (1, 2)


def test_a_handler_in_the_middle_of_a_sort(server: Any) -> None:
    with RedisManager(server.url) as manager:
        l = manager.list([3, 1, 2])
        fired = []

        def handler(signum: int, frame: FrameType | None) -> None:
            if not fired:
                fired.append(signum)
                l.append(0)

        def key(value: int) -> int:
            signal.raise_signal(signal.SIGUSR1)
            return value

        with handling(handler):
            l.sort(key=key)
        assert l.copy() == [0, 1, 2, 3]


# -- threads


def test_many_threads_at_once(server: Any) -> None:
    with RedisManager(server.url) as manager:
        d, l = manager.dict(total=0), manager.list()
        wrong: list[object] = []
        totals: list[list[int]] = [[] for _ in range(THREADS)]
        barrier = threading.Barrier(THREADS)

        def work(me: int) -> None:
            try:
                barrier.wait(SECONDS)
                for number in range(CALLS // 4):
                    d[me] = (me, number)
                    totals[me].append(d.increment("total"))
                    if d[me] != (me, number):
                        wrong.append((me, number, d[me]))
                    l.append((me, number))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(me,)) for me in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        rounds = THREADS * CALLS // 4
        assert sorted(n for each in totals for n in each) == list(range(1, rounds + 1))
        assert all(each == sorted(each) for each in totals)
        found = l.copy()
        assert len(found) == rounds
        for me in range(THREADS):
            assert [n for who, n in found if who == me] == list(range(CALLS // 4))


def test_the_connection_of_a_thread_ends_with_it(fresh_server: Server) -> None:
    # No heartbeat comes, for which a connection would be opened.
    with RedisManager(fresh_server.url, lease=10 * PATIENCE) as manager:
        d = manager.dict(n=0)
        d.increment("n")
        before = len(fresh_server.clients())
        ready, go = threading.Barrier(6), threading.Event()

        def work() -> None:
            d.increment("n")
            ready.wait(SECONDS)
            go.wait(SECONDS)

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        ready.wait(SECONDS)
        assert len(fresh_server.clients()) == before + 5
        go.set()
        for thread in threads:
            thread.join()
        del threads, thread
        gc.collect()
        wait_until(lambda: len(fresh_server.clients()) == before, SECONDS, "connections closed")
        assert len(manager.runtime.session.link._connections) <= 8
        for _ in range(10):  # and the names of the callers are used again
            thread = threading.Thread(target=lambda: d.increment("n"))
            thread.start()
            thread.join()
        assert len(manager.runtime.session.link._connections) <= 8
        assert d["n"] == 16


def test_shutdown_wakes_a_thread_that_waits_for_a_reply(proxy: CuttingProxy) -> None:
    from multihost import ManagerClosed

    manager = RedisManager(proxy.url)
    d = manager.dict("d", n=0)
    d.increment("n")
    rule = proxy.delay_reply(threading.Event())
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            d.increment("n")
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert rule.caught.wait(SECONDS)
    manager.shutdown()
    thread.join(SECONDS)
    rule.event.set()
    assert not thread.is_alive()
    assert [type(error) for error in outcome] == [ManagerClosed]


# -- forks


def _hammer(d: Any, me: int, count: int) -> list[int]:
    totals = []
    for number in range(count):
        d[me] = (me, number)
        totals.append(d.increment("total"))
        assert d[me] == (me, number)
        assert d.get(("mine", me)) is None
        assert d.setdefault((me, number), number) == number
        assert d.pop((me, number)) == number
    return totals


def test_replies_of_parent_and_children_never_mix(server: Any) -> None:
    context = multiprocessing.get_context("fork")
    with RedisManager(server.url) as manager:
        d = manager.dict(total=0)
        _hammer(d, 0, 5)  # the connection is in use before the fork
        results: list[list[int]] = []
        thread = threading.Thread(target=lambda: results.append(_hammer(d, 0, 100)))
        thread.start()
        results += run_all(context, _hammer, [(d, me, 100) for me in (1, 2, 3)])
        thread.join()
        results.append(_hammer(d, 0, 5))
        totals = sorted(n for each in results for n in each)
        assert totals == list(range(6, 6 + 405))


def test_fork_while_another_thread_is_in_a_call(proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d = manager.dict(n=0, a="A")
        d.increment("n")
        rule = proxy.delay_reply(threading.Event())
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(d.increment("n")))
        thread.start()
        assert rule.caught.wait(SECONDS)
        [from_child] = run_all(
            multiprocessing.get_context("fork"), _in_child, [(d,)], timeout=SECONDS
        )
        assert from_child == (3, "A")
        rule.event.set()
        thread.join(SECONDS)
        assert results == [2]
        assert d["n"] == 3


def _in_child(d: Any) -> tuple[int, str]:
    return d.increment("n"), d["a"]


def test_a_child_that_ends_leaves_the_parents_connection_alone(server: Any) -> None:
    with RedisManager(server.url) as manager:
        d = manager.dict(n=0)
        d.increment("n")
        ids = {row["id"] for row in server.clients()}
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                # Without any tidying up, which would hide what a plain close() does.
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            d.increment("n")
        assert {row["id"] for row in server.clients()} == ids
        [result] = run_all(multiprocessing.get_context("fork"), _use_and_collect, [(d,)])
        assert result == 5
        assert d.increment("n") == 6
        wait_until(lambda: {row["id"] for row in server.clients()} == ids, SECONDS)


def _use_and_collect(d: Any) -> int:
    result: int = d.increment("n")
    gc.collect()
    return result


# -- signals in the middle of taking and releasing


class Interruption:
    """A KeyboardInterrupt between two lines of ours, the ``at``-th time that there is room for it.

    Not at ``try`` nor at ``with``, which is also met at the end of its block: no signal is handled
    there. Nor in what the garbage of other tests has to say: Python swallows what is raised there.
    """

    def __init__(self, at: int) -> None:
        self.place = ""
        self._left = at

    def __enter__(self) -> None:
        gc.disable()
        sys.settrace(self._enter)

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)
        gc.enable()

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._step if frame.f_code.co_filename.startswith(SOURCES) else None

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        file, line = frame.f_code.co_filename, frame.f_lineno
        text = linecache.getline(file, line).strip()
        if event in ("line", "return") and not text.startswith(("with ", "try:")):
            self._left -= 1
            if not self._left:
                self.place = f"{event} {line} of {file}"
                raise KeyboardInterrupt
        return self._step


def take_and_release(thing: Any) -> None:
    thing.acquire()
    thing.release()


def wait_with(condition: Any) -> None:
    with condition:
        condition.wait(0.002)


def meet(barrier: Any) -> None:
    with contextlib.suppress(threading.BrokenBarrierError):
        barrier.wait(0.002)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # opened just then
@pytest.mark.parametrize(
    ("typeid", "act", "step"),
    [
        ("Lock", take_and_release, 1),
        ("RLock", take_and_release, 1),
        ("Semaphore", take_and_release, 1),
        ("held Lock", lambda lock: lock.acquire(timeout=0.002), 3),
        ("held Semaphore", lambda semaphore: semaphore.acquire(timeout=0.002), 3),
        ("Condition", wait_with, 3),
        ("Barrier", meet, 3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_signal_at_any_moment_leaves_nothing_that_nobody_knows_of(
    typeid: str, act: Callable[[Any], Any], step: int, server: Any
) -> None:
    """The server has of this process what this process knows of, and nobody of it waits."""
    is_held, _, typeid = typeid.rpartition(" ")
    args = {"Semaphore": (1,), "Barrier": (2,)}.get(typeid, ())
    with RedisManager(server.url) as manager, RedisManager(server.url) as other:
        thing = getattr(manager, typeid)("x", *args)
        theirs = getattr(other, typeid)("x", *args)
        data, session = thing._handle.keys.data, manager.runtime.session
        sid = session.registration.names[thing._handle.keys.prefix]
        if is_held:
            theirs.acquire()

        def known() -> bool:
            found = server.command("HGETALL", data)
            fields = dict(zip(found[::2], found[1::2], strict=True))
            if any(field[:2] in (b"q:", b"z:") for field in fields):
                return False
            if typeid == "Semaphore":
                held = sum(hold.count for hold in session.holds.values())
                taken = sum(int(n) for field, n in fields.items() if field[:2] == b"p:")
                return held == int(fields.get(b"p:" + sid, 0)) and int(fields[b"v"]) + taken == 1
            holder = fields.get(b"h", b"")
            ours = [holder] if holder.startswith(sid) else []
            return [hold.id for hold in session.holds.values()] == ours

        act(thing)
        for at in itertools.count(1, step):
            with contextlib.suppress(ReferenceError, RuntimeError):
                act(thing)  # opens the connection that the last one lost
            interruption = Interruption(at)
            with contextlib.suppress(KeyboardInterrupt), interruption:
                isolated(lambda: act(thing))
            if not interruption.place:
                assert at > 60
                break
            wait_until(known, what=interruption.place)
            for hold in list(session.holds.values()):
                if hold.count:
                    thing.release()
            if typeid == "Barrier":
                theirs.reset()
            with session.janitor._lock:
                session.janitor._deferred.clear()
        if is_held:
            theirs.release()
