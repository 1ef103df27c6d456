"""Two network namespaces as two hosts: they can be cut off, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import hosts as module
from tests.support.hosts import Hosts
from tests.support.raw import RawClient
from tests.support.server import Server

CALL = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as sock:
        sock.sendall(b"PING\\r\\n")
        print(sock.recv(100).decode().strip())
except OSError as error:
    print(type(error).__name__)
"""


def call(hosts: Hosts, server: Server, seconds: float = 30.0) -> str:
    argv = [sys.executable, "-c", CALL, server.host, str(server.port), str(seconds)]
    process = hosts.run("b", argv, stdout=subprocess.PIPE, text=True)
    output: str = process.communicate(timeout=45)[0]
    return output.strip()


def test_hosts_reach_each_other_until_one_is_cut_off(hosts: Hosts) -> None:
    with Server(
        tcp=True, host=hosts.address["a"], prefix=hosts.prefix("a"), protected_mode="no"
    ) as server:
        assert call(hosts, server) == "+PONG"
        hosts.cut("b")
        assert call(hosts, server, 0.3) == "TimeoutError"
        hosts.heal("b")
        assert call(hosts, server) == "+PONG"
        # From here, which is neither host, there is no way but the socket.
        with RawClient(server.unix_url) as client:
            assert client.call("PING") == b"PONG"


def use_and_fail(hosts: Hosts) -> None:
    with hosts:
        hosts.run("a", ["sh", "-c", "read _"], stdin=subprocess.PIPE)
        assert len(list(module.STATE.glob(f"{hosts._stem}-*"))) == 3
        raise ZeroDivisionError


def test_nothing_is_left_also_after_a_failure() -> None:
    hosts = Hosts()
    with pytest.raises(ZeroDivisionError):
        use_and_fail(hosts)
    assert hosts._processes == []
    assert not list(module.STATE.glob(f"{hosts._stem}-*"))


def test_what_a_killed_run_left_is_removed() -> None:
    with Hosts(0):  # skips where there can be no hosts
        with subprocess.Popen("true") as dead:
            pass
        stale = f"mh{dead.pid}-0-a"
        module._ip("netns", "add", stale)
        with Hosts(0):
            assert not (module.STATE / stale).exists()


def test_a_skip_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(pytest.skip.Exception, match=r"needs iproute2 \(ip\)"), Hosts():
            pass
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: name)
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(pytest.skip.Exception, match="needs root"), Hosts():
            pass
