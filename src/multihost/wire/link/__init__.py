"""Connections to one server, or to those of a cluster."""

from multihost.wire.link.channel import Channel, ConnectionBroken, Node, Reply, ReplyTimeout
from multihost.wire.link.connect import check_url, connector_for, route_for
from multihost.wire.link.fence import run_id
from multihost.wire.link.instance import Instance
from multihost.wire.link.link import REPLY_SKIP, Link
from multihost.wire.link.making import link_to
from multihost.wire.link.patience import Patience, bounded, stood_still
from multihost.wire.link.peer import has_ended, note_end
from multihost.wire.link.pinned import SHORTEST, PinnedConnection
from multihost.wire.link.redispy import from_client
from multihost.wire.link.replicated import (
    WAIT_SECONDS,
    Replicas,
    ReplicatedLink,
    check_replicas,
    confirm_element,
    confirm_request,
)
from multihost.wire.link.resp import Command, pack, pack_all, pack_args
from multihost.wire.link.topology import Route, Topology
from multihost.wire.link.watch import watch_and_execute

__all__ = [
    "REPLY_SKIP",
    "SHORTEST",
    "WAIT_SECONDS",
    "Channel",
    "Instance",
    "ConnectionBroken",
    "Patience",
    "PinnedConnection",
    "Command",
    "ReplyTimeout",
    "Link",
    "Node",
    "ReplicatedLink",
    "Replicas",
    "Reply",
    "Route",
    "Topology",
    "bounded",
    "check_replicas",
    "check_url",
    "confirm_element",
    "confirm_request",
    "connector_for",
    "from_client",
    "has_ended",
    "link_to",
    "note_end",
    "pack",
    "pack_all",
    "pack_args",
    "route_for",
    "run_id",
    "stood_still",
    "watch_and_execute",
]
