"""Hosted objects at a server that goes back: it was restarted from what it had saved before."""

from __future__ import annotations

import multiprocessing
import signal

import pytest

from multihost import HostLost, MultihostError, ObjectGone
from tests.hosted.callers import Caller
from tests.hosted.hosted_classes import Our, Remote
from tests.support.procs import send_signal
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")

pytestmark = pytest.mark.leaks_ok("the server was killed with its connections")


@pytest.fixture
def server(going_back):
    return going_back


@pytest.fixture
def manager(server):
    with Our(server.url, ctx=fork, timeout=PATIENCE) as manager:
        yield manager


@pytest.fixture
def client(server):
    with Remote(server.url, timeout=PATIENCE) as client:
        yield client


def outcome_of(call):
    """Return the result of a call, or the error that it raises."""
    try:
        return call()
    except MultihostError as error:
        return error


def test_calls_go_on_and_run_once(server, manager, client):
    """Their numbers are those of the two ends, which have forgotten nothing."""
    counter = manager.Counter(name="counter")
    theirs = client.Counter(name="counter")
    assert counter.add() == 1
    assert theirs.add() == 2
    server.command("SAVE")
    for number in (3, 4, 5):
        assert theirs.add() == number
    server.go_back()
    assert theirs.add() == 6
    assert counter.add() == 7


def test_a_call_that_is_under_way(server, manager, client):
    """It ends when the object says so, and comes back once."""
    counter = client.Counter(name="counter")
    assert counter.add() == 1
    server.command("SAVE")
    caller = Caller(counter.wait)
    caller.start()
    assert counter.await_waiter()
    server.go_back()
    assert counter.add() == 2
    counter.open()
    caller.join(PATIENCE)
    assert not caller.is_alive()
    assert caller.error is None


def test_a_request_that_comes_again_does_not_run_again(server, manager, client):
    """It was executed, and the thread that called has ended: its channel is closed."""
    counter = manager.Counter(name="counter")
    assert counter.add() == 1
    theirs = client.Counter(name="counter")
    assert theirs.add() == 2
    calls = []
    caller = Caller(lambda: calls.append(theirs.add()))
    host = manager._process.pid

    assert send_signal(host, signal.SIGSTOP)
    try:
        caller.start()
        [key] = wait_until(lambda: server.keys("*:req:*"), PATIENCE)
        server.command("SAVE")
    finally:
        send_signal(host, signal.SIGCONT)
    caller.join(PATIENCE)
    assert calls == [3]
    start, _, channel = key.rpartition(b":req:")

    def is_closed():
        return not server.command("SISMEMBER", start + b":channels", channel)

    wait_until(is_closed, PATIENCE)
    server.go_back()
    assert counter.add() == 4
    assert theirs.add() == 5
    wait_until(is_closed, PATIENCE)
    assert counter.add() == 6


def test_an_object_that_was_forgotten(server, manager, client):
    """Whoever has a proxy is told; the host serves others, and new ones."""
    known = manager.Counter(name="known")
    assert known.add() == 1
    server.command("SAVE")
    forgotten = manager.Counter(name="forgotten")
    assert forgotten.add() == 1
    server.go_back()
    assert known.add() == 2
    assert client.Counter(name="known").add() == 3
    outcome = outcome_of(forgotten.add)
    assert outcome == 2 or isinstance(outcome, (HostLost, ObjectGone)), outcome
    assert client.Counter(name="forgotten").add() >= 1


def test_a_host_that_was_forgotten(server, client):
    """It registers anew, and goes on with its objects or tells that they are gone."""
    server.command("SAVE")
    with Our(server.url, ctx=fork, timeout=PATIENCE) as manager:
        counter = manager.Counter()
        assert counter.add() == 1
        server.go_back()
        outcome = outcome_of(counter.add)
        assert outcome == 2 or isinstance(outcome, (HostLost, ObjectGone)), outcome
        again = manager.Counter()
        assert again.add() == 1
