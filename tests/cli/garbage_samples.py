"""Everything that gc looks for, as kills and other programs leave it behind."""

from __future__ import annotations

from typing import Any
from unittest import mock

from multihost import RedisManager
from multihost.wire.ops import ownership
from tests.support.server import ExternalServer, Server

__all__ = [
    "DEAD_SESSION",
    "SAMPLES",
    "begin_creation",
    "hold_by_the_dead",
    "remove_without_disowning",
    "lose",
    "make_idle",
]

AnyServer = Server | ExternalServer

DEAD_SESSION = "ghost"  # a session that is dead


def lose(server: AnyServer, proxy: Any, *parts: str) -> None:
    """Another program deletes parts of an object."""
    keys = proxy._handle.keys
    server.command("DEL", *[getattr(keys, part) for part in parts])


def begin_creation(manager: RedisManager, name: str, inner: Any) -> Any:
    """A container was about to be made, and whoever makes it was killed."""
    handle = manager.runtime.session.handle("n:" + name)
    ownership.retain(handle, [handle.codec.dump(inner)])
    return handle


def remove_without_disowning(action: Any) -> None:
    """Whoever removes something is killed before he disowns it."""
    with mock.patch.object(ownership, "_disown_dropped"):
        action()


def hold_by_the_dead(server: AnyServer, held: Any, session: str = DEAD_SESSION) -> None:
    """A session that is no more holds a lock, or a permit."""
    keys = held._handle.keys
    server.command("HSET", keys.refs, f"f:{session}", 4)
    place = keys.held(f"{session}.1".encode())
    assert server.command("LMOVE", keys.free, place, "LEFT", "RIGHT") == b"1"


def make_idle(server: AnyServer, key: bytes, seconds: int = 7200) -> None:
    """As if nobody had touched the key for so long."""
    packed = server.command("DUMP", key)
    server.command("RESTORE", key, 0, packed, "REPLACE", "IDLETIME", seconds)


# -- each kind; what is returned is what must be well afterwards


def _orphaned_name(server: AnyServer, m: RedisManager) -> str:
    lose(server, m.Value("i", 1, name="gone-value"), "data")
    return "gone-value"


def _orphaned_keys(server: AnyServer, m: RedisManager) -> str:
    gone = m.dict("gone-dict", {"a": 1})
    server.command("HDEL", gone._handle.keys.names, "gone-dict")
    lose(server, gone, "data")
    queue = m.Queue("gone-queue")
    data = queue._handle.keys.data
    queue.delete()
    server.command("RPUSH", data + b":inflight:ghost.1", "x")
    return "gone-dict"


def _abandoned_creation(server: AnyServer, m: RedisManager) -> str:
    handle = begin_creation(m, "never-made", m.list([1]))
    make_idle(server, handle.keys.refs)
    return "never-made"


def _pending_release(server: AnyServer, m: RedisManager) -> str:
    d = m.dict("keeper")
    d["x"] = m.list([1])
    remove_without_disowning(lambda: d.pop("x"))
    return "keeper"


def _unreachable(server: AnyServer, m: RedisManager) -> str:
    d = m.dict("lost-owner")
    d["x"] = inner = m.list([1])
    server.command("HDEL", d._handle.keys.names, "lost-owner")
    lose(server, d, "data", "index", "refs")
    return inner._token.ident


def _without_owners(server: AnyServer, m: RedisManager) -> str:
    d = m.dict("other-owner")
    d["x"] = inner = m.list([2])
    lose(server, inner, "owners")
    return inner._token.ident


def _in_a_cycle(server: AnyServer, m: RedisManager) -> str:
    d = m.dict("of-a-circle")
    d["a"] = a = m.list()
    b = m.list([a])
    a.append(b)
    with mock.patch.object(ownership, "_break_cycle", return_value=[]):
        d.delete()
    return a._token.ident


def _dead_sessions(server: AnyServer, m: RedisManager) -> str:
    def hold_or_wait(proxy: Any, **fields: str) -> bytes:
        keys = proxy._handle.keys
        server.command("HSET", keys.data, *[each for pair in fields.items() for each in pair])
        return keys.data

    for held in (m.Lock("dead-lock"), m.Semaphore("dead-semaphore", 2)):
        hold_by_the_dead(server, held)
    barrier = m.Barrier("dead-barrier", 3)
    generation = server.command("HGET", barrier._handle.keys.data, "g").decode()
    hold_or_wait(barrier, c="1", **{"q:ghost.0.MainThread": generation})
    hold_or_wait(m.Condition("dead-condition"), **{"z:ghost.0.MainThread": "0", "c:0": "1"})
    hold_by_the_dead(server, m.Condition("held-by-the-dead"))
    queue = m.Queue("dead-queue", 5)
    data = hold_or_wait(queue, **{"w": "1", "q:ghost.0.MainThread": "1"})
    server.command("HSET", data + b":refs", "f:ghost", 1)
    server.command("RPUSH", data + b":inflight:ghost.1", queue._handle.codec.dump("back"))
    return "dead-lock"


def _orphaned_items(server: AnyServer, m: RedisManager) -> str:
    queue = m.Queue("with-a-stray")
    data = queue._handle.keys.data
    server.command("RPUSH", data + b":inflight:ghost.7", queue._handle.codec.dump("stray"))
    return "with-a-stray"


SAMPLES = {
    "orphaned name": [_orphaned_name],
    "orphaned keys": [_orphaned_keys],
    "abandoned creation": [_abandoned_creation],
    "pending release": [_pending_release],
    "unreachable": [_unreachable, _without_owners, _in_a_cycle],
    "dead session": [_dead_sessions],
    "orphaned items": [_orphaned_items],
}
"""For each kind what leaves some of it, and returns the name or ident it is about."""
