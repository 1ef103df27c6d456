"""Where the partitions of a cluster are, as its servers say: no cluster is needed here.

The first tests pin what is used of redis-py, whose NodesManager is no documented API.
"""

from __future__ import annotations

from typing import Any

import pytest
from redis.cluster import RedisCluster

from multihost.errors import AccessDenied, LinkError, ServerUnfit
from multihost.wire.address import parse
from multihost.wire.link.channel import ConnectionBroken, Node
from multihost.wire.link.cluster import topology as module
from multihost.wire.link.cluster.slots import read_table, slot_of
from multihost.wire.link.cluster.topology import ClusterTopology
from multihost.wire.replies import ReplyError
from tests.support import cluster as support
from tests.unit.fake_channel import FakeChannel

A, B, C = ("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)
ADDRESS = parse("redis+cluster://10.0.0.1:1,10.0.0.2:2")[0]


def entry(first: int, last: int, *nodes: tuple[Any, int]) -> list[Any]:
    """One range of slots, as CLUSTER SLOTS has it: host, port, id and metadata of each server."""
    return [first, last, *([host, port, b"id%d" % port, []] for host, port in nodes)]


def named(node: Node) -> tuple[bytes, int]:
    return node[0].encode(), node[1]


TWO = [entry(0, 9, named(A), named(C)), entry(10, 16383, named(B))]


# -- what is used of redis-py


def test_a_table_has_the_master_of_each_slot() -> None:
    table = read_table(TWO, A, None)
    assert table.node_of(0) == table.node_of(9) == A
    assert table.node_of(10) == table.node_of(16383) == B
    assert table.masters == {A, B}
    assert table.nodes == {A, B, C}


def test_slots_may_have_no_server() -> None:
    table = read_table([entry(0, 9, named(A))], A, None)
    assert table.node_of(9) == A
    assert table.node_of(10) is None


@pytest.mark.parametrize("unknown", [b"", None, b"?"])
def test_a_server_that_does_not_know_its_host_is_at_the_one_that_was_asked(unknown: Any) -> None:
    told = [entry(0, 9, (unknown, 7), (unknown, 8)), entry(10, 16383, named(B))]
    assert read_table(told, A, None).node_of(0) == (A[0], 7)
    alone = [entry(0, 16383, (unknown, 7))]
    assert read_table(alone, A, None).masters == {(A[0], 7)}


def test_a_client_may_have_other_addresses_for_servers() -> None:
    table = read_table(TWO, A, lambda node: (f"{node[0]}.inside", node[1] + 100))
    assert table.node_of(0) == ("10.0.0.1.inside", 101)


def test_a_client_has_what_is_taken_of_it(cluster: support.Cluster) -> None:
    with RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port) as client:
        manager = client.nodes_manager
        assert manager.remap_host_port("h", 1) == ("h", 1)
        assert {each.port for each in manager.nodes_cache.values()} == {
            each.port for each in cluster.nodes
        }
        kwds = manager.default_node.redis_connection.connection_pool.connection_kwargs
        assert {"host", "port"} <= set(kwds)


def test_a_slot_is_that_of_the_hash_tag() -> None:
    for key in (b"{ns:07}:n:x", b"{ns:07}:", b"{ns:63}:s:abc"):
        assert slot_of(key) == support.slot_of(key)


# -- asking


class Servers:
    """What each server answers; it is not there if that is None."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[Node, Any] = {A: answers.get("a"), B: answers.get("b")}
        self.opened: list[Node] = []
        self.asked: list[Node] = []
        self.channels: list[FakeChannel] = []

    def open_at(self, node: Node, timeout: float) -> Any:
        self.opened.append(node)
        if self.answers.get(node) is None:
            raise ConnectionRefusedError

        def answer() -> Any:
            self.asked.append(node)
            found = self.answers[node]
            if found is None:
                raise ConnectionBroken("gone")
            return found

        channel = FakeChannel(*[answer] * 100)
        self.channels.append(channel)
        return channel


def topology(servers: Servers) -> ClusterTopology:
    return ClusterTopology(ADDRESS, [A, B], servers.open_at)


def test_the_same_answer_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(a=TWO, b=TWO)
    read: list[Any] = []
    monkeypatch.setattr(module, "read_table", lambda *args: read.append(args) or read_table(*args))
    found = topology(servers)
    changes: list[int] = []
    found.on_change = lambda: changes.append(1)
    assert all(found.refresh() for _ in range(3))
    assert len(servers.asked) == 3
    assert len(servers.opened) == 1, "over one connection"
    assert len(read) == len(changes) == 1
    assert found.node_of(10) == B
    servers.answers[A] = servers.answers[B] = [entry(0, 16383, named(B))]
    assert found.refresh()
    assert len(changes) == 2
    assert found.masters == {B}
    assert found.is_current(B)
    assert not found.is_current(A)
    found.close()
    assert all(each.is_closed for each in servers.channels)


def test_another_server_is_asked_if_one_does_not_answer() -> None:
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    assert found.refresh()
    (first,) = servers.asked
    other = B if first == A else A
    servers.answers[first] = None
    assert found.refresh()
    assert servers.asked[-1] == other
    servers.answers[other] = None
    assert not found.refresh()
    assert found.node_of(0) == A, "as it was"
    assert isinstance(found.failure(), LinkError)
    found.close()


def test_a_server_without_slots_is_left() -> None:
    """One that was reset, or removed, and one that is being asked for the first time."""
    servers = Servers(a=[entry(0, 16383, named(B))], b=None)
    servers.answers[B] = [entry(0, 16383, named(B))]
    found = topology(servers)
    assert found.refresh()
    assert found.refresh()
    assert servers.asked[-1] == B
    servers.answers[B] = []
    servers.answers[A] = [entry(0, 16383, named(A))]
    assert found.refresh()
    assert found.masters == {A}
    found.close()


def test_a_redirect_is_newer_than_the_table() -> None:
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    found.refresh()
    found.moved(3, C)
    assert found.node_of(3) == C
    assert found.node_of(4) == A
    assert found.is_current(C), "else the connection to it would be broken off"
    found.refresh()
    assert found.node_of(3) == C, "who was asked does not know it yet"
    servers.answers = {node: [entry(0, 16383, named(B))] for node in (A, B)}
    found.refresh()
    assert found.node_of(3) == C, "another change, of which the redirect says nothing"
    servers.answers = {node: [entry(0, 3, named(C)), entry(4, 16383, named(B))] for node in (A, B)}
    found.refresh()
    servers.answers = {node: [entry(0, 16383, named(B))] for node in (A, B)}
    found.refresh()
    assert found.node_of(3) == B, "it was known"
    found.close()


def test_a_redirect_is_not_newer_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    found.refresh()
    found.moved(3, C)
    monkeypatch.setattr(module, "NEWER", 0.0)
    servers.answers = {node: [entry(0, 16383, named(B))] for node in (A, B)}
    found.refresh()
    assert found.node_of(3) == B
    found.close()


def test_another_server_is_asked_if_what_one_says_is_not_so() -> None:
    """One that the others have forgotten may say the same for ever."""
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    found.refresh()
    (first,) = servers.asked
    other = B if first == A else A
    servers.answers[other] = [entry(0, 16383, named(other))]
    assert found.refresh(elsewhere=True)
    assert servers.asked[-1] == other
    assert found.masters == {other}
    found.close()


def test_no_question_within_a_time() -> None:
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    assert found.refresh(60.0)
    assert found.refresh(60.0)
    assert len(servers.asked) == 1
    found.close()


def test_a_signal_handler_may_ask_in_the_middle_of_a_question() -> None:
    servers = Servers(a=TWO, b=TWO)
    found = topology(servers)
    nested: list[bool] = []

    def answer() -> Any:
        nested.append(found.refresh())
        return TWO

    channel = FakeChannel(answer)
    opened = iter([channel])
    found.open_at = lambda node, timeout: next(opened, None) or servers.open_at(node, timeout)
    assert found.refresh()
    assert nested == [True]
    assert len(channel.requests) == 1, "it has a connection of its own"
    found.close()
    assert channel.is_closed
    assert all(each.is_closed for each in servers.channels)


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        ("ERR This instance has cluster support disabled", ServerUnfit, "use redis://"),
        ("NOPERM User x has no permissions to run 'cluster|slots'", AccessDenied, "permission"),
        ("NOAUTH Authentication required.", AccessDenied, "password"),
    ],
)
def test_why_nobody_says_anything(error: str, expected: type[Exception], text: str) -> None:
    found = topology(Servers(a=ReplyError(error), b=ReplyError(error)))
    assert not found.refresh()
    failure = found.failure()
    assert type(failure) is expected
    assert text in str(failure)
    found.close()
