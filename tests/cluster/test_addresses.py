"""How a cluster is named: in URLs, by clients of redis-py, in pickles, and by its own servers."""

from __future__ import annotations

import multiprocessing
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from multihost import AccessDenied, RedisManager
from multihost.wire.address import Address, parse, parse_address
from multihost.wire.link import link_to
from tests.support.cluster import Cluster, slot_of
from tests.support.procs import run_all
from tests.support.server import Server
from tests.support.tls import TlsProxy

spawn = multiprocessing.get_context("spawn")

KEY = b"{addresses:00}:key"
SECRET = "hush-hush"


# -- URLs


def test_the_order_of_the_seeds_is_of_no_matter() -> None:
    address, credentials = parse("redis+cluster://me:pw@b:2,a,[::1]:3?socket_timeout=5")
    assert address == Address(
        "redis+cluster", "[::1]:3,a:6379,b:2", options=(("socket_timeout", "5"),)
    )
    assert credentials[:2] == ("me", "pw")
    assert parse("redis+cluster://a:6379,b:2")[0] == parse("redis+cluster://b:2,a/0")[0]
    assert str(address) == "redis+cluster://[::1]:3,a:6379,b:2/0?socket_timeout=5"
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis+cluster://a,b/1", "no database but 0"),
        ("redis+cluster://a,b?db=2", "no database but 0"),
        ("redis+cluster://a,:1", "cannot be read"),
        ("redis://a,b", r"a cluster is redis\+cluster://"),
    ],
)
def test_what_is_no_address_of_a_cluster(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse(url)


# -- clients of redis-py


def test_a_client_of_a_cluster(cluster: Cluster) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[2].port) as client:
        manager = RedisManager(client=client, namespace="addresses")
        assert manager.runtime.session.link.address == parse(cluster.url)[0], "all that it knows"
        shared = manager.dict("shared")
        shared.update({n: n for n in range(10)})
        other = RedisManager(cluster.url, namespace="addresses")
        assert other.dict("shared").copy() == {n: n for n in range(10)}
        other.shutdown()
        manager.shutdown()


def test_a_client_that_reaches_the_servers_at_other_addresses(cluster: Cluster) -> None:
    ports = [each.port for each in cluster.nodes]
    asked: list[Any] = []

    def remap(node: tuple[str, int]) -> tuple[str, int]:
        asked.append(node)
        return "127.1", node[1]

    client = redis.RedisCluster(host="127.0.0.1", port=ports[0], address_remap=remap)
    manager = RedisManager(client=client, namespace="addresses")
    nodes = [master.node for master in manager.runtime.session.link.masters()]
    assert nodes == [("127.1", port) for port in sorted(ports)]
    assert manager.Value("i", 5, name="number").value == 5
    manager.shutdown()
    client.close()


def test_an_asyncio_client_is_refused() -> None:
    from redis.asyncio import RedisCluster

    client = RedisCluster(host="127.0.0.1", port=1)
    with pytest.raises(TypeError, match="not one of their asyncio"):
        RedisManager(client=client)


# -- pickles


def read_with(url: str, packed: bytes) -> tuple[Any, int]:
    """In another process, which has a manager with other seeds."""
    with RedisManager(url, namespace="addresses"):
        shared = pickle.loads(packed)
        from multihost.wire.session import registry

        return shared.copy(), sum(len(each) for each in registry._sessions.values())


def read(packed: bytes) -> Any:
    return pickle.loads(packed).copy()


def test_a_proxy_is_read_by_a_process_with_other_seeds(cluster: Cluster) -> None:
    first, second, third = (f"127.0.0.1:{each.port}" for each in cluster.nodes)
    with RedisManager(f"redis+cluster://{first},{second}", namespace="addresses") as manager:
        shared = manager.dict("shared")
        shared[1] = "one"
        packed = pickle.dumps(shared)
        assert run_all(spawn, read, [(packed,)]) == [{1: "one"}]
        for seeds in (third, f"{third},{first}"):
            found = run_all(spawn, read_with, [(f"redis+cluster://{seeds}", packed)])
            assert found == [({1: "one"}, 1)], "over the connections that it has"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    with Cluster(1, password=SECRET) as own:
        yield own


@pytest.mark.leaks_ok(reason="the cluster is that of the module")
def test_no_secret_is_shown_or_pickled(guarded: Cluster) -> None:
    port = guarded.nodes[0].port
    url = f"redis+cluster://:{SECRET}@127.0.0.1:{port}"
    with RedisManager(url, namespace="addresses") as manager:
        shared = manager.dict("shared")
        shared[1] = 1
        for text in (repr(manager), str(pickle.dumps(shared))):
            assert SECRET not in text
            assert str(port) in text
        assert SECRET not in repr(shared)
    for wrong in (f"redis+cluster://127.0.0.1:{port}", url.replace(SECRET, "x-wrong-x")):
        with pytest.raises(AccessDenied) as raised:
            RedisManager(wrong)
        assert "x-wrong-x" not in str(raised.value)


# -- what servers call themselves


def configure(servers: list[Server], **settings: str) -> None:
    for each in servers:
        for name, value in settings.items():
            each.command("CONFIG", "SET", f"cluster-{name.replace('_', '-')}", value)


@pytest.fixture
def nameless(cluster: Cluster) -> Iterator[Cluster]:
    """Its servers do not know how they are reached, as behind a NAT."""
    configure(cluster.nodes, preferred_endpoint_type="unknown-endpoint")
    yield cluster
    configure(cluster.nodes, preferred_endpoint_type="ip")
    cluster.forget()


def test_servers_that_do_not_know_their_host_are_where_one_was_asked(nameless: Cluster) -> None:
    url = f"redis+cluster://localhost:{nameless.nodes[0].port}"
    link = link_to(*parse(url))
    link.connect()
    ports = [each.port for each in nameless.nodes]
    hosts = {master.node[0] for master in link.masters() if master.node is not None}
    assert sorted(master.node[1] for master in link.masters() if master.node) == sorted(ports)
    assert len(hosts) == 1
    lane = link.lane(KEY[:-3])
    assert lane.execute(b"SET", KEY, b"1") == b"OK"
    home = nameless.node(lane.node or ("", 0))
    target = next(each for each in nameless.nodes if each is not home)
    nameless.move_slot(slot_of(KEY), target)
    assert lane.execute(b"GET", KEY) == b"1"
    assert lane.node == (*hosts, target.port)
    nameless.move_slot(slot_of(KEY), home)
    assert link.execute(b"UNLINK", KEY) == 1
    link.close()


@pytest.mark.leaks_ok(reason="the cluster is that of the test")
def test_tls_to_servers_that_announce_names() -> None:
    with Cluster(3) as own:
        proxies = [TlsProxy(each.tcp_url) for each in own.nodes]
        try:
            ports = [int(re.findall(r":(\d+)", each.bare_url)[0]) for each in proxies]
            for server, port in zip(own.nodes, ports, strict=True):
                configure([server], announce_hostname="localhost", announce_port=str(port))
                configure([server], preferred_endpoint_type="hostname")
            own_names = [each.command("CLUSTER", "SLOTS") for each in own.nodes]
            while not all(
                {entry[2][1] for entry in told} == set(ports)
                and {bytes(entry[2][0]) for entry in told} == {b"localhost"}
                for told in own_names
            ):
                own_names = [each.command("CLUSTER", "SLOTS") for each in own.nodes]
            # One authority for each proxy here: the name is what is compared.
            url = f"rediss+cluster://localhost:{ports[0]}?ssl_cert_reqs=none"
            with pytest.warns(Warning, match="certificates are not verified"):
                manager = RedisManager(url, namespace="addresses")
            nodes = {master.node for master in manager.runtime.session.link.masters()}
            # redis-py resolves this one name, and no other.
            assert nodes == {("127.0.0.1", port) for port in ports}
            shared = manager.dict("shared")
            shared.update({n: n for n in range(100)})
            queues = [manager.Queue() for _ in range(8)]
            for number, each in enumerate(queues):
                each.put(number)
            assert [each.get() for each in queues] == list(range(8))
            assert shared.copy() == {n: n for n in range(100)}
            packed = pickle.dumps(shared)
            assert b"rediss+cluster" in packed
            manager.shutdown()
        finally:
            for each in proxies:
                each.close()
