"""A cluster whose calls wait for the replicas of the server that has what they change."""

from __future__ import annotations

from multihost.wire.link.cluster.lane import Lane, shared
from multihost.wire.link.cluster.link import ClusterLink
from multihost.wire.link.replicated import ReplicatedLink

__all__ = ["ReplicatedClusterLink"]


class ReplicatedLane(ReplicatedLink, Lane):
    """One partition: what is asked for counts for the server that has it."""

    replicas = shared()


class ReplicatedClusterLink(ClusterLink):
    """The whole: its lanes wait."""

    _lane_type = ReplicatedLane

    def connect(self) -> None:
        """Open a connection, and see that its server lets this process wait. 1 round trip."""
        super().connect()
        opened = next(each for each in self.masters() if each.current_channel() is not None)
        opened.execute(b"WAIT", b"0", b"1")
