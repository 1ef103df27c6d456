"""What every type does: the same bodies for every kind of server and connection.

A body takes a manager of whatever server and leaves no named object behind; all are in ``BODIES``.
"""

from __future__ import annotations

import array
import copy
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from multiprocessing.managers import RemoteError
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager

Body = Callable[[RedisManager], None]

BODIES: list[Body] = []

MANY = 2500
"""More than the scripts put into one call."""


def body(function: Body) -> Body:
    BODIES.append(function)
    return function


# dict


@body
def dict_is_made_of_what_a_dict_is_made_of(m: RedisManager) -> None:
    assert m.dict().copy() == {}
    assert m.dict({"a": 1}, b=2).copy() == {"a": 1, "b": 2}
    assert m.dict([("a", 1), ("b", 2)]).items() == [("a", 1), ("b", 2)]
    assert m.dict(zip("ab", [1, 2], strict=True), c=3).keys() == ["a", "b", "c"]
    assert m.dict(m.dict(x=1)).copy() == {"x": 1}
    with pytest.raises(TypeError):
        m.dict(1)
    with pytest.raises(ValueError, match="sequence"):
        m.dict(["abc"])


@body
def dict_single_entries(m: RedisManager) -> None:
    d = m.dict()
    d["b"] = 1
    d["a"] = [1, {"deep": (None, 2.5)}]
    d["b"] = b"other"
    assert d["a"] == [1, {"deep": (None, 2.5)}]
    assert d["b"] == b"other"
    assert d.keys() == ["b", "a"]  # a value that is replaced keeps its place
    assert ("a" in d, "c" in d, len(d)) == (True, False, 2)
    assert (d.get("b"), d.get("c"), d.get("c", 5)) == (b"other", None, 5)
    with pytest.raises(KeyError) as missing:
        d["c"]
    assert missing.value.args == ("c",)
    with pytest.raises(KeyError) as missing:
        del d["c"]
    assert missing.value.args == ("c",)
    del d["b"]
    d["b"] = 3
    assert d.items() == [("a", [1, {"deep": (None, 2.5)}]), ("b", 3)]


@body
def dict_setdefault_and_pop(m: RedisManager) -> None:
    d = m.dict(a=1)
    assert d.setdefault("a", 2) == 1
    assert d.setdefault("b", [2]) == [2]
    assert d.setdefault("c") is None
    assert d.copy() == {"a": 1, "b": [2], "c": None}
    assert d.pop("b") == [2]
    assert d.pop("b", "nothing") == "nothing"
    with pytest.raises(KeyError, match="'b'"):
        d.pop("b")
    assert d.popitem() == ("c", None)
    assert d.popitem() == ("a", 1)
    with pytest.raises(KeyError, match=r"popitem\(\): dictionary is empty"):
        d.popitem()


@body
def dict_bulk(m: RedisManager) -> None:
    d = m.dict(a=1)
    d.update({"b": 2}, c=3)
    d.update([("a", 4), ("d", 5)])
    d.update(m.dict(e=6))
    d.update()
    assert list(d.copy().items()) == [("a", 4), ("b", 2), ("c", 3), ("d", 5), ("e", 6)]
    assert d.values() == [4, 2, 3, 5, 6]
    d.clear()
    assert (d.copy(), len(d), d.keys(), d.values(), d.items()) == ({}, 0, [], [], [])
    big = {n: str(n) for n in range(MANY)} | {f"key {n}": n for n in range(MANY)}
    d.update(big)
    assert list(d.items()) == list(big.items())
    assert len(d) == 2 * MANY
    assert m.dict(big).copy() == big
    assert d.popitem() == (f"key {MANY - 1}", MANY - 1)


@body
def dict_iteration_and_operators(m: RedisManager) -> None:
    d = m.dict(a=1, b=2)
    assert (list(d), list(reversed(d)), sorted(d)) == (["a", "b"], ["b", "a"], ["a", "b"])
    walk = iter(d)
    d["c"] = 3
    assert list(walk) == ["a", "b"]
    assert dict(d) == {**d} == {"a": 1, "b": 2, "c": 3}
    assert d | {"a": 0} == {"a": 0, "b": 2, "c": 3}
    assert {"z": 0} | d == {"z": 0, "a": 1, "b": 2, "c": 3}
    with pytest.raises(TypeError):
        d | d
    same = d
    d |= {"a": 9}
    d |= [("y", 8)]
    assert d is same
    assert d.copy() == {"a": 9, "b": 2, "c": 3, "y": 8}
    assert d.fromkeys("xy", 0) == {"x": 0, "y": 0}


@body
def dict_equal_keys_meet(m: RedisManager) -> None:
    d = m.dict({1: "int"})
    d[True] = "bool"
    d[1.0] = "float"
    d[Decimal(1)] = "decimal"
    assert [(key, type(key), value) for key, value in d.items()] == [(1, int, "decimal")]
    d = m.dict({2.0: "first"}, x=1)
    d.update({2: "second", (1.0, "t"): 1})
    d[1, "t"] = 2
    assert [(repr(key), value) for key, value in d.items()] == [
        ("2.0", "second"),
        ("'x'", 1),
        ("(1.0, 't')", 2),
    ]
    assert (Fraction(2), 1) not in d
    assert Fraction(2) in d
    assert d.pop(2) == "second"
    d[2] = "int now"
    assert [repr(key) for key in d] == ["'x'", "(1.0, 't')", "2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BytesWarning)  # of python -b, for these two keys
        odd = {None: 1, b"": 2, "": 3, frozenset({1, 2}): 4, 1j: 5, -(2**70): 6, "\ud800\0": 7}
        assert list(m.dict(odd).items()) == list(odd.items())
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        d[[]] = 1
    with pytest.raises(TypeError, match="unhashable type: 'dict'"):
        d.get({})


@body
def dict_increment(m: RedisManager) -> None:
    d = m.dict(a=1, s="x")
    assert (d.increment("a"), d.increment("a", 10), d.increment("new", -2)) == (2, 12, -2)
    assert d.increment("a", 0.5) == 12.5
    assert d.increment("a") == 13.5
    assert d.increment("s", "y") == "xy"
    d["big"] = 2**63 - 1
    assert d.increment("big") == 2**63
    assert d.increment("big", -1) == 2**63 - 1
    assert d.increment(1.0) == 1
    assert d.increment(1) == 2
    with pytest.raises(TypeError):
        d.increment("s")
    assert list(d.items()) == [("a", 13.5), ("s", "xy"), ("new", -2), ("big", 2**63 - 1), (1.0, 2)]


# list


@body
def list_is_made_of_what_a_list_is_made_of(m: RedisManager) -> None:
    assert m.list()[:] == []
    assert m.list([1, "a", None])[:] == [1, "a", None]
    assert m.list(n for n in range(3))[:] == [0, 1, 2]
    assert m.list(m.list([1]))[:] == [1]
    assert m.list(("abc",))[0] == "abc"
    with pytest.raises(TypeError):
        m.list(1)


@body
def list_elements(m: RedisManager) -> None:
    l = m.list(range(5))
    assert ([l[n] for n in (0, 4, -1, -5)], len(l)) == ([0, 4, 4, 0], 5)
    l[1], l[-1] = "one", ["last"]
    assert list(l) == [0, "one", 2, 3, ["last"]]
    for use in (lambda: l[5], lambda: l[-6]):
        with pytest.raises(IndexError, match=r"^list index out of range$"):
            use()
    with pytest.raises(IndexError, match=r"^list assignment index out of range$"):
        l[5] = 1
    with pytest.raises(IndexError, match=r"^list assignment index out of range$"):
        del l[-6]
    with pytest.raises(TypeError, match="list indices must be integers or slices, not str"):
        l["a"]
    del l[0], l[-1]
    assert list(l) == ["one", 2, 3]
    assert (l.pop(), l.pop(0), l.pop(-1)) == (3, "one", 2)
    with pytest.raises(IndexError, match=r"^pop from empty list$"):
        l.pop()
    l.append(1)
    with pytest.raises(IndexError, match=r"^pop index out of range$"):
        l.pop(1)


@body
def list_grows(m: RedisManager) -> None:
    l = same = m.list()
    l.append([1])
    l.extend((2, 3))
    l.extend(m.list([4]))
    l.extend([])
    l += [5]
    l.insert(0, "first")
    l.insert(100, "last")
    l.insert(-1, "last but one")
    l.insert(2, "two")
    l.insert(-100, "zeroth")
    assert l is same
    assert list(l) == ["zeroth", "first", [1], "two", 2, 3, 4, 5, "last but one", "last"]
    l *= 2
    assert len(l) == 20
    assert l[18:] + (l + l[:1])[20:] == ["last but one", "last", "zeroth"]
    assert m.list([1]) * 2 == 2 * m.list([1]) == [1, 1]
    l *= 0
    assert list(l) == []
    l.extend(range(MANY))
    assert list(l) == list(range(MANY))
    assert list(m.list(range(MANY))) == list(range(MANY))
    l.clear()
    assert len(l) == 0
    with pytest.raises(TypeError):
        l += 1
    with pytest.raises(TypeError):
        l *= 1.0


SLICES = [
    slice(*bounds)
    for bounds in [
        (None, None),
        (1, 3),
        (-3, None),
        (None, -2),
        (5, 2),
        (-100, 100),
        (3, 3),
        (None, None, 2),
        (None, None, -1),
        (4, 0, -2),
        (1, 100, 3),
        (-1, None, -3),
    ]
]


@body
def list_slices(m: RedisManager) -> None:
    for where in SLICES:
        plain = list(range(6))
        l = m.list(plain)
        assert l[where] == plain[where], where
        new = ["new"] * len(plain[where])
        plain[where], l[where] = new, new
        assert list(l) == plain, where
        del plain[where]
        del l[where]
        assert list(l) == plain, where
        if where.step is None:
            plain[where] = l[where] = [7, 8, 9]
            assert list(l) == plain, where
    l = m.list(range(4))
    with pytest.raises(
        ValueError, match="attempt to assign sequence of size 1 to extended slice of size 2"
    ):
        l[::2] = [1]
    with pytest.raises(TypeError, match="must assign iterable to extended slice"):
        l[::2] = 1
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        l[::0]
    l[1:1] = m.list("ab" for _ in range(2))
    assert list(l) == [0, "ab", "ab", 1, 2, 3]


@body
def list_looks_for_what_is_equal(m: RedisManager) -> None:
    l = m.list([1, "a", 2.0, [1], None, 1])
    assert (1.0 in l, 2 in l, [1] in l, "b" in l, None in l, True in l) == (
        True,
        True,
        True,
        False,
        True,
        True,
    )
    assert (l.index(2), l.index(1, 1), l.index(1, -2, 10), l.count(True)) == (2, 5, 5, 2)
    with pytest.raises(ValueError, match="is not in list"):
        l.index("b")
    l.remove(2)
    l.remove([1])
    assert list(l) == [1, "a", None, 1]
    with pytest.raises(ValueError, match=r"^list.remove\(x\): x not in list$"):
        l.remove("b")


@body
def list_order(m: RedisManager) -> None:
    l = m.list([3, 1, 2])
    l.sort()
    assert list(l) == [1, 2, 3]
    l.sort(reverse=True)
    l.reverse()
    assert (list(l), list(reversed(l))) == ([1, 2, 3], [3, 2, 1])
    l[:] = ["bb", "a", "CC", "aa"]
    l.sort(key=len)
    assert list(l) == ["a", "bb", "CC", "aa"]
    l.sort(key=str.lower, reverse=True)
    assert list(l) == ["CC", "bb", "aa", "a"]
    l.append(1)
    with pytest.raises(TypeError):
        l.sort()
    assert list(l) == ["CC", "bb", "aa", "a", 1]
    many = [n * 7919 % MANY for n in range(MANY)]
    l[:] = many
    l.sort()
    assert list(l) == sorted(many)
    assert l.copy() == list(iter(l))


# set


@body
def set_members(m: RedisManager) -> None:
    s = m.set(["a", "b", "c"])
    assert set(s) == {"a", "b", "c"}
    s.add("a")
    s.add((1, "t"))
    assert (len(s), "a" in s, "z" in s, (1.0, "t") in s) == (4, True, False, True)
    s.discard("z")
    s.discard("a")
    s.remove("b")
    with pytest.raises(KeyError, match="'b'"):
        s.remove("b")
    with pytest.raises(TypeError, match="unhashable"):
        s.add([])
    assert {s.pop(), s.pop()} == {"c", (1, "t")}
    with pytest.raises(KeyError, match="pop from an empty set"):
        s.pop()
    s.update([1, 2], {3.0}, m.set([None]))
    assert set(s) == {1, 2, 3, None}
    s.add(3)
    assert {repr(member) for member in s} == {"1", "2", "3.0", "None"}
    s.clear()
    assert (len(s), s.copy()) == (0, set())
    assert set(m.set(range(MANY))) == set(range(MANY))
    assert m.set([frozenset({1})]).copy() == {frozenset({1})}
    assert {1} in m.set([frozenset({1})])


@body
def set_operators(m: RedisManager) -> None:
    s = m.set({1, 2, 3})
    other = {2, 3, 4}
    assert s | other == other | s == s.union(other) == {1, 2, 3, 4}
    assert s & other == other & s == s.intersection(other) == {2, 3}
    assert s - other == s.difference(other) == {1}
    assert other - s == {4}
    assert s ^ other == other ^ s == s.symmetric_difference(other) == {1, 4}
    assert s.union([4], (5,)) == {1, 2, 3, 4, 5}
    assert s.union(m.set([9])) == {1, 2, 3, 9}
    assert (s.isdisjoint([4]), s.issubset(range(9)), s.issuperset([1])) == (True, True, True)
    assert (s <= {1, 2, 3}, s < {1, 2, 3}, s >= {1}, s > m.set({1})) == (True, False, True, True)
    with pytest.raises(TypeError):
        s | [1]
    with pytest.raises(TypeError):
        s | s


@body
def set_changes_in_place(m: RedisManager) -> None:
    s = same = m.set(range(10))
    s |= {10}
    s &= set(range(5, 20))
    s -= {5}
    s ^= {6, 20}
    assert s is same
    assert set(s) == {7, 8, 9, 10, 20}
    s.intersection_update([7, 8.0, 9], range(8, 20))
    s.difference_update([9], [100])
    s.symmetric_difference_update([8, 1, 2.0])
    s.update("x")
    s.update()
    s.intersection_update()
    assert set(s) == {1, 2, "x"}
    with pytest.raises(TypeError):
        s |= [1]
    s.intersection_update([])
    assert set(s) == set()
    s ^= set(range(MANY))
    s &= set(range(MANY // 2))
    s -= set(range(MANY // 2 - 1))
    assert set(s) == {MANY // 2 - 1}


# Namespace, Value, Array


@body
def namespace(m: RedisManager) -> None:
    ns = m.Namespace(x=10, y="hello")
    ns._z = 12.3
    assert str(ns) == "Namespace(x=10, y='hello')"
    assert (ns.x, ns.y, ns._z) == (10, "hello", 12.3)
    ns.x = [1]
    ns.keys = ns.copy = "what dicts have"
    setattr(ns, "not an identifier: ä", 1)
    assert getattr(ns, "not an identifier: ä") == 1
    assert (ns.x, ns.keys) == ([1], "what dicts have")
    del ns.x, ns.copy
    for use in (lambda: ns.x, lambda: delattr(ns, "x")):
        with pytest.raises(AttributeError, match="'Namespace' object has no attribute 'x'"):
            use()
    assert not hasattr(ns, "copy")
    assert not hasattr(pickle.loads(pickle.dumps(ns)), "_z")
    assert ns._statistics().length == 3


@body
def value(m: RedisManager) -> None:
    v = m.Value("i", 3)
    assert (v.value, v.get(), str(v)) == (3, 3, "Value('i', 3)")
    v.value = "any type"
    v.set([1])
    assert v.value == [1]
    v.set(1)
    assert (v.add(2), v.add(-5), v.add()) == (3, -2, -1)
    assert v.add(0.5) == -0.5
    v.set(2**63 - 1)
    assert v.add(1) == 2**63
    v.set("s")
    assert v.add("t") == "st"
    with pytest.raises(TypeError):
        v.add(1)
    for stored in (None, True, math.inf, "", b"\x00", 10**30, {"a": [1]}, ("@", "#"), "@", b"S"):
        v.set(stored)
        assert v.value == stored
        assert type(v.value) is type(stored)


@body
def arrays(m: RedisManager) -> None:
    for typecode in "bBhHiIlLqQ":
        items = [0, 1, 2, 100]
        a = m.Array(typecode, items)
        assert a[:] == array.array(typecode, items)
        a[0], a[-1] = 7, 8
        assert (list(a), a[-4], len(a)) == ([7, 1, 2, 8], 7, 4)
    for typecode in "fd":
        a = m.Array(typecode, [0.5, -1.0])
        a[1] = 2.25
        assert list(a) == [0.5, 2.25]
    assert m.Array("u", "aä€")[1:] == array.array("u", "ä€")
    a = m.Array("i", [1, 2])
    assert (str(a), list(m.Array("i", a)), 2 in a) == ("array('i', [1, 2])", [1, 2], True)
    with pytest.raises(IndexError, match="array index out of range"):
        a[2]
    with pytest.raises(IndexError, match="array assignment index out of range"):
        a[-3] = 1
    with pytest.raises(OverflowError):
        a[0] = 2**31
    with pytest.raises(TypeError):
        a[0] = "x"


@body
def array_slices(m: RedisManager) -> None:
    for where in SLICES:
        plain = array.array("h", range(6))
        a = m.Array("h", plain)
        assert a[where] == plain[where], where
        new = array.array("h", [-1] * len(plain[where]))
        plain[where], a[where] = new, new
        assert a[:] == plain, where
    a = m.Array("h", range(4))
    with pytest.raises(
        ValueError, match="attempt to assign array of size 1 to extended slice of size 2"
    ):
        a[::2] = array.array("h", [1])
    with pytest.raises(TypeError):
        a[:] = [1, 2]
    many = array.array("d", range(MANY))
    assert m.Array("d", many)[:] == many
    assert m.Array("d", []).__len__() == 0


# Every proxy


def one_of_each(m: RedisManager, name: str | None = None) -> list[Any]:
    lead = () if name is None else (f"{name} dict",)
    names = [None if name is None else f"{name} {kind}" for kind in ("l", "s", "v", "a")]
    return [
        m.dict(*lead, {"k": 1}),
        m.list([1, 2], name=names[0]),
        m.set([1], name=names[1]),
        m.Namespace(*(() if name is None else (f"{name} ns",)), x=1),
        m.Value("i", 1, name=names[2]),
        m.Array("i", [1, 2], name=names[3]),
    ]


@body
def proxies_are_references(m: RedisManager) -> None:
    for proxy in one_of_each(m):
        other = pickle.loads(pickle.dumps(proxy))
        assert other != proxy
        assert len({proxy, other, proxy}) == 2
        assert str(other) == str(proxy)
        assert repr(proxy).startswith(f"<{type(proxy).__name__} object, typeid ")
        assert type(copy.copy(proxy)) is type(proxy)
        assert str(copy.deepcopy(proxy)) == str(proxy)
        assert not hasattr(copy.deepcopy(proxy), "_token")
        with pytest.raises(RemoteError, match="no_such_method"):
            proxy._callmethod("no_such_method")
        statistics = type(proxy)._statistics if hasattr(type(proxy), "_statistics") else None
        facts = statistics(proxy) if statistics else proxy.statistics()
        assert facts.typeid == proxy._token.typeid
        assert (facts.name, facts.length > 0) == (None, True)
        assert 60 < facts.lease <= 120


@body
def proxies_in_proxies(m: RedisManager) -> None:
    inner = m.list([1])
    for outer, put, get in (
        (m.dict(), lambda o, x: o.__setitem__("k", x), lambda o: o["k"]),
        (m.list(), lambda o, x: o.append(x), lambda o: o[-1]),
        (m.Namespace(), lambda o, x: setattr(o, "k", x), lambda o: o.k),
        (m.Value("O", 0), lambda o, x: o.set(x), lambda o: o.value),
        (m.dict("named"), lambda o, x: o.update(k=x), lambda o: o["k"]),
        (m.list(name="named list"), lambda o, x: o.extend([x, x]), lambda o: o.pop()),
        (m.Namespace("named ns"), lambda o, x: setattr(o, "k", x), lambda o: o.k),
        (m.Value("O", 0, name="named value"), lambda o, x: o.set(x), lambda o: o.value),
    ):
        put(outer, inner)
        found = get(outer)
        found.append(len(found))
        put(outer, [found, {"and": outer}])
        again = get(outer)
        assert list(again[0]) == list(inner)
        assert type(again[1]["and"]) is type(outer)
    assert inner[:] == [1, *range(1, 9)]
    for name in m.names():
        assert m.delete(name)
    assert inner[:] == [1, *range(1, 9)]


GONE: list[tuple[str, int, Callable[[Any], Any]]] = [
    ("dict getitem", 0, lambda d: d["k"]),
    ("dict setitem", 0, lambda d: d.__setitem__("k", 2)),
    ("dict delitem", 0, lambda d: d.__delitem__("k")),
    ("dict contains", 0, lambda d: "k" in d),
    ("dict len", 0, lambda d: len(d)),
    ("dict bool", 0, lambda d: bool(d)),
    ("dict iter", 0, lambda d: list(d)),
    ("dict reversed", 0, lambda d: list(reversed(d))),
    ("dict get", 0, lambda d: d.get("k")),
    ("dict keys", 0, lambda d: d.keys()),
    ("dict values", 0, lambda d: d.values()),
    ("dict items", 0, lambda d: d.items()),
    ("dict copy", 0, lambda d: d.copy()),
    ("dict setdefault", 0, lambda d: d.setdefault("k", 1)),
    ("dict pop", 0, lambda d: d.pop("k", None)),
    ("dict popitem", 0, lambda d: d.popitem()),
    ("dict update", 0, lambda d: d.update(k=1)),
    ("dict clear", 0, lambda d: d.clear()),
    ("dict or", 0, lambda d: d | {}),
    ("dict ror", 0, lambda d: {} | d),
    ("dict ior", 0, lambda d: d.__ior__({"a": 1})),
    ("dict increment", 0, lambda d: d.increment("k")),
    ("dict increment float", 0, lambda d: d.increment("k", 0.5)),
    ("dict statistics", 0, lambda d: d.statistics()),
    ("list getitem", 1, lambda l: l[0]),
    ("list getitem far", 1, lambda l: l[100]),
    ("list slice", 1, lambda l: l[:]),
    ("list slice far", 1, lambda l: l[50:]),
    ("list slice steps", 1, lambda l: l[::2]),
    ("list setitem", 1, lambda l: l.__setitem__(0, 1)),
    ("list set slice", 1, lambda l: l.__setitem__(slice(0, 1), [1])),
    ("list set steps", 1, lambda l: l.__setitem__(slice(0, 1, 2), [1])),
    ("list delitem", 1, lambda l: l.__delitem__(0)),
    ("list del slice", 1, lambda l: l.__delitem__(slice(0, 1))),
    ("list del steps", 1, lambda l: l.__delitem__(slice(0, 1, 2))),
    ("list len", 1, lambda l: len(l)),
    ("list iter", 1, lambda l: list(l)),
    ("list contains", 1, lambda l: 1 in l),
    ("list contains other", 1, lambda l: [1] in l),
    ("list add", 1, lambda l: l + list("x")),
    ("list mul", 1, lambda l: l * 2),
    ("list iadd", 1, lambda l: l.__iadd__([1])),
    ("list imul", 1, lambda l: l.__imul__(2)),
    ("list append", 1, lambda l: l.append(1)),
    ("list extend", 1, lambda l: l.extend([1])),
    ("list insert", 1, lambda l: l.insert(0, 1)),
    ("list pop", 1, lambda l: l.pop()),
    ("list remove", 1, lambda l: l.remove(1)),
    ("list clear", 1, lambda l: l.clear()),
    ("list copy", 1, lambda l: l.copy()),
    ("list count", 1, lambda l: l.count(1)),
    ("list index", 1, lambda l: l.index(1)),
    ("list reverse", 1, lambda l: l.reverse()),
    ("list sort", 1, lambda l: l.sort()),
    ("set contains", 2, lambda s: 1 in s),
    ("set len", 2, lambda s: len(s)),
    ("set iter", 2, lambda s: set(s)),
    ("set add", 2, lambda s: s.add(1)),
    ("set discard", 2, lambda s: s.discard(1)),
    ("set remove", 2, lambda s: s.remove(1)),
    ("set pop", 2, lambda s: s.pop()),
    ("set clear", 2, lambda s: s.clear()),
    ("set copy", 2, lambda s: s.copy()),
    ("set union", 2, lambda s: s.union([1])),
    ("set or", 2, lambda s: s | {1}),
    ("set le", 2, lambda s: s <= {1}),
    ("set ior", 2, lambda s: s.__ior__({1})),
    ("set iand", 2, lambda s: s.__iand__({1})),
    ("set isub", 2, lambda s: s.__isub__({1})),
    ("set ixor", 2, lambda s: s.__ixor__({1})),
    ("Namespace get", 3, lambda n: n.x),
    ("Namespace get other", 3, lambda n: n.other),
    ("Namespace set", 3, lambda n: setattr(n, "x", 1)),
    ("Namespace delete", 3, lambda n: delattr(n, "x")),
    ("Namespace value", 3, lambda n: n._getvalue()),
    ("Value get", 4, lambda v: v.value),
    ("Value set", 4, lambda v: v.set(1)),
    ("Value add", 4, lambda v: v.add(1)),
    ("Value add float", 4, lambda v: v.add(0.5)),
    ("Array get", 5, lambda a: a[0]),
    ("Array get negative", 5, lambda a: a[-1]),
    ("Array get far", 5, lambda a: a[100]),
    ("Array slice", 5, lambda a: a[:]),
    ("Array set", 5, lambda a: a.__setitem__(0, 1)),
    ("Array set slice", 5, lambda a: a.__setitem__(slice(0, 1), array.array("i", [1]))),
    ("Array len", 5, lambda a: len(a)),
]


@body
def what_was_deleted_never_answers(m: RedisManager) -> None:
    for name in (None, "deleted"):
        proxies = one_of_each(m, name)
        for proxy in proxies:
            (
                type(proxy)._delete
                if type(proxy).__name__ == "NamespaceProxy"
                else type(proxy).delete
            )(proxy)
        for label, which, use in GONE:
            with pytest.raises(ObjectGone):
                pytest.fail(f"{label} answered {use(proxies[which])!r}")
        assert m.names() == []


@body
def names(m: RedisManager) -> None:
    proxies = one_of_each(m, "name of a")
    assert len(m.names()) == 6
    for proxy in proxies[:3]:
        assert proxy.name in m.names()
    again = one_of_each(m, "name of a")
    assert list(map(str, again)) == list(map(str, proxies))
    proxies[0]["k"] = 2
    proxies[1].append(3)
    assert (again[0]["k"], again[1][2]) == (2, 3)
    assert m.dict("name of a dict", {"ignored": 1}).copy() == {"k": 2}
    with pytest.raises(TypeError, match="is a dict, not a set"):
        m.set("name of a dict")
    with pytest.raises(ValueError, match="of 'i', not of 'd'"):
        m.Value("d", 0.0, name="name of a v")
    assert all(map(m.delete, m.names()))
    assert not m.delete("name of a dict")
    with pytest.raises(ObjectGone):
        again[0]["k"]


@body
def values_keep_their_type(m: RedisManager) -> None:
    d = m.dict()
    for number, stored in enumerate(odd_values()):
        d[number] = stored
        found = d[number]
        assert type(found) is type(stored)
        assert found == stored or stored != stored
        assert m.list([stored])[0] == stored or stored != stored
    assert [type(found) for found in d.values()] == [type(stored) for stored in odd_values()]
    with pytest.raises((AttributeError, pickle.PicklingError)):
        d["function"] = lambda: None
    assert "function" not in d


def odd_values() -> Iterator[Any]:
    yield from (None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, 10**40, 0.0, -0.0, math.inf)
    yield from (math.nan, 1j, "", "a" * 300, "a" * 70_000, "\0", "ä€😀\ud800", b"", b"\0" * 300)
    yield from (bytearray(b"x"), (), (1,), [], [[]], {}, {1: {2: 3}}, set(), {1}, frozenset({1}))
    yield from (Decimal("1.50"), Fraction(1, 3), range(3), int, len, Ellipsis, slice(1, 2))
    yield from ("@x;", "#x;", "S" * 20, "=1", "-5", "12", b"@u:abc;")
