"""The test layer's servers: they start, die, come back, and never outlive pytest."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import hiredis
import pytest

from tests.support.procs import ROOT, is_alive, send_signal, spawn_script
from tests.support.raw import Endpoint, RawClient
from tests.support.server import Server
from tests.support.waiting import wait_until

OWNER = """
import os, sys
from tests.support.server import Server
server = Server()
if os.fork() == 0:
    # A child that outlives its parent, as a worker of a killed pytest would.
    print(server.pid, os.getpid(), server.directory, flush=True)
    os.read(0, 1)
    os._exit(0)
os.wait()
"""


def test_a_server_answers_on_both_addresses(fresh_server: Server) -> None:
    for url in (fresh_server.url, fresh_server.unix_url, fresh_server.tcp_url):
        with RawClient(url) as client:
            assert client.call("PING") == b"PONG"


def test_a_password_and_users_are_asked_for(start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True, password="p@ss word", users={"limited": "on >pw ~allowed +get"})
    with (
        pytest.raises(hiredis.ReplyError, match="NOAUTH"),
        RawClient(Endpoint("unix", path=server.socket).url) as c,
    ):
        c.call("PING")
    with RawClient(server.tcp_url) as client:
        assert client.call("SET", "k", "v") == b"OK"
    with RawClient(server.url_for("limited", "pw")) as client:
        assert client.call("GET", "allowed") is None
        with pytest.raises(hiredis.ReplyError, match="NOPERM"):
            client.call("GET", "k")


def test_options_reach_the_configuration(start_server: Callable[..., Server]) -> None:
    server = start_server(maxmemory="5mb", maxmemory_policy="allkeys-lru")
    assert server.command("CONFIG", "GET", "maxmemory-policy")[1] == b"allkeys-lru"


def test_a_wrong_option_says_what_the_server_says(start_server: Callable[..., Server]) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)did not start.*no-such-option"):
        start_server(no_such_option="1")


@pytest.mark.parametrize("options", [{}, {"appendonly": "yes"}], ids=["snapshot", "appendonly"])
def test_a_restart_keeps_or_forgets_the_data(
    start_server: Callable[..., Server], options: dict[str, str]
) -> None:
    server = start_server(tcp=True, **options)
    port = server.port
    server.command("SET", "k", "v")
    server.restart(empty=False)
    assert server.keys() == [b"k"]
    server.restart(empty=True)
    assert server.keys() == []
    assert server.port == port
    with RawClient(server.tcp_url) as client:
        assert client.call("PING") == b"PONG"


def test_a_killed_server_comes_back_with_its_append_only_file(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(appendonly="yes")
    server.command("SET", "k", "v")
    server.kill()
    assert not server.is_running
    with pytest.raises(OSError, match="refused"):
        server.command("PING")
    server.restart(empty=False)
    assert server.keys() == [b"k"]


def test_without_such_a_file_it_cannot(fresh_server: Server) -> None:
    fresh_server.kill()
    with pytest.raises(ValueError, match="appendonly"):
        fresh_server.restart(empty=False)


def test_a_paused_server_holds_its_answer(fresh_server: Server) -> None:
    with RawClient(fresh_server.url) as client:
        fresh_server.pause()
        client.send(("PING",))
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.read()
        client.sock.settimeout(30)
        fresh_server.resume()
        assert client.read() == b"PONG"


def test_clients_and_databases_are_listed(fresh_server: Server) -> None:
    server = fresh_server
    with server.connect(db=3) as client:
        client.call("CLIENT", "SETNAME", "me")
        client.call("SET", "k", "v", "EX", 60)
        (mine,) = server.clients()
        assert (mine["name"], mine["db"]) == ("me", "3")
        assert server.databases() == [3]
        assert server.keys(db=3) == [b"k"]
        assert server.keys() == []


def test_a_server_dies_with_its_killed_owner_also_after_a_fork() -> None:
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with spawn_script(OWNER, env) as script:
        server, child, directory = script.line().split()
        assert send_signal(script, signal.SIGKILL)
        wait_until(lambda: not is_alive(int(server)), what="the server's death")
        wait_until(lambda: not os.path.exists(directory), what="its directory's end")
        assert is_alive(int(child))
        assert send_signal(int(child), signal.SIGKILL)
