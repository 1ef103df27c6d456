"""``in``, ``index``, ``count`` and ``remove`` of a list: they compare as Python does."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import Mock

import pytest

from multihost import RedisManager
from multihost.wire.ops import list as list_ops
from multihost.wire.values.opcodes import SIMPLE, spellings

SIMPLE_VALUES = [
    *(1, True, False, 0, 1.0, 0.0, -0.0, 1.5, -1, 2**63, float(2**63), -(2**63), 2**70, 2.0**70),
    *(
        10**400,
        float("inf"),
        float("nan"),
        "1",
        "",
        "x" * 300,
        "\ud800",
        b"1",
        b"",
        b"x" * 300,
        None,
    ),
]


class Equal:
    """Equals 1, and every text."""

    def __eq__(self, other: object) -> bool:
        return other == 1 or isinstance(other, str)

    __hash__ = None  # type: ignore[assignment]


OTHERS = [Decimal(1), Fraction(3, 2), bytearray(b"1"), (1,), 1j, 1 + 0j, [], Equal()]
LISTS = {
    "simple": SIMPLE_VALUES,
    "from its end": SIMPLE_VALUES[::-1],
    "numbers": [5, 7, 1, 5],
    "mixed": [*SIMPLE_VALUES[5:], *OTHERS, *SIMPLE_VALUES],
    "others": OTHERS,
    "none": [],
}


@pytest.fixture(params=["plain", "signed"])
def m(url: str, request: pytest.FixtureRequest) -> Iterator[RedisManager]:
    authkey = b"0123456789abcdef" if request.param == "signed" else None
    with RedisManager(url, authkey=authkey) as manager:
        yield manager


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except ValueError as error:
        return str(error)


def shown(value: object) -> str:
    return type(value).__name__ if isinstance(value, Equal) else repr(value)


@pytest.mark.parametrize("near", [list_ops.NEAR, 2])
@pytest.mark.parametrize("content", LISTS)
def test_it_finds_what_a_list_finds(
    content: str, near: int, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ops, "NEAR", near)
    values = LISTS[content]
    shared, plain = m.list(values), pickle.loads(pickle.dumps(values))
    for value in [*SIMPLE_VALUES, *OTHERS, -7, "missing"]:
        assert (value in shared) is (value in plain), value
        assert shared.count(value) == plain.count(value), value
        for act in (lambda l, v=value: l.index(v), lambda l, v=value: l.index(v, 3, -2)):
            assert outcome(lambda a=act: a(shared)) == outcome(lambda a=act: a(plain)), value


@pytest.mark.parametrize("near", [list_ops.NEAR, 2])
def test_it_removes_what_a_list_removes(
    near: int, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ops, "NEAR", near)
    values = LISTS["mixed"]
    shared, plain = m.list(values), pickle.loads(pickle.dumps(values))
    for value in [1, 1.0, "missing", b"1", "1", None, 2**63, 1.5, float("nan"), Decimal(1), 1, 1]:
        assert outcome(lambda v=value: shared.remove(v)) == outcome(lambda v=value: plain.remove(v))
        assert [shown(each) for each in shared] == [shown(each) for each in plain]


@pytest.mark.parametrize("stale", [0, 3, 8, 50])
def test_a_list_that_changes_meanwhile_is_searched_again(
    stale: int, m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The element stood elsewhere when the server was asked for it."""
    monkeypatch.setattr(list_ops, "NEAR", 2)
    shared = m.list(range(10))
    monkeypatch.setattr(list_ops, "position", lambda *_: stale)
    assert shared.index(9) == 9
    shared.remove(9)
    assert list(shared) == list(range(9))
    assert outcome(lambda: shared.index("missing")) == "'missing' is not in list"
    assert "not in list" in outcome(lambda: shared.remove("missing"))


def test_what_is_near_the_head_is_found_without_the_rest(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisManager(url) as m:
        shared = m.list(range(1000))
        read = Mock(wraps=list_ops.values)
        monkeypatch.setattr(list_ops, "values", read)
        assert shared.index(5) == 5
        assert 999 in shared
        shared.remove(7)
        assert not read.called
        assert shared.index(500) == 499
        [call] = read.call_args_list
        assert call.args[1:] == (0, 500)


def test_a_value_has_every_spelling_of_what_equals_it() -> None:
    for value in SIMPLE_VALUES:
        forms = spellings(value)
        assert forms is not None
        assert len(set(forms)) == len(forms)
        for other in SIMPLE_VALUES:
            assert (SIMPLE[type(other)](other) in forms) is (value == other), (value, other)
    assert all(spellings(each) is None for each in OTHERS)
