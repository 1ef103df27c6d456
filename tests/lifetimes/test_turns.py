"""Whose turn it is to collect, and what that costs where there is nothing to collect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.script import Script
from multihost.wire.session import heartbeat
from tests.lifetimes.keys import LEASE, ident, is_kept
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer
from tests.support.requests import script_of
from tests.support.waiting import wait_until

TURN = Script("collect/turn")
LEASES = b"{multihost:00}:leases"
ENOUGH = 5  # turns


class Collecting:
    """What one process asks the server for, of the collector's scripts."""

    def __init__(self, proxy: CuttingProxy) -> None:
        self.found: list[str] = []
        self.renewals = 0
        proxy.cut_before_request(match=self._note)

    def _note(self, args: list[bytes]) -> bool:
        name = script_of(args)
        if name.startswith("collect/"):
            self.found.append(name)
        self.renewals += name == "object/renew"
        return False

    def turns(self) -> int:
        return self.found.count("collect/turn")


@pytest.fixture
def collecting(proxy: CuttingProxy) -> Collecting:
    return Collecting(proxy)


@pytest.fixture
def m(proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisManager]:
    monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", 6000)  # fifty in a second
    with RedisManager(proxy.url, lease=LEASE) as manager:
        yield manager


def has_turns(server: AnyServer, collecting: Collecting) -> None:
    """It is the turn of the process, again and again."""

    def had() -> bool:
        server.command("DEL", "{multihost:00}:collector")
        return collecting.turns() >= wanted

    wanted = collecting.turns() + ENOUGH
    wait_until(had)


def ask(m: RedisManager, kept: bytes, *, period: int = 1000, lease: int = 60_000) -> list[int]:
    args = b"%d" % lease, b"%d" % period, b"0", kept
    key = b"{multihost:00}:collector"
    return TURN.run_readonly(m.runtime.session.link, [key], b"some process", *args)


NOT_NESTED: dict[str, Callable[[Any], object]] = {
    "named": lambda m: [m.dict("d"), m.list("l"), m.Value("i", 0, name="v"), m.Event("e")],
    "unnamed": lambda m: [m.dict(a=1), m.list([1]), m.set([1]), m.Namespace(x=1), m.Event()],
    "nested with a lease": lambda m: m.dict(x=m.list([m.dict()])),
    "locks and queues": lambda m: [m.Lock("lock").acquire(), m.Lock().acquire(), queue(m)],
}


def queue(m: Any) -> list[Any]:
    found = [m.Queue(), m.Queue("q")]
    for each in found:
        each.put(1)
        each.get()
    return found


@pytest.mark.parametrize("way", NOT_NESTED)
def test_nobody_looks_where_nothing_is_kept(
    m: RedisManager, server: AnyServer, collecting: Collecting, way: str
) -> None:
    held = m.list(), NOT_NESTED[way](m)  # an unnamed object has it renew, and ask
    has_turns(server, collecting)
    assert set(collecting.found) == {"collect/turn"}
    m.dict("named")["x"] = held[0]
    has_turns(server, collecting)
    assert "collect/reason" in collecting.found


def test_all_know_of_it_before_anything_is_kept(m: RedisManager, server: AnyServer) -> None:
    """So whoever is killed then leaves it to them."""
    inner = m.list()
    assert not server.command("ZSCORE", LEASES, "kept")
    server.command("CONFIG", "RESETSTAT")
    m.dict("d")["x"] = inner
    assert is_kept(server, ident(inner))
    assert server.command("ZSCORE", LEASES, "kept") == b"inf"
    assert server.command("PTTL", LEASES) == -1


def test_a_turn_that_finds_nothing_takes_it_back(m: RedisManager, server: AnyServer) -> None:
    assert ask(m, b"") == [1, 60_000, 0]
    assert ask(m, b"none", period=0)[2] == 0, "that is no news"
    assert ask(m, b"kept", period=0)[2] == 1
    assert server.command("PTTL", LEASES) == -1
    assert ask(m, b"", period=0)[2] == 1
    assert ask(m, b"none", period=0)[2] == 0
    assert 60_000 < server.command("PTTL", LEASES) <= 120_000 + 2 * 1000 * (LEASE + 60)


def test_who_has_not_the_turn_does_next_to_nothing(m: RedisManager, server: AnyServer) -> None:
    assert ask(m, b"", period=1_000_000)[0] == 1
    for kept in (b"", b"none"):
        assert ask(m, kept) == [0, 0, 0]
    assert ask(m, b"kept")[0] == 0
    assert server.command("ZSCORE", LEASES, "kept") == b"inf", "but it says what it knows"
    assert ask(m, b"kept") == [0, 0, 0]
    assert ask(m, b"", lease=90_000)[0] == 0
    assert server.command("ZSCORE", LEASES, "90000"), "or how long it may be silent"


def test_who_has_not_the_turn_asks_once_in_a_lease(
    m: RedisManager, server: AnyServer, collecting: Collecting
) -> None:
    server.command("SET", "{multihost:00}:collector", "another", "PX", 10_000_000)
    held = m.list()
    wait_until(lambda: collecting.renewals >= 3 * ENOUGH)
    assert held is not None
    assert ENOUGH - 1 <= collecting.turns() <= collecting.renewals // 3 + 2
