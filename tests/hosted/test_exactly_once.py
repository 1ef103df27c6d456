"""A call is executed once and its reply arrives, wherever a connection breaks."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading

import pytest

from multihost import HostLost, ObjectGone, RedisManager
from multihost.wire.rpc import frames, objects
from tests.hosted.callers import Caller
from tests.hosted.hosted_classes import Our, Remote
from tests.support.sessions import connections
from tests.support.waiting import PATIENCE

fork = multiprocessing.get_context("fork")
CALLS = 3
KEY = b"a key of the tests, of 32 bytes."


def sent_by(side, command):
    """Return whether one end of a channel sent this command."""
    own, other = (b":req:", b":res:") if side == "client" else (b":res:", b":req:")
    where = own if command in (b"LPUSH", b"PEXPIRE") else other
    return lambda args: args[0].upper() == command and where in args[1]


@pytest.fixture(params=["quick", "slow"])
def pace(request, monkeypatch):
    """Replies cannot be skipped where the timeout is short beside the time for which one blocks."""
    if request.param == "slow":
        monkeypatch.setattr(frames, "BLOCK_GRACE", 1000.0)


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("side", ["client", "host"])
@pytest.mark.parametrize("how", [{}, {"authkey": KEY}], ids=["", "signed"])
def test_cut_connections(side, how, url, proxy):
    ours, theirs = (proxy.url, url) if side == "host" else (url, proxy.url)
    with Our(ours, ctx=fork, **how) as manager, Remote(theirs, **how) as client:
        counter = client.Counter()
        expected = counter.add()
        for fault in ("cut_before_request", "cut_after_reply", "cut_mid_reply"):
            for command in (b"LPUSH", b"PEXPIRE", b"BLPOP"):
                rule = getattr(proxy, fault)(sent_by(side, command))
                for _ in range(CALLS):
                    expected += 1
                    assert counter.add() == expected, (fault, command)
                # What is not answered has no reply to be lost.
                if fault == "cut_before_request" or command == b"BLPOP":
                    # The proxy may be slower than who connects again.
                    assert rule.done.wait(PATIENCE)
                rule.disarm()
        assert manager._process.is_alive()


@pytest.mark.usefixtures("pace")
@pytest.mark.parametrize("command", [b"LPUSH", b"PEXPIRE", b"BLPOP"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("side", ["client", "host"])
def test_a_signed_channel_is_opened_once(side, nth, command, url, proxy):
    """The opening and its greeting are cut, and the first call behind them."""
    ours, theirs = (proxy.url, url) if side == "host" else (url, proxy.url)
    with Our(ours, ctx=fork, authkey=KEY) as manager:
        for fault in ("cut_before_request", "cut_after_reply", "cut_mid_reply"):
            with Remote(theirs, authkey=KEY) as client:  # with channels of its own
                rule = getattr(proxy, fault)(sent_by(side, command), nth=nth)
                counter = client.Counter()
                assert [counter.add() for _ in range(CALLS)] == [1, 2, 3], fault
                rule.disarm()
        assert manager._process.is_alive()


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_reply", "cut_mid_reply"])
def test_named_object_is_created_once(fault, proxy):
    with RedisManager(proxy.url) as manager:
        handle = manager.runtime.session.handle("n:counter")
        for script_is_known in (False, True):
            rule = getattr(proxy, fault)(lambda args: args[0].upper() in (b"EVALSHA", b"EVAL"))
            assert objects.create(handle, "Counter", "h:ours") is None, script_is_known
            assert rule.done.wait(PATIENCE)
            assert objects.create(handle, "Counter", "h:theirs") == "h:ours"
            objects.end(handle, "h:ours")
        assert objects.host_of(handle) is None


@pytest.mark.parametrize("side", ["client", "host"])
def test_connections_that_are_cut_again_and_again(side, server, proxy):
    """Each time when all are connected."""
    ours, theirs = (proxy.url, server.url) if side == "host" else (server.url, proxy.url)
    with Our(ours, ctx=fork), Remote(theirs) as client:
        counter = client.Counter()
        stop = threading.Event()

        def all_are_back():
            there = {row["id"].encode() for row in server.clients()}
            return all(each & there for each in connections(server))

        def cut():
            while not stop.wait(0.005):
                if all_are_back():
                    proxy.cut_all()

        cutter = threading.Thread(target=cut)
        counter.add(0)
        cutter.start()
        try:
            for n in range(1, 61):
                assert counter.add() == n
        finally:
            stop.set()
            cutter.join()


def test_late_request_is_not_executed_again(url, proxy):
    with Our(url, ctx=fork), Remote(proxy.url) as client:
        counter = client.Counter()
        counter.add()
        release = threading.Event()
        rule = proxy.hold_request(release, sent_by("client", b"LPUSH"))
        result = []
        caller = threading.Thread(target=lambda: result.append(counter.add()))
        caller.start()
        assert rule.caught.wait(PATIENCE)
        assert client.Counter().add() == 1  # another conversation goes on
        release.set()
        caller.join(PATIENCE)
        assert result == [2]
        assert counter.add() == 3


@contextlib.contextmanager
def alarmed(counter, seconds):
    """The main thread gets a signal so many seconds after it began to wait at the object."""

    def shoot():
        assert counter.await_waiter()
        threading.Event().wait(seconds)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_interrupted_call_does_not_disturb_the_next(url):
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    with Our(url, ctx=fork) as manager:
        counter = manager.Counter()
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for n in range(3):
                # The last one when the call has become a long one.
                with alarmed(counter, 0.4 if n == 2 else 0.01), pytest.raises(Interrupted):
                    counter.wait()
                assert counter.add() == n + 1
        finally:
            signal.signal(signal.SIGALRM, before)
        counter.open()
        assert counter.add() == 4


def test_signal_handler_may_call(url):
    with Our(url, ctx=fork) as manager:
        counter = manager.Counter()
        heard = []

        def handler(*_):
            heard.append(counter.add())
            counter.open()

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            assert counter.wait()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert (heard, counter.add()) == ([1], 2)


def test_large_arguments_and_results(url):
    with Our(url, ctx=fork) as manager:
        counter = manager.Counter()
        big = "x" * 3_000_000
        assert counter.echo(big) == ((big,), {})
        assert counter.echo(k=big) == ((), {"k": big})


def test_server_that_loses_its_data(fresh_server):
    with Our(fresh_server.url, ctx=fork) as manager:
        counter = manager.Counter()
        caller = Caller(counter.wait)
        caller.start()
        assert counter.await_waiter()
        fresh_server.kill()
        fresh_server.restart()
        assert manager.Counter(5).add() == 6  # the process is known again
        with contextlib.suppress(HostLost, ObjectGone):  # until it looks whether the record is left
            counter.open()
        caller.join(PATIENCE)
        assert not caller.is_alive()
        assert caller.error is None or isinstance(caller.error, (HostLost, ObjectGone))


def test_server_that_restarts_with_its_data(start_server):
    server = start_server(appendonly="yes", appendfsync="always", tcp=True)
    with Our(server.url, ctx=fork) as manager, Remote(server.url) as client:
        counter = manager.Counter(name="counter")
        caller = Caller(counter.wait)
        caller.start()
        assert counter.await_waiter()
        for n in range(1, 4):
            server.restart(empty=False)
            assert counter.add() == n
            assert client.Counter(name="counter").add(0) == n
        counter.open()
        caller.join(PATIENCE)
        assert not caller.is_alive()
        assert caller.error is None
