"""Names of keys: the same on every host and in every release of this data layout."""

from __future__ import annotations

from typing import Any

import pytest

from multihost.wire import keys
from multihost.wire.identity import check_name, check_namespace
from multihost.wire.keys import Keys


def test_the_layout_is_fixed() -> None:
    """Programs of two releases meet here: these bytes change only with PROTOCOL."""
    assert keys.PROTOCOL == 4
    assert keys.PARTITIONS == 64
    named = Keys("multihost", "n:results")
    assert named.names == b"{multihost:07}:names"
    assert named.all == (
        b"{multihost:07}:n:results",
        b"{multihost:07}:n:results:index",
        b"{multihost:07}:n:results:originals",
        b"{multihost:07}:n:results:refs",
        b"{multihost:07}:n:results:contains",
        b"{multihost:07}:n:results:free",
    )
    assert named.held(b"session.1") == b"{multihost:07}:n:results:held:session.1"
    assert named.items == b"{multihost:07}:n:results:items"
    assert named.dead == b"{multihost:07}:n:results:dead"
    assert named.in_flight(b"session.1") == b"{multihost:07}:n:results:inflight:session.1"
    assert named.name == b"results"
    assert Keys("multihost", "u:" + "a" * 22).name is None
    assert Keys("other", "n:results").prefix == b"{other:07}:"
    assert named.guard == keys.guard(named.index) == b"{multihost:07}:-"
    assert keys.guard(Keys("multihost", "n:}:-").data) == b"{multihost:59}:-"


def test_all_keys_of_an_object_share_one_hash_tag() -> None:
    for name in ("a", "n{x}", "}{", "é", "\ud800", "x" * 512):
        of_one = Keys("multihost", "n:" + name)
        tags = {key[: key.index(b"}") + 1] for key in (*of_one.all, of_one.names)}
        assert tags == {of_one.prefix[:-1]}


def test_names_spread_over_all_partitions() -> None:
    met = {keys.partition(f"n:{number}") for number in range(2000)}
    assert met == set(range(64))


def test_two_objects_never_share_a_key() -> None:
    idents = ["n:a", "n:a:index", "u:a", "n:u:a", "n:a%3Aindex", "n:a%", "n:a%25", "n:names"]
    found = [key for ident in idents for key in Keys("m", ident).all]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("bad", [3, None, b"x", ("a",)])
def test_a_name_is_a_str(bad: object) -> None:
    with pytest.raises(TypeError, match=type(bad).__name__):
        check_name(bad)


@pytest.mark.parametrize("bad", ["", "x" * 513])
def test_a_name_has_1_to_512_characters(bad: str) -> None:
    with pytest.raises(ValueError, match=str(len(bad))):
        check_name(bad)


@pytest.mark.parametrize("good", ["a", "x" * 512, "with space\n", "{}*?[]"])
def test_any_other_str_is_a_name(good: str) -> None:
    assert check_name(good) is good


@pytest.mark.parametrize("bad", ["", "a{b", "a}b", "a*", "?", "[", "]", "a:b"])
def test_a_namespace_cannot_be_read_as_a_pattern_or_a_tag_or_two(bad: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        check_namespace(bad)
    assert check_namespace("team-a.project/1") == "team-a.project/1"


@pytest.mark.parametrize("bad", [None, 5, b"billing"])
def test_a_namespace_is_a_str(bad: Any) -> None:
    with pytest.raises(TypeError, match="a namespace is a str"):
        check_namespace(bad)


@pytest.mark.parametrize(
    "ident", ["n:a", "n:a:b%3A", "n::", "n:%", "n:\udc80\n}:x", "u:" + "x" * 22]
)
@pytest.mark.parametrize("namespace", ["multihost", "a:07", "ä\\"])
def test_a_key_is_read_back(namespace: str, ident: str) -> None:
    found = Keys(namespace, ident)
    number = keys.partition(ident)
    assert keys.part(namespace, found.data) == keys.Part(number, ident, "")
    assert keys.part(namespace, found.refs) == keys.Part(number, ident, "refs")
    assert keys.part(namespace, found.in_flight(b"sid.1")) == keys.Part(
        number, ident, "inflight:sid.1"
    )
    assert keys.part(namespace, found.sessions + b":sid") == keys.Part(number, "", "s:sid")
    assert keys.part(namespace, keys.names(namespace, 7)) == keys.Part(7, "", "names")
    assert keys.part("another", found.data) is None
    assert keys.part(namespace, b"foreign") is None
