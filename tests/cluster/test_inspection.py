"""What the command line and the managers list is that of all masters."""

from __future__ import annotations

import itertools

import pytest

from multihost import RedisManager
from multihost.inspection import Monitor, find_garbage, objects, opened, remove
from multihost.wire.keys import Keys
from tests.support.cluster import Cluster

pytestmark = pytest.mark.leaks_ok("garbage of a session that is not there")


def names_everywhere(cluster: Cluster, kind: str) -> list[str]:
    """A name at each master."""
    found: dict[int, str] = {}
    for number in itertools.count():
        name = f"{kind}{number}"
        found.setdefault(cluster.master_of(Keys("multihost", f"n:{name}").prefix).port, name)
        if len(found) == len(cluster.masters):
            break
    return sorted(found.values())


def test_objects_of_all_masters_are_listed(cluster: Cluster) -> None:
    names = names_everywhere(cluster, "d")
    with RedisManager(cluster.url) as manager:
        unnamed = [manager.list([number]) for number in range(30)]
        for name in names:
            manager.dict(name, x=1)
        assert manager.names() == names
        with opened(cluster.url) as session:
            found = {each.ident: each for each in objects(session, memory=True)}
            assert {f"n:{name}" for name in names} <= found.keys()
            assert {each._token.ident for each in unnamed} <= found.keys()
            assert all(each.memory for each in found.values())
            activity = Monitor(session).look()
        assert activity.types["dict"] == len(names)
        assert activity.types["list"] == len(unnamed)
        assert activity.is_whole
        clients = [int(each.info("clients")["connected_clients"]) for each in cluster.masters]
        assert activity.clients is not None
        assert activity.clients > max(clients), "of all together"


def test_garbage_is_found_and_removed_at_each_master(cluster: Cluster) -> None:
    names = names_everywhere(cluster, "gone")
    for name in names:
        cluster.command("HSET", Keys("multihost", f"n:{name}").data + b":index", "x", 1)
    with opened(cluster.url) as session:
        found = [each for each in find_garbage(session) if each.kind == "orphaned keys"]
        assert sorted(each.name for each in found) == names
        assert [done for _, done in remove(session, found)] == [True] * len(names)
        assert not find_garbage(session)


def test_a_collection_is_of_all_masters(cluster: Cluster) -> None:
    """What named objects at one contain at others stays, and what nothing leads to goes."""
    names = names_everywhere(cluster, "c")
    with RedisManager(cluster.url) as manager:
        for name in names:
            outer = manager.dict(name)
            for number in range(20):
                outer[number] = manager.list([number])
        for name in names:
            for number in range(10):
                manager.dict(name)[number] = None
        collector = manager.runtime.session.collector
        assert collector.collect().finished
        assert [manager.dict(name)[15][0] for name in names] == [15] * len(names)
