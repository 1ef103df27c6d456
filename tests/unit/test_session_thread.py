"""What the thread that keeps a session alive meets must not end it without a word."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest

from multihost import ManagerClosed, RedisManager
from tests.support.sessions import expirations, valid_until
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def manager(url):
    with RedisManager(url) as manager:
        with manager.Lock():
            pass  # the session is registered, and has its thread
        yield manager


@pytest.fixture
def session(manager):
    return manager.runtime.session


def fail():
    raise RuntimeError("not expected")


def beats(session):
    """Return whether the thread sends a heartbeat, which is due now."""
    beat = valid_until(session)
    for schedule in session.heartbeat._schedules.values():
        schedule.beat = 0.0
    session.heartbeat.wake()
    return wait_until(lambda: valid_until(session) > beat)


@pytest.mark.parametrize("action", [sys.exit, fail])
def test_it_goes_on_after_an_action_that_raises(session, action, caplog):
    calls, janitor = [], session.janitor

    def count():
        calls.append(time.monotonic())
        return True

    with caplog.at_level(logging.ERROR, "multihost"):
        session.heartbeat.call_soon(action)
        janitor.defer(action)
        janitor.defer(lambda: calls.append("deferred"))
        janitor.call_every(0.01, action)
        janitor.call_every(0.01, count)
        wait_until(lambda: len(calls) > 2 and "deferred" in calls)
        wait_until(lambda: "failed, at" in caplog.text)
    before = expirations(session)
    assert beats(session)
    assert expirations(session) == before


class Waiting(logging.Handler):
    """A handler that waits until the test lets it go, as one that puts into a full queue."""

    def __init__(self):
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def emit(self, _):
        self.entered.set()
        self.go_on.wait()


@pytest.mark.parametrize("way", ["call_soon", "defer", "call_every"])
def test_it_waits_for_no_handler_of_a_log(session, way):
    ways = {
        "call_soon": session.heartbeat.call_soon,
        "defer": session.janitor.defer,
        "call_every": lambda action: session.janitor.call_every(0.01, action),
    }
    handler, logger = Waiting(), logging.getLogger("multihost.wire.session")
    logger.addHandler(handler)
    try:
        ways[way](fail)
        session.heartbeat.wake()
        assert handler.entered.wait(PATIENCE)
        assert beats(session)
    finally:
        handler.go_on.set()
        logger.removeHandler(handler)


class Broken:
    """The pipe of a program that has closed all its files, to run in the background."""

    def wait(self, *_):
        raise OSError("bad file descriptor")

    def wake(self):
        pass

    def close(self):
        pass


def _in_another_partition(session):
    """Return keys of an object where the session is not registered yet."""
    several = (session.handle(f"u:{number}").keys for number in range(10_000))
    return next(each for each in several if each.prefix not in session.registration.session_keys)


def test_whoever_waits_hears_of_its_end(manager, session, caplog):
    outcome, heartbeat, queue = [], session.heartbeat, manager.Queue()

    def wait():
        try:
            queue.get()
        except ManagerClosed as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: session.link._blocked)
    pipe, heartbeat._wakeup, thread = heartbeat._wakeup, Broken(), heartbeat._thread
    pipe.wake()
    waiting.join(PATIENCE)
    thread.join(PATIENCE)  # whoever waits hears of it before all is closed
    pipe.close()
    assert outcome
    with pytest.raises(ManagerClosed):
        session.ensure_registered(_in_another_partition(session))
    wait_until(lambda: "ends" in caplog.text)
