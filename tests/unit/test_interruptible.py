"""Conditions and events of pools: who no longer waits leaves nothing behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost.pooling.interruptible import InterruptibleCondition, InterruptibleEvent


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """A function after which the main thread is interrupted, a moment later."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.05) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_event_forgets_those_whose_time_is_up() -> None:
    event = InterruptibleEvent()
    for _ in range(100):
        assert not event.wait(0)
    assert not event._waiters
    event.set()
    for _ in range(100):
        assert event.wait(0)
    assert not event._waiters


def test_an_event_forgets_who_was_interrupted(interrupt: Callable[[], None]) -> None:
    event = InterruptibleEvent()
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        event.wait()
    assert not event._waiters


def test_a_notification_is_not_for_who_was_interrupted(interrupt: Callable[[], None]) -> None:
    condition = InterruptibleCondition()
    with condition:
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            condition.wait()
    woken: list[Any] = []
    waiting = threading.Event()

    def wait() -> None:
        with condition:
            waiting.set()
            woken.append(condition.wait(10))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    with condition:  # which it has released: it waits
        condition.notify()
    thread.join()
    assert woken == [True]
