"""Of those that wait for an object one looks after it, at a cost that does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.ops import kinds
from multihost.wire.script import Script
from multihost.wire.session import Handle
from tests.support.server import Server

MANY = 1000
PART = 256  # sessions in one look
RECORD = ("b", "1", "r", "0" * 40, "c", "", "h", "elsewhere", "p", "7 7", "g", "5000", "l", "30000")

ADD = """
for n = 0, ARGV[1] - 1 do
  redis.call('HSET', KEYS[1] .. ':s' .. n .. '~1', unpack(ARGV, 2))
  redis.call('HSET', KEYS[2], 'f:s' .. n .. '~1', '4')
end
"""
REMOVE = "for n = 0, ARGV[1] - 1 do redis.call('DEL', KEYS[1] .. ':s' .. n .. '~1') end"

MAKE: dict[str, Any] = {
    "hold/reap": lambda m: m.Lock("x"),
    "queue/reap": lambda m: m.JoinableQueue("x"),
    "condition/reap": lambda m: m.Condition("x"),
    "barrier/reap": lambda m: m.Barrier("x", 2),
}


@pytest.fixture
def m(server: Server) -> Iterator[RedisManager]:
    with RedisManager(server.url) as manager:
        yield manager


def look(
    script: str, handle: Handle, looker: bytes, state: bytes = b"", prune: bytes = b"0"
) -> Any:
    return Script(script).run_idempotent(handle, state, prune, looker)


def test_the_table_has_all_that_wait_together() -> None:
    together = {name for kind in kinds.KINDS.values() for name in kind.reap}
    assert together - MAKE.keys() == set()


@pytest.mark.parametrize("script", MAKE)
def test_one_looks_and_the_others_are_told(script: str, m: RedisManager, server: Server) -> None:
    handle = MAKE[script](m)._handle
    assert isinstance(look(script, handle, b"first"), list)
    assert look(script, handle, b"second") == 0, "so many wait"
    assert isinstance(look(script, handle, b"first"), list), "it goes on"
    assert isinstance(look(script, handle, b""), list), "who has to"
    assert look(script, handle, b"second") == 0, "which takes nothing over"


@pytest.mark.parametrize("script", MAKE)
@pytest.mark.parametrize("seconds", [-3600, -1, 60, 3600])
def test_another_one_takes_over(script: str, seconds: int, m: RedisManager, server: Server) -> None:
    """Who looked has stopped, or the clock of the server has jumped."""
    handle = MAKE[script](m)._handle
    look(script, handle, b"first")
    field = b"@:" + script.partition("/")[0].encode()
    since, rest = server.command("HGET", handle.keys.data, field).split(b" ", 1)
    server.command("HSET", handle.keys.data, field, b"%d %b" % (int(since) + 1000 * seconds, rest))
    assert isinstance(look(script, handle, b"second"), list)
    assert look(script, handle, b"first") == 0


@pytest.mark.parametrize("script", MAKE)
@pytest.mark.parametrize("value", [b"", b"x", b"1 2", b"9" * 400 + b" 1 first", b"\xff 1 first"])
def test_a_damaged_field_stops_nobody(
    script: str, value: bytes, m: RedisManager, server: Server
) -> None:
    handle = MAKE[script](m)._handle
    field = b"@:" + script.partition("/")[0].encode()
    server.command("HSET", handle.keys.data, field, value)
    assert isinstance(look(script, handle, b"second"), list)


@pytest.fixture
def many(server: Server, m: RedisManager) -> Iterator[Callable[[Handle], None]]:
    """Have so many sessions registered, which hold nothing."""
    made: list[bytes] = []

    def make(handle: Handle) -> None:
        made.append(handle.keys.sessions)
        server.command("EVAL", ADD, "2", handle.keys.sessions, handle.keys.refs, MANY, *RECORD)

    yield make
    server.command("EVAL", REMOVE, "1", *made, MANY)


def calls(server: Server) -> int:
    """How many commands the server has executed, those within scripts among them."""
    stats = server.command("INFO", "commandstats").decode()
    rows = [row for row in stats.splitlines() if row.startswith("cmdstat_")]
    return sum(int(row.partition("calls=")[2].partition(",")[0]) for row in rows)


@pytest.mark.parametrize("script", ["hold/reap", "queue/reap"])
def test_a_look_costs_the_same_however_many_wait(
    script: str, m: RedisManager, server: Server, many: Callable[[Handle], None]
) -> None:
    handle = MAKE[script](m)._handle
    many(handle)
    state, records = b"", 0
    for number in range(2 * MANY // PART):
        before = calls(server)
        _, state, *found = look(script, handle, b"us", state, b"%d" % (number % 8 == 0))
        assert calls(server) - before < 2 * PART
        records += len(found) // 2
    assert records, "some of them are judged"


@pytest.mark.parametrize("script", ["hold/reap", "queue/reap"])
@pytest.mark.parametrize("number", [0, MANY // 2, MANY - 1])
def test_a_dead_one_among_many_is_found(
    script: str, number: int, m: RedisManager, server: Server, many: Callable[[Handle], None]
) -> None:
    shared = MAKE[script](m)
    handle = shared._handle
    many(handle)
    name = b"s%d~1" % number
    if script == "hold/reap":
        source, place = handle.keys.free, handle.keys.held(name + b".1")
    else:
        shared.put("item")
        source, place = handle.keys.items, handle.keys.in_flight(name + b".1")
    server.command("LMOVE", source, place, "LEFT", "RIGHT")
    state, judged = b"", set[bytes]()
    for _ in range(3 * math.ceil(MANY / PART)):
        _, state, *found = look(script, handle, b"us", state)
        judged.update(found[::2])
    assert judged == {name}, "who holds something is"
    server.command("DEL", handle.keys.sessions + b":" + name)
    looks = 0
    while not server.command("EXISTS", source):
        looks += 1
        assert looks <= 3 * math.ceil(MANY / PART)
        _, state, *_ = look(script, handle, b"us", state)
    server.command("HDEL", handle.keys.refs, b"x:" + name)


@pytest.mark.parametrize("script", ["hold/reap", "queue/reap"])
def test_who_has_to_looks_at_all(
    script: str, m: RedisManager, server: Server, many: Callable[[Handle], None]
) -> None:
    handle = MAKE[script](m)._handle
    many(handle)
    server.command("DEL", *(handle.keys.sessions + b":s%d~1" % n for n in range(0, MANY, 7)))
    look(script, handle, b"", prune=b"1")
    left = sum(field[:2] == b"f:" for field in server.command("HKEYS", handle.keys.refs))
    assert left == MANY - len(range(0, MANY, 7))
