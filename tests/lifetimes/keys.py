"""What the server itself says of an object: no test here asks the code under test.

Nor does any wait for the end of a lease: a machine that is busy with other things may keep a
process from its renewals for as long as a short one lasts. Leases are long here, and heartbeats
come often. That a lease is renewed shows in a time to live that was cut short and is long again;
one that nobody renews is ended by hand.
"""

from __future__ import annotations

import re
from typing import Any

from multihost import RedisManager
from multihost.inspection import opened
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

LEASE = 120.0
BEATS = 600  # in a lease: five in a second
SHORT_MS = 60_000  # what a time to live is cut to, and longer than anybody is patient
ENDING = range(SHORT_MS + 1)
LAPSED_MS = 1  # a time long ago
QUICK = f"from multihost.wire.session import heartbeat; heartbeat.BEATS_PER_LEASE = {BEATS}\n"
"""What a program says for its heartbeats to come as often."""


def ident(proxy: Any) -> str:
    return str(proxy._token.ident)


def keys_of(server: AnyServer, *idents: str) -> list[bytes]:
    """Every key that an object has, whatever it is for."""
    wanted = [re.compile(rb".*}:%b(:\w+)?" % re.escape(each.encode())) for each in idents]
    return [key for key in server.keys() if any(each.fullmatch(key) for each in wanted)]


def unnamed(server: AnyServer) -> list[bytes]:
    """The keys of all unnamed objects."""
    return server.keys("*}:u:*")


def all_but_records(server: AnyServer) -> list[bytes]:
    """Every key but those of last requests, which expire by themselves within a minute, and what
    the collector notes of a namespace, which expires within hours.
    """
    passing = re.compile(rb".*}:(r:.*|epoch|leases|collector)")
    return [key for key in server.keys() if not passing.fullmatch(key)]


def left(server: AnyServer, *idents: str) -> list[int]:
    """The milliseconds that each key of the objects has, -1 for ever."""
    commands = [("PTTL", key) for key in keys_of(server, *idents)]
    return server.commands(*commands) if commands else []


def is_kept(server: AnyServer, *idents: str) -> bool:
    """Whether each object exists and none of its keys can expire."""
    return all(set(left(server, each)) == {-1} for each in idents)


def is_leased(server: AnyServer, *idents: str) -> bool:
    """Whether each object exists and will go when nobody holds it: all of its keys expire, or it is
    left to the collector, since nothing with a name leads to it.
    """
    if not all(left(server, each) for each in idents):
        return False
    named = _reached(server, server.keys("*}:n:*:contains"))
    return all(min(left(server, each)) >= 0 or each not in named for each in idents)


def _reached(server: AnyServer, waiting: list[bytes]) -> set[str]:
    """What is in these containers, by the keys of their contents, and in those, and so on."""
    reached: set[str] = set()
    while waiting:
        for field in server.command("HKEYS", waiting.pop()):
            name = field.decode()
            if name not in reached:
                reached.add(name)
                waiting += server.keys(f"*}}:{name}:contains")
    return reached


def is_gone(server: AnyServer, *idents: str) -> bool:
    return not keys_of(server, *idents)


def lasts(server: AnyServer, *idents: str, times: int = 2) -> None:
    """Somebody renews the objects, again and again."""
    for _ in range(times):
        _cut_short(server, *idents)
        wait_until(lambda: all(min(left(server, each), default=0) > SHORT_MS for each in idents))


def run_out(server: AnyServer, m: RedisManager, *idents: str) -> None:
    """Nobody renews the objects, though ``m`` renews its own: a lease later they are gone."""
    wait_until(lambda: all(is_leased(server, each) or is_gone(server, each) for each in idents))
    _cut_short(server, *idents)
    _beat(server, m)
    assert max(left(server, *idents), default=0) <= SHORT_MS, "somebody renews them"
    assert not held(server, *idents), "somebody holds them"
    end(server, *idents)


def let_a_lease_pass(server: AnyServer, m: RedisManager) -> None:
    """What ``m`` does not renew meanwhile is gone then."""
    idents = unnamed_idents(server)
    _cut_short(server, *idents)
    _beat(server, m)
    end(server, *(each for each in idents if max(left(server, each), default=-1) in ENDING))
    collect(server)


def end(server: AnyServer, *idents: str) -> None:
    """Have the leases of the objects end, and of those without one the time for which they count as
    contained.
    """
    _say_nobody_holds(server, *idents)
    keys = keys_of(server, *idents)
    ttls = server.commands(*(("PTTL", key) for key in keys), ("PING",))
    leased = [key for key, ttl in zip(keys, ttls, strict=False) if ttl >= 0]
    server.commands(*(("PEXPIRE", key, 1) for key in leased), ("PING",))
    wait_until(lambda: not any(server.command("EXISTS", key) for key in leased))
    if not is_gone(server, *idents):
        collect(server)
    assert is_gone(server, *idents)


def let_go_long_ago(server: AnyServer) -> None:
    """Nobody has held anything without a lease, nor let go of it, for a long time."""
    for key in (*server.keys("*}:held"), *server.keys("*}:cut")):
        names = server.command("ZRANGE", key, 0, -1)
        server.commands(*(("ZADD", key, LAPSED_MS, each) for each in names), ("PING",))


def collect(server: AnyServer) -> None:
    """Have a process collect that holds nothing."""
    with opened(server.url) as session:
        assert session.collector.collect().finished


def held(server: AnyServer, *idents: str) -> set[str]:
    """Those of the objects that some process holds without a lease."""
    return {
        ident
        for key in server.keys("*}:held")
        for ident in idents
        if int(server.command("ZSCORE", key, ident) or 0) > LAPSED_MS
    }


def _beat(server: AnyServer, m: RedisManager) -> None:
    """Wait until the manager has renewed all of its objects since now."""
    witness = m.list()
    lasts(server, ident(witness))


def unnamed_idents(server: AnyServer) -> list[str]:
    found = {key.partition(b"}:")[2] for key in unnamed(server)}
    return sorted({":".join(each.decode().split(":")[:2]) for each in found})


def _cut_short(server: AnyServer, *idents: str) -> None:
    """Of what has a lease; of what has none, say that nobody holds it."""
    _say_nobody_holds(server, *idents)
    keys = keys_of(server, *idents)
    ttls = server.commands(*(("PTTL", key) for key in keys), ("PING",))
    leased = [key for key, ttl in zip(keys, ttls, strict=False) if ttl > 0]
    server.commands(*(("PEXPIRE", key, SHORT_MS) for key in leased), ("PING",))


def _say_nobody_holds(server: AnyServer, *idents: str) -> None:
    """Nor let go of it lately: of what has no lease."""
    for key in (*server.keys("*}:held"), *server.keys("*}:cut")):
        server.commands(*(("ZADD", key, "XX", LAPSED_MS, each) for each in idents), ("PING",))
