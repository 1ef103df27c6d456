"""A replica takes over from the master that Sentinels watch, and nothing was written meanwhile.

What a replica had not got yet is undone, as at a server that was restarted from what it had saved:
the tests of that run with a replica that takes over, too (``going_back``).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from multihost import RedisManager
from tests.faults.calls import Call
from tests.hosted.callers import Caller
from tests.hosted.hosted_classes import Our, Remote
from tests.pool import work
from tests.support.replication import Replication
from tests.support.sentinel import SERVICE
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.leaks_ok("connections to a former master are broken off")

fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")


def plan(trio: Replication) -> Server:
    """As an administrator does."""
    return trio.fail_over()


def kill(trio: Replication) -> Server:
    old = trio.master
    old.kill()
    return trio.await_other_master(old)


def stop(trio: Replication) -> Server:
    """It does not answer, and has not ended: nobody who is connected hears of it."""
    old = trio.master
    old.pause()
    return trio.await_other_master(old)


@pytest.fixture
def trio() -> Iterator[Replication]:
    with Replication(2, sentinels=3) as own:
        yield own


Check = Callable[[], None]


class Begun:
    """Calls of two sessions that wait, and what they hold; and what becomes of them."""

    def __init__(self, stack: ExitStack, url: str) -> None:
        # A process serves objects, and one holds something, beside this one.
        self.m: Any = stack.enter_context(Our(url, ctx=fork, timeout=PATIENCE))
        self.other: Any = stack.enter_context(Remote(url, timeout=PATIENCE))
        self.waiters = 0
        self._checks: list[Check] = [
            self._hold(),
            self._lock(),
            self._permits(),
            self._condition(),
            self._event(),
            self._barrier(),
            self._queues(),
            self._redelivery(),
            self._hosted(),
            self._pool(stack),
            self._holder_elsewhere(),
        ]
        before = self._names()
        self._checks.append(lambda: self._nothing_lapsed(before))

    def check(self) -> None:
        for each in self._checks:
            each()

    def _waiting(self, call: Callable[[], Any]) -> Call:
        self.waiters += 1
        return Call(call)

    def _names(self) -> list[dict[bytes, bytes]]:
        """The names of both sessions in each partition: with a lapse they have others."""
        return [dict(each.runtime.session.registration.names) for each in (self.m, self.other)]

    def _nothing_lapsed(self, before: list[dict[bytes, bytes]]) -> None:
        for then, now in zip(before, self._names(), strict=True):
            assert now.items() >= then.items()

    def _hold(self) -> Check:
        lock, rlock = self.m.Lock("held"), self.m.RLock("held twice")
        assert lock.acquire()
        assert rlock.acquire()
        assert rlock.acquire()
        token = lock.fencing_token

        def check() -> None:
            theirs = self.other.Lock("held")
            assert not theirs.acquire(False)
            assert lock.fencing_token == token
            lock.release()
            assert theirs.acquire(timeout=PATIENCE)
            assert theirs.fencing_token > token
            theirs.release()
            rlock.release()
            assert not self.other.RLock("held twice").acquire(False)
            rlock.release()
            assert self.other.RLock("held twice").acquire(timeout=PATIENCE)

        return check

    def _lock(self) -> Check:
        lock, theirs = self.m.Lock("wanted"), self.other.Lock("wanted")
        assert lock.acquire()

        def acquire() -> int:
            assert theirs.acquire()
            return int(theirs.fencing_token)

        call, token = self._waiting(acquire), lock.fencing_token

        def check() -> None:
            lock.release()
            assert call.outcome() > token

        return check

    def _permits(self) -> Check:
        permits, theirs = (each.BoundedSemaphore("permits", 1) for each in (self.m, self.other))
        assert permits.acquire()
        call = self._waiting(theirs.acquire)

        def check() -> None:
            permits.release()
            assert call.outcome()
            with pytest.raises(ValueError, match="too many times"):
                [permits.release() for _ in range(2)]

        return check

    def _condition(self) -> Check:
        mine, theirs = self.m.Condition(name="condition"), self.other.Condition(name="condition")

        def wait() -> bool:
            with theirs:
                return bool(theirs.wait(PATIENCE))

        call = self._waiting(wait)

        def check() -> None:
            with mine:
                mine.notify()
            assert call.outcome()

        return check

    def _event(self) -> Check:
        event, call = self.m.Event("event"), self._waiting(self.other.Event("event").wait)

        def check() -> None:
            assert not event.is_set()
            event.set()
            assert call.outcome()

        return check

    def _barrier(self) -> Check:
        barrier, theirs = (each.Barrier(2, name="barrier") for each in (self.m, self.other))
        call = self._waiting(theirs.wait)

        def check() -> None:
            assert {barrier.wait(PATIENCE), call.outcome()} == {0, 1}

        return check

    def _queues(self) -> Check:
        kinds = ("Queue", "LifoQueue", "PriorityQueue")
        queues = [getattr(self.m, kind)(name=f"of kind {kind}") for kind in kinds]
        calls = [
            self._waiting(getattr(self.other, kind)(name=f"of kind {kind}").get) for kind in kinds
        ]

        def check() -> None:
            for q, call in zip(queues, calls, strict=True):
                q.put(7)
                assert call.outcome() == 7
                assert q.empty()

        return check

    def _redelivery(self) -> Check:
        q = self.m.JoinableQueue(name="done", redeliver=True)
        q.put("a")
        theirs = self.other.JoinableQueue(name="done", redeliver=True)
        assert theirs.get() == "a"
        call = self._waiting(q.join)

        def check() -> None:
            assert call.is_alive()
            theirs.task_done()
            call.outcome()
            assert q.empty()

        return check

    def _hosted(self) -> Check:
        counter = self.m.Counter(name="counter")
        theirs = self.other.Counter(name="counter")
        assert counter.add() == 1
        caller = Caller(theirs.wait)
        caller.start()
        assert counter.await_waiter()

        def check() -> None:
            assert theirs.add() == 2
            counter.open()
            caller.join(PATIENCE)
            assert not caller.is_alive()
            assert caller.error is None

        return check

    def _pool(self, stack: ExitStack) -> Check:
        pool = stack.enter_context(self.other.Pool(1, context=fork))
        began, go_on = self.other.Queue("began"), self.other.Event("go on")
        runs = pool.apply_async(work.say_and_wait, (began, go_on, "x"))
        assert began.get(timeout=PATIENCE)
        waits = pool.apply_async(work.double, (1,))
        wait_until(lambda: pool.statistics().waiting == 1, PATIENCE)

        def check() -> None:
            go_on.set()
            assert runs.get(PATIENCE) == "x"
            assert waits.get(PATIENCE) == 2
            assert pool.map(work.double, range(5), 1) == list(range(0, 10, 2))

        return check

    def _holder_elsewhere(self) -> Check:
        """A process that was spawned holds a lock, and waits."""
        lock, event, q = self.m.Lock("elsewhere"), self.m.Event("over"), self.m.Queue("tells")
        child = spawn.Process(target=hold, args=(lock, event, q))
        child.start()
        assert q.get(timeout=PATIENCE) == "holds"

        def check() -> None:
            assert not lock.acquire(False)
            event.set()
            assert q.get(timeout=PATIENCE) == "held"
            assert lock.acquire(timeout=PATIENCE)
            child.join()
            assert child.exitcode == 0

        return check


def hold(lock: Any, event: Any, q: Any) -> None:
    with lock:
        token = lock.fencing_token
        q.put("holds")
        assert event.wait()
        assert lock.fencing_token == token
        q.put("held")


@pytest.mark.parametrize("fail_over", [plan, kill, stop])
def test_everything_goes_on(trio: Replication, fail_over: Callable[[Replication], Server]) -> None:
    """Whoever holds goes on holding, and whoever waits goes on waiting, as on one server."""
    with ExitStack() as stack:
        begun = Begun(stack, trio.url)
        old = trio.master
        # And the worker and the process that was spawned.
        wait_until(lambda: blocked(old) >= begun.waiters, PATIENCE)
        trio.await_replicas(old, 2)
        new = fail_over(trio)
        if fail_over is plan:  # the old one goes on taking what will be lost, until all have left
            wait_until(lambda: not blocked(old), PATIENCE)
            for manager in (begun.m, begun.other):
                manager.runtime.session.link.lookout.look()
        begun.check()
        nodes = {channel.node for channel in begun.m.runtime.session.link.open_channels()}
        assert nodes == {(new.host, new.port)}
        if fail_over is stop:  # it takes itself for the master still, and nobody is there any more
            old.resume()
            wait_until(lambda: not clients_of(old), PATIENCE)


def clients_of(server: Server) -> list[dict[str, str]]:
    """Programs that are connected. A Sentinel may have it close all connections just now."""
    while True:
        with suppress(OSError):
            return [each for each in server.clients() if each["name"] == "multihost"]


def blocked(server: Server) -> int:
    return sum("b" in each["flags"] for each in clients_of(server))


def test_a_planned_failover_that_loses_nothing(trio: Replication) -> None:
    """Valkey 9 hands its clients over."""
    with RedisManager(trio.url, timeout=PATIENCE) as m:
        v, done = m.Value("i", 0), m.Event("done")
        q = m.Queue("numbers")

        def add() -> int:
            count = 0
            while not done.is_set():
                v.add(1)
                q.put(count)
                count += 1
            return count

        call = Call(add)
        wait_until(lambda: v.value > 10, PATIENCE)
        old = trio.master
        try:
            trio.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE, "COORDINATED")
        except Exception as error:
            done.set()
            call.outcome()
            pytest.skip(f"this server has none: {error}")
        trio.await_other_master(old)
        before = v.value
        wait_until(lambda: v.value > before, PATIENCE)
        done.set()
        count = call.outcome()
        assert v.value == count
        assert q.get_many(count, timeout=PATIENCE) == list(range(count))
        assert q.empty()
