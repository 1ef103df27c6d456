"""A master with replicas, and the Sentinels that watch it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

from tests.support.hosts import Hosts
from tests.support.sentinel import SERVICE, Sentinel
from tests.support.server import Server
from tests.support.waiting import wait_until

__all__ = ["Replication"]

DOWN_AFTER = 1000
"""Milliseconds for which a master does not answer until a Sentinel takes it for down."""


class Replication:
    """Servers of which one is the master: ``Replication(replicas=2, sentinels=3)``.

    Options are those of each server. With ``hosts`` the first server and the first Sentinel are on
    the first of them, and so on.
    """

    def __init__(
        self, replicas: int = 1, *, sentinels: int = 0, hosts: Hosts | None = None, **options: Any
    ) -> None:
        self._stack = ExitStack()
        if password := options.get("password"):
            options["masterauth"] = password
        places: list[dict[str, Any]] = [{} for _ in range(1 + replicas + sentinels)]
        if hosts is not None:
            options = {"protected_mode": "no"} | options
            places = [
                {"host": hosts.address[name], "prefix": hosts.prefix(name)} for name in hosts.names
            ]
        try:
            settings = {"repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1} | options
            self.servers: list[Server] = [
                self._stack.enter_context(Server(tcp=True, **place | settings))
                for place in places[: 1 + replicas]
            ]
            first = self.servers[0]
            for each in self.servers[1:]:
                self.follow(each, first)
            self.await_replicas(first, replicas)
            self.sentinels: list[Sentinel] = [
                self._stack.enter_context(
                    Sentinel(first, quorum=1 + sentinels // 2, down_after=DOWN_AFTER, **place)
                )
                for place in places[:sentinels]
            ]
            for sentinel in self.sentinels:
                sentinel.await_others(sentinels - 1, replicas)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Replication:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    @property
    def url(self) -> str:
        """Of the master, wherever the Sentinels say it is."""
        hosts = ",".join(f"{host}:{port}" for host, port in (s.host for s in self.sentinels))
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def master(self) -> Server:
        """The one that is master by its own word; by that of a Sentinel if there are any."""
        if self.sentinels:
            port = self.sentinels[0].master_port()
            return next(each for each in self.servers if each.port == port)
        return next(
            each
            for each in self.servers
            if each.is_answering and _facts(each).get("role") == "master"
        )

    def replicas(self) -> list[Server]:
        """Those that follow the master, in step with it."""
        master = self.master
        return [
            each
            for each in self.servers
            if each.is_answering
            and (facts := _facts(each)).get("role") == "slave"
            and facts["master_port"] == str(master.port)
            and facts["master_link_status"] == "up"
        ]

    @staticmethod
    def follow(replica: Server, master: Server) -> None:
        """Make a server a replica of another one."""
        replica.command("REPLICAOF", master.host, master.port)

    @staticmethod
    def promote(replica: Server) -> None:
        """Make a replica a master, as it is: what it has not got is lost."""
        replica.command("REPLICAOF", "NO", "ONE")

    @staticmethod
    def await_replicas(master: Server, number: int) -> None:
        """Wait until so many replicas have all that a master has."""

        def are_in_step() -> bool:
            facts = _facts(master)
            offset = facts.get("master_repl_offset")
            if offset == "0":  # a replica that is still loading has as much; a ping comes soon
                return False
            lines = [value for name, value in facts.items() if name.startswith("slave")]
            return sum(f"state=online,offset={offset}," in each for each in lines) >= number

        wait_until(are_in_step, what=f"{number} replicas in step")

    def fail_over(self) -> Server:
        """A planned failover by a Sentinel; return the new master once all Sentinels know it."""
        before = self.master
        self.begin_failover()
        return self.await_other_master(before)

    def begin_failover(self) -> None:
        """Tell a Sentinel to have another master."""
        self.sentinels[0].command("SENTINEL", "FAILOVER", SERVICE)

    def await_other_master(self, before: Server) -> Server:
        """Wait until all Sentinels name another master than that; return it."""
        return wait_until(lambda: self.other_master(before), what="another master")

    def other_master(self, before: Server) -> Server | None:
        """The master that all Sentinels name, if it is another one than that, and says so."""
        ports = {each.master_port() for each in self.sentinels}
        if len(ports) > 1 or ports == {before.port}:
            return None
        master = self.master
        return master if _facts(master).get("role") == "master" else None

    def is_replica(self, server: Server) -> bool:
        """Whether a server follows another one."""
        return _facts(server).get("role") == "slave"


def _facts(server: Server) -> dict[str, str]:
    """What a server says of its replication, nothing if it closes its connections just now: a
    Sentinel has it do so when its part changes.
    """
    with suppress(OSError):
        return server.info("replication")
    return {}
