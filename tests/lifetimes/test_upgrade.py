"""Two releases whose layouts of the data differ use one namespace: PROTOCOL 3, which counted what
contains an object, and 4, which has a collector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import ProtocolMismatch, RedisManager
from multihost.wire import keys as key_names
from multihost.wire.keys import partition
from tests.lifetimes.keys import collect, let_go_long_ago
from tests.support.leaks import AnyServer

MAKE: dict[str, Callable[[RedisManager, str], Any]] = {
    "dict": lambda m, name: m.dict(name),
    "list": lambda m, name: m.list(name=name),
    "set": lambda m, name: m.set(name=name),
    "Namespace": lambda m, name: m.Namespace(name),
    "Value": lambda m, name: m.Value("i", 0, name=name),
    "Array": lambda m, name: m.Array("i", [0], name=name),
    "Queue": lambda m, name: m.Queue(name),
    "Lock": lambda m, name: m.Lock(name),
    "RLock": lambda m, name: m.RLock(name),
    "Semaphore": lambda m, name: m.Semaphore(1, name=name),
    "Event": lambda m, name: m.Event(name),
    "Condition": lambda m, name: m.Condition(name=name),
    "Barrier": lambda m, name: m.Barrier(2, name=name),
}

OBJECT_OR_NAMES = re.compile(rb"}:([nu]:|names$)")
INNER = "u:RznBnafkaFZlmVnVMIFBAw"


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


def content(server: AnyServer) -> dict[bytes, bytes]:
    """Objects and names, as the server would store them."""
    found = [key for key in server.keys() if OBJECT_OR_NAMES.search(key)]
    dumps = server.commands(*(("DUMP", key) for key in found), ("PING",))
    return dict(zip(found, dumps, strict=False))


def keys_at(name: str) -> str:
    return f"{{multihost:{partition(name):02}}}:"


@pytest.fixture
def recorded(server: AnyServer) -> Iterator[None]:
    """What ``m.dict("d")["x"] = m.list([1])`` left, in the bytes of PROTOCOL 3: the inner one has
    no lease, and says which containers without one have it.
    """
    d, inner = keys_at("n:d"), keys_at(INNER) + INNER
    counts = ["n:" + INNER, 1, "e:" + INNER, 1]
    server.commands(
        ("HSET", d + "names", "d", "3 pickle dict"),
        ("HSET", d + "n:d", "", 2, b"\x8c\x01x", f"#{INNER};\x80\x05N."),
        ("ZADD", d + "n:d:index", 0, "", 1, b"\x8c\x01x"),
        ("HSET", d + "n:d:refs", "", 1, *counts),
        ("RPUSH", inner, "", "1"),
        ("HSET", inner + ":owners", "n:d", 1),
    )
    yield
    server.command("FLUSHALL")


@pytest.mark.parametrize(("ours", "theirs"), [(4, 3), (3, 4)])
@pytest.mark.parametrize("kind", MAKE)
def test_an_object_of_another_release_is_refused(
    m: RedisManager,
    server: AnyServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    ours: int,
    theirs: int,
) -> None:
    """By an error that has both numbers and says what to do, before anything is changed."""
    assert key_names.PROTOCOL == 4
    monkeypatch.setattr(key_names, "PROTOCOL", theirs)
    MAKE[kind](m, "x")
    monkeypatch.setattr(key_names, "PROTOCOL", ours)
    before = content(server)
    with pytest.raises(ProtocolMismatch) as refusal:
        MAKE[kind](m, "x")
    assert str(refusal.value) == (
        f"'x' has data layout {theirs}, this release of multihost reads {ours}: "
        "use the release that wrote it, or delete the object"
    )
    assert content(server) == before
    m.delete("x")
    MAKE[kind](m, "x")


@pytest.mark.usefixtures("recorded")
def test_what_an_older_release_left_is_refused_as_well(m: RedisManager, server: AnyServer) -> None:
    before = content(server)
    for make in MAKE.values():
        with pytest.raises(ProtocolMismatch, match="'d' has data layout 3"):
            make(m, "d")
    assert content(server) == before


@pytest.mark.usefixtures("recorded")
def test_the_collector_leaves_alone_what_an_older_release_keeps(
    m: RedisManager, server: AnyServer
) -> None:
    """It is in none of its lists, so it is never white: neither while its container is there, nor
    when this release has deleted that, which counts nothing any more.
    """
    before = content(server)
    m.dict("ours")["x"] = m.list([1])
    collect(server)
    assert before.items() <= content(server).items()
    m.delete("d")
    let_go_long_ago(server)
    collect(server)
    inner = (keys_at(INNER) + INNER).encode()
    assert content(server)[inner] == before[inner]
    assert m.dict("ours")["x"][:] == [1]
