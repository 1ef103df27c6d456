"""Named objects: found again, never created twice, there until they are deleted."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from tests.lifetimes.keys import LEASE, all_but_records, ident, is_gone, is_kept
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

CREATE: dict[str, Any] = {
    "dict": lambda m, content: m.dict("dict", {content: content}),
    "list": lambda m, content: m.list("list", [content]),
    "set": lambda m, content: m.set("set", {content}),
    "Namespace": lambda m, content: m.Namespace("Namespace", content=content),
    "Value": lambda m, content: m.Value("u", content, name="Value"),
    "Array": lambda m, content: m.Array("u", content, name="Array"),
}


def plain(proxy: Any) -> Any:
    return str(proxy)


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=LEASE) as manager:
        yield manager


@pytest.mark.parametrize("typeid", CREATE)
def test_a_named_object_outlives_its_manager_and_is_found_again(typeid: str, url: str) -> None:
    with RedisManager(url, lease=LEASE) as first:
        before = plain(CREATE[typeid](first, "a"))
    with RedisManager(url, lease=LEASE) as second:
        again = CREATE[typeid](second, "b")  # its content counts only when it is created
        assert plain(again) == before
        assert again._token.ident == f"n:{typeid}"


def test_it_has_no_time_to_live_even_when_it_is_empty(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    for create in CREATE.values():
        create(m, "x")
    m.dict("dict").clear()
    m.list("list").clear()
    m.set("set").clear()
    del m.Namespace("Namespace").content
    idents = [f"n:{name}" for name in CREATE]
    unnamed = m.dict()
    gone_by_then = ident(unnamed)
    m.shutdown()
    assert is_gone(server, gone_by_then)
    assert is_kept(server, *idents)
    with RedisManager(url) as other:
        assert other.names() == sorted(CREATE)
        assert other.dict("dict", {"not": "empty"}).copy() == {}
        assert other.list("list", "not empty")[:] == []
        assert other.set("set", "not empty").copy() == set()
        assert str(other.Namespace("Namespace", not_empty=1)) == "Namespace()"


def test_names_are_those_of_all_objects_in_the_namespace(m: RedisManager, url: str) -> None:
    assert m.names() == []
    m.dict("one")
    m.Value("i", 2, name="two")
    m.list("Käse {x}\0\n:*")
    m.dict()
    with RedisManager(url, namespace="multihost-other") as elsewhere:
        elsewhere.dict("three")
        assert elsewhere.names() == ["three"]
    assert m.names() == ["Käse {x}\0\n:*", "one", "two"]
    with RedisManager(url) as other:
        assert other.names() == m.names()


def test_a_deleted_name_is_gone_for_everyone_and_may_be_used_again(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    with RedisManager(url) as other:
        mine, theirs = m.dict("d", a=1), other.dict("d")
        assert m.delete("d")
        assert not m.delete("d")
        assert not other.delete("never there")
        assert m.names() == []
        assert is_gone(server, "n:d")
        for proxy in (mine, theirs):
            with pytest.raises(ObjectGone):
                proxy["a"]
            with pytest.raises(ObjectGone):
                proxy["a"] = 2
            with pytest.raises(ObjectGone):
                len(proxy)
        # As another type too, which the old proxies do not take for their own.
        new = other.list("d", [1])
        with pytest.raises(Exception, match="d") as caught:
            mine["a"]
        assert not isinstance(caught.value, KeyError)
        new.delete()
        # With the name, the old proxies have an object again.
        other.dict("d", b=2)
        assert mine.copy() == theirs.copy() == {"b": 2}


@pytest.mark.parametrize("typeid", CREATE)
def test_deleting_through_a_proxy_removes_every_key_and_the_name(
    typeid: str, m: RedisManager, server: AnyServer
) -> None:
    proxy, other = CREATE[typeid](m, "a"), CREATE[typeid](m, "a")
    delete = proxy._delete if typeid == "Namespace" else proxy.delete
    delete()
    delete()  # a second time does nothing
    assert m.names() == []
    assert is_gone(server, f"n:{typeid}")
    with pytest.raises(ObjectGone):
        other._getvalue()
    with pytest.raises(ObjectGone):
        other.content if typeid == "Namespace" else other.statistics()


def test_a_name_keeps_its_type_and_parameters(m: RedisManager) -> None:
    m.dict("d")
    m.Value("i", 1, name="v")
    m.Array("i", [1], name="a")
    with pytest.raises(TypeError, match="'d' is a dict, not a list"):
        m.list("d")
    with pytest.raises(TypeError, match="'v' is a Value, not a dict"):
        m.dict("v", {"a": 1})
    with pytest.raises(ValueError, match="'v' is a Value of 'i', not of 'd'"):
        m.Value("d", 1.0, name="v")
    with pytest.raises(ValueError, match="'a' is a Array of 'i', not of 'q'"):
        m.Array("q", [1], name="a")
    assert (m.names(), m.dict("d").copy(), m.Value("i", 5, name="v").value) == (
        ["a", "d", "v"],
        {},
        1,
    )


def test_an_object_that_cannot_be_made_leaves_no_name(m: RedisManager, server: AnyServer) -> None:
    for use in (
        lambda: m.dict("d", {"a": 1, "b": lambda: None}, c=1),
        lambda: m.list("l", [1, lambda: None]),
        lambda: m.Namespace("ns", x=lambda: None),
        lambda: m.Value("O", lambda: None, name="v"),
    ):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            use()
    with pytest.raises(TypeError, match="unhashable"):
        m.set("s", [[]])
    assert m.names() == []
    assert all_but_records(server) == []


def test_who_lets_go_of_a_named_object_does_not_delete_it(
    m: RedisManager, server: AnyServer
) -> None:
    proxy = m.dict("d", a=1)
    held = ident(m.dict())  # collected at once: when it is gone, the other would be too
    del proxy
    wait_until(lambda: is_gone(server, held))
    assert is_kept(server, "n:d")
