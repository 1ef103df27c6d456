"""The cutting proxy: each fault breaks what it says, once, and nothing else."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import hiredis
import pytest

from tests.support.faults import CuttingProxy, Frames
from tests.support.procs import kill9
from tests.support.raw import RawClient
from tests.support.server import Server
from tests.support.tls import TlsProxy
from tests.support.waiting import wait_until

SECONDS = 30.0


@pytest.fixture
def server(fresh_server: Server) -> Server:
    """Not the shared one: we count its clients and keys."""
    return fresh_server


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, server: Server) -> Iterator[CuttingProxy]:
    with CuttingProxy(server, unix=request.param == "unix") as cutting:
        yield cutting


@pytest.fixture
def client(proxy: CuttingProxy) -> Iterator[RawClient]:
    with RawClient(proxy.url, SECONDS) as raw:
        yield raw


def counter(server: Server) -> int:
    return int(server.command("GETEX", "n", "EX", 60) or 0)


def works(proxy: CuttingProxy) -> bool:
    with RawClient(proxy.url, SECONDS) as client:
        return bool(client.call("PING") == b"PONG")


def test_it_passes_what_it_understands_and_counts_it(
    proxy: CuttingProxy, client: RawClient
) -> None:
    big = b"x" * 3_000_000
    client.call("SET", "k", big, "EX", 60)
    assert client.call("get", "k") == big
    assert client.pipeline(("LRANGE", "no", 0, -1), ("GET", "no"), ("ECHO", "a\r\nb")) == [
        [],
        None,
        b"a\r\nb",
    ]
    client.sock.sendall(b"PING\r\n")
    assert client.read() == b"PONG"
    assert proxy.passed == {b"SET": 1, b"GET": 2, b"LRANGE": 1, b"ECHO": 1, b"PING": 1}
    assert (proxy.accepted, proxy.connections) == (1, 1)


def test_a_reply_is_swallowed_after_execution(
    proxy: CuttingProxy, client: RawClient, server: Server
) -> None:
    rule = proxy.cut_after_reply(b"INCR", nth=2)
    assert client.call("INCR", "n") == 1
    with pytest.raises(ConnectionError):
        client.call("INCR", "n")
    assert rule.done.wait(SECONDS)
    assert rule.args == [b"INCR", b"n"]
    assert counter(server) == 2
    assert works(proxy)


def test_in_a_pipeline_the_replies_before_the_cut_arrive(
    proxy: CuttingProxy, client: RawClient
) -> None:
    proxy.cut_after_reply("echo", nth=2)
    client.send(("ECHO", "one"), ("ECHO", "two"), ("ECHO", "three"))
    assert client.read() == b"one"
    with pytest.raises(ConnectionError):
        client.read()


def test_half_a_reply_arrives(proxy: CuttingProxy, client: RawClient) -> None:
    proxy.cut_mid_reply(b"ECHO")
    client.send(("ECHO", "0123456789"))
    received = b""
    while data := client.sock.recv(100):
        received += data
    assert received == b"$10\r\n0123456789\r\n"[:8]
    assert works(proxy)


def test_a_request_is_cut_before_the_server_sees_it(
    proxy: CuttingProxy, client: RawClient, server: Server
) -> None:
    rule = proxy.cut_before_request(b"INCR")
    with pytest.raises(ConnectionError):
        client.call("INCR", "n")
    assert rule.done.wait(SECONDS)
    assert counter(server) == 0
    assert proxy.passed[b"INCR"] == 0
    assert works(proxy)


def test_requests_without_a_reply(proxy: CuttingProxy, client: RawClient) -> None:
    client.send(("CLIENT", "REPLY", "SKIP"), ("ECHO", "one"), ("ECHO", "two"))
    assert client.read() == b"two"
    rule = proxy.cut_after_reply("echo")
    client.send(("CLIENT", "REPLY", "OFF"), ("ECHO", "three"), ("CLIENT", "REPLY", "ON"))
    client.send(("PING",), ("ECHO", "four"), ("PING",))
    assert [client.read(), client.read()] == [b"OK", b"PONG"]
    with pytest.raises(ConnectionError):
        client.read()
    assert rule.args == [b"ECHO", b"four"]


def test_a_delayed_reply_waits_for_the_event(
    proxy: CuttingProxy, client: RawClient, server: Server
) -> None:
    event = threading.Event()
    rule = proxy.delay_reply(event, b"INCR")
    client.send(("INCR", "n"), ("PING",))
    assert rule.caught.wait(SECONDS)
    assert counter(server) == 1
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.read()
    client.sock.settimeout(SECONDS)
    event.set()
    assert (client.read(), client.read()) == (1, b"PONG")


def test_what_is_answered_to_a_client_that_has_left_meets_no_rule(
    proxy: CuttingProxy, client: RawClient, server: Server
) -> None:
    event = threading.Event()
    first = proxy.delay_reply(event, b"INCR")
    client.send(("INCR", "n"), ("APPEND", "s", "x"), ("APPEND", "s", "y"))
    assert first.caught.wait(SECONDS)
    client.close()
    second = proxy.delay_reply(threading.Event(), b"APPEND")
    event.set()
    wait_until(lambda: not proxy.connections, SECONDS, "the connection is over")
    assert not second.is_spent
    assert server.command("GETDEL", "s") == b"xy" and server.command("GETDEL", "n") == b"1"


@pytest.mark.parametrize("hang_up", [False, True])
def test_a_held_request_is_delivered_though_the_client_has_gone(
    proxy: CuttingProxy, client: RawClient, server: Server, hang_up: bool
) -> None:
    event = threading.Event()
    rule = proxy.hold_request(event, b"APPEND", hang_up=hang_up)
    client.send(("APPEND", "s", "late"))
    assert rule.caught.wait(SECONDS)
    if hang_up:
        with pytest.raises(ConnectionError):
            client.read()
    client.close()
    with RawClient(proxy.url, SECONDS) as second:
        second.call("APPEND", "s", "retry,")
    event.set()
    assert rule.done.wait(SECONDS)
    assert server.command("GETDEL", "s") == b"retry,late"


def test_set_up_commands_are_let_through_unless_named(
    proxy: CuttingProxy, client: RawClient
) -> None:
    rule = proxy.cut_after_reply()
    client.call("CLIENT", "ID")
    client.call("SELECT", 1)
    assert not rule.is_spent
    with pytest.raises(ConnectionError):
        client.call("PING")
    proxy.cut_after_reply(b"HELLO")
    with RawClient(proxy.url, SECONDS) as second, pytest.raises(ConnectionError):
        second.call("HELLO", "3")


def test_a_script_that_was_not_known_was_not_executed(
    proxy: CuttingProxy, client: RawClient
) -> None:
    rule = proxy.cut_after_reply(b"EVALSHA")
    with pytest.raises(hiredis.ReplyError, match="NOSCRIPT"):
        client.call("EVALSHA", "0" * 40, 0)
    digest = client.call("SCRIPT", "LOAD", "return 1")
    with pytest.raises(ConnectionError):
        client.call("EVALSHA", digest, 0)
    assert rule.is_spent


def test_rules_take_turns(proxy: CuttingProxy) -> None:
    proxy.cut_after_reply(b"PING")
    proxy.cut_after_reply(b"PING", times=2)
    for _ in range(3):
        with RawClient(proxy.url, SECONDS) as client, pytest.raises(ConnectionError):
            client.call("PING")
    assert works(proxy)


def test_a_match_may_look_at_the_arguments(proxy: CuttingProxy, client: RawClient) -> None:
    rule = proxy.cut_before_request(lambda args: args[1:] == [b"b"])
    assert client.call("ECHO", "a") == b"a"
    with pytest.raises(ConnectionError):
        client.call("ECHO", "b")
    assert rule.is_spent


def test_new_connections_are_refused_and_accepted_again(
    proxy: CuttingProxy, client: RawClient
) -> None:
    assert client.call("PING") == b"PONG"
    proxy.refuse()
    assert client.call("PING") == b"PONG"
    with pytest.raises(ConnectionError):
        RawClient(proxy.url, SECONDS)
    url = proxy.url
    proxy.accept()
    assert works(proxy)
    assert proxy.url == url


def test_all_connections_are_cut(proxy: CuttingProxy, client: RawClient, server: Server) -> None:
    client.send(("BLPOP", "none", 0))
    wait_until(lambda: any(row["cmd"] == "blpop" for row in server.clients()))
    proxy.cut_all()
    with pytest.raises(ConnectionError):
        client.read()
    wait_until(lambda: not any(row["cmd"] == "blpop" for row in server.clients()))
    assert works(proxy)


def test_pushes_are_no_replies(proxy: CuttingProxy, client: RawClient, server: Server) -> None:
    client.call("HELLO", "3")
    client.send(("SUBSCRIBE", "news"))
    assert client.read() == [b"subscribe", b"news", 1]
    server.command("PUBLISH", "news", "hot")
    assert client.read() == [b"message", b"news", b"hot"]
    rule = proxy.cut_after_reply(b"PING")
    with pytest.raises(ConnectionError):
        client.call("PING")
    assert rule.is_spent


def test_a_forked_process_does_not_keep_a_connection_open(
    proxy: CuttingProxy, client: RawClient
) -> None:
    """The child holds copies of the proxy's sockets; a cut must reach the client all the same."""
    ctx = multiprocessing.get_context("fork")
    never = ctx.Event()
    child = ctx.Process(target=never.wait)
    client.call("PING")
    child.start()
    try:
        proxy.cut_after_reply(b"PING")
        with pytest.raises(ConnectionError):
            client.call("PING")
        proxy.refuse()
        with pytest.raises(ConnectionError):
            RawClient(proxy.url, SECONDS)
        proxy.accept()
        assert works(proxy)
    finally:
        kill9(child)
        child.close()


def test_a_dead_server_is_a_closed_connection(fresh_server: Server) -> None:
    with CuttingProxy(fresh_server) as proxy, RawClient(proxy.url, SECONDS) as client:
        client.call("PING")
        fresh_server.kill()
        with pytest.raises(ConnectionError):
            client.call("PING")
        fresh_server.restart()
        assert works(proxy)


def test_frames_are_found_however_the_bytes_come() -> None:
    messages = [
        b"+OK\r\n",
        b"$-1\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
        b"%1\r\n+k\r\n~2\r\n#t\r\n_\r\n",
        b"|1\r\n+ttl\r\n:5\r\n*1\r\n,1.5\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        b"=5\r\ntxt:a\r\n",
        b"-ERR no\r\n",
    ]
    stream = b"".join(messages)
    for step in (1, 2, 3, 7, len(stream)):
        frames = Frames()
        found = [f for i in range(0, len(stream), step) for f in frames.feed(stream[i : i + step])]
        assert found == messages


@pytest.mark.parametrize("client_auth", [False, True])
def test_tls_ends_at_the_proxy(server: Server, client_auth: bool) -> None:
    redis = pytest.importorskip("redis")
    with CuttingProxy(server) as proxy, TlsProxy(proxy, client_auth=client_auth) as tls:
        with redis.Redis.from_url(tls.url, retry=None) as good:
            assert good.ping()
            proxy.cut_after_reply(b"PING")
            with pytest.raises(redis.ConnectionError):
                good.ping()
            assert good.ping()
        with (
            redis.Redis.from_url(tls.bare_url, retry=None) as bad,
            pytest.raises(redis.ConnectionError),
        ):
            bad.ping()
