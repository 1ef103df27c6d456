"""The link for an address: to one server, or to a cluster."""

from __future__ import annotations

from multihost.wire.address import CLUSTER_SCHEMES, Address, Credentials
from multihost.wire.link.link import Link
from multihost.wire.link.topology import Route

__all__ = ["link_to"]


def link_to(
    address: Address,
    credentials: Credentials,
    *,
    timeout: float = 10.0,
    reconnect_timeout: float | None = None,
    route: Route | None = None,
) -> Link:
    """Return a link to an address. It connects when it is used."""
    kind = Link
    if address.scheme in CLUSTER_SCHEMES:
        from multihost.wire.link.cluster.link import ClusterLink  # most need none

        kind = ClusterLink
    return kind(
        address, credentials, timeout=timeout, reconnect_timeout=reconnect_timeout, route=route
    )
