"""A cluster whose calls wait for the replicas of the server that has what they change."""

from __future__ import annotations

from multihost.wire.link.cluster.lane import Lane, shared
from multihost.wire.link.cluster.link import ClusterLink
from multihost.wire.link.replicated import ReplicatedLink

__all__ = ["ReplicatedClusterLink"]


class ReplicatedLane(ReplicatedLink, Lane):
    """One partition: what is asked for counts for the server that has it."""

    replicas = shared()

    def _known(self) -> int:
        return 0  # a cluster does not say how many there should be


class ReplicatedClusterLink(ClusterLink):
    """The whole: its lanes wait."""

    _lane_type = ReplicatedLane

    def connect(self) -> None:
        """Open a connection, and see that the servers let this process wait. 1 round trip each."""
        super().connect()
        for master in self.masters():
            master.execute(b"WAIT", b"0", b"1")
