"""The link for an address: to one server, or to a cluster."""

from __future__ import annotations

from multihost.wire.address import CLUSTER_SCHEMES, Address, Credentials
from multihost.wire.link.link import Link
from multihost.wire.link.replicated import Replicas, ReplicatedLink
from multihost.wire.link.topology import Route

__all__ = ["link_to"]


def link_to(
    address: Address,
    credentials: Credentials,
    *,
    timeout: float = 10.0,
    reconnect_timeout: float | None = None,
    route: Route | None = None,
    replicas: Replicas = 0,
) -> Link:
    """Return a link to an address, whose calls wait for so many replicas. It connects when it is
    used.
    """
    kind = ReplicatedLink if replicas else Link
    if address.scheme in CLUSTER_SCHEMES:
        # Most need none.
        from multihost.wire.link.cluster.link import ClusterLink
        from multihost.wire.link.cluster.replicated import ReplicatedClusterLink

        kind = ReplicatedClusterLink if replicas else ClusterLink
    link = kind(
        address, credentials, timeout=timeout, reconnect_timeout=reconnect_timeout, route=route
    )
    link.replicas = replicas
    return link
