"""A namespace with one object of each kind and one record of each kind, twice: ill ones, which are
damaged, and well ones, which have to be shown whatever happens to those.
"""

from __future__ import annotations

from typing import Any

from multihost import RedisManager
from multihost.wire import keys as key_names
from multihost.wire.keys import Keys
from multihost.wire.ops import kinds
from multihost.wire.ops.pool import TaskTrailer
from tests.damage.harm import keys_of_row
from tests.support.leaks import AnyServer

__all__ = ["ILL_HOST", "ILL_SESSION", "NAMESPACE", "TYPEIDS", "World", "proxy_of"]


NAMESPACE = "multihost-damage"
ILL_SESSION = b"ill-session"
ILL_HOST = "h:ill-host-9012345678901-"[:24]
TYPEIDS = tuple(kinds.KINDS)


def proxy_of(manager: RedisManager, typeid: str, name: str) -> Any:
    """Create an object of each type, or attach to it."""
    make: Any = getattr(manager, typeid)
    arguments: dict[str, tuple[Any, ...]] = {
        "Value": ("i", 1),
        "Array": ("l", [1, 2, 3]),
        "Semaphore": (2,),
        "BoundedSemaphore": (2,),
        "Barrier": (3,),
    }
    if typeid == "Pool":
        return manager.Pool(1, name=name)
    if typeid in ("Value", "Array", "list", "set"):
        return make(*arguments.get(typeid, ()), name=name)
    if typeid in arguments:
        return make(name, *arguments[typeid])
    return make(name)


class World:
    """The objects, and what other processes seem to hold of them."""

    def __init__(self, server: AnyServer, manager: RedisManager) -> None:
        self.server, self.manager = server, manager
        self.session = manager.runtime.session
        self.sessions = {"well": self.session.registration.sid, "ill": ILL_SESSION}
        for health in ("well", "ill"):
            for typeid in TYPEIDS:
                self._add(typeid, health)
        self._add_host()
        self._add_connection()
        self._add_collection()
        self.snapshot: dict[bytes, tuple[int, bytes]] = {}
        for key in self.keys():
            left, packed = server.commands(("PTTL", key), ("DUMP", key))
            self.snapshot[key] = (max(left, 0), packed)

    def keys(self) -> list[bytes]:
        return self.server.keys(f"{{{NAMESPACE}:*")

    def ill_keys(self, row: str) -> list[bytes]:
        """The keys of a row of the layout, but for those of what is to stay well."""
        well = b":n:well ", self.sessions["well"]
        found = keys_of_row(row, NAMESPACE, list(self.snapshot))
        return [key for key in found if not any(each in key for each in well)]

    def data(self, typeid: str, health: str = "ill") -> Keys:
        return Keys(NAMESPACE, f"n:{health} {typeid}")

    def restore(self) -> None:
        """Put everything back as it was."""
        present = set(self.keys())
        commands: list[tuple[Any, ...]] = [("DEL", key) for key in present - self.snapshot.keys()]
        commands += [
            ("RESTORE", key, left, packed, "REPLACE")
            for key, (left, packed) in self.snapshot.items()
        ]
        self.server.commands(*commands)

    # -- what is in it

    def _fields(self, key: bytes, **fields: str | bytes) -> None:
        """Set fields of a hash; ``_`` stands for a colon and who it is."""
        flat = [part for field, value in fields.items() for part in (field, value)]
        self.server.command("HSET", key, *flat)

    def _add(self, typeid: str, health: str) -> None:
        keys = self.data(typeid, health)
        if typeid == "Pool":  # without workers
            from multihost.wire.ops import pool

            pool.create(self.session.handle(keys.ident))
        else:
            proxy = proxy_of(self.manager, typeid, f"{health} {typeid}")
            self._fill(typeid, proxy)
        name = self._register(keys, health)
        self._participants(typeid, keys, name.decode())

    def _register(self, keys: Keys, health: str) -> bytes:
        """Return the name of a session in the partition of these keys; the ill one is like ours."""
        self.session.ensure_registered(keys)
        record = self.session.registration.session_keys[keys.prefix]
        if health == "well":
            return record.rpartition(b":")[2]
        packed = self.server.command("DUMP", record)
        ill = keys.sessions + b":" + ILL_SESSION
        self.server.command("RESTORE", ill, 3_600_000, packed, "REPLACE")
        return ILL_SESSION

    def _fill(self, typeid: str, proxy: Any) -> None:
        match typeid:
            case "dict":
                proxy.update({"a": 1, 2.0: "b", "c": "text"})
                proxy[2] = self.manager.list([1])
                proxy.pop("c")
            case "list":
                proxy.extend([1, "two", self.manager.dict(a=1)])
            case "set":
                proxy.update([1.0, "two"])
            case "Namespace":
                proxy.x = 1
            case "Queue" | "JoinableQueue" | "LifoQueue" | "SimpleQueue" | "PriorityQueue":
                for item in (1, 2, 3):
                    proxy.put(item)

    def _participants(self, typeid: str, keys: Keys, sid: str) -> None:
        who, since = f"{sid}.7.who", f"who.{1_700_000_000_000_000:016d}"
        server, data, kind = self.server, keys.data, kinds.of(typeid)
        for script in kind.reap:
            self._fields(data, **{f"@:{script.partition('/')[0]}": f"1700000000000 1 {sid}"})
        match kind.family:
            case "lock":
                self._fields(data, f="9", u="3", **{f"q:{who}": "", f"h:{sid}.1": since})
                self._fields(data, **{f"-:{sid}.1": "1"})
            case "semaphore":
                self._fields(data, v="1", u="1", f="9")
                self._fields(data, **{f"k:{sid}": "1", f"q:{who}": "", f"-:{sid}.1": "1"})
            case "condition":
                self._fields(data, f="9", g="1", o="0", **{f"q:{who}": "", f"h:{sid}.1": since})
                self._fields(
                    data, **{"c:0": "1", "n:0": "1", "r:0": "0", f"z:{who}": "0", f"y:{who}": "1"}
                )
                server.command("RPUSH", data + b":tokens:0", "")
            case "barrier":
                self._fields(data, c="1", g="1", x="0", a="", **{"l:0": "1", f"q:{who}": "1"})
            case "queue":
                self._fields(data, w="1", j="1", u="4", **{f"q:{who}": "1", f"d:{sid}": "1"})
                if typeid == "PriorityQueue":
                    self._fields(data, gw="1", **{f"g:{who}": "1"})
                item = self.session.codec.dump("in flight")
                if typeid == "Pool":
                    trailer = TaskTrailer("c" * 22, "p", 1, 7, 0).pack()
                    item = self.session.codec.dump((7, 0, print, (), {})) + trailer
                    server.command("RPUSH", data + b":items", item)
                server.command("HSET", keys.refs, f"f:{sid}", "1", "x:gone~1", "1 1700000000")
                server.command("RPUSH", data + b":inflight:" + sid.encode() + b".1", item)
                server.command("RPUSH", keys.dead, item)
                server.command("RPUSH", data + b":tokens", "")
        if kind.elements:
            place = keys.held(f"{sid}.1".encode())
            server.command("HSET", keys.refs, f"f:{sid}", "1", "x:gone~1", "1 1700000000")
            server.command("LMOVE", keys.free, place, "LEFT", "RIGHT")
        if typeid == "SimpleQueue":
            self._fields(data, x="1")

    def _add_host(self) -> None:
        keys = Keys(NAMESPACE, ILL_HOST)
        self._register(keys, "ill")
        self.server.commands(
            ("HSET", key_names.hosts(NAMESPACE), ILL_HOST, '[1, "Thing"]'),
            ("HSET", keys.data, "s", ILL_SESSION),
            ("SADD", keys.channels, "ill-session.1"),
            ("SADD", keys.released, "u:0123456789012345678901 ill-session 3"),
            ("RPUSH", keys.channel(b"req", b"ill-session.1"), "=000000000001x"),
            ("RPUSH", keys.channel(b"res", b"ill-session.1"), "=000000000001x"),
        )
        thing = Keys(NAMESPACE, "n:ill Thing")
        entry = f"{key_names.PROTOCOL} pickle Thing"
        self.server.commands(
            ("HSET", thing.data, "t", "Thing", "host", ILL_HOST),
            ("HSET", thing.names, "ill Thing", entry),
        )

    def _add_collection(self) -> None:
        """What the collector notes, for an object that a container let go."""
        ident = b"u:" + b"i" * 22
        keys = Keys(NAMESPACE, ident.decode())
        epoch = str(int(self.server.command("TIME")[0]) * 1000)
        self.server.commands(
            ("HSET", keys.data, "0", "x"),
            ("ZADD", keys.prefix + b"kept", 2 * int(epoch), ident),
            ("ZADD", keys.prefix + b"held", 1_700_000_000_000, ident),
            ("ZADD", keys.prefix + b"cut", 1_700_000_000_000, ident),
            ("SADD", keys.prefix + b"partial", ident),
            ("SADD", keys.prefix + b"tops", "n:ill dict"),
            ("HSET", keys.prefix + b"epoch", "e", epoch, "s", epoch, "d", epoch),
            ("HSET", keys.prefix + b"lists", ident + b" ill-session", "1"),
            ("HSET", keys.prefix + ident + b":given", "ill-maker", "1"),
            ("SET", key_names.collector(NAMESPACE), "ill-session", "PX", 3_600_000),
            ("ZADD", key_names.leases(NAMESPACE), 1_700_000_000_000, "30000"),
        )

    def _add_connection(self) -> None:
        """A request that is sent in parts."""
        cache = key_names.prefix(NAMESPACE, 3) + b"r:ill"
        self.server.commands(
            ("SET", cache, "000000000001.", "PX", 3_600_000),
            ("RPUSH", cache + b":args", "000000000001", "x"),
            ("PEXPIRE", cache + b":args", 3_600_000),
        )
