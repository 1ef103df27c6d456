"""Conditions and events of pools: who no longer waits leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost.pooling.interruptible import InterruptibleCondition, InterruptibleEvent
from tests.support.interrupts import interrupt as interrupt_at
from tests.support.waiting import wait_until


@pytest.fixture
def interrupt() -> Iterator[Callable[[Any], None]]:
    """A function after which the main thread is interrupted as soon as it waits."""
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    threads = []

    def start(waited_for: Any) -> None:
        def send() -> None:
            wait_until(lambda: waited_for._waiters)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

        threads.append(threading.Thread(target=send))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


def test_an_event_forgets_those_whose_time_is_up() -> None:
    event = InterruptibleEvent()
    for _ in range(100):
        assert not event.wait(0)
    assert not event._waiters
    event.set()
    for _ in range(100):
        assert event.wait(0)
    assert not event._waiters


def test_an_event_forgets_who_was_interrupted(interrupt: Callable[[Any], None]) -> None:
    event = InterruptibleEvent()
    with pytest.raises(KeyboardInterrupt):
        interrupt(event)
        event.wait()
    assert not event._waiters


class Lock:
    """Notes that somebody waits for it."""

    is_waited_for = False

    def acquire(self, *_: object) -> bool:
        self.is_waited_for = True
        return False


@pytest.mark.parametrize("kind", [InterruptibleCondition, InterruptibleEvent])
def test_an_interruption_before_the_wait_leaves_nothing(kind: type[Any]) -> None:
    """At any bytecode."""
    for at in itertools.count(1):
        waited_for, lock = kind(), Lock()
        waited_for._waiters.place = lambda lock=lock: lock
        with waited_for if kind is InterruptibleCondition else contextlib.nullcontext():
            outcome = interrupt_at(lambda waited_for=waited_for: waited_for.wait(0), at)
            if lock.is_waited_for:
                break
        assert not waited_for._waiters, outcome.place
        assert kind is InterruptibleEvent or not waited_for._is_owned(), outcome.place
    assert at > 10


def test_a_notification_is_not_for_who_was_interrupted(interrupt: Callable[[Any], None]) -> None:
    condition = InterruptibleCondition()
    with condition, pytest.raises(KeyboardInterrupt):
        interrupt(condition)
        condition.wait()
    woken: list[Any] = []
    waiting = threading.Event()

    def wait() -> None:
        with condition:
            waiting.set()
            woken.append(condition.wait(30))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    with condition:  # which it has released: it waits
        condition.notify()
    thread.join()
    assert woken == [True]
