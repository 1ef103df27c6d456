"""A host name that leads to another master later, while the old one lives on.

The name service of these tests knows one name more, and gives a port, too.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from multihost import LinkError, RedisManager
from multihost.wire.link import lookout
from tests.faults.calls import Call
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.leaks_ok("connections to a former master are broken off")

NAME = "primary.multihost.test"


Pair = tuple[Server, Server]


class NameService:
    """Says where the name leads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers: list[Server] = []
        self._resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return self._resolve(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each.host, each.port))
            for each in self.servers
        ]


@pytest.fixture(scope="module")
def replication() -> Iterator[Replication]:
    with Replication(1) as own:
        yield own


@pytest.fixture
def pair(replication: Replication) -> Pair:
    """The master first."""
    first, second = replication.servers
    if first.info("replication")["role"] != "master":
        first, second = second, first
    replication.follow(second, first)
    wait_until(lambda: second.info("replication")["master_link_status"] == "up")
    return first, second


@pytest.fixture
def names(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> NameService:
    service = NameService(monkeypatch)
    service.servers = [pair[0]]
    monkeypatch.setattr(lookout, "SELDOM", 0.5)
    return service


@pytest.fixture
def m(names: NameService) -> Iterator[RedisManager]:
    with RedisManager(f"redis://{NAME}:1", timeout=PATIENCE) as manager:
        yield manager


def change_places(pair: Pair) -> Pair:
    """The replica becomes the master of the master; return the former one and the new one."""
    old, new = pair
    Replication.await_replicas(old, 1)
    Replication.promote(new)
    Replication.follow(old, new)
    wait_until(lambda: old.info("replication").get("master_link_status") == "up")
    return old, new


def nodes(manager: RedisManager) -> set[Any]:
    return {channel.node for channel in manager.runtime.session.link.open_channels()}


def test_who_only_reads_reads_what_is_true(m: RedisManager, pair: Pair, names: NameService) -> None:
    """Nothing refuses a read at the former master, which gets what is written by replication, or
    not: then it is old for ever.
    """
    d = m.dict("d", a=1)
    old, new = change_places(pair)
    assert d["a"] == 1, "over the connection that there is"
    old.command("REPLICAOF", "127.0.0.1", 1)  # it lives on, and has no master
    names.servers = [new]
    with RedisManager(new.tcp_url) as there:
        there.dict("d")["a"] = 2
        wait_until(lambda: d["a"] == 2, PATIENCE)
        there.delete("d")
    assert nodes(m) == {(new.host, new.port)}


def test_a_write_goes_to_the_master(m: RedisManager, pair: Pair, names: NameService) -> None:
    """The former one refuses it: it is sent again over a new connection, and happens once."""
    v = m.Value("i", 0)
    v.add(1)
    _, new = change_places(pair)
    names.servers = [new]
    v.add(1)
    assert v.value == 2
    assert nodes(m) == {(new.host, new.port)}


def test_holds_and_waiters(m: RedisManager, pair: Pair, names: NameService) -> None:
    lock, other, q = m.Lock(), m.Lock(), m.Queue()
    assert lock.acquire()
    token = lock.fencing_token
    assert other.acquire()
    get, acquire = Call(q.get), Call(other.acquire)
    wait_until(lambda: sum("b" in each["flags"] for each in pair[0].clients()) == 2)
    _, new = change_places(pair)
    names.servers = [new]
    q.put("x")
    assert get.outcome() == "x"
    other.release()
    assert acquire.outcome()
    assert lock.fencing_token == token
    lock.release()
    assert lock.acquire(timeout=PATIENCE)
    assert lock.fencing_token > token


def test_who_is_blocked_at_a_server_that_is_silent(
    m: RedisManager, pair: Pair, names: NameService
) -> None:
    q = m.Queue()
    get = Call(q.get)
    old, new = pair
    wait_until(lambda: any("b" in each["flags"] for each in old.clients()))
    Replication.await_replicas(old, 1)
    old.pause()
    try:
        Replication.promote(new)
        names.servers = [new]
        q.put("x")
        assert get.outcome() == "x"
    finally:
        old.resume()


def test_a_name_that_leads_to_a_replica(pair: Pair, names: NameService) -> None:
    names.servers = [pair[1]]
    with pytest.raises(LinkError, match="is a replica, which takes no writes; connect to its mas"):
        RedisManager(f"redis://{NAME}:1", timeout=1.0)
    names.servers = [pair[1], pair[0]]
    with RedisManager(f"redis://{NAME}:1") as manager:
        assert nodes(manager) == {(pair[0].host, pair[0].port)}


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_client_of_a_user(
    protocol: int, pair: Pair, names: NameService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to the same name, by redis-py."""
    client = redis.Redis(host=NAME, port=1, protocol=protocol)
    names.servers = [pair[1]]
    with pytest.raises(LinkError, match="is a replica"):
        RedisManager(client=client, timeout=1.0)
    names.servers = [pair[0]]
    with RedisManager(client=client, timeout=PATIENCE) as manager:
        v = manager.Value("i", 0)
        v.add(1)
        _, new = change_places(pair)
        names.servers = [new]
        v.add(1)
        assert v.value == 2
        assert nodes(manager) == {(new.host, new.port)}
