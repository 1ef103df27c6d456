"""A signal handler raises at any bytecode of a call of a condition, an event or a barrier.

Behind it nobody waits who has gone: a notification reaches who is there, a barrier lets those pass
who come, or is broken for all.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

import pytest

from multihost import RedisManager
from tests.interrupts.steps import ALL, SECONDS, explore, until_blocked
from tests.support.interrupts import Outcome
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class Shared:
    """One object as both processes have it."""

    def __init__(
        self, make: Callable[[RedisManager, str], Any], mine: RedisManager, theirs: RedisManager
    ) -> None:
        self._make = lambda name: [make(each, name) for each in (mine, theirs)]
        self._numbers = itertools.count()
        self.renew()

    def renew(self) -> None:
        """Forget the object for another one."""
        self.mine: Any
        self.theirs: Any
        self.mine, self.theirs = self._make(f"shared {next(self._numbers)}")


class Condition(Shared):
    """A condition, of which both processes wait."""

    def is_mine(self) -> bool:
        """Whether the interrupted process believes that it holds the lock."""
        try:
            return bool(self.mine.fencing_token)
        except RuntimeError:
            return False

    def let_go(self) -> None:
        """What the end of a ``with`` does, after an exception, too."""
        if self.is_mine():
            self.mine.release()

    def their_wait(self) -> tuple[threading.Thread, threading.Event]:
        """Have the other process wait for a notification; the event says that it got one."""
        woken, waits = threading.Event(), threading.Event()

        def wait() -> None:
            with self.theirs:
                waits.set()
                if self.theirs.wait(SECONDS):
                    woken.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(SECONDS), "nobody who knows holds the lock"
        return thread, woken

    def notifications_must_arrive(self) -> None:
        """Nobody waits who has gone: one notification wakes who waits."""
        wait_until(lambda: not self.theirs.statistics().waiters, SECONDS, "nobody waits")
        thread, woken = self.their_wait()
        with self.mine:
            self.mine.notify()
        assert woken.wait(SECONDS), "a notification was lost"
        thread.join()


LOCKS: dict[str, Callable[[RedisManager, str], Any]] = {
    "of its own": lambda manager, name: manager.Condition(name),
    "a Lock": lambda manager, name: manager.Condition(name, manager.Lock(f"{name} lock")),
}
LIMITS = {"": (), ", for a time": (SECONDS,)}
if not ALL:
    del LOCKS["a Lock"], LIMITS[", for a time"]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("lock", LOCKS)
def test_condition_wait(
    lock: str, limit: str, server: AnyServer, mine: RedisManager, theirs: RedisManager
) -> None:
    """It is notified. What it did not return, for it was interrupted, goes to the next waiter."""
    shared = Condition(LOCKS[lock], mine, theirs)
    is_blocked = until_blocked(server)
    others: list[tuple[threading.Thread, threading.Event]] = []

    def before() -> None:
        shared.mine.acquire()

    def notify(ended: threading.Event) -> None:
        """Once the call waits, or has ended; another waiter came behind it."""
        if is_blocked(ended):
            others.append(shared.their_wait())
            with shared.theirs:
                shared.theirs.notify()

    def after(outcome: Outcome) -> None:
        for thread, woken in others:
            if outcome.has_returned:
                assert outcome.result is True
                with shared.mine:
                    shared.mine.notify()
            assert woken.wait(SECONDS), "a notification was lost"
            thread.join()
        others.clear()
        shared.notifications_must_arrive()

    explore(
        mine,
        lambda: shared.mine.wait(*LIMITS[limit]),
        after,
        shared.renew,
        before=before,
        meanwhile=notify,
        at_once=lambda: shared.let_go(),
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_condition_wait_in_vain(lock: str, mine: RedisManager, theirs: RedisManager) -> None:
    shared = Condition(LOCKS[lock], mine, theirs)

    def after(outcome: Outcome) -> None:
        assert not outcome.result
        shared.let_go()
        shared.notifications_must_arrive()

    explore(
        mine,
        lambda: shared.mine.wait(0.01),
        after,
        shared.renew,
        before=lambda: shared.mine.acquire(),
    )


def test_condition_notify(mine: RedisManager, theirs: RedisManager) -> None:
    shared = Condition(LOCKS["of its own"], mine, theirs)
    others: list[tuple[threading.Thread, threading.Event]] = []

    def before() -> None:
        others.append(shared.their_wait())
        shared.mine.acquire()

    def after(outcome: Outcome) -> None:
        [(thread, woken)] = others
        others.clear()
        if not outcome.has_returned:
            shared.mine.notify()
        shared.mine.release()
        assert woken.wait(SECONDS), "a notification was lost"
        thread.join()

    explore(mine, lambda: shared.mine.notify(), after, shared.renew, before=before)


@pytest.mark.parametrize("limit", LIMITS)
def test_event_wait(
    limit: str, server: AnyServer, mine: RedisManager, theirs: RedisManager
) -> None:
    shared = Shared(lambda manager, name: manager.Event(name), mine, theirs)
    is_blocked = until_blocked(server)

    def put(ended: threading.Event) -> None:
        is_blocked(ended)
        shared.theirs.set()

    def after(outcome: Outcome) -> None:
        assert outcome.result in (None, True)
        assert shared.mine.wait(SECONDS)
        shared.theirs.clear()
        assert not shared.mine.wait(0)

    explore(mine, lambda: shared.mine.wait(*LIMITS[limit]), after, shared.renew, meanwhile=put)


def test_event_set_and_clear(mine: RedisManager, theirs: RedisManager) -> None:
    shared = Shared(lambda manager, name: manager.Event(name), mine, theirs)

    def after(outcome: Outcome) -> None:
        assert not (outcome.has_returned and shared.theirs.is_set())
        shared.mine.set()
        assert shared.theirs.wait(SECONDS)
        shared.mine.clear()
        assert not shared.theirs.is_set()

    explore(mine, lambda: (shared.mine.set(), shared.mine.clear()), after, shared.renew)


def _act() -> None:
    """The action of a barrier."""


BARRIERS: dict[str, Callable[[RedisManager, str], Any]] = {
    "first": lambda manager, name: manager.Barrier(name, 2),
    "first, for a time": lambda manager, name: manager.Barrier(name, 2, timeout=SECONDS),
    "first, with an action": lambda manager, name: manager.Barrier(name, 2, _act),
    "last": lambda manager, name: manager.Barrier(name, 2),
    "last, with an action": lambda manager, name: manager.Barrier(name, 2, _act),
}


if not ALL:
    del BARRIERS["first, for a time"], BARRIERS["first, with an action"]


@pytest.mark.parametrize("scene", BARRIERS)
def test_barrier_wait(
    scene: str, server: AnyServer, mine: RedisManager, theirs: RedisManager
) -> None:
    """The other party passes with it, or hears that the barrier is broken."""
    shared = Shared(BARRIERS[scene], mine, theirs)
    is_blocked = until_blocked(server)
    others: list[threading.Thread] = []
    passed: list[int] = []

    def party() -> None:
        with contextlib.suppress(BrokenBarrierError):
            passed.append(shared.theirs.wait())

    def come() -> None:
        others.append(threading.Thread(target=party))
        others[-1].start()

    def before() -> None:
        if scene.startswith("last"):
            come()
            is_blocked(threading.Event())

    def meanwhile(ended: threading.Event) -> None:
        if is_blocked(ended):
            come()

    def after(outcome: Outcome) -> None:
        if outcome.has_returned:
            join(others, "the other party did not pass")
            assert passed == [1 - outcome.result]
        deadline = time.monotonic() + SECONDS
        while others and others[0].is_alive() and time.monotonic() < deadline:
            if shared.mine.n_waiting:  # it is alone there, and may not have heard of anything
                with contextlib.suppress(BrokenBarrierError):
                    shared.mine.wait(SECONDS)
            others[0].join(0.005)
        join(others, "the other party waits for ever")
        others.clear()
        passed.clear()
        shared.mine.reset()
        # Nobody is counted who has gone.
        assert shared.theirs.n_waiting == 0
        come()
        assert shared.mine.wait(SECONDS) in (0, 1)
        join(others, "the other party did not pass")
        assert len(passed) == 1
        others.clear()
        passed.clear()

    explore(
        mine,
        lambda: shared.mine.wait(),
        after,
        shared.renew,
        before=before,
        meanwhile=meanwhile if scene.startswith("first") else None,
    )


def join(threads: list[threading.Thread], what: str) -> None:
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), what
