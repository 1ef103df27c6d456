"""What doctor makes of facts: each is one that a server, a cluster or a Sentinel may report."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from multihost.inspection.cluster_checks import (
    check_clocks,
    check_cluster,
    check_sentinels,
    cluster_nodes,
)
from multihost.inspection.fact_checks import check_facts
from multihost.inspection.findings import Finding
from multihost.inspection.health import merged
from multihost.inspection.server_facts import Facts


def named(found: Iterable[Finding]) -> dict[str, Finding]:
    return {each.check: each for each in found}


REPLICA = "ip=10.0.0.{n},port=6379,state={state},offset=99,lag={lag}"


@pytest.mark.parametrize(
    ("replicas", "least", "verdict", "text"),
    [
        (0, "1", "problem", "refuses writes"),
        (2, "3", "problem", "refuses writes"),
        (2, "0", "note", "last writes may be missing"),
        (2, "2", "note", "as soon as one is missing"),
        (1, "1", "note", "after each failover"),
        (2, "1", "ok", "2 connected"),
        (2, None, "unknown", "not reported"),
    ],
)
def test_replicas(replicas: int, least: str | None, verdict: str, text: str) -> None:
    settings = {} if least is None else {"min-replicas-to-write": least}
    found = named(check_facts(Facts({"connected_slaves": str(replicas)}, settings)))["replicas"]
    assert found.verdict == verdict
    assert text in found.found


def test_a_replica_that_is_behind() -> None:
    info = {
        "connected_slaves": "3",
        "slave0": REPLICA.format(n=2, state="online", lag=0),
        "slave1": REPLICA.format(n=3, state="online", lag=90),
        "slave2": REPLICA.format(n=4, state="wait_bgsave", lag=0),
    }
    found = named(check_facts(Facts(info, {})))["lag"]
    assert found.found.startswith("10.0.0.3:6379, 10.0.0.4:6379 did not confirm")
    assert "lag" not in named(check_facts(Facts({"connected_slaves": "1"}, {})))


def test_stale_data() -> None:
    stale, alone = {"replica-serve-stale-data": "yes"}, {"replica-serve-stale-data": "no"}
    info = {"connected_slaves": "1"}
    assert "old data" in named(check_facts(Facts(info, stale)))["stale data"].found
    assert "stale data" not in named(check_facts(Facts(info, alone)))
    assert "stale data" not in named(check_facts(Facts({}, stale)))


@pytest.mark.parametrize(
    ("info", "version", "verdict", "text"),
    [
        ({"role": "active-replica"}, "Redis 6.3.4", "problem", "two holders"),
        ({"garnet_version": "1.0.84"}, "Garnet 1.0.84", "problem", "isolates"),
        ({"dragonfly_version": "df-v1.40"}, "Dragonfly df-v1.40", "note", "one script at a time"),
    ],
)
def test_servers_that_are_like_redis(
    info: dict[str, str], version: str, verdict: str, text: str
) -> None:
    found = named(check_facts(Facts({"redis_version": "6.3.4"} | info, {})))
    assert found["version"].found == version
    assert found["server"].verdict == verdict
    assert text in found["server"].found


def test_kvrocks_has_a_name() -> None:
    info = {"redis_version": "7.0.0", "kvrocks_version": "2.9.0"}
    assert named(check_facts(Facts(info, {})))["version"].found == "Kvrocks 2.9.0"


# -- clusters

A, B, C, D = (letter * 40 for letter in "abcd")
MASTER = "{id} 10.0.0.{n}:6379@16379,host{n} {flags} - 0 1 {n} connected {slots}"
FOLLOWER = "{id} 10.0.0.{n}:6379@16379 slave {master} 0 1 1 connected"
FOLLOWERS = (FOLLOWER.format(id=C, n=3, master=A), FOLLOWER.format(id=D, n=4, master=B))


def view(*more: str, slots: str = "8192-16383", flags: str = "master", moving: str = "") -> str:
    lines = [
        MASTER.format(id=A, n=1, flags="myself,master", slots=f"0-8190 8191 {moving}".strip()),
        MASTER.format(id=B, n=2, flags=flags, slots=slots),
        *more,
    ]
    return "\n".join(lines)


def test_nodes_are_read() -> None:
    first, second, third = cluster_nodes(view(FOLLOWERS[0], moving=f"[5->-{B}]"))
    assert (first.address, first.slots, first.moving) == ("10.0.0.1:6379", 8192, (f"5->-{B}",))
    assert (second.slots, second.is_lost, third.master) == (8192, False, A)
    assert cluster_nodes("nonsense\n\n") == []


def test_a_cluster_that_is_well() -> None:
    found = named(check_cluster([view(*FOLLOWERS)] * 2, "no"))
    assert {name: each.verdict for name, each in found.items()} == {"slots": "ok", "shards": "ok"}
    assert found["shards"].found == "2, each with 1 replicas or more"


MOVING = [
    view(*FOLLOWERS, moving=f"[5->-{B}] [6->-{B}]"),
    view(*FOLLOWERS, moving=f"[5-<-{A}]"),
]


@pytest.mark.parametrize(
    ("check", "verdict", "text", "views", "coverage"),
    [
        ("slots", "problem", "84 of 16384", [view(*FOLLOWERS, slots="8192-16299")], "no"),
        ("slots", "note", "one shard is lost", [view(*FOLLOWERS)], "yes"),
        ("shards", "note", "no replica of 10.0.0.2:6379", [view(FOLLOWERS[0])], "no"),
        ("nodes", "problem", "10.0.0.2:6379", [view(*FOLLOWERS, flags="master,fail")], "no"),
        ("nodes", "problem", "10.0.0.2:6379", [view(*FOLLOWERS, flags="master,fail?")], "no"),
        ("moving slots", "note", "2 on their way", MOVING, "no"),
    ],
)
def test_a_cluster_with_a_fault(
    check: str, verdict: str, text: str, views: list[str], coverage: str
) -> None:
    found = named(check_cluster(views, coverage))[check]
    assert found.verdict == verdict
    assert text in found.found


def test_clocks_of_several_servers() -> None:
    [found] = check_clocks({"a:1": 0.2, "b:2": -1.3, "c:3": 0.0})
    assert found.verdict == "problem"
    assert "a:1 is 1.5 s ahead of b:2" in found.found
    assert [each.verdict for each in check_clocks({"a:1": 3.0, "b:2": 3.1})] == ["ok"]
    assert not [*check_clocks({"": 90.0})]


# -- Sentinels

SENTINEL = {
    "num-other-sentinels": "2",
    "quorum": "2",
    "num-slaves": "2",
    "down-after-milliseconds": "5000",
}


@pytest.mark.parametrize(
    ("change", "check", "verdict", "text"),
    [
        ({}, "sentinels", "ok", "3 Sentinels, quorum 2"),
        ({"quorum": "4"}, "sentinels", "problem", "no failover"),
        ({"num-other-sentinels": "1"}, "sentinels", "problem", "no majority"),
        ({"num-slaves": "0"}, "failover", "problem", "no replica"),
        ({"down-after-milliseconds": "30000"}, "failover", "note", "silent for 30 s"),
    ],
)
def test_sentinels(change: dict[str, str], check: str, verdict: str, text: str) -> None:
    found = named(check_sentinels(SENTINEL | change))[check]
    assert found.verdict == verdict
    assert text in found.found


def test_what_all_servers_have_is_told_once() -> None:
    same, other = Finding("memory", "ok", "a"), Finding("memory", "note", "b")
    more = Finding("clients", "ok", "c")
    assert merged({"h:1": [same, more], "h:2": [same, more]}) == [same, more]
    assert [each.check for each in merged({"h:1": [same, more], "h:2": [other, more]})] == [
        "memory h:1",
        "clients",
        "memory h:2",
    ]
    assert merged({"": [same, more]}) == [same, more]
