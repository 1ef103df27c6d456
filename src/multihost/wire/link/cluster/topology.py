"""Where the partitions of a cluster are now: asked of one of its servers, and of another one if
that does not answer.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from multihost.errors import MultihostError, ServerUnfit
from multihost.wire.address import Address
from multihost.wire.link.channel import Channel, ConnectionBroken, Node, Reply, refused
from multihost.wire.link.cluster.slots import SLOTS, Remap, Table, read_table
from multihost.wire.link.resp import pack
from multihost.wire.link.topology import Route
from multihost.wire.link.unreachable import unreachable
from multihost.wire.replies import ReplyError

__all__ = ["ClusterTopology", "cluster_route"]

ASK = 1.0  # seconds for which one server is asked, at first
LONGEST = 8.0  # the same, after that was too short for all of them
NEWER = 5.0  # seconds for which a redirect is taken to be newer than what another server says

_shuffle = random.SystemRandom().shuffle  # a seeded generator of the program stays reproducible


class ClusterTopology:
    """The servers of a cluster. Any thread asks; the connection for that is its own.

    ``open_at`` opens a channel to one of them, whatever its role is.
    """

    def __init__(
        self,
        address: Address,
        seeds: Sequence[Node],
        open_at: Callable[[Node, float], Channel],
        remap: Remap | None = None,
    ) -> None:
        self.open_at: Callable[[Node, float], Channel] = open_at
        self.on_change: Callable[[], None] | None = None
        """Called when partitions have other masters; no lock is held."""
        self._address = address
        self._seeds = list(seeds)
        _shuffle(self._seeds)  # processes do not all ask the same one
        self._remap = remap
        self._lock = threading.RLock()  # a signal handler may make a call, too
        self._table = Table({}, frozenset(), frozenset())
        # Slot -> its master, and since when, by a redirect that is newer than that.
        self._moved: dict[int, tuple[Node, float]] = {}
        self._told: tuple[Node, Reply] | None = None
        self._channel: Channel | None = None
        self._answered = 0.0
        self._limit = ASK
        self._failure: Exception | None = None

    @property
    def masters(self) -> frozenset[Node]:
        """Those that have slots. No round trip."""
        return self._table.masters.union(node for node, _ in list(self._moved.values()))

    @property
    def known(self) -> frozenset[Node]:
        """All servers of it that this process has heard of."""
        return self._table.nodes.union(self._seeds, self.masters)

    def node_of(self, slot: int) -> Node | None:
        """Return the master of a slot, None if it is not known. No round trip."""
        moved = self._moved.get(slot)
        return self._table.node_of(slot) if moved is None else moved[0]

    def moved(self, slot: int, node: Node) -> None:
        """A server has said that another one is the master of a slot."""
        if self.node_of(slot) != node:
            self._moved[slot] = node, time.monotonic()

    def remap(self, node: Node) -> Node:
        """Return how this process reaches a server that the cluster calls that."""
        return node if self._remap is None else self._remap(node)

    def is_current(self, node: Node) -> bool:
        masters = self.masters
        return not masters or node in masters

    def refresh(self, age: float = 0.0, *, elsewhere: bool = False) -> bool:
        """Return whether a server answered, or has within the last ``age`` seconds. 1 round trip,
        more to connect; a thread that finds another one asking has its answer. ``elsewhere``: what
        the last one has said was not so.
        """
        since = time.monotonic() - age
        lock = self._lock
        if not lock.acquire(timeout=self._limit):
            return False
        try:
            if self._answered > since:
                return True
            has_changed = self._ask_all(elsewhere)
        finally:
            lock.release()
        if has_changed:
            self._changed()
        return has_changed is not None

    def failure(self) -> Exception:
        """Return the exception for a cluster of which no server answered."""
        error = self._failure or ConnectionBroken("none of its servers answers")
        if isinstance(error, ConnectionBroken):
            return unreachable(self._address, error)
        if isinstance(error, OSError) and not isinstance(error, MultihostError):
            return unreachable(self._address, ConnectionBroken.of(error))
        return error

    def close(self) -> None:
        self._lock = threading.RLock()  # that of a parent may be held by a thread of its own
        self._disconnect()

    def _disconnect(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    # asking

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _ask_all(self, elsewhere: bool) -> bool | None:
        """Return whether what a server says has changed; None if none answers."""
        for node in self._candidates(elsewhere):
            try:
                reply = self._ask(node)
            except (ConnectionBroken, MultihostError, OSError) as error:
                self._failure = error
                continue
            self._answered, self._limit, self._failure = time.monotonic(), ASK, None
            if (node, reply) == self._told:  # to read it takes redis-py 3 ms
                return False
            self._told = node, reply
            before, self._table = self._table, read_table(reply, node, self._remap)
            self._forget_redirects()
            if node not in self._table.masters:  # one that has masters hears of changes first
                self._disconnect()
            return self._table != before
        self._limit = min(2 * self._limit, LONGEST)
        return None

    def _forget_redirects(self) -> None:
        """Forget those that the table knows of, and those that are old."""
        now = time.monotonic()
        for slot, (node, since) in list(self._moved.items()):
            if now - since > NEWER or self._table.node_of(slot) == node:
                self._moved.pop(slot, None)

    def _candidates(self, elsewhere: bool) -> Iterator[Node]:
        """Yield the servers to ask, the one that answered last first; ``elsewhere``: as the last
        one.
        """
        channel, masters = self._channel, list(self.masters)
        _shuffle(masters)
        last = [] if channel is None or channel.node is None else [channel.node]
        others = [each for each in (*masters, *self._table.nodes, *self._seeds) if each not in last]
        yield from dict.fromkeys([*others, *last] if elsewhere else [*last, *others])

    def _ask(self, node: Node) -> Reply:
        """Return what a server says. Raises what it refuses, or why it does not answer."""
        # Nobody else has the channel meanwhile, also if this thread asks in a signal handler.
        channel, self._channel = self._channel, None
        try:
            if channel is not None and channel.node != node:
                channel.close()
                channel = None
            if channel is None:
                channel = self.open_at(node, self._limit)
                channel.node = node
            reply = channel.exchange(pack(SLOTS))
        except BaseException:
            if channel is not None:
                channel.close()
            raise
        if type(reply) is ReplyError or not reply:
            channel.close()
            raise self._unfit(reply, node)
        unused, self._channel = self._channel, channel
        if unused is not None:
            unused.close()
        return reply

    def _unfit(self, reply: Reply, node: Node) -> Exception:
        if type(reply) is ReplyError and "cluster support disabled" in str(reply):
            return ServerUnfit(
                f"the server at {node[0]}:{node[1]} is not part of a cluster: use redis:// or "
                "rediss://"
            )
        if type(reply) is ReplyError:
            return refused(reply, self._address)
        return ConnectionBroken(f"the server at {node[0]}:{node[1]} has no slots, nor knows any")


def cluster_route(
    address: Address,
    seeds: Sequence[Node],
    open_at: Callable[[Node, float], Channel],
    remap: Callable[[str, int], Node] | None = None,
) -> Route:
    """Return the way to a cluster that has those servers, and others. ``remap`` is what a client of
    redis-py does to the addresses that it hears.
    """
    by_node = None if remap is None else lambda node: remap(*node)
    return Route(_open_none, ClusterTopology(address, seeds, open_at, by_node))


def _open_none(timeout: float) -> Channel:  # noqa: ARG001 - as any other opens
    raise TypeError("what is sent to a cluster goes to a lane, or to one of the masters")
