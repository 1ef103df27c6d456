"""Clusters: one of our own, or that at ``MULTIHOST_TEST_URL``; asked like one server."""

from __future__ import annotations

import binascii
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import hiredis

from tests.support.ports import Port
from tests.support.raw import Endpoint, RawClient
from tests.support.server import Commands, Server, server_program, server_version
from tests.support.waiting import PATIENCE, wait_until

__all__ = ["SCHEMES", "Cluster", "ClusterCommands", "ExternalCluster", "slot_of"]

SCHEMES = ("redis+cluster", "rediss+cluster")
SLOTS = 16384
NODE_TIMEOUT = 1000
"""Milliseconds; the shortest with which a failover is no accident on a busy machine."""

COUNTED = ("clients", "stats")
"""Sections of ``INFO`` whose numbers are counts."""

LINK_STATES = ("connected", "disconnected")

Node = tuple[str, int]
Argument = str | bytes | int | float


def slot_of(key: str | bytes) -> int:
    """The slot of a key, by its hash tag."""
    packed = key.encode() if isinstance(key, str) else key
    start = packed.find(b"{")
    end = packed.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        packed = packed[start + 1 : end]
    return binascii.crc_hqx(packed, 0) % SLOTS


class ClusterCommands:
    """What one can ask of a cluster: each command goes to the master that has its key."""

    db = 0
    is_running = True

    def __init__(self, seeds: Sequence[Node]) -> None:
        self._seeds = list(seeds)
        self._table: list[tuple[int, int, Node]] = []

    def node(self, node: Node) -> Commands:
        """The server of that address."""
        raise NotImplementedError

    def master_nodes(self) -> list[Node]:
        """Addresses of those that have slots, by their first one."""
        return list(dict.fromkeys(node for _, _, node in self._slots()))

    def node_of(self, slot: int) -> Node:
        """The address of the master of a slot."""
        return next(node for first, last, node in self._slots() if first <= slot <= last)

    def command(self, *args: Argument, db: int | None = None) -> Any:
        return self.commands(args, db=db)[0]

    def commands(self, *commands: tuple[Argument, ...], db: int | None = None) -> list[Any]:
        """Several calls, in their order at each node."""
        assert not db, "a cluster has one database"
        return [self._command(args) for args in commands]

    def each(self, *args: Argument) -> list[Any]:
        """The same of every master."""
        return [self.node(node).command(*args) for node in self.master_nodes()]

    def keys(self, pattern: str = "*", db: int | None = None) -> list[bytes]:
        """All keys, sorted."""
        assert not db, "a cluster has one database"
        found: set[bytes] = set()
        for node in self.master_nodes():
            found.update(self.node(node).keys(pattern))
        return sorted(found)

    def databases(self) -> list[int]:
        return [0]

    def clients(self) -> list[dict[str, str]]:
        """``CLIENT LIST`` of all masters, without connections between nodes."""
        return [
            row | {"id": f"{node[1]}/{row['id']}"}
            for node in self.master_nodes()
            for row in self.node(node).clients()
            if not {"S", "M"} & set(row.get("flags", ""))
        ]

    def info(self, section: str = "server") -> dict[str, str]:
        """Of the first master; of counts, those of all together."""
        first, *others = [self.node(node).info(section) for node in self.master_nodes()]
        if section not in COUNTED:
            return first
        for name, value in first.items():
            if value.isdigit():
                first[name] = str(int(value) + sum(int(each[name]) for each in others))
        return first

    def calls(self) -> Counter[str]:
        """How often each command was executed, on all masters together."""
        return sum((self.node(each).calls() for each in self.master_nodes()), Counter())

    def connect(self, db: int | None = None, timeout: float | None = PATIENCE) -> RawClient:
        """A new connection to the first master, for the caller to close."""
        return self.node(self.master_nodes()[0]).connect(db, timeout)

    def tail(self) -> str:
        return ""

    def _command(self, args: tuple[Argument, ...]) -> Any:
        packed = [arg.encode() if isinstance(arg, str) else arg for arg in args]
        key = next(
            (each for each in packed[1:] if isinstance(each, bytes) and each[:1] == b"{"), None
        )
        if key is None:
            return self.node(self.master_nodes()[0]).command(*args)
        while True:
            try:
                return self.node(self.node_of(slot_of(key))).command(*args)
            except hiredis.ReplyError as error:
                if not str(error).startswith("MOVED "):
                    raise
                self.forget()

    def forget(self) -> None:
        """Look up where the slots are at the next command."""
        self._table = []

    def _slots(self) -> list[tuple[int, int, Node]]:
        if not self._table:
            self._table = next(self._read_slots())
        return self._table

    def _read_slots(self) -> Iterator[list[tuple[int, int, Node]]]:
        for seed in self._seeds:
            server = self.node(seed)
            if isinstance(server, Server) and not server.is_answering:
                continue
            try:
                found = server.command("CLUSTER", "SLOTS")
            except OSError:
                continue
            yield sorted(
                (first, last, ((master[0] or b"").decode() or seed[0], master[1]))
                for first, last, master, *_ in found
            )


class ExternalCluster(ClusterCommands):
    """The cluster at ``MULTIHOST_TEST_URL``: not ours, so it is neither killed nor emptied.

    Parallel workers have it together: use one.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        login, _, hosts = rest.partition("/")[0].rpartition("@")
        self.url = url
        self._login = Endpoint.parse(f"redis://{login}@host") if login else Endpoint("redis")
        self._tls = scheme == SCHEMES[1]
        self._nodes: dict[Node, Commands] = {}
        places = [Endpoint.parse(f"redis://{host}") for host in hosts.split(",")]
        super().__init__([(place.host, place.port) for place in places])

    def __repr__(self) -> str:
        return f"<ExternalCluster {self._seeds}>"

    def node(self, node: Node) -> Commands:
        if node not in self._nodes:
            place = Endpoint(
                "rediss" if self._tls else "redis",
                *node,
                username=self._login.username,
                password=self._login.password,
            )
            self._nodes[node] = Commands(place.url)
        return self._nodes[node]

    def close(self) -> None:
        for each in self._nodes.values():
            each.drop_controls()


class Cluster(ClusterCommands):
    """A cluster of our own, running as soon as it is made: ``Cluster(3, replicas=1)``.

    Each master has the same number of slots. Options are those of each server.
    """

    def __init__(self, masters: int = 3, *, replicas: int = 0, **options: Any) -> None:
        self._bus_ports: list[Port] = []
        self._stack = ExitStack()
        self._options = options
        self.nodes: list[Server] = []
        try:
            self.nodes = [self._start() for _ in range(masters * (1 + replicas))]
            super().__init__([("127.0.0.1", each.port) for each in self.nodes])
            self._join(masters)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cluster {self.url}>"

    @property
    def url(self) -> str:
        """With all nodes as seeds."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes)

    @property
    def tcp_url(self) -> str:
        return self.url

    @property
    def unix_url(self) -> str:
        return self.url

    def close(self) -> None:
        """End all nodes."""
        self._stack.close()

    def node(self, node: Node) -> Server:
        return next(each for each in self.nodes if each.port == node[1])

    @property
    def masters(self) -> list[Server]:
        """Those that have slots now."""
        self.forget()
        return [self.node(node) for node in self.master_nodes()]

    def master_of(self, key: str | bytes) -> Server:
        """The master of a key now."""
        self.forget()
        return self.node(self.node_of(slot_of(key)))

    def replicas_of(self, master: Server) -> list[Server]:
        """The replicas of a master that are in step with it."""
        return [
            each
            for each in self.nodes
            if each.is_answering
            and (facts := each.info("replication"))["role"] == "slave"
            and facts["master_port"] == str(master.port)
            and facts["master_link_status"] == "up"
        ]

    def fail_over(self, master: Server) -> Server:
        """A planned failover of a master; return that which is master then."""
        replica = wait_until(lambda: self.replicas_of(master), what="a replica")[0]
        replica.command("CLUSTER", "FAILOVER")
        self.await_master(replica)
        return replica

    def await_master(self, server: Server) -> None:
        """Wait until a server has slots, and every node that answers says so."""
        wait_until(lambda: self.is_master(server), what="the failover")

    def is_master(self, server: Server) -> bool:
        """Whether a server has slots, and every node that answers says so."""
        self.forget()
        return all(
            any(entry[2][1] == server.port for entry in each.command("CLUSTER", "SLOTS"))
            for each in self.nodes
            if each.is_answering
        )

    def await_replicas(self, number: int) -> None:
        """Wait until so many replicas are in step."""

        wait_until(lambda: self.has_replicas(number), what=f"{number} replicas")

    def has_replicas(self, number: int) -> bool:
        """Whether so many replicas are in step."""
        masters = [each for each in self.masters if each.is_answering]
        return sum(len(self.replicas_of(each)) for each in masters) >= number

    def add(self) -> Server:
        """Start one more master, without slots."""
        server = self._start()
        self.nodes.append(server)
        self._meet([server])
        self._await_agreement()
        wait_until(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
        return server

    def remove(self, server: Server) -> None:
        """End a master that has no slots."""
        id_ = _id(server)
        self.nodes.remove(server)
        for each in self.nodes:
            each.command("CLUSTER", "FORGET", id_)
        server.close()

    def move_at_once(self, slot: int, target: Server) -> None:
        """Have the servers move a slot as a whole, which Valkey 9 can; do not wait for it."""
        self.forget()
        source = self.node(self.node_of(slot))
        source.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", _id(target))

    @property
    def can_move_at_once(self) -> bool:
        """Whether the servers have the command for that."""
        version = self.info().get("valkey_version", "0")
        return int(version.partition(".")[0]) >= 9

    def slots_of(self, server: Server) -> list[int]:
        """The slots of a master, as it says itself."""
        return [
            slot
            for first, last, master, *_ in server.command("CLUSTER", "SLOTS")
            if master[1] == server.port
            for slot in range(first, last + 1)
        ]

    def begin_move(self, slot: int, target: Server) -> Server:
        """Open a slot for a move key by key; return its present master."""
        self.forget()
        source = self.node(self.node_of(slot))
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
        return source

    def move_keys(self, slot: int, source: Server, target: Server) -> int:
        """Move the keys of an open slot one by one; return how many there were."""
        moved = 0
        while found := source.command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            for key in found:
                source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 20_000)
                moved += 1
        return moved

    def end_move(self, slot: int, target: Server) -> None:
        """Give a slot that was opened to its new master."""
        for each in (target, *(node for node in self.nodes if node is not target)):
            if each.is_answering and b"master" in each.command("CLUSTER", "NODES"):
                role = each.info("replication")["role"]
                if role == "master":
                    each.command("CLUSTER", "SETSLOT", slot, "NODE", _id(target))
        self._await_agreement()
        self.forget()

    def _await_agreement(self) -> None:
        """Wait until all nodes know the same epochs, and the same masters of slots: a move before
        that may be taken back by what they hear of each other.
        """

        def agree() -> bool:
            views = {
                frozenset(
                    (row[0], *(p for p in row[6:] if p not in LINK_STATES and p[0] != "["))
                    for row in map(
                        str.split, each.command("CLUSTER", "NODES").decode().splitlines()
                    )
                )
                for each in self.nodes
                if each.is_answering
            }
            return len(views) == 1

        wait_until(agree, what="the nodes agree")

    def move_slot(self, slot: int, target: Server) -> int:
        """Move a slot key by key; return how many keys it had."""
        source = self.begin_move(slot, target)
        moved = self.move_keys(slot, source, target)
        self.end_move(slot, target)
        return moved

    def _start(self) -> Server:
        bus = {}
        if _has_bus_port():
            self._bus_ports.append(self._stack.enter_context(Port()))
            bus["cluster_port"] = self._bus_ports[-1].number
        settings = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": NODE_TIMEOUT,
            "cluster_require_full_coverage": "no",
            "repl_diskless_sync_delay": 0,
        }
        return self._stack.enter_context(Server(tcp=True, **bus | settings | self._options))

    def _join(self, masters: int) -> None:
        first, *others = self.nodes
        for number, each in enumerate(self.nodes[:masters]):
            start, end = number * SLOTS // masters, (number + 1) * SLOTS // masters
            each.command("CLUSTER", "ADDSLOTS", *range(start, end))
            each.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        self._meet(others)
        count = len(self.nodes)
        for number, each in enumerate(self.nodes[masters:]):
            each.command("CLUSTER", "REPLICATE", _id(self.nodes[number % masters]))
        wait_until(
            lambda: all(
                b"cluster_state:ok" in each.command("CLUSTER", "INFO")
                and len(each.command("CLUSTER", "SLOTS")) == masters
                for each in self.nodes
            ),
            what="the cluster is up",
        )
        self.await_replicas(count - masters)

    def _meet(self, others: Sequence[Server]) -> None:
        """Have the first node and others know each other."""
        first, count = self.nodes[0], len(self.nodes)
        bus = self._bus_ports[0].number if self._bus_ports else first.port + 10_000
        for each in others:
            each.command("CLUSTER", "MEET", "127.0.0.1", first.port, bus)

        def know_all() -> bool:
            known = [each.command("CLUSTER", "NODES") for each in self.nodes if each.is_answering]
            return all(each.count(b"\n") == count and b"handshake" not in each for each in known)

        wait_until(know_all, what="the nodes know each other")


def _id(server: Server) -> str:
    return str(server.command("CLUSTER", "MYID").decode())


def _has_bus_port() -> bool:
    """Whether the port between nodes can be chosen: since Redis 7."""
    name, _, version = server_version(server_program()).partition(" ")
    return name == "Valkey" or int(version.partition(".")[0]) >= 7
