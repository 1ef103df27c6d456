"""What the tests know of a cluster and of replicas holds."""

from __future__ import annotations

from tests.support.cluster import Cluster, slot_of
from tests.support.replication import Replication
from tests.support.waiting import wait_until

KEY = "{a:00}:x"


def test_commands_go_to_the_master_of_their_key(cluster: Cluster) -> None:
    keys = [f"{{multihost:{number:02d}}}:names" for number in range(64)]
    assert {slot_of(key) for key in keys} == {
        cluster.command("CLUSTER", "KEYSLOT", key) for key in keys
    }
    assert len({cluster.master_of(key).port for key in keys}) == 3
    cluster.commands(*(("HSET", key, "a", 1) for key in keys))
    assert cluster.keys() == sorted(key.encode() for key in keys)
    assert cluster.commands(*(("HGET", key, "a") for key in keys)) == [b"1"] * 64


def test_a_slot_moves_and_comes_back(cluster: Cluster) -> None:
    cluster.commands(("SET", KEY, "1"), ("SET", "{a:00}:y", "2"))
    home = cluster.master_of(KEY)
    target = next(each for each in cluster.masters if each is not home)
    assert cluster.move_slot(slot_of(KEY), target) == 2
    assert cluster.master_of(KEY) is target
    assert cluster.command("GET", KEY) == b"1"
    assert cluster.move_slot(slot_of(KEY), home) == 2
    assert cluster.master_of(KEY) is home
    cluster.command("DEL", KEY, "{a:00}:y")


def test_a_cluster_fails_over() -> None:
    with Cluster(3, replicas=1) as cluster:
        first = cluster.master_of(KEY)
        cluster.command("SET", KEY, "1")
        second = cluster.fail_over(first)
        assert second is not first
        assert cluster.master_of(KEY) is second
        wait_until(lambda: cluster.replicas_of(second), what="its replica")
        cluster.command("SET", KEY, "2")
        Replication.await_replicas(second, 1)
        second.kill()
        cluster.await_master(first)
        assert cluster.command("GET", KEY) == b"2"


def test_sentinels_name_another_master() -> None:
    with Replication(1, sentinels=3) as group:
        first = group.master
        first.command("SET", KEY, "1")
        group.await_replicas(first, 1)
        first.kill()
        second = group.await_other_master(first)
        assert second is not first
        assert second.command("GET", KEY) == b"1"
