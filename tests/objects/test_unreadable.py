"""Values that this process cannot read: which one it is stands in the error, and none is lost."""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import BadPayload, RedisManager
from tests.support.leaks import AnyServer


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


class Broken:
    """Whether values of :class:`Fragile` can be read."""

    how: Callable[[], object] | None = None


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    Broken.how = None
    yield
    Broken.how = None


def rebuild(word: str) -> Fragile:
    if Broken.how is not None:
        Broken.how()
    return Fragile(word)


class Fragile:
    def __init__(self, word: str = "x") -> None:
        self.word = word

    def __reduce__(self) -> Any:
        return rebuild, (self.word,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fragile) and self.word == other.word

    def __hash__(self) -> int:
        return hash(self.word)

    def __repr__(self) -> str:
        return f"Fragile({self.word!r})"


def damage() -> None:
    int("x")


def miss() -> None:
    None.nothing  # type: ignore[attr-defined]


WAYS = {"damaged": (damage, BadPayload), "no such class": (miss, AttributeError)}
F = Fragile("f")

READS: list[tuple[str, Any, Callable[[Any], Any], str, str]] = [
    # type, content, what is read, method, what the error names
    ("dict", {"a": 1, "b": F, "c": 3}, lambda d: d["b"], "__getitem__", "the value of key 'b'"),
    ("dict", {"a": 1, "b": F, "c": 3}, lambda d: d.get("b"), "get", "the value of key 'b'"),
    ("dict", {"a": 1, "b": F, "c": 3}, lambda d: d.values(), "values", "the value of key 'b'"),
    ("dict", {"a": 1, "b": F, "c": 3}, lambda d: d.items(), "items", "the value of key 'b'"),
    ("dict", {"a": 1, "b": F, "c": 3}, lambda d: d.copy(), "copy", "the value of key 'b'"),
    ("dict", {"a": 1, 2.0: F}, lambda d: d.copy(), "copy", "the value of key 2.0"),
    ("dict", {"a": 1, "b": F}, lambda d: d | {}, "copy", "the value of key 'b'"),
    ("dict", {"b": F}, lambda d: d.setdefault("b", 2), "setdefault", "the value of key 'b'"),
    ("dict", {"b": F}, lambda d: d.increment("b", 0.5), "increment", "the value of key 'b'"),
    ("dict", {"a": 1, F: 2}, lambda d: d.keys(), "keys", "the key b'"),
    ("dict", {"a": 1, F: 2}, lambda d: list(d), "keys", "the key b'"),
    ("dict", {"a": 1, F: 2}, lambda d: d.items(), "items", "the key b'"),
    ("dict", {"a": 1, F: 2}, lambda d: d.copy(), "copy", "the key b'"),
    ("dict", {F: F}, lambda d: d.values(), "values", "the entry of the key b'"),
    ("list", [0, F, 2], lambda l: l[1], "__getitem__", "element 1"),
    ("list", [0, F, 2], lambda l: l[-2], "__getitem__", "element -2"),
    ("list", [0, 1, F], lambda l: l[1:], "__getitem__", "element 1 of the slice"),
    ("list", [0, 1, F], lambda l: l[::2], "__getitem__", "element 1 of the slice"),
    ("list", [0, 1, F], lambda l: l.copy(), "copy", "element 2"),
    ("list", [0, 1, F], lambda l: list(l), "copy", "element 2"),
    ("list", [0, 1, F], lambda l: l.index(3), "index", "element 2"),
    ("list", [0, 1, F], lambda l: l.sort(), "sort", "element 2"),
    ("list", [0, 1, F], lambda l: l.remove(0), "remove", "element 2"),
    ("set", [0, F], lambda s: s.copy(), "copy", "the key b'"),
    ("set", [0, F], lambda s: list(s), "__iter__", "the key b'"),
    ("set", [0, F], lambda s: s | {1}, "copy", "the key b'"),
    ("Namespace", {"x": 1, "y": F}, lambda n: n.y, "__getattr__", "the attribute 'y'"),
    ("Namespace", {"x": 1, "y": F}, lambda n: n._getvalue(), "_getvalue", "the attribute 'y'"),
    ("Value", F, lambda v: v.value, "get", "the value"),
    ("Value", F, lambda v: v.add(0.5), "add", "the value"),
]


def made(m: RedisManager, typeid: str, content: Any) -> Any:
    if typeid == "Namespace":
        return m.Namespace("x", **content)
    if typeid == "Value":
        return m.Value("i", content, name="x")
    return getattr(m, typeid)("x", content)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("typeid", "content", "read", "method", "what"), READS)
def test_an_error_of_reading_says_where(
    typeid: str, content: Any, read: Any, method: str, what: str, way: str, m: RedisManager
) -> None:
    proxy = made(m, typeid, content)
    Broken.how, expected = WAYS[way]
    with pytest.raises(expected) as caught:
        read(proxy)
    said = "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
    assert f"{method}() of {typeid} 'x': {what}" in said
    if expected is BadPayload:
        assert caught.value.__suppress_context__ and caught.value.__cause__ is None
    Broken.how = None
    read_again = proxy._getvalue()
    assert F in (
        read_again.__dict__.values()
        if typeid == "Namespace"
        else [read_again.value]
        if typeid == "Value"
        else [*read_again, *getattr(read_again, "values", list)()]
    )


def test_a_run_of_simple_values_says_which_one_is_damaged(
    m: RedisManager, server: AnyServer
) -> None:
    """They are read by one call, as one pickle."""
    d, l = m.dict("d", {"a": "x", "b": "y", "c": "z"}), m.list("l", ["x", "y", "z"])
    server.command("HSET", d._handle.keys.data, d._handle.codec.field("b"), b"\x8d")
    server.command("LSET", l._handle.keys.data, 2, b"\x8d")
    for read in (d.copy, d.values, d.items, lambda: d["b"]):
        with pytest.raises(BadPayload, match="the value of key 'b'"):
            read()
    for read in (l.copy, l.sort, lambda: l[1]):  # type: ignore[assignment]
        with pytest.raises(BadPayload, match="element 1"):
            read()


# -- what is removed to be returned

Number = enum.IntEnum("Number", {"one": 1})

POPS: list[tuple[str, Any, Callable[[Any], Any], str, Any]] = [
    ("dict", {"a": 1, "f": F}, lambda d: d.pop("f"), "the value of key 'f'", F),
    ("dict", {"a": 1, "f": F}, lambda d: d.pop("f", None), "the value of key 'f'", F),
    ("dict", {"a": 1, "f": F}, lambda d: d.popitem(), "the value of key 'f'", ("f", F)),
    ("dict", {"a": 1, True: F}, lambda d: d.popitem(), "the value of key True", (True, F)),
    ("dict", {"a": 1, F: 2}, lambda d: d.popitem(), "the entry of the key b'", (F, 2)),
    ("list", [0, 1, F], lambda l: l.pop(), "element -1", F),
    ("list", [F, 1, 2], lambda l: l.pop(0), "element 0", F),
    ("list", [0, F, 2], lambda l: l.pop(1), "element 1", F),
    ("list", [0, F, 2], lambda l: l.pop(-2), "element -2", F),
    ("set", [F], lambda s: s.pop(), "the member b'", F),
    ("set", [(1, F, True)], lambda s: s.pop(), "the member b'", (1, F, True)),
]


# With and without a proxy beside it, where there may be one.
ALL_POPS = [(*each, False) for each in POPS] + [
    (*each, True) for each in POPS if each[0] != "set" and each[-1] != (F, 2)
]


@pytest.mark.parametrize("way", [*WAYS, "Ctrl-C"])
@pytest.mark.parametrize(("typeid", "content", "pop", "what", "result", "with_proxy"), ALL_POPS)
def test_what_is_popped_and_cannot_be_read_is_put_back(
    typeid: str,
    content: Any,
    pop: Any,
    what: str,
    result: Any,
    with_proxy: bool,
    way: str,
    m: RedisManager,
) -> None:
    if with_proxy:
        inner = (m.list([5]), F)
        content = (
            {key: inner if value == F else value for key, value in content.items()}
            if typeid == "dict"
            else [inner if value == F else value for value in content]
        )
        del inner
    proxy = made(m, typeid, content)
    del content
    before = len(proxy)
    if way == "Ctrl-C":
        Broken.how, expected = lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt
    else:
        Broken.how, expected = WAYS[way]  # type: ignore[assignment]
    with pytest.raises(expected) as caught:
        pop(proxy)
    if way != "Ctrl-C":
        said = "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
        assert f"of {typeid} 'x': {what}" in said and ", which was put back" in said
    Broken.how = None
    assert len(proxy) == before
    popped = pop(proxy)
    if with_proxy:
        if isinstance(result, tuple):  # of popitem(): key and value
            popped = popped[1]
        assert popped[0].copy() == [5] and popped[1] == F
    else:
        assert popped == result
    assert len(proxy) == before - 1


def test_a_put_back_member_is_found_by_its_value(m: RedisManager) -> None:
    """Also where its original form is another one than its field."""
    s = m.set("x", [(Number.one, F)])
    Broken.how = miss
    with pytest.raises(AttributeError):
        s.pop()
    Broken.how = None
    assert (1, F) in s
    (member,) = s.copy()
    assert type(member[0]) is Number


def test_another_value_stored_meanwhile_is_kept(m: RedisManager) -> None:
    d = m.dict("x", a=F)

    def store() -> None:
        Broken.how = None
        d["a"] = "new"
        miss()

    Broken.how = store
    with pytest.raises(AttributeError):
        d.pop("a")
    assert d.copy() == {"a": "new"}


def test_a_deleted_container_says_that_the_value_is_lost(m: RedisManager) -> None:
    d = m.dict("x", a=F)

    def delete() -> None:
        d.delete()
        damage()

    Broken.how = delete
    with pytest.raises(BadPayload, match="could not be put back"):
        d.pop("a")
