"""Checks of a cluster, by what each of its masters says, and of the Sentinels of a master."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from multihost.inspection.findings import Finding
from multihost.wire.stored import number

__all__ = ["ClusterNode", "check_clocks", "check_cluster", "check_sentinels", "cluster_nodes"]

SLOTS = 16384
SKEW = 1.0  # seconds
PATIENCE = 10_000  # milliseconds for which calls look for a server, unless told otherwise


class ClusterNode(NamedTuple):
    """One line of CLUSTER NODES."""

    id: str
    address: str
    flags: frozenset[str]
    master: str
    """The id of its master; "-" for a master."""
    slots: int
    moving: tuple[str, ...]
    """Slots on their way to or from it: only a node itself says so."""

    @property
    def is_lost(self) -> bool:
        return not self.flags.isdisjoint({"fail", "fail?", "noaddr"})


def cluster_nodes(text: str) -> list[ClusterNode]:
    """Return the nodes in a reply to CLUSTER NODES; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 8:
            continue
        id_, address, flags, master = fields[:4]
        moving = tuple(each.strip("[]") for each in fields[8:] if each.startswith("["))
        slots = sum(_size(each) for each in fields[8:] if not each.startswith("["))
        place = address.partition("@")[0]
        found.append(ClusterNode(id_, place, frozenset(flags.split(",")), master, slots, moving))
    return found


def _size(slots: str) -> int:
    first, _, last = slots.partition("-")
    start = number(first.encode()) or 0
    return (number(last.encode()) or start) - start + 1


def check_cluster(views: Sequence[str], full_coverage: str | None) -> Iterator[Finding]:
    """Yield the findings on what CLUSTER NODES says at each master. No round trip."""
    nodes = cluster_nodes(views[0])
    masters = [each for each in nodes if "master" in each.flags and each.slots]
    yield _coverage(masters, full_coverage)
    yield _shards(nodes, masters)
    lost = [each.address for each in nodes if each.is_lost]
    if lost:
        yield Finding(
            "nodes",
            "problem",
            f"{', '.join(lost)} cannot be reached by the others",
            "start them, or take them out: CLUSTER FORGET",
        )
    moving = {slot for view in views for each in cluster_nodes(view) for slot in each.moving}
    if moving:
        count = len({slot.partition("-")[0] for slot in moving})
        yield Finding(
            "moving slots",
            "note",
            f"{count} on their way between nodes: calls on partitions in them wait until they have "
            "arrived",
            "redis-cli --cluster fix, if nobody is moving them any more",
        )


def _coverage(masters: Sequence[ClusterNode], full_coverage: str | None) -> Finding:
    covered = sum(each.slots for each in masters)
    if covered < SLOTS:
        return Finding(
            "slots",
            "problem",
            f"{SLOTS - covered} of {SLOTS} belong to no node: objects in them cannot be used",
            "redis-cli --cluster fix",
        )
    if full_coverage == "yes":
        return Finding(
            "slots",
            "note",
            "cluster-require-full-coverage yes: if one shard is lost, all others refuse, too",
            "CONFIG SET cluster-require-full-coverage no, on every node",
        )
    return Finding("slots", "ok", f"all {SLOTS}, on {len(masters)} masters")


def _shards(nodes: Sequence[ClusterNode], masters: Sequence[ClusterNode]) -> Finding:
    followers = Counter(each.master for each in nodes if not each.is_lost and each.master != "-")
    alone = [each.address for each in masters if not followers[each.id]]
    if alone:
        return Finding(
            "shards",
            "note",
            f"no replica of {', '.join(alone)}: if that is lost, so is what it had",
            "add one: CLUSTER REPLICATE",
        )
    fewest = min((followers[each.id] for each in masters), default=0)
    return Finding("shards", "ok", f"{len(masters)}, each with {fewest} replicas or more")


def check_clocks(ahead: Mapping[str, float]) -> Iterator[Finding]:
    """Yield what is wrong with how far the clock of each server is ahead of ours. No round trip."""
    skew = max(ahead.values()) - min(ahead.values())
    if skew > SKEW:
        slow, fast = min(ahead, key=ahead.__getitem__), max(ahead, key=ahead.__getitem__)
        yield Finding(
            "clocks",
            "problem",
            f"{fast} is {skew:.1f} s ahead of {slow}: fencing tokens may fall at a failover",
            "run a time service on all of them",
        )
    elif len(ahead) > 1:
        yield Finding("clocks", "ok", f"{skew * 1e3:.0f} ms between the servers")


def check_sentinels(facts: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings on what a Sentinel says of its master. No round trip."""
    count = 1 + _number(facts, "num-other-sentinels")
    quorum, replicas = _number(facts, "quorum"), _number(facts, "num-slaves")
    found = f"{count} Sentinels, quorum {quorum}"
    if quorum > count:
        yield Finding(
            "sentinels",
            "problem",
            f"{found}: there will be no failover",
            "start more Sentinels, or lower the quorum",
        )
    elif count < 3:
        yield Finding(
            "sentinels",
            "problem",
            f"{found}: when one is lost, the others are no majority and there is no failover",
            "run three or more, each on another machine",
        )
    else:
        yield Finding("sentinels", "ok", found)
    if not replicas:
        yield Finding(
            "failover",
            "problem",
            "there is no replica that could become the master",
            "start one, better two",
        )
    down_after = _number(facts, "down-after-milliseconds")
    if down_after >= PATIENCE:
        yield Finding(
            "failover",
            "note",
            f"it begins when the master was silent for {down_after / 1000:g} s: calls that do not "
            "wait give up before (timeout)",
            "SENTINEL SET <service> down-after-milliseconds 5000, or a longer timeout of managers",
        )


def _number(facts: Mapping[str, str], name: str) -> int:
    return number(facts.get(name, "").encode()) or 0
