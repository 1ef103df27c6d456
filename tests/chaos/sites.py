"""Where the data of a campaign is, and what befalls it there.

A site tells the journals what may be undone: ``saving`` and ``failing over`` before anything that
was acknowledged may be lost, ``going back`` and ``back`` when nothing more can be; ``restarting``
and ``restarted`` around what loses nothing.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import hiredis

from tests.chaos.relay import WAYS as CUTS
from tests.chaos.relay import Relay
from tests.support.cluster import Cluster, slot_of
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import wait_until

__all__ = ["SITES", "Site"]

Move = tuple[str, Callable[[], None]]
LAG = 1.0  # seconds: what was acknowledged in the last moment before a kill may not be replicated
AWAY = 4.0  # seconds for which a master is stopped: others take it for dead meanwhile
PARTITIONS = 64


class Site(Protocol):
    """One or several servers."""

    moves: Sequence[Move]
    """How masters or slots move: what that is called, and what does it."""

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

    moves: Sequence[Move] = ()

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        assert not is_snapshot, "its servers follow each other"
        self._chance, self._tell = chance, tell

    @property
    def url(self) -> str:
        raise NotImplementedError

    def url_of(self, *, is_cut: bool) -> str:
        return self.url

    def masters(self) -> list[Server]:
        """Return those that answer."""
        raise NotImplementedError

    def break_some(self) -> int:
        return sum(_kill_one(each, self._chance) for each in self.masters())

    def cut_off(self, seconds: float) -> int:
        return 0

    def restart(self) -> None:
        raise NotImplementedError

    def step_back(self) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def _loses(self) -> Iterator[None]:
        """What is acknowledged meanwhile, or was so just before, may be lost."""
        self._tell("saving")
        self._tell("failing over")
        time.sleep(LAG)
        yield
        self._tell("going back")
        self._tell("back")

    @contextlib.contextmanager
    def _loses_nothing(self) -> Iterator[None]:
        self._tell("restarting")
        yield
        self._tell("restarted")


class Watched(_Several):
    """A master and two replicas, watched by three Sentinels."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        super().__init__(chance, seed, tell, is_snapshot)
        self._group = Replication(2, sentinels=3)
        self.moves = (
            ("failovers", self._fail_over),
            ("kills of a master", self._kill),
            ("stopped masters", self._stop),
        )

    @property
    def url(self) -> str:
        return self._group.url

    def masters(self) -> list[Server]:
        return [self._group.master]

    def empty(self) -> None:
        self._group.master.command("FLUSHALL")

    def _fail_over(self) -> None:
        """It takes a while until the old master hears of it, and what it acknowledges is lost."""
        before = self._ready()
        with self._loses():
            self._group.fail_over()
            self._await_demotion(before)

    def _kill(self) -> None:
        before = self._ready()
        with self._loses():
            before.kill()
            self._group.await_other_master(before)
            # Without its data. The Sentinels make it a replica, and send nobody to it meanwhile.
            before.restart()
            self._await_demotion(before)

    def _stop(self) -> None:
        before = self._ready()
        with self._loses():
            before.pause()
            self._group.await_other_master(before)
            before.resume()
            self._await_demotion(before)

    def _ready(self) -> Server:
        """Return the master when all follow it."""
        master = self._group.master
        self._group.await_replicas(master, 2)
        return master

    def _await_demotion(self, server: Server) -> None:
        def is_replica() -> bool:
            with contextlib.suppress(OSError):
                return server.info("replication")["role"] == "slave"
            return False

        wait_until(is_replica, what="the old master is a replica")

    def close(self) -> None:
        self._group.close()


class Sharded(_Several):
    """Three masters, each with a replica."""

    def __init__(
        self, chance: random.Random, seed: str, tell: Callable[[str], None], is_snapshot: bool
    ) -> None:
        super().__init__(chance, seed, tell, is_snapshot)
        self._cluster = Cluster(3, replicas=1)
        self.moves = (
            ("failovers", self._fail_over),
            ("kills of a master", self._kill),
            ("kills with a lag", self._kill_with_lag),
            ("stopped masters", self._stop),
            ("moved slots", self._move_slot),
        )

    @property
    def url(self) -> str:
        return self._cluster.url

    def masters(self) -> list[Server]:
        return [each for each in self._cluster.masters if each.is_answering]

    def empty(self) -> None:
        self._cluster.each("FLUSHALL")

    def _fail_over(self) -> None:
        master = self._ready()
        with self._loses_nothing():
            self._cluster.fail_over(master)

    def _kill(self) -> None:
        master = self._ready()
        with self._loses():
            self._replace(master, master.kill)
            master.go_back()

    def _kill_with_lag(self) -> None:
        """The replica has not got what came last."""
        master = self._ready()
        (replica,) = self._cluster.replicas_of(master)
        with self._loses():
            replica.pause()
            time.sleep(self._chance.random() / 2)
            master.kill()
            replica.resume()
            self._cluster.await_master(replica)
            master.go_back()

    def _stop(self) -> None:
        master = self._ready()
        with self._loses():
            self._replace(master, master.pause)
            master.resume()
            self._cluster.await_replicas(3)

    def _replace(self, master: Server, end: Callable[[], None]) -> None:
        """End a master, and wait until its replica is one."""
        (replica,) = self._cluster.replicas_of(master)
        end()
        self._cluster.await_master(replica)

    def _ready(self) -> Server:
        """Return one of the masters when each has a replica."""
        self._cluster.await_replicas(3)
        return self._chance.choice(self._cluster.masters)

    def _move_slot(self) -> None:
        """To another master, key by key."""
        number = self._chance.randrange(PARTITIONS)
        slot = slot_of(f"{{multihost:{number:02d}}}")
        source = self._cluster.begin_move(slot, target := self._another_than(slot))
        while True:
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
        self.moves = (("moved slots", self._move_slot),)


def _kill_one(server: Server, chance: random.Random) -> int:
    """Have a server close the connection of somebody; return how many that were."""
    ids = [row["id"] for row in server.clients() if row["name"] == "multihost"]
    return int(server.command("CLIENT", "KILL", "ID", chance.choice(ids))) if ids else 0


SITES: dict[str, Callable[[random.Random, str, Callable[[str], None], bool], Site]] = {
    "one server": OneServer,
    "sentinel": Watched,
    "cluster": Sharded,
    "resharding": Resharded,
}
