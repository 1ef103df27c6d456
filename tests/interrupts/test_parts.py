"""Every bytecode of small parts, in each run of the tests."""

from __future__ import annotations

import threading
from typing import Any

from multihost import RedisManager
from multihost.wire.link import bounded
from tests.interrupts.steps import SECONDS
from tests.support.interrupts import Outcome, every_bytecode, interrupt
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until


class Link:
    """What a time limit needs of a link."""

    timeout = 10.0
    patience: tuple[float | None, float] = (None, 1.0)

    def set_patience(self, until: float | None, attempt: float) -> None:
        self.patience = until, attempt

    def current_channel(self) -> None:
        """It is not open."""


def test_a_time_limit_ends_with_its_call() -> None:
    def limited(link: Any) -> None:
        with bounded(link, True, 5.0):
            pass

    def act(at: int) -> Outcome:
        link = Link()
        outcome = interrupt(lambda: limited(link), at)
        assert link.patience == Link.patience, outcome
        return outcome

    assert len(list(every_bytecode(1, act))) > 50


def test_the_background_thread_is_started_once(server: AnyServer) -> None:
    before = threading.active_count()

    def act(at: int) -> Outcome:
        with RedisManager(server.url) as manager:
            heartbeat = manager.runtime.session.heartbeat
            outcome = interrupt(heartbeat.start, at)
            heartbeat.start()
            lock = manager.Lock()
            with lock:  # it does what it is there for
                assert lock.locked()
            wait_until(lambda: threading.active_count() == before + 1, SECONDS, str(outcome))
        return outcome

    assert len(list(every_bytecode(1, act))) > 50
