"""A cluster as one link: a lane for each partition, a branch for each server."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import partial

from multihost.errors import AccessDenied, LinkError, ServerUnfit
from multihost.wire.address import Address, Credentials, split_hosts
from multihost.wire.link.channel import Channel, Node, Reply
from multihost.wire.link.cluster.lane import Branch, Lane, Server
from multihost.wire.link.cluster.redirects import key_of, prefix_of
from multihost.wire.link.cluster.slots import slot_of
from multihost.wire.link.cluster.topology import ClusterTopology
from multihost.wire.link.connect import route_for
from multihost.wire.link.fence import Fence
from multihost.wire.link.link import Link
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.resp import Command, pack_all
from multihost.wire.link.topology import Attempts, Route
from multihost.wire.replies import ReplyError

__all__ = ["ClusterLink"]


class ClusterLink(Link):
    """All connections of this process to one cluster. Calls with a key go to the server that has
    it, all others to a :meth:`lane` or to one of the :meth:`masters`.
    """

    guarded = True
    _lane_type = Lane

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        reconnect_timeout: float | None = None,
        route: Route | None = None,
    ) -> None:
        route = route or route_for(address, credentials)
        topology = route.topology
        if not isinstance(topology, ClusterTopology):
            raise TypeError(f"{address} is no address of a cluster")
        self._map = topology
        self._lanes: dict[bytes, Lane] = {}
        self._branches: dict[Node, Branch] = {}
        self._servers: dict[Node, Server] = {}
        self._attempts: dict[Node, Attempts] = {}
        super().__init__(
            address,
            credentials,
            timeout=timeout,
            reconnect_timeout=reconnect_timeout,
            route=route,
        )
        topology.on_change = self._place_all

    def _reset(self) -> None:
        super()._reset()
        self._placing = threading.RLock()  # a signal handler may make a call, too
        self._servers.clear()
        for lane in self._lanes.values():
            lane.begin(self._threads)
        for node, branch in self._branches.items():
            branch.begin(self._threads)
            branch.lead_to(self._server(node))

    def open_at(self, node: Node, limit: float) -> Channel:
        """Open a channel to a server, whose replies may take up to ``limit`` seconds."""
        attempts = self._attempts.get(node)
        if attempts is None:
            attempts = self._attempts.setdefault(node, Attempts())
        channel = attempts.make(partial(self._map.open_at, node), limit)
        channel.node = node
        return channel

    # where everything is

    def lane(self, prefix: bytes) -> Lane:
        lane = self._lanes.get(prefix)
        if lane is None:
            made = self._lane_type(self, self._threads, slot_of(prefix))
            lane = self._lanes.setdefault(prefix, made)
        return lane

    def masters(self) -> Sequence[Branch]:
        return [self.branch(node) for node in sorted(self._map.masters)]

    def branch(self, node: Node) -> Branch:
        """Return the link for one server."""
        branch = self._branches.get(node)
        if branch is None:
            branch = Branch(self, self._threads)
            branch.lead_to(self._server(node))
            branch = self._branches.setdefault(node, branch)
        return branch

    def _server(self, node: Node) -> Server:
        return self._servers.get(node) or self._servers.setdefault(node, Server(node))

    def fence_at(self, node: Node | None) -> Fence:
        return self.fence if node is None else self._server(node).fence

    def remap(self, node: Node) -> Node:
        """Return how this process reaches a server that the cluster calls that."""
        return self._map.remap(node)

    def moved(self, slot: int, node: Node) -> None:
        """A server has said that another one has a slot."""
        self._map.moved(slot, node)
        self._place_all()

    def refresh(self, age: float = 0.0, *, elsewhere: bool = False) -> bool:
        """Ask where everything is, unless a server has said so ``age`` seconds ago; return whether
        one answers. ``elsewhere``: another one than the last time, if there is one.
        """
        return self._map.refresh(age, elsewhere=elsewhere)

    def place(self, lane: Lane) -> bool:
        """Have a lane lead to where its partition is now; return whether that was elsewhere."""
        # One after the other: who has looked before must not be the last one to say where it is.
        with self._placing:
            node = self._map.node_of(lane.slot)
            if node is None or node == lane.node:
                return False
            lane.lead_to(self._server(node))
            return True

    def _place_all(self) -> None:
        moved = [self.place(lane) for lane in list(self._lanes.values())]
        self._leave_others()
        if any(moved) and self.on_move is not None:
            self.on_move()

    def _leave_others(self) -> None:
        """Close the channels to servers that have no partition any more, where nobody uses them."""
        for connection in self._connections:
            for node in list(connection.others):
                if not self._map.is_current(node):
                    channel = connection.others.pop(node, None)  # its thread may just have had it
                    if channel is not None:
                        channel.close()

    def leads_to(self, address: Address) -> bool:
        """Return whether that is an address of the same cluster."""
        if address.scheme != self.address.scheme:
            return False
        return not self._map.known.isdisjoint(split_hosts(address.host))

    # commands

    def _home(self, command: Command) -> Lane:
        key = key_of(command)
        if key is None:
            name = command[0].decode("latin-1")
            raise TypeError(
                f"{name} has no key: of several servers it is sent to each of masters()"
            )
        return self.lane(prefix_of(key))

    def execute_raw(self, *command: bytes) -> Reply:
        return self._home(command).execute_raw(*command)

    def execute(self, *command: bytes) -> Reply:
        return self._home(command).execute(*command)

    def pipeline_raw(self, commands: Sequence[Command]) -> list[Reply]:
        """Send idempotent commands, in one write to each server; return their replies, errors among
        them. 1 round trip for each server, none for no commands.
        """
        if not commands:
            return []
        if commands[0][0] == b"MULTI":
            return self._home(commands[1]).pipeline_raw(commands)
        homes = [self._home(command) for command in commands]
        if all(home is homes[0] for home in homes):
            return homes[0].pipeline_raw(commands)
        replies: list[Reply] = [None] * len(commands)
        for node in dict.fromkeys(home.node for home in homes):
            places = [place for place, home in enumerate(homes) if home.node == node]
            self._send_to(node, places, commands, homes, replies)
        return replies

    def _send_to(
        self,
        node: Node | None,
        places: Sequence[int],
        commands: Sequence[Command],
        homes: Sequence[Lane],
        replies: list[Reply],
    ) -> None:
        """Send some of the commands to a server, and what it does not have to where it is."""
        unsent = {place: homes[place] for place in places}
        if node is not None:
            requests = pack_all([commands[place] for place in places])
            found = self.branch(node).send_once(requests, len(places))
            for place, reply in zip(places, found or (), strict=False):
                if not homes[place].is_unavailable(reply):
                    replies[place] = reply
                    del unsent[place]
        for lane in dict.fromkeys(unsent.values()):
            again = [place for place, home in unsent.items() if home is lane]
            answers = lane.pipeline_raw([commands[place] for place in again])
            for place, reply in zip(again, answers, strict=True):
                if type(reply) is ReplyError:
                    reply.is_repeated = True
                replies[place] = reply

    def supports_reply_off(self) -> bool:
        return self.masters()[0].supports_reply_off()

    def fence_broken(self) -> bool:
        fenced = [master.fence_broken() for master in self.masters()]  # each of them is asked
        return all(fenced)

    @property
    def blocked(self) -> list[PinnedConnection]:
        return [each for lane in list(self._lanes.values()) for each in lane.blocked]

    @property
    def is_lost(self) -> bool:
        return any(server.outage.until > 0.0 for server in list(self._servers.values()))

    # opening and closing

    def connect(self) -> None:
        """Find out where everything is, and open this thread's connection to the first server that
        takes one: others may just be replaced. Raises LinkError.
        """
        if not self.refresh(math.inf if self._map.masters else 0.0):
            raise self._map.failure() from None
        failed: LinkError | None = None
        for master in self.masters():
            try:
                return master.connect()
            except (AccessDenied, ServerUnfit):
                raise
            except LinkError as error:
                failed = error
        raise failed or self._map.failure()

    def _unlink(self, commands: Sequence[Command]) -> None:
        by_server: dict[Node | None, list[Command]] = {}
        for command in commands:
            by_server.setdefault(self._home(command).node, []).append(command)
        for node, some in by_server.items():
            if node is not None:
                self.branch(node).send_once(pack_all(some), len(some))
