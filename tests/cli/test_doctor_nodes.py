"""doctor looks at all servers of a cluster, and at the Sentinels of a master."""

from __future__ import annotations

from multihost.inspection import examine, opened
from multihost.inspection.findings import Finding
from tests.support.cluster import Cluster, slot_of
from tests.support.faults import CuttingProxy
from tests.support.replication import Replication


def findings(url: str) -> dict[str, Finding]:
    with opened(url) as session:
        return {each.check: each for each in examine(session)}


def test_a_cluster(cluster: Cluster) -> None:
    slot = slot_of("{elsewhere}")
    source = cluster.node(cluster.node_of(slot))
    target = next(each for each in cluster.masters if each is not source)
    found = findings(cluster.url)
    assert found["slots"].verdict == "ok"
    assert found["clocks"].verdict == "ok"
    assert found["permissions"].verdict == "ok"
    assert found["shards"].found.startswith("no replica of 127.0.0.1:")
    assert len([each for each in found if each.startswith("round trip 127.0.0.1:")]) == 3
    assert "moving slots" not in found
    cluster.begin_move(slot, target)
    target.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        found = findings(cluster.url)
    finally:
        target.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        for node in (source, target):
            node.command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert found["moving slots"].found.startswith("1 on their way")
    evicting = f"eviction 127.0.0.1:{target.port}"
    assert found[evicting].verdict == "problem"
    others = [found[each].verdict for each in found if each.startswith("eviction ")]
    assert sorted(others) == ["ok", "ok", "problem"]


def test_one_node_of_a_cluster(cluster: Cluster) -> None:
    found = findings(cluster.masters[0].url)["cluster"]
    assert found.verdict == "problem"
    assert "redis+cluster://" in found.advice


def test_the_sentinels_of_a_master() -> None:
    with Replication(1, sentinels=3) as servers:
        found = findings(servers.url)
    assert found["sentinels"].found == "3 Sentinels, quorum 2"
    assert found["replicas"].found.startswith("1 connected")
    assert found["stale data"].verdict == "note"


def test_commands_that_a_proxy_does_not_know(proxy: CuttingProxy) -> None:
    proxy.refusals.update(
        {name: f"ERR unknown command '{name}'" for name in ("CLIENT", "ZADD", "MEMORY")}
    )
    found = findings(proxy.url)["permissions"]
    assert found.verdict == "problem"
    assert found.found == "the server, or a proxy before it, does not know ZADD"
    del proxy.refusals["ZADD"]
    found = findings(proxy.url)["permissions"]
    assert found.verdict == "note"
    assert "does not know CLIENT ID, CLIENT KILL, CLIENT LIST, CLIENT REPLY, MEMORY" in found.found
    assert "noticed at the end of its lease only" in found.found
