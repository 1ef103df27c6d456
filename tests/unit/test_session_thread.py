"""What the thread that keeps a session alive meets must not end it without a word."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest

from multihost import ManagerClosed, RedisManager
from tests.support.waiting import wait_until


@pytest.fixture
def manager(url):
    with RedisManager(url, lease=1) as manager:
        manager.Lock().acquire()
        yield manager


@pytest.fixture
def session(manager):
    return manager.runtime.session


def fail():
    raise RuntimeError("not expected")


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
    assert "failed, at" in caplog.text
    expirations = session.registration.expirations
    beat = session.registration.valid_until
    wait_until(lambda: session.registration.valid_until > beat)
    assert session.registration.expirations == expirations


class Broken:
    """The pipe of a program that has closed all its files, to run in the background."""

    def wait(self, *_):
        raise OSError("bad file descriptor")

    def wake(self):
        pass

    def close(self):
        pass


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
    pipe, heartbeat._wakeup = heartbeat._wakeup, Broken()
    pipe.wake()
    waiting.join(10)
    pipe.close()
    assert outcome
    with pytest.raises(ManagerClosed):
        session.ensure_registered(session.handle("u:other").keys)
    assert "ends" in caplog.text
