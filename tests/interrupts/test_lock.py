"""A signal handler raises at any bytecode of a call of a lock or a semaphore.

Behind it the lock is free, or held by who believes so, and can release it; the permits are all
there; nobody waits who has gone.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from multihost import RedisManager
from tests.interrupts.steps import ALL, SECONDS, explore, until_blocked
from tests.support.interrupts import Outcome
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]
if not ALL:
    KINDS = ["Lock", "Semaphore"]
LAST = 100  # bytecodes by which an element that was taken gets to the caller
LIMITS = {"": {}, ", for a time": {"timeout": SECONDS}, ", or not": {"blocking": False}}


class Shared:
    """A lock, or a semaphore with one permit, as both processes have it."""

    def __init__(self, kind: str, mine: RedisManager, theirs: RedisManager) -> None:
        self._make = lambda name: (getattr(mine, kind)(name), getattr(theirs, kind)(name))
        self._count = 0
        self.renew()

    def renew(self) -> None:
        """Forget the object for another one."""
        self._count += 1
        self.mine: Any
        self.theirs: Any
        self.mine, self.theirs = self._make(f"shared {self._count}")

    def is_free(self) -> bool:
        """Whether nobody holds it, nor waits for it."""
        state = self.theirs.statistics()
        if isinstance(state.waiters, int) and state.waiters:
            return False
        if hasattr(state, "permits"):
            return state.permits == 1 and not state.holders
        return state.holder is None

    def is_mine(self) -> bool:
        """Whether the interrupted process believes that it holds it."""
        try:
            return self.mine.fencing_token > 0
        except RuntimeError:
            return False

    def must_be_free(self) -> None:
        """Each process can acquire it, and release it again."""
        for each in (self.theirs, self.mine):
            assert each.acquire(timeout=SECONDS), "held by nobody who knows"
            each.release()
        wait_until(self.is_free, SECONDS, f"{self.theirs.statistics()} should be free")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", KINDS)
def test_acquire(kind: str, limit: str, mine: RedisManager, theirs: RedisManager) -> None:
    shared = Shared(kind, mine, theirs)

    def after(outcome: Outcome) -> None:
        if outcome.has_returned:
            assert outcome.result is True
            shared.mine.release()
        shared.must_be_free()

    explore(mine, lambda: shared.mine.acquire(**LIMITS[limit]), after, shared.renew, last=LAST)


@pytest.mark.parametrize("kind", KINDS)
def test_acquire_when_disconnected(kind: str, mine: RedisManager, theirs: RedisManager) -> None:
    shared = Shared(kind, mine, theirs)

    def after(outcome: Outcome) -> None:
        if outcome.has_returned:
            assert outcome.result is True
            shared.mine.release()
        shared.must_be_free()
        mine.runtime.session.link.disconnect_current()

    mine.runtime.session.link.disconnect_current()
    explore(mine, lambda: shared.mine.acquire(), after, shared.renew)


@pytest.mark.parametrize("limit", ["", ", for a time"])
@pytest.mark.parametrize("kind", KINDS)
def test_acquire_what_another_process_holds(
    kind: str, limit: str, server: AnyServer, mine: RedisManager, theirs: RedisManager
) -> None:
    shared = Shared(kind, mine, theirs)

    held, is_blocked = threading.Event(), until_blocked(server)

    def hold(ended: threading.Event) -> None:
        """Until the call waits, or has ended."""
        shared.theirs.acquire()
        held.set()
        is_blocked(ended)
        shared.theirs.release()

    def after(outcome: Outcome) -> None:
        held.clear()
        if outcome.has_returned:
            assert outcome.result is True
            shared.mine.release()
        shared.must_be_free()

    explore(
        mine,
        lambda: held.wait() and shared.mine.acquire(**LIMITS[limit]),
        after,
        shared.renew,
        meanwhile=hold,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_acquire_in_vain(kind: str, mine: RedisManager, theirs: RedisManager) -> None:
    shared = Shared(kind, mine, theirs)
    shared.theirs.acquire()

    def after(outcome: Outcome) -> None:
        if outcome.has_returned:
            assert outcome.result is False
        shared.theirs.release()
        shared.must_be_free()
        shared.theirs.acquire()

    explore(mine, lambda: shared.mine.acquire(timeout=0.01), after, shared.renew)
    shared.theirs.release()


@pytest.mark.parametrize("kind", KINDS)
def test_release(kind: str, mine: RedisManager, theirs: RedisManager) -> None:
    shared = Shared(kind, mine, theirs)
    shared.mine.acquire()

    def after(outcome: Outcome) -> None:
        if not outcome.has_returned and shared.is_mine():
            shared.mine.release()
        shared.must_be_free()
        shared.mine.acquire()

    explore(mine, lambda: shared.mine.release(), after, shared.renew)
    shared.mine.release()
