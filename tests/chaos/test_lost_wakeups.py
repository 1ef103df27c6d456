"""What was meant for a process that was killed in the same moment.

A server that stands still for a moment finds both when it goes on: that it is a waiter's turn, and
that the waiter has gone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any, NamedTuple

import pytest

from multihost import RedisManager
from tests.chaos.cpu_steal import Gap, Watch, check_prompt
from tests.chaos.history import EventLog, seconds
from tests.chaos.invariants import blocked, nothing_left
from tests.chaos.killers import ProcessGroup, StopSignal
from tests.chaos.sizes import LONG_LEASE, sample
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

BOUND = 2.0
TIMES = sample(3, 2)


def hold(number: int, lock: Any, url: str) -> None:
    with EventLog(url, "stray") as log, lock:
        log.append("came")


def try_again_and_again(number: int, lock: Any, stop: StopSignal) -> None:
    while not stop.wait(0.03):
        if lock.acquire(blocking=False):
            lock.release()


def be_notified(number: int, condition: Any, url: str) -> None:
    with EventLog(url, "stray") as log, condition:
        assert condition.wait()
        log.append("came")


def see(number: int, event: Any, url: str) -> None:
    with EventLog(url, "stray") as log:
        assert event.wait()
        log.append("came")


def meet(number: int, barrier: Any, url: str) -> None:
    with EventLog(url, "stray") as log:
        with contextlib.suppress(BrokenBarrierError):
            barrier.wait()
        log.append("came")


class Turn(NamedTuple):
    """How a waiter gets its turn: what goes before the waits, and before the one call, that call,
    and what follows.
    """

    before: Callable[[], object]
    prepare: Callable[[], object]
    give: Callable[[], object]
    follow: Callable[[], object] = bool


class Giver:
    """A thread that gives a turn, step by step."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for step in self._turn:
            assert self._go.acquire(timeout=PATIENCE)
            step()
            self._done.release()

    def begin(self) -> None:
        self._go.release()

    def step(self) -> None:
        self.begin()
        self.end()

    def end(self) -> None:
        assert self._done.acquire(timeout=PATIENCE)


def registered(barrier: Any) -> None:
    """Have the arrival be all that is sent: a party that dies before it is there breaks the
    barrier.
    """
    barrier.statistics()
    barrier._handle.session.ensure_registered(barrier._handle.keys)


def released(lock: Any) -> Turn:
    return Turn(lock.acquire, lock.locked, lock.release)


Case = tuple[Callable[[RedisManager], Any], Callable[..., None], Callable[[Any], Turn]]

CASES: dict[str, Case] = {
    "Lock": (lambda m: m.Lock(), hold, released),
    "RLock": (lambda m: m.RLock(), hold, released),
    "Semaphore": (lambda m: m.Semaphore(1), hold, released),
    "BoundedSemaphore": (lambda m: m.BoundedSemaphore(1), hold, released),
    "Condition": (
        lambda m: m.Condition(),
        be_notified,
        lambda c: Turn(c.locked, c.acquire, c.notify, c.release),
    ),
    "Event": (lambda m: m.Event(), see, lambda e: Turn(e.is_set, e.is_set, e.set, e.clear)),
    "Barrier": (
        lambda m: m.Barrier(3),
        meet,
        lambda b: Turn(b.reset, lambda: registered(b), b.wait),
    ),
}


def given_to_the_dead(server: Server, case: Case, polled: bool) -> list[Gap]:
    """Of two waiters the first one is killed as it gets its turn: how long until the other came,
    each time.
    """
    make, wait, turn = case
    gaps = []
    stop = StopSignal()
    with RedisManager(server.url, lease=LONG_LEASE) as m, EventLog(server.url, "stray") as log:
        shared = make(m)
        args = wait, shared, server.url
        for _ in range(TIMES):
            giver = Giver(turn(shared))
            giver.step()
            with ProcessGroup(1, *args) as first:
                wait_until(lambda: blocked(server) == 1, PATIENCE)
                with ProcessGroup(1, *args) as second:
                    wait_until(lambda: blocked(server) == 2, PATIENCE)
                    with ProcessGroup(int(polled), try_again_and_again, shared, stop):
                        stop.wait(0.1 * polled)
                        giver.step()
                        watch = Watch(server.pid, second.pids)
                        begin = log.append("begin")
                        server.pause()
                        giver.begin()
                        stop.wait(0.3)  # until it is sent
                        first.kill([0])
                        server.resume()
                        giver.end()
                        giver.step()
                        came = log.wait(begin, PATIENCE)
                        assert came, f"nobody came within {PATIENCE} s"
                        took = came[0].at - seconds(begin)
                        gaps.append(Gap(took, watch.withheld(second.pids)))
                    second.finish()
    stop.close()
    nothing_left(server)
    return gaps


@pytest.mark.parametrize("kind", CASES)
def test_the_next_one_gets_what_was_meant_for_the_dead(kind: str, fresh_server: Server) -> None:
    check_prompt(given_to_the_dead(fresh_server, CASES[kind], False), BOUND)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_and_although_others_try_all_the_time(kind: str, fresh_server: Server) -> None:
    check_prompt(given_to_the_dead(fresh_server, CASES[kind], True), BOUND)
