"""Where a host name leads, as far as its servers and the name service say."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from multihost.wire.link import ConnectionBroken, Node, named
from multihost.wire.link.named import Named, may_move, role_in
from tests.unit.fake_channel import FakeChannel

A, B, C = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)


class World:
    """Servers, and the addresses of one name. A server is its role and its run id."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers: dict[Node, tuple[bytes, bytes] | None] = {A: (b"master", b"1")}
        self.addresses = [A]
        self.opened: list[FakeChannel] = []
        self.now = 0.0
        monkeypatch.setattr(named, "resolve", lambda _host, _port: list(self.addresses))
        monkeypatch.setattr(named, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.named = Named("name", 6379, self._open)

    def _open(self, _: float) -> Any:
        for node in self.addresses:
            server = self.servers.get(node)
            if server is not None and server[0] == b"master":
                channel = FakeChannel()
                channel.node = node
                channel.exchange = self._answers(node)  # type: ignore[method-assign]
                self.opened.append(channel)
                return channel
        raise ConnectionBroken("nobody there is a master")

    def _answers(self, node: Node) -> Callable[[bytes], Any]:
        def exchange(request: bytes) -> bytes:
            server = self.servers.get(node)
            if server is None:
                raise ConnectionBroken("silent")
            role, run = server
            return b"run_id:%b\r\n" % run if b"server" in request else b"role:%b\r\n" % role

        return exchange

    def look(self, seconds: float = 10.0) -> bool:
        self.now += seconds
        return self.named.refresh()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_it_stays_where_the_master_is(world: World) -> None:
    for _ in range(3):
        assert world.look()
        assert world.named.is_current(A)
        assert not world.named.is_current(C), "no address of the name"
    assert len(world.opened) == 1


def test_a_demoted_master_that_answers(world: World) -> None:
    assert world.look()
    world.servers |= {A: (b"slave", b"1"), B: (b"master", b"2")}
    assert not world.look(), "the name does not lead to another one yet: nothing is known"
    world.addresses = [B]
    assert world.look(0.5)
    assert world.named.is_current(B)
    assert not world.named.is_current(A)
    assert world.opened[0].is_closed


def test_a_master_that_is_silent(world: World) -> None:
    """While the name leads there it may come back."""
    assert world.look()
    world.servers[A] = None
    assert not world.look(0.5)
    world.servers[A] = (b"master", b"1")
    assert world.look(0.5)
    assert world.named.is_current(A)
    world.servers |= {A: None, B: (b"master", b"2")}
    world.addresses = [B]
    assert world.look(0.5)
    assert not world.named.is_current(A)


def test_a_master_that_was_cut_off_and_does_not_know(world: World) -> None:
    assert world.look()
    world.servers[B] = (b"master", b"2")
    world.addresses = [B]
    assert world.look()
    assert world.named.is_current(B)
    assert not world.named.is_current(A)


def test_one_server_with_several_addresses(world: World) -> None:
    """Of which the name service gives some each time."""
    world.servers |= {B: (b"master", b"1"), C: (b"master", b"1")}
    for addresses in ([A, B], [B, C], [C, A]):
        world.addresses = addresses
        assert world.look()
        assert all(world.named.is_current(node) for node in addresses)
    assert world.named.is_current(B)
    assert len([each for each in world.opened if not each.is_closed]) == 1


def test_a_replica_with_the_same_name(world: World) -> None:
    """As of a service without an address of its own: the master is one of those."""
    world.servers |= {A: (b"slave", b"1"), B: (b"master", b"2")}
    world.addresses = [A, B]
    assert world.look()
    assert world.named.is_current(B)
    world.servers |= {A: (b"master", b"1"), B: (b"slave", b"2")}
    assert world.look()
    assert world.named.is_current(A)
    assert not world.named.is_current(B)


def test_closing_it_is_for_now(world: World) -> None:
    assert world.look()
    world.named.close()
    assert world.opened[0].is_closed
    assert world.look()
    assert len(world.opened) == 2


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("localhost", False),
        ("localhost.", False),
        ("a.localhost", False),
        ("redis", True),
        ("primary.cache.example.com", True),
        ("127.0.0.1.example.com", True),
    ],
)
def test_which_hosts_may_move(host: str, may: bool) -> None:
    assert may_move(host) is may


def test_what_a_server_says_of_its_role() -> None:
    assert role_in(b"# Replication\r\nrole:slave\r\nmaster_host:x\r\n") == b"slave"
    assert role_in(b"") == b""
    assert role_in(ConnectionError("refused")) == b""
