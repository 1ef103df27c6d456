"""A signal handler raises at any bytecode while a manager is opened, or closed.

No connection, descriptor or thread stays, and the next manager is as any.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading

import pytest

from multihost import RedisManager
from multihost.managers import LockProxy
from tests.interrupts.steps import ALL, SECONDS, WIDE_STEP
from tests.support.interrupts import Outcome, every_bytecode, interrupt
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def use(manager: RedisManager) -> LockProxy:
    """Have it hold something: there is a background thread."""
    lock = manager.Lock()
    lock.acquire()
    lock.release()
    return lock


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.parametrize("call", ["open", "use", "close"])
def test_manager(call: str, server: AnyServer) -> None:
    with RedisManager(server.url) as manager:
        use(manager)
    gc.collect()
    before, threads = descriptors(), threading.active_count()

    def nothing_is_left() -> bool:
        gc.collect()
        return descriptors() == before and threading.active_count() == threads

    def act(at: int) -> Outcome:
        if call == "open":
            outcome = interrupt(lambda: RedisManager(server.url), at)
            if outcome.has_returned:
                outcome.result.shutdown()
                outcome = outcome._replace(result=None)
        else:
            manager = RedisManager(server.url)
            if call == "use":
                outcome = interrupt(lambda: use(manager), at)
            else:
                use(manager)
                outcome = interrupt(manager.shutdown, at)
            manager.shutdown()
            del manager
        wait_until(nothing_is_left, SECONDS, f"{outcome}: {descriptors()} of {before} descriptors")
        return outcome

    act(0)
    count = sum(1 for _ in every_bytecode(WIDE_STEP if ALL else 5 * WIDE_STEP, act))
    print(f"{count} bytecodes")
    with RedisManager(server.url) as manager:
        use(manager)


def test_what_an_interrupted_close_leaves_expires(server: AnyServer) -> None:
    """Also where it had not come to the server yet, as in its first bytecodes."""

    def act(at: int) -> Outcome:
        manager = RedisManager(server.url)
        data = use(manager)._handle.keys.data.decode()
        outcome = interrupt(manager.shutdown, at)
        manager.shutdown()  # does nothing if that has begun
        for key in server.keys(f"{data}*"):
            assert server.command("PTTL", key) != -1, (outcome, key)
            server.command("DEL", key)
        return outcome

    outcomes = every_bytecode(1 if ALL else 10, act)
    assert all(outcome.place for outcome in itertools.islice(outcomes, 150 if ALL else 15))
