"""Servers that are restarted, flushed, paused, away or dead."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from multihost import LinkError, LinkLost, ObjectGone, RedisManager
from multihost.errors import ConnectRefused
from multihost.managers import SyncManager
from tests.faults.calls import Call, impatient, late_after, patient
from tests.support.faults import CuttingProxy
from tests.support.procs import kill9, send_signal
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE


# -- restarts


@pytest.mark.leaks_ok("the server forgot the objects, or was killed with them")
def test_a_restarted_server_that_kept_its_data_is_not_noticed(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(tcp=True)
    with RedisManager(server.tcp_url) as manager:
        named, unnamed = manager.dict("d", {"n": 1}), manager.list([1])
        for expected in (2, 3):
            server.restart(empty=False)
            assert named.increment("n") == expected
            unnamed.append(expected)
        assert unnamed.copy() == [1, 2, 3]
        assert manager.names() == ["d"]


@pytest.mark.leaks_ok("the server forgot the objects")
def test_a_server_that_lost_its_data_says_so(start_server: Callable[..., Server]) -> None:
    server = start_server()
    with RedisManager(server.url) as manager:
        d, l, v = manager.dict("d", {"n": 1}), manager.list([1]), manager.Value("i", 0)
        server.restart()
        for call in (
            lambda: d["n"],
            lambda: d.update(n=1),
            lambda: d.increment("n"),
            d.copy,
            d.clear,
            lambda: l.append(1),
            l.pop,
            l.sort,
            lambda: len(l),
            v.get,
            lambda: v.add(1),
            lambda: v.set(1),
        ):
            with pytest.raises(ObjectGone):
                call()
        assert server.keys("*:n:d*") == []
        assert manager.names() == []
        d2 = manager.dict("d", {"n": 5})
        assert d["n"] == d2["n"] == 5, "the name is used again"


@pytest.mark.leaks_ok("the server was killed with its connections")
def test_a_reply_that_is_lost_in_a_restart(start_server: Callable[..., Server]) -> None:
    """The request was executed and saved: the retry finds its answer in the data that came back."""
    server = start_server(tcp=True)
    with CuttingProxy(server.tcp_url) as proxy, RedisManager(proxy.url) as manager:
        d = manager.dict({"n": 1})
        rule = proxy.delay_reply(threading.Event(), match=lambda args: b"EVAL" in args[0])
        call = Call(lambda: d.increment("n"))
        assert rule.caught.wait(SECONDS)
        server.restart(empty=False)
        rule.event.set()
        assert call.outcome() == 2
        assert d.copy() == {"n": 2}


# -- forgotten scripts


def test_forgotten_scripts_are_sent_again(server: Any) -> None:
    with RedisManager(server.url) as manager:
        d, l, s = manager.dict(n=0), manager.list([3, 1, 2]), manager.set([1])
        for count in range(1, 4):
            server.command("SCRIPT", "FLUSH")
            assert d.increment("n") == count
            l.append(count)
            s.add(count)
            server.command("SCRIPT", "FLUSH")
            l.sort()
        assert l.copy() == [1, 1, 2, 2, 3, 3]
        assert s.copy() == {1, 2, 3}


def test_scripts_that_are_forgotten_between_reading_and_writing(server: Any) -> None:
    with RedisManager(server.url) as manager:
        l = manager.list([3, 1, 2])
        l.sort()
        flushed = []

        class Flushing(int):
            def __eq__(self, other: object) -> bool:
                flush(other)
                return int(self) == other

            __hash__ = int.__hash__

        def flush(value: Any) -> Any:
            if len(flushed) % 6 < 3:  # the next attempt may succeed
                server.command("SCRIPT", "FLUSH")
            flushed.append(value)
            return value

        l.sort(key=lambda value: -flush(value))
        assert l.copy() == [3, 2, 1]
        l.remove(Flushing(2))
        assert l.copy() == [3, 1]
        assert len(flushed) > 9


def test_a_list_that_changes_while_it_is_sorted(server: Any) -> None:
    with RedisManager(server.url) as manager, RedisManager(server.url) as other:
        l = manager.list("l", [3, 1, 2])
        theirs = other.list("l")
        added = []

        def key(value: int) -> int:
            if len(added) < 3:
                added.append(value)
                theirs.append(-len(added))
            return value

        l.sort(key=key)
        assert l.copy() == [-3, -2, -1, 1, 2, 3]


# -- a server that pauses


def test_a_pause_longer_than_the_timeout_does_not_double_a_call(
    start_server: Callable[..., Server],
) -> None:
    """Both attempts lie in the server's sockets when it goes on, and it may read either first."""
    server = start_server(tcp=True)
    with (
        CuttingProxy(server.tcp_url) as proxy,
        RedisManager(proxy.url) as manager,
        RedisManager(server.url) as other,
    ):
        late_after(manager, 0.3)
        d, l, v = manager.dict("d", n=1), manager.list("l", [1, 2, 3]), manager.Value("i", 7)
        empty = manager.list("empty", [])
        for call, result in (
            (lambda: d.increment("n"), 2),
            (l.pop, 3),
            (lambda: l.append(9), None),
            (l.reverse, None),
            (l.sort, None),
            (lambda: l.remove(1), None),
            (lambda: v.add(1), 8),
        ):
            accepted = proxy.accepted
            server.pause()
            running = Call(call)
            wait_until(lambda: proxy.accepted > accepted, SECONDS, "the client connects anew")
            server.resume()
            assert running.outcome() == result
        assert d.copy() == {"n": 2}
        assert l.copy() == [2, 9]
        assert v.get() == 8

        # A consumer that was told «empty» must not take what is put later.
        accepted = proxy.accepted
        server.pause()
        running = Call(lambda: pytest.raises(IndexError, empty.pop))
        wait_until(lambda: proxy.accepted > accepted, SECONDS, "the client connects anew")
        server.resume()
        running.outcome()
        other.list("empty").append("item")
        wait_until(lambda: proxy.connections <= 2, SECONDS, "the old connections are gone")
        assert empty.pop() == "item"


def test_a_server_that_stays_paused(start_server: Callable[..., Server]) -> None:
    server = start_server()
    with RedisManager(server.url, timeout=10 * PATIENCE) as manager:
        d = manager.dict("d", n=1)
        link = manager.runtime.session.link
        usual = link.timeout, link.reconnect_timeout
        server.pause()
        link.timeout, link.reconnect_timeout = 0.1, 0.3
        link.current_channel().limit(0.1)
        with pytest.raises(LinkLost, match="outcome|unknown"):
            d.increment("n")
        link.timeout, link.reconnect_timeout = usual
        server.resume()
        assert d.increment("n") in (2, 3), "the lost call was executed or not, but not twice"
        assert d["n"] in (2, 3)


# -- a server that stays away


def test_a_server_that_does_not_come_back(proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d = manager.dict(n=1)
        d.increment("n")
        patient(manager, 0.2)
        rule = proxy.cut_after_reply()
        proxy.refuse()
        with pytest.raises(LinkLost, match=r"whether the call took effect is unknown") as caught:
            d.increment("n")
        assert rule.done.wait(SECONDS)
        assert "127.0.0.1" in str(caught.value)
        # This one was certainly not executed.
        with pytest.raises(ConnectRefused, match="is it running"):
            d.increment("n")
        patient(manager, PATIENCE / 2)
        proxy.accept()
        assert d["n"] == 3
        assert d.increment("n") == 4


def test_a_server_that_is_away_for_a_moment(proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d = manager.dict(n=1)
        d.increment("n")
        rule = proxy.cut_after_reply()
        proxy.refuse()
        back = Call(lambda: rule.done.wait(SECONDS) and proxy.accept())
        assert d.increment("n") == 3
        back.outcome()
        assert d["n"] == 3


def test_a_read_is_repeated(proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        d, l = manager.dict(n=1), manager.list([1])
        for call, expected in (
            (lambda: d["n"], 1),
            (lambda: "n" in d, True),
            (d.copy, {"n": 1}),
            (l.copy, [1]),
            (lambda: len(l), 1),
            (manager.names, []),
        ):
            for fault in (proxy.cut_after_reply, proxy.cut_mid_reply, proxy.cut_before_request):
                rule = fault()
                assert call() == expected
                assert rule.done.wait(SECONDS)


def test_a_busy_server_is_asked_again(server: Any) -> None:
    with RedisManager(server.url) as manager, server.connect() as raw:
        d = manager.dict(n=1)
        before = server.command("CONFIG", "GET", "lua-time-limit")[1]
        server.command("CONFIG", "SET", "lua-time-limit", 10)
        try:
            raw.send(("EVAL", "while true do end", 0))
            call = Call(lambda: d.increment("n"))
            wait_until(lambda: _is_busy(server), SECONDS, "the server says BUSY")
            with server.connect() as killer:
                killer.call("SCRIPT", "KILL")
            assert call.outcome() == 2
            raw.read()
        finally:
            server.command("CONFIG", "SET", "lua-time-limit", before)


def _is_busy(server: Any) -> bool:
    try:
        server.command("PING")
    except Exception as error:
        return str(error).startswith("BUSY")
    return False


def test_a_very_long_timeout_does_not_outlive_the_memory_of_a_request(
    start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records live for a minute. A call that was sent longer ago must not be sent again."""
    from multihost.wire.link import repeating

    server = start_server(tcp=True)
    monkeypatch.setattr(repeating, "REPLY_CACHE_SECONDS", 0.2)
    with CuttingProxy(server.tcp_url) as proxy, RedisManager(proxy.url) as manager:
        d = manager.dict("d", n=1)
        d.increment("n")
        rule = proxy.delay_reply(threading.Event())
        with impatient(manager, 0.15, 0.3), pytest.raises(LinkLost):
            d.increment("n")
        rule.event.set()
        assert d["n"] == 3


# -- the embedded server


@pytest.mark.leaks_ok("its server was killed")
def test_a_killed_embedded_server_is_an_error_at_once() -> None:
    with SyncManager(timeout=10 * PATIENCE) as manager:
        d, l = manager.dict(n=1), manager.list([1])
        pid = manager.runtime.embedded.pid
        connected = threading.Barrier(2)

        def work() -> None:
            d.increment("n")
            connected.wait(SECONDS)
            connected.wait(SECONDS)
            d.increment("n")

        waiting = Call(work)
        connected.wait(SECONDS)
        assert send_signal(pid, signal.SIGSTOP)
        connected.wait(SECONDS)
        wait_until(lambda: _is_in_exchange(waiting), SECONDS, "the call waits for its reply")
        kill9(pid)
        with pytest.raises(LinkError):
            waiting.outcome()
        # Nobody tries a server again that was killed.
        for call in (lambda: d["n"], lambda: d.update(n=1), l.pop, l.sort, manager.dict):
            with pytest.raises(LinkError, match="cannot reach|broke"):
                call()
    with pytest.raises(LinkError):
        d.copy()


def _is_in_exchange(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_qualname == "SocketChannel.exchange"
