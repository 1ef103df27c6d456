"""Who was first: ``add_new`` and ``update_new`` of dicts and sets."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from tests.lifetimes.keys import ident, is_leased
from tests.support.leaks import AnyServer
from tests.support.procs import run_all

fork = multiprocessing.get_context("fork")
EACH = 200


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


def claim(container: Any, me: int) -> list[int]:
    """Claim numbers one by one, and some at once."""
    if container._typeid_ == "dict":
        won = [n for n in range(EACH) if container.add_new(n, me)]
        return won + container.update_new(dict.fromkeys(range(EACH, 2 * EACH), me))  # type: ignore[no-any-return]
    won = [n for n in range(EACH) if container.add_new(n)]
    return won + container.update_new(range(EACH, 2 * EACH))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["dict", "set"])
def test_each_is_claimed_by_one_process(kind: str, m: RedisManager) -> None:
    container = getattr(m, kind)("claims")
    won = run_all(fork, claim, [(container, number) for number in range(4)])
    assert sorted(n for mine in won for n in mine) == list(range(2 * EACH))
    assert len(container) == 2 * EACH
    if kind == "dict":
        content = container.copy()
        assert all(content[n] == number for number, mine in enumerate(won) for n in mine)


@pytest.mark.parametrize("authkey", [None, b"a key of the tests"])
def test_keys_come_back_as_they_were_given_in_their_order(authkey: Any, url: str) -> None:
    with RedisManager(url, authkey=authkey) as m:
        d = m.dict({1: "a", "x": "b"})
        assert d.update_new([(True, 0), ("z", 1), (2.0, 2), ("x", 3)], y=4) == ["z", 2.0, "y"]
        assert list(d.copy().items()) == [(1, "a"), ("x", "b"), ("z", 1), (2.0, 2), ("y", 4)]
        assert repr(d.keys()[3]) == "2.0"
        assert d.update_new({}) == d.update_new() == []
        s = m.set([1, "x"])
        found = s.update_new([1.0, 3.0], ("y", 3, "x"))
        assert found == [3.0, "y"] and repr(found[0]) == "3.0"
        assert s.copy() == {1, "x", 3.0, "y"}
        assert s.update_new() == s.update_new([]) == []


def test_they_take_what_update_takes(m: RedisManager) -> None:
    d = m.dict(a=1)
    assert d.update_new(m.dict(a=2, b=3)) == ["b"]
    assert m.set([1]).update_new(m.set([1, 2]), m.list([3])) == [2, 3]
    with pytest.raises(TypeError, match="unhashable"):
        d.add_new([], 1)
    with pytest.raises(TypeError, match="unhashable"):
        m.set().add_new([])
    with pytest.raises(TypeError, match="a proxy"):
        d.add_new(m.list(), 1)
    assert len(d) == 2


def test_they_take_one_round_trip(m: RedisManager) -> None:
    d, s = m.dict(), m.set()
    d.add_new("a", 1), s.add_new("a"), d.update_new(b=2), s.update_new("b")  # scripts are known
    sent = m.runtime.session.link.requests_sent
    for call in (
        lambda: d.add_new("c", 3),
        lambda: s.add_new("c"),
        lambda: d.update_new({n: n for n in range(100)}),
        lambda: s.update_new(range(100)),
    ):
        before = sent()
        assert call()
        assert sent() - before == 1


def test_a_deleted_one_raises(m: RedisManager) -> None:
    d, s = m.dict("d"), m.set("s")
    d.delete(), s.delete()
    for call in (
        lambda: d.add_new(1, 2),
        lambda: d.update_new({1: 2}),
        lambda: s.add_new(1),
        lambda: s.update_new([1]),
    ):
        with pytest.raises(ObjectGone):
            call()


def test_a_proxy_that_was_not_stored_lives_by_its_holders_alone(
    m: RedisManager, server: AnyServer
) -> None:
    d = m.dict("d", a=1)
    inner = m.list([5])
    assert d.update_new(a=inner, b=2) == ["b"]
    assert server.command("PTTL", inner._handle.keys.data) > 0
    assert d.add_new("c", inner)
    assert server.command("PTTL", inner._handle.keys.data) == -1
    assert not d.add_new("c", inner)
    del d["c"]
    assert is_leased(server, ident(inner))
