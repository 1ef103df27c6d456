"""Signed values, other serializers, and bytes that somebody else wrote."""

from __future__ import annotations

import array
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multihost import BadPayload, RedisManager
from multihost.wire.values.signing import HEAD, Purpose, Signer, SigningKey
from tests.support.raw import RawClient


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    path = tmp_path / "was-unpickled"
    pickle.loads(pickle.dumps(Evil(path)))
    assert path.exists(), "the trap works"
    path.unlink()
    return path


def fragment(data: bytes) -> bytes:
    """A pickle as it stands in a field: without header and end."""
    return data[2:-1]


# What is stored where, and every way to read it.
READERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], bytes], list[Callable[[Any], Any]]]]
READERS = {
    "dict value": (
        lambda m: m.dict("o", {"k": 1}),
        lambda o: o._handle.keys.data,
        [
            lambda d: d["k"],
            lambda d: d.get("k"),
            lambda d: d.copy(),
            lambda d: d.items(),
            lambda d: d.values(),
            lambda d: d.setdefault("k", 1),
            lambda d: d.increment("k"),
            lambda d: d | {},
            lambda d: d.pop("k"),
        ],
    ),
    "list search": (
        lambda m: m.list("o", ["x"]),
        lambda o: o._handle.keys.data,
        [
            lambda l: l.index("x"),
            lambda l: l.count("x"),
            lambda l: "y" in l,
            lambda l: l.remove("x"),
        ],
    ),
    "list element": (
        lambda m: m.list("o", ["x"]),
        lambda o: o._handle.keys.data,
        [
            lambda l: l[0],
            lambda l: l[:],
            lambda l: l[::2],
            lambda l: l.copy(),
            lambda l: list(l),
            lambda l: l.sort(),
            lambda l: l.pop(),
        ],
    ),
    "Namespace attribute": (
        lambda m: m.Namespace("o", k=1),
        lambda o: o._handle.keys.data,
        [lambda n: n.k, lambda n: n._getvalue()],
    ),
    "Value": (
        lambda m: m.Value("i", 1, name="o"),
        lambda o: o._handle.keys.data,
        [lambda v: v.get(), lambda v: v.value, lambda v: v.add(1), lambda v: v._getvalue()],
    ),
}


def plant(server: Any, kind: str, proxy: Any, stored: bytes, key: bytes | None = None) -> None:
    data = proxy._handle.keys.data
    match kind:
        case "dict value":
            server.command("HSET", data, proxy._handle.codec.field("k"), stored)
        case "list element" | "list search":
            server.command("LSET", data, 1, stored)
        case "Namespace attribute":
            server.command("HSET", data, b".k", stored)
        case "Value":
            server.command("HSET", data, b"v", stored)


LISTS = ("list element", "list search")
"""Where an empty value stands for a hole that a removal leaves."""

OTHER: Signer = SigningKey(b"other key", "multihost").signer(Purpose.VALUE, "n:o")

FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "unsigned": lambda evil: evil,
    "signed by another": OTHER.sign,
    "made up": lambda evil: HEAD + b"\0" * 16 + evil,
    "short": lambda evil: HEAD + evil[:5],
    "linked unsigned": lambda evil: b"@u:" + b"a" * 22 + b";" + evil,
    "linked signed by another": lambda evil: b"#x;" + OTHER.sign(evil),
    "linked without end": lambda evil: b"@" + evil.replace(b";", b""),
    "serialized": lambda evil: b"=" + evil,
    "empty": lambda evil: b"",
}


# An empty element stands for the head of a list, an empty field for the object itself.
@pytest.mark.parametrize(
    ("kind", "forgery"),
    [(k, f) for k in READERS for f in FORGERIES if k not in LISTS or f != "empty"],
)
def test_unsigned_values_are_not_unpickled(
    kind: str, forgery: str, server: Any, trap: Path
) -> None:
    make, _, readers = READERS[kind]
    with RedisManager(server.url, authkey=b"secret of the tests") as manager:
        proxy = make(manager)
        for read in readers:
            plant(server, kind, proxy, FORGERIES[forgery](pickle.dumps(Evil(trap))))
            with pytest.raises(BadPayload):
                read(proxy)
            assert not trap.exists()
        manager.delete("o")


@pytest.mark.parametrize("place", ["field", "spelling"])
@pytest.mark.parametrize(
    "forgery", [name for name in FORGERIES if "linked" not in name and name != "empty"]
)
def test_keys_and_members_are_verified_too(
    place: str, forgery: str, server: Any, trap: Path
) -> None:
    forged = FORGERIES[forgery](fragment(pickle.dumps(Evil(trap))))
    with RedisManager(server.url, authkey=b"secret of the tests") as manager:
        d, s = manager.dict("d", {1: "a"}), manager.set("s", [1])
        known = d._handle.codec.field(1)
        member = s._handle.codec.field(1)
        for read in (d.keys, d.copy, d.items, lambda: list(d), d.popitem):
            if place == "spelling":
                server.command("HSET", d._handle.keys.originals, known, forged)
            else:
                server.command("HSET", d._handle.keys.data, forged, d._handle.codec.dump(1))
                server.command("ZADD", d._handle.keys.index, 99, forged)
            with pytest.raises(BadPayload):
                read()
            assert not trap.exists()
        for read in (s.copy, lambda: list(s), lambda: s | {5}, s.pop):
            if place == "spelling":
                server.command("HSET", s._handle.keys.originals, member, forged)
            else:
                server.command("DEL", s._handle.keys.data)
                server.command("SADD", s._handle.keys.data, b"", forged)
            with pytest.raises(BadPayload):
                read()
            assert not trap.exists()
        manager.delete("d")
        manager.delete("s")


def test_any_altered_byte_is_detected(server: Any) -> None:
    with RedisManager(server.url, authkey=b"secret of the tests") as manager:
        l = manager.list("l", [{"a": [1, 2.5]}])
        d = manager.dict("d", {1.0: "x"})
        s = manager.set("s", [2.0])
        stored = server.command("LINDEX", l._handle.keys.data, 1)
        for position in range(len(stored)):
            altered = bytearray(stored)
            altered[position] ^= 1
            server.command("LSET", l._handle.keys.data, 1, bytes(altered))
            with pytest.raises(BadPayload):
                l.copy()
        for proxy, read in ((d, d.keys), (s, s.copy)):
            [field, spelling] = server.command("HGETALL", proxy._handle.keys.originals)
            for position in range(len(spelling)):
                altered = bytearray(spelling)
                altered[position] ^= 0x80
                server.command("HSET", proxy._handle.keys.originals, field, bytes(altered))
                with pytest.raises(BadPayload):
                    read()
        for name in "lds":
            manager.delete(name)


def test_value_with_another_authkey_or_none(server: Any) -> None:
    with (
        RedisManager(server.url, authkey=b"the key of number one") as one,
        RedisManager(server.url, authkey=b"the key of number two") as two,
        RedisManager(server.url) as none,
    ):
        one.list("signed", ["text", 5, [1]])
        none.list("plain", ["text", 5, [1]])
        assert one.list("signed").copy() == ["text", 5, [1]]
        for number in range(3):
            with pytest.raises(BadPayload):
                two.list("signed")[number]
            with pytest.raises(BadPayload):
                none.list("signed")[number]
            with pytest.raises(BadPayload):
                one.list("plain")[number]
        one.dict("d", {"k": "v"})
        with pytest.raises(BadPayload):
            none.dict("d").copy()
        with pytest.raises(BadPayload):
            two.dict("d").copy()
        for name in ("signed", "plain", "d"):
            one.delete(name)


def test_signing_manager_supports_all_types(server: Any) -> None:
    with RedisManager(server.url, authkey=b"secret of the tests") as manager:
        d = manager.dict({1: "a", 2.0: None, (1, 2.0): [1]})
        assert d.increment("n") == 1
        assert d.increment("n", 0.5) == 1.5
        assert d.copy() == {1: "a", 2: None, (1, 2): [1], "n": 1.5}
        assert list(map(type, d.keys())) == [int, float, tuple, str]
        assert d.popitem() == ("n", 1.5)
        s = manager.set([1, 2.0, "x"])
        assert s.copy() == {1, 2, "x"}
        l = manager.list([3, 1, d])
        assert l[2][1] == "a", "a proxy inside"
        l.remove(3)
        assert l.pop(0) == 1
        v = manager.Value("i", 5)
        assert v.add(3) == 8
        n = manager.Namespace(x=(1,))
        assert n.x == (1,)
        assert manager.Array("i", [1])[0] == 1
        stored = server.command("HVALS", d._handle.keys.data)
        assert all(value[:1] == b"S" for value in stored if not value.isdigit())


def test_authkey_must_be_bytes(server: Any) -> None:
    with pytest.raises(TypeError):
        RedisManager(server.url, authkey="text")  # type: ignore[arg-type]


# -- unsigned, but damaged


DAMAGED = [
    b"",
    b"\x00",
    b"?",
    b"-",
    b"12x",
    b"\x80",
    b"\x80\x05",
    b"\x80\x05N",
    b"\x80\xff.",
    b"\x80\x05garbage.",
    b"\x8c\x02\xff\xff",
    b"X\xff\xff\xff\xff",
    b"B\x00",
    b"G\x00",
    b"@",
    b"@a;",
    b"#nothing",
    b"S",
    b"=1",
    b"I",
]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [(k, d) for k in READERS if k != "list search" for d in DAMAGED if d or k not in LISTS],
)
def test_damaged_bytes_raise_bad_payload(kind: str, stored: bytes, server: Any) -> None:
    make, _, readers = READERS[kind]
    with RedisManager(server.url) as manager:
        proxy = make(manager)
        for read in readers:
            plant(server, kind, proxy, stored)
            with pytest.raises(BadPayload):
                read(proxy)
        manager.delete("o")


@pytest.mark.parametrize("stored", [each for each in DAMAGED if each])
def test_a_search_passes_over_damaged_bytes_or_says_so(stored: bytes, server: Any) -> None:
    """It compares bytes where those tell, and does not read what cannot be what it looks for."""
    make, _, searches = READERS["list search"]
    with RedisManager(server.url) as manager:
        proxy = make(manager)
        for search in searches:
            plant(server, "list search", proxy, stored)
            try:
                found = search(proxy)
            except (BadPayload, ValueError):  # not in list
                continue
            assert not found
        manager.delete("o")


def test_keys_replaced_by_another_program(server: Any) -> None:
    with RedisManager(server.url) as manager:
        made = {
            "d": manager.dict("d", a=1),
            "l": manager.list("l", [1]),
            "s": manager.set("s", [1]),
            "v": manager.Value("i", 1, name="v"),
        }
        for proxy in made.values():
            server.command("SET", proxy._handle.keys.data, "something else")
        d, l, s, v = made.values()
        for call in (
            lambda: d["a"],
            lambda: d.update(a=1),
            d.copy,
            lambda: len(d),
            l.copy,
            lambda: l.append(1),
            lambda: l[0],
            l.sort,
            s.copy,
            lambda: s.add(1),
            lambda: 1 in s,
            v.get,
            lambda: v.set(1),
            lambda: v.add(1),
        ):
            with pytest.raises(BadPayload, match="another program"):
                call()
        for name in made:
            manager.delete(name)


# -- serializers


def test_json_values_are_readable_for_other_programs(server: Any) -> None:
    content = {"a": [1, None, True, 2.5, "é"], "n": 7, "s": "text", "f": 1.5, "t": True}
    with RedisManager(server.url, serializer="json") as manager, RawClient(server.url) as raw:
        d = manager.dict("d", content)
        assert d.copy() == content
        flat = raw.call("HGETALL", d._handle.keys.data)
        stored = dict(zip(flat[::2], flat[1::2], strict=True))
        values = [
            value[1:] if value[:1] == b"=" else value for field, value in stored.items() if field
        ]
        assert sorted(map(json.dumps, map(json.loads, values))) == sorted(
            map(json.dumps, content.values())
        )
        assert d.increment("n") == 8
        l = manager.list("l", [{"x": 1}, [2], "z"])
        assert json.loads(raw.call("LINDEX", l._handle.keys.data, 1)[1:]) == {"x": 1}
        raw.call("RPUSH", l._handle.keys.data, b'={"from":"elsewhere"}')
        assert l[-1] == {"from": "elsewhere"}
        l.append((1, 2))
        assert l[-1] == [1, 2], "JSON has no tuples"
        with pytest.raises(TypeError):
            l.append({1, 2})
        with pytest.raises(TypeError):
            d["x"] = object()
        assert len(l) == 5
        assert "x" not in d
        manager.delete("d")
        manager.delete("l")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", READERS)
def test_manager_with_json_never_unpickles(
    kind: str, signed: bool, server: Any, trap: Path
) -> None:
    make, _, readers = READERS[kind]
    evil = pickle.dumps(Evil(trap))
    with RedisManager(
        server.url, serializer="json", authkey=b"secret of the tests" if signed else None
    ) as manager:
        for stored in (evil, b"=" + evil, b"@x;" + evil, b"#x;=" + evil, b"S" + b"\0" * 16 + evil):
            proxy = make(manager)
            for read in readers:
                plant(server, kind, proxy, stored)
                with pytest.raises(BadPayload):
                    read(proxy)
                assert not trap.exists()
            manager.delete("o")


def test_manager_with_json_never_unpickles_keys(server: Any, trap: Path) -> None:
    evil = fragment(pickle.dumps(Evil(trap)))
    with RedisManager(server.url, serializer="json") as manager:
        d, s = manager.dict("d", {(1, "x", None, 2.0): 1}), manager.set("s", [1.5, frozenset([1])])
        assert d.keys() == [(1, "x", None, 2.0)]
        assert s.copy() == {1.5, frozenset([1])}
        for planted in (evil, b"garbage", b"c__builtin__\neval\n"):
            server.command("HSET", d._handle.keys.data, planted, b"1")
            server.command("ZADD", d._handle.keys.index, 99, planted)
            server.command("SADD", s._handle.keys.data, planted)
            for read in (d.keys, d.copy, d.popitem, s.copy):
                if read == d.popitem:
                    server.command("HSET", d._handle.keys.data, planted, b"1")
                    server.command("ZADD", d._handle.keys.index, 99, planted)
                with pytest.raises(BadPayload):
                    read()
                assert not trap.exists()
            server.command("SREM", s._handle.keys.data, planted)
        manager.delete("d")
        manager.delete("s")


class Backwards:
    """A serializer of texts, as a user would write one."""

    def dumps(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError("texts only")
        return value.encode()[::-1]

    def loads(self, data: bytes) -> Any:
        return data[::-1].decode()


def test_serializer_object(server: Any) -> None:
    with RedisManager(server.url, serializer=Backwards()) as manager:
        d, l = manager.dict("d", a="abc"), manager.list(["xyz"])
        assert server.command("HVALS", d._handle.keys.data).count(b"=cba") == 1
        assert d.copy() == {"a": "abc"}
        assert l.pop() == "xyz"
        l.append(5)
        assert l[0] == 5, "an int is stored so that the server can count"
        with pytest.raises(TypeError, match="texts only"):
            l.append([1])
        assert len(l) == 1
        manager.delete("d")


@pytest.mark.parametrize("bad", ["yaml", "", None, 5, object()])
def test_invalid_serializers_raise(bad: Any, server: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError), match="serializer"):
        RedisManager(server.url, serializer=bad)


def test_two_serializers_on_one_object(server: Any) -> None:
    with (
        RedisManager(server.url) as pickling,
        RedisManager(server.url, serializer="json") as writing_json,
    ):
        pickling.list("p", [[1]])
        writing_json.list("j", [[1]])
        with pytest.raises(BadPayload, match="serializer"):
            writing_json.list("p").copy()
        with pytest.raises(BadPayload, match="serializer"):
            pickling.list("j").copy()
        pickling.delete("p")
        pickling.delete("j")


def test_arrays_contain_no_pickles(server: Any) -> None:
    with RedisManager(server.url, authkey=b"secret of the tests") as manager:
        a = manager.Array("i", [1, 2])
        assert a[:] == array.array("i", [1, 2])
        assert server.command("GET", a._handle.keys.data) == b"\1\0\0\0\2\0\0\0"
