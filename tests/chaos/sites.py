"""Where the data of a campaign is, and what befalls it there.

A site tells the journals what may be undone: ``saving`` and ``failing over`` before anything that
was acknowledged may be lost, ``going back`` and ``back`` when nothing more can be; ``restarting``
and ``restarted`` around what loses nothing.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

import hiredis

from tests.chaos.relay import WAYS as CUTS
from tests.chaos.relay import Relay
from tests.support.cluster import Cluster, slot_of
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import PATIENCE

__all__ = ["SITES", "Site", "Steps"]

Steps = Generator[None, None, None]
"""What moves, a step at a time: other things go wrong meanwhile."""
Move = tuple[str, Callable[[], Steps]]
GIVEN_UP = 10.0  # seconds after which a failover that did not come is asked for again
LAG = 1.0  # seconds: what was acknowledged in the last moment before a kill may not be replicated


class Site(Protocol):
    """One or several servers."""

    moves: Sequence[Move]
    """How masters or slots move: what that is called, and the steps of it."""

    @property
    def url(self) -> str:
        """Its address."""

    def url_of(self, *, is_cut: bool) -> str:
        """Return the address for a client whose connections may be broken in all ways."""

    def empty(self) -> None:
        """Delete everything."""

    def break_some(self) -> int:
        """Break some connections; return how many."""

    def cut_off(self, seconds: float) -> int:
        """Break all connections that can be, and let nobody connect; return how many."""

    def restart(self) -> None:
        """Restart with all data."""

    def step_back(self) -> None:
        """Restart with what it had a moment ago."""

    def close(self) -> None:
        """End it."""


class OneServer:
    """One server, and a relay before it."""

    moves: Sequence[Move] = ()

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        self._chance, self._tell = chance, tell
        # What it has answered it has written, unless the machine goes down.
        self._server = Server(appendonly="no" if is_snapshot else "yes", appendfsync="no")
        self._relay = Relay(self._server.socket, f"{self._server.directory}/relay", seed)

    @property
    def url(self) -> str:
        return self._server.url

    def url_of(self, *, is_cut: bool) -> str:
        return self.url.replace(self._server.socket, self._relay.path) if is_cut else self.url

    def empty(self) -> None:
        self._server.command("FLUSHALL")

    def break_some(self) -> int:
        """Of connections by the relay in all ways, of others by the server."""
        before = self._relay.cuts
        self._relay.break_some(self._chance.choices(CUTS, [3, 2, 2, 3, 2, 2, 0.3], k=3))
        return self._relay.cuts - before + _kill_one(self._server, self._chance)

    def cut_off(self, seconds: float) -> int:
        before = self._relay.cuts
        self._relay.shut(seconds)
        return self._relay.cuts - before

    def restart(self) -> None:
        self._tell("restarting")
        self._server.restart(empty=False)
        self._tell("restarted")

    def step_back(self) -> None:
        self._tell("saving")
        self._server.command("SAVE")
        time.sleep(self._chance.random())
        self._tell("going back")
        self._server.go_back()
        self._tell("back")

    def close(self) -> None:
        self._relay.close()
        self._server.close()


class _Several:
    """What those have in common where there are several servers."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        self.moves: list[Move] = []
        assert not is_snapshot, "its servers follow each other"
        self._chance, self._tell = chance, tell

    # Abstract: each of the sites below has its own two.

    @property
    def url(self) -> str:
        raise NotImplementedError

    def masters(self) -> list[Server]:
        """Return those that answer."""
        raise NotImplementedError

    def url_of(self, *, is_cut: bool) -> str:
        return self.url

    def break_some(self) -> int:
        return sum(_kill_one(each, self._chance) for each in self.masters())

    def cut_off(self, seconds: float) -> int:
        return 0

    # Not for these: the ways of several servers say never (rate 0), they fail over instead.

    def restart(self) -> None:
        raise NotImplementedError

    def step_back(self) -> None:
        raise NotImplementedError

    def _may_lose(self, event: Callable[[], Steps]) -> Steps:
        """What is acknowledged meanwhile, or was so just before, may be lost."""
        self._tell("saving")
        self._tell("failing over")
        yield from _for(LAG)
        yield from event()
        self._tell("going back")
        self._tell("back")

    def _loses_nothing(self, event: Callable[[], Steps]) -> Steps:
        self._tell("restarting")
        yield from event()
        self._tell("restarted")


class Watched(_Several):
    """A master and two replicas, watched by three Sentinels."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        super().__init__(chance, seed, tell, is_snapshot)
        self._group = Replication(2, sentinels=3)
        self.moves = [
            ("failovers", self._fail_over),
            ("kills of a master", self._kill),
            ("stopped masters", self._stop),
        ]

    @property
    def url(self) -> str:
        return self._group.url

    def masters(self) -> list[Server]:
        return [each for each in (self._group.master,) if each.is_answering]

    def empty(self) -> None:
        self._group.master.command("FLUSHALL")

    def _fail_over(self) -> Steps:
        """It takes a while until the old master hears of it, and what it acknowledges is lost."""
        before = yield from self._ready()

        def fail_over() -> Steps:
            while not self._group.other_master(before):  # a Sentinel may give it up
                with contextlib.suppress(hiredis.ReplyError):  # or be at it still
                    self._group.begin_failover()
                again = time.monotonic() + GIVEN_UP
                yield from _until(
                    lambda: self._group.other_master(before) or time.monotonic() > again
                )
            yield from self._replaced(before)

        yield from self._may_lose(fail_over)

    def _kill(self) -> Steps:
        before = yield from self._ready()

        def kill() -> Steps:
            before.kill()
            yield from _until(lambda: self._group.other_master(before))
            # Without its data. The Sentinels make it a replica, and send nobody to it meanwhile.
            before.restart()
            yield from self._replaced(before)

        yield from self._may_lose(kill)

    def _stop(self) -> Steps:
        before = yield from self._ready()

        def stop() -> Steps:
            before.pause()
            yield from _until(lambda: self._group.other_master(before))
            before.resume()
            yield from self._replaced(before)

        yield from self._may_lose(stop)

    def _ready(self) -> Generator[None, None, Server]:
        """Return the master when all follow it."""
        yield from _until(lambda: len(self._group.replicas()) == 2)
        return self._group.master

    def _replaced(self, server: Server) -> Steps:
        yield from _until(lambda: self._group.other_master(server))
        yield from _until(lambda: self._group.is_replica(server))

    def close(self) -> None:
        self._group.close()


class Sharded(_Several):
    """Three masters, each with a replica."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        super().__init__(chance, seed, tell, is_snapshot)
        self._cluster = Cluster(3, replicas=1)
        self.moves = [
            ("failovers", self._fail_over),
            ("kills of a master", self._kill),
            ("kills with a lag", self._kill_with_lag),
            ("stopped masters", self._stop),
            ("moved slots", self._move_slot),
        ]

    @property
    def url(self) -> str:
        return self._cluster.url

    def masters(self) -> list[Server]:
        return [each for each in self._cluster.masters if each.is_answering]

    def empty(self) -> None:
        self._cluster.each("FLUSHALL")

    def _fail_over(self) -> Steps:
        master = yield from self._ready()
        replica = self._replica_of(master)

        def fail_over() -> Steps:
            replica.command("CLUSTER", "FAILOVER")
            yield from _until(lambda: self._cluster.is_master(replica))

        yield from self._loses_nothing(fail_over)

    def _kill(self) -> Steps:
        master = yield from self._ready()
        replica = self._replica_of(master)

        def kill() -> Steps:
            master.kill()
            yield from _until(lambda: self._cluster.is_master(replica))
            master.go_back()

        yield from self._may_lose(kill)

    def _kill_with_lag(self) -> Steps:
        """The replica has not got what came last."""
        master = yield from self._ready()
        replica = self._replica_of(master)

        def kill() -> Steps:
            replica.pause()
            yield from _for(self._chance.random() / 2)
            master.kill()
            replica.resume()
            yield from _until(lambda: self._cluster.is_master(replica))
            master.go_back()

        yield from self._may_lose(kill)

    def _stop(self) -> Steps:
        master = yield from self._ready()
        replica = self._replica_of(master)

        def stop() -> Steps:
            master.pause()
            yield from _until(lambda: self._cluster.is_master(replica))
            master.resume()
            yield from _until(lambda: self._cluster.has_replicas(3))

        yield from self._may_lose(stop)

    def _ready(self) -> Generator[None, None, Server]:
        """Return one of the masters when each has a replica."""
        yield from _until(lambda: self._cluster.has_replicas(3))
        return self._chance.choice(self._cluster.masters)

    def _replica_of(self, master: Server) -> Server:
        return self._cluster.replicas_of(master)[0]

    def _move_slot(self) -> Steps:
        """To another master, key by key."""
        slot = self._used_slot()
        yield from self._move(slot, self._another_than(slot))

    def _move_at_once(self) -> Steps:
        """To another master, as a whole."""
        slot = self._used_slot()
        target = self._another_than(slot)
        self._cluster.move_at_once(slot, target)
        yield from _until(lambda: self._has(target, slot))

    def _come_and_go(self) -> Steps:
        """Another master comes, gets slots, gives them away and goes."""
        guest = self._cluster.add()
        for _ in range(2):
            yield from self._move(self._used_slot(), guest)
        yield from _for(LAG)
        for slot in self._cluster.slots_of(guest):
            yield from self._move(slot, self._another_than(slot))
        self._cluster.remove(guest)

    def _used_slot(self) -> int:
        """Return a slot that has an object with a name."""
        return slot_of(self._chance.choice(self._cluster.keys("{multihost:[0-9][0-9]}:names")))

    def _has(self, server: Server, slot: int) -> bool:
        return slot in self._cluster.slots_of(server)

    def _move(self, slot: int, target: Server) -> Steps:
        """Move a slot key by key."""
        if self._has(target, slot):
            return
        source = self._cluster.begin_move(slot, target)
        while True:
            yield
            try:
                self._cluster.move_keys(slot, source, target)
                break
            except hiredis.ReplyError as error:  # a key came back meanwhile
                if not str(error).startswith("BUSYKEY"):
                    raise
        self._cluster.end_move(slot, target)

    def _another_than(self, slot: int) -> Server:
        masters = self._cluster.masters
        here = self._cluster.node(self._cluster.node_of(slot))
        return self._chance.choice([each for each in masters if each is not here])

    def close(self) -> None:
        self._cluster.close()


class Resharded(Sharded):
    """The same, where slots move and nothing else happens: nothing at all is lost."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        super().__init__(chance, seed, tell, is_snapshot)
        self.moves = [
            ("moved slots", self._move_slot),
            ("masters that came and went", self._come_and_go),
        ]
        if self._cluster.can_move_at_once:
            self.moves.append(("slots moved at once", self._move_at_once))


def _until(predicate: Callable[[], object]) -> Steps:
    """Steps until it is true."""
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < deadline, "a move does not end"
        yield


def _for(seconds: float) -> Steps:
    """Steps for so long."""
    end = time.monotonic() + seconds
    yield from _until(lambda: time.monotonic() >= end)


def _kill_one(server: Server, chance: random.Random) -> int:
    """Have a server close the connection of somebody; return how many that were."""
    with contextlib.suppress(OSError):  # it closes ours just now, since its part changes
        ids = [row["id"] for row in server.clients() if row["name"] == "multihost"]
        return int(server.command("CLIENT", "KILL", "ID", chance.choice(ids))) if ids else 0
    return 0


SITES: dict[str, Callable[[random.Random, str, Callable[[str], None], bool], Site]] = {
    "one server": OneServer,
    "sentinel": Watched,
    "cluster": Sharded,
    "resharding": Resharded,
}
