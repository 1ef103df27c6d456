"""Which server of a cluster has a key, by what the servers and redis-py say.

``NodesManager`` of redis-py is no documented API: all that is used of it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from multihost.wire.link.channel import Node, Reply

__all__ = ["SLOTS", "Remap", "Table", "read_table", "slot_of"]

SLOTS = (b"CLUSTER", b"SLOTS")

Remap = Callable[[Node], Node]
"""How a client of redis-py reaches a server that the cluster has another address for."""


class Table(NamedTuple):
    """What a server says of a cluster."""

    slots: Mapping[int, Sequence[Any]]
    """Slot -> servers, as redis-py describes them, the master first."""
    masters: frozenset[Node]
    nodes: frozenset[Node]
    """Those and their replicas."""

    def node_of(self, slot: int) -> Node | None:
        """Return the master of a slot, None if it has none."""
        found = self.slots.get(slot)
        return (found[0].host, found[0].port) if found else None


def slot_of(key: bytes) -> int:
    """Return the slot of a key, and so of all keys of its partition."""
    from redis.crc import key_slot

    return key_slot(key)


def read_table(reply: Reply, asked: Node, remap: Remap | None) -> Table:
    """Return what a reply to ``CLUSTER SLOTS`` says, which the server ``asked`` gave."""
    from redis.cluster import ClusterNode, NodesManager

    told = _named(reply)

    class Told(NodesManager):
        """It is told what it would ask for, over connections of its own."""

        def create_redis_node(self, *_: object, **__: object) -> Any:
            return _Server(told)

        def create_redis_connections(self, *_: object) -> None:
            pass

        def initialize(self, *_: object, **__: object) -> None:
            super().initialize(disconnect_startup_nodes_pools=False)

    make: Any = Told
    start: Any = ClusterNode
    manager = make([start(*asked)], dynamic_startup_nodes=False, address_remap=remap)
    primaries = manager.get_nodes_by_server_type("primary")
    return Table(
        manager.slots_cache,
        frozenset((each.host, each.port) for each in primaries),
        frozenset((each.host, each.port) for each in manager.nodes_cache.values() if each.host),
    )


class _Server:
    """What redis-py takes for a client of the server that was asked."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def execute_command(self, *_: object) -> Reply:
        return self._reply


def _named(reply: Reply) -> list[Any]:
    """Return the reply with an empty host where the server does not know its own: then it is the
    one at which it was asked. Some say None, or a question mark.
    """
    return [
        [first, last, *([b"" if host in (None, b"?") else host, *rest] for host, *rest in nodes)]
        for first, last, *nodes in reply
    ]
