"""The private server of a manager is killed while everything is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from multihost import LinkError
from multihost.pool import Pool
from tests.chaos.killers import FORK, ProcessGroup
from tests.hosted.hosted_classes import Our
from tests.pool import work
from tests.support.procs import is_alive, kill9
from tests.support.waiting import PATIENCE, wait_until


def hammer(shared: Any) -> None:
    while True:
        shared.increment("n")


def begin_all(shared: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Calls that do not end by themselves."""
    return {
        "dict": lambda: hammer(shared["dict"]),
        "lock": shared["lock"].acquire,
        "queue": shared["queue"].get,
        "event": shared["event"].wait,
        "condition": lambda: wait_for(shared["condition"]),
        "barrier": shared["barrier"].wait,
        "hosted": lambda: shared["hosted"].wait("never"),
    }


def wait_for(condition: Any) -> None:
    with condition:
        condition.wait()


class Endings:
    """Threads with one call each, and how that ended."""

    def __init__(self, calls: dict[str, Callable[[], object]]) -> None:
        self.found: dict[str, BaseException | None] = {}
        self._threads = [
            threading.Thread(target=self._run, args=each, daemon=True) for each in calls.items()
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, name: str, call: Callable[[], object]) -> None:
        error: BaseException | None = None
        try:
            call()
        except BaseException as caught:
            error = caught
        self.found[name] = error

    def check(self) -> None:
        """All, and long before a lost server is given up."""
        for thread in self._threads:
            thread.join(PATIENCE)
        assert len(self.found) == len(self._threads)
        for name, error in self.found.items():
            assert isinstance(error, LinkError), (name, error)


def in_child(_: int, shared: dict[str, Any]) -> None:
    endings = Endings(begin_all(shared))
    while not endings.found:
        threading.Event().wait(0.05)
    endings.check()


def test_killed_private_server_ends_calls_pools_and_hosts() -> None:
    manager = Our(ctx=FORK, timeout=10 * PATIENCE, lease=10 * PATIENCE)
    manager.start()
    shared = {
        "dict": manager.dict(n=0),
        "lock": manager.Lock(),
        "queue": manager.Queue(),
        "event": manager.Event(),
        "condition": manager.Condition(),
        "barrier": manager.Barrier(20),
        "hosted": manager.Counter(),
    }
    shared["lock"].acquire()
    pool = Pool(2, manager=manager, context=FORK)
    pool.map(work.double, range(4), 1)
    host, server = manager._process.pid, manager.runtime.embedded.pid
    workers = [process.pid for process in pool._pool]
    with ProcessGroup(2, in_child, shared) as group:
        endings = Endings(
            {
                **begin_all(shared),
                "pool": lambda: pool.map(work.double, range(50_000), 1),
                "slow pool": lambda: pool.apply(shared["event"].wait),
            }
        )
        for _ in range(3):
            assert shared["hosted"].await_waiter()
        wait_until(lambda: shared["lock"].statistics().waiters == 3, PATIENCE)
        wait_until(lambda: shared["barrier"].n_waiting == 3, PATIENCE)
        kill9(server)
        endings.check()
        group.finish(PATIENCE)
        for use in (
            manager.dict,
            manager.Counter,
            shared["hosted"].add,
            shared["lock"].release,
            lambda: pool.apply(work.double, (1,)),
        ):
            with pytest.raises(LinkError):
                use()
        pool.terminate()
        pool.join()
        manager.shutdown()
    wait_until(lambda: not any(map(is_alive, [host, server, *workers])), PATIENCE)
    with pytest.raises(LinkError, match="shut down"):
        shared["dict"].copy()
