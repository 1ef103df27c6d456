"""Ports of the test layer: no two tests get the same one, and nobody takes a closed one."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import pytest

from tests.support.ports import PORTS, Port, closed_address
from tests.support.procs import ROOT, spawn_script
from tests.support.server import Server

TAKE_ALL = """
import socket, sys
for number in map(int, sys.argv[1:]):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", number))
    except OSError:
        print("refused")
"""


def test_workers_with_the_same_seed_take_different_ports() -> None:
    random.seed(1)
    with Port() as one:
        random.seed(1)
        with Port() as other:
            assert one.number != other.number


def test_a_port_is_reserved_until_it_is_released() -> None:
    with Port() as port:
        assert port.number in PORTS
        with spawn_script(TAKE_ALL, {"PYTHONPATH": str(ROOT)}, args=[str(port.number)]) as other:
            assert other.finish() == "refused\n"
        with socket.create_server(("127.0.0.1", port.number)):
            pass  # a server can have it
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port.number))


def test_a_port_where_somebody_listens_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with Port() as port:
        number = port.number
    with socket.create_server(("127.0.0.1", number)):
        monkeypatch.setattr("tests.support.ports.PORTS", range(number, number + 1))
        with pytest.raises(RuntimeError, match="no free port"):
            Port()


def test_a_server_keeps_its_port_while_it_is_down(start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True)
    server.kill()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="in use"),
    ):
        sock.bind(("127.0.0.1", server.port))
    server.restart()


def test_nobody_can_listen_at_a_closed_address() -> None:
    with closed_address() as address:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with pytest.raises(OSError, match="in use"):
            socket.create_server(address)  # with SO_REUSEADDR, as servers do
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("", address[1]))
