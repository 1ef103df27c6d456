"""Everything that gc looks for, as kills and other programs leave it behind."""

from __future__ import annotations

from typing import Any

from multihost import RedisManager
from tests.lifetimes.keys import let_go_long_ago
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

__all__ = [
    "DEAD_SESSION",
    "SAMPLES",
    "hold_by_the_dead",
    "lose",
]


DEAD_SESSION = "ghost"  # a session that is dead


def lose(server: AnyServer, proxy: Any, *parts: str) -> None:
    """Another program deletes parts of an object."""
    keys = proxy._handle.keys
    server.command("DEL", *[getattr(keys, part) for part in parts])


def hold_by_the_dead(server: AnyServer, held: Any, session: str = DEAD_SESSION) -> None:
    """A session that is no more holds a lock, or a permit."""
    keys = held._handle.keys
    server.command("HSET", keys.refs, f"f:{session}", 4)
    place = keys.held(f"{session}.1".encode())
    assert server.command("LMOVE", keys.free, place, "LEFT", "RIGHT") == b"1"


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


def _forget(m: RedisManager, *proxies: Any) -> None:
    """Their process does not hold them any more."""
    references = m.runtime.session.references
    for proxy in proxies:
        references.decref(proxy._token.ident)
    wait_until(lambda: not any(proxy._token.ident in references for proxy in proxies))


def _let_go(server: AnyServer, m: RedisManager) -> str:
    """A circle, and what is in it."""
    d = m.dict("keeper")
    d["a"] = a = m.list()
    b = m.list([a, m.list([1])])
    a.append(b)
    del d["a"]
    _forget(m, a, b)
    del a, b
    let_go_long_ago(server)
    return ""


def _lost(server: AnyServer, m: RedisManager) -> str:
    """What contained it was removed by another program."""
    d = m.dict("lost-keeper")
    d["x"] = inner = m.list([1])
    _forget(m, inner)
    server.command("HDEL", d._handle.keys.names, "lost-keeper")
    lose(server, d, "data", "index", "contains")
    let_go_long_ago(server)
    return ""


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
    "unreachable": [_let_go, _lost],
    "dead session": [_dead_sessions],
    "orphaned items": [_orphaned_items],
}
"""For each kind what leaves some of it, and returns the name or ident it is about."""
