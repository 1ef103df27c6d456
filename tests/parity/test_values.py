"""Namespace, Value and Array against the standard library's."""

from __future__ import annotations

import array
import copy
import itertools
import json
import operator
import pickle
import sys

import pytest

from tests.parity import samples
from tests.parity.samples import BadIndex, Number
from tests.parity.transcript import bodies

HUGE = [2**31, -(2**31), 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**100, -(2**100)]
BAD = ["a", 1.0, None, (), [0], b"0", BadIndex(), object]

# -- Namespace


def body_namespace(m, t):
    ns = m.Namespace(x=10, y="hello")
    ns._z = 12.3
    t(str, ns)
    t(repr, ns)
    t(lambda: (ns.x, ns.y, ns._z))
    t(setattr, ns, "x", [1, 2])
    t(lambda: ns.x)
    ns.x.append(3)
    t(lambda: ns.x)
    t(delattr, ns, "x")
    t(lambda: ns.x)
    t(delattr, ns, "x")
    t(hasattr, ns, "x")
    t(getattr, ns, "x", "default")
    t(str, ns)
    t(delattr, ns, "_z")
    t(lambda: ns._z)
    t(delattr, ns, "_z")
    t(lambda: ns._nothing)
    t(str, m.Namespace())


def body_namespace_values(m, t):
    ns = m.Namespace()
    for number, value in enumerate(samples.VALUES):
        t(setattr, ns, f"v{number}", value)
        t(getattr, ns, f"v{number}")
    t(str, m.Namespace(**{f"v{number}": v for number, v in enumerate(samples.VALUES[:20])}))
    t(setattr, ns, "bad", lambda: 0)
    t(hasattr, ns, "bad")


def body_namespace_names(m, t):
    ns = m.Namespace()
    names = [
        *"keys get name delete statistics value set copy self kwds args handle class".split(),
        *("a b", "1", "é", "'", "\ud800", "x" * 300, "a.b", "A"),
    ]
    for name in names:
        t(getattr, ns, name)
        t(setattr, ns, name, name)
        t(getattr, ns, name)
    t(str, ns)
    for name in names:
        t(delattr, ns, name)
        t(delattr, ns, name)
    t(str, ns)
    t(m.Namespace, self=1, kwds=2, args=3, name=4, manager=5, typeid=6)


def body_namespace_is_shared(m, t):
    ns = m.Namespace(b=2, a=1)
    ns._private = "here"
    for other in (copy.copy(ns), pickle.loads(pickle.dumps(ns))):
        t(lambda other=other: other.a)
        t(lambda other=other: other._private)
        other.c = 3
        t(str, ns)
        t(lambda other=other: ns == other)
        t(lambda other=other: ns is other)
    deep = t(copy.deepcopy, ns)
    deep.d = 4
    t(str, ns)
    t(ns._getvalue)
    t(lambda: ns == ns)
    t(lambda: ns != m.Namespace(a=1, b=2, c=3))
    t(lambda: hash(ns) == hash(ns))
    t(bool, m.Namespace())
    t(len, ns)
    t(iter, ns)
    t(lambda: ns["a"])
    t(operator.contains, ns, "a")
    t(lambda: ns())
    t(lambda: "a" in dir(ns))
    t(lambda: "a" in vars(ns))
    t(json.dumps, ns)
    t(operator.lt, ns, ns)


def body_namespace_callmethod(m, t):
    ns = m.Namespace(a=1)
    t(ns._callmethod, "__getattribute__", ("a",))
    t(ns._callmethod, "__getattribute__", ("b",))
    t(ns._callmethod, "__setattr__", ("b", 2))
    t(ns._callmethod, "__delattr__", ("a",))
    t(ns._callmethod, "__delattr__", ("a",))
    t(ns._callmethod, "__str__")
    t(ns._callmethod, "__len__")
    t(str, ns)


def body_namespace_of_proxies(m, t):
    ns = m.Namespace(l=m.list([1]))
    ns.l.append(2)
    t(lambda: ns.l)
    ns.me = ns
    ns.me.x = 1
    t(lambda: ns.me.me.x)
    t(lambda: type(ns.me).__name__)
    t(str, ns)
    ns.l = None
    t(lambda: ns.l)


# -- Value


def body_value(m, t):
    for typecode, value in [("i", 3), ("d", 1.5), ("i", "no check"), ("anything", None), ("", [])]:
        v = m.Value(typecode, value)
        t(str, v)
        t(repr, v)
        t(v.get)
        t(lambda v=v: v.value)
        t(v.set, 7)
        t(lambda v=v: v.value)
        t(setattr, v, "value", "seven")
        t(v.get)
        t(str, v)
    t(m.Value, "i", 1, True)
    t(m.Value, "i", 1, lock=False)
    t(m.Value, typecode="i", value=2)


def body_value_values(m, t):
    v = m.Value("x", None)
    for value in samples.VALUES:
        t(v.set, value)
        t(v.get)
        t(lambda: v.value)
        t(setattr, v, "value", [value])
        t(v.get)
        t(m.Value, "x", value)
    t(v.set, 1)
    t(v.set, lambda: 0)
    t(v.get)
    v.value += 5
    v.value *= 2
    t(v.get)
    v.set([1])
    v.value.append(2)
    t(v.get)


def body_value_in_general(m, t):
    v = m.Value("i", 0)
    t(bool, v)
    t(lambda: v == v)
    t(lambda: v == 0)
    t(lambda: v == m.Value("i", 0))
    t(lambda: hash(v) == hash(v))
    for op in [operator.add, operator.lt, operator.eq]:
        t(op, v, 1)
        t(op, 1, v)
    t(int, v)
    t(len, v)
    t(iter, v)
    t(lambda: v.get_lock)
    t(lambda: v.get_obj)
    t(lambda: v.nothing)
    t(delattr, v, "value")
    again = pickle.loads(pickle.dumps(v))
    again.value = 5
    t(v.get)
    copy.copy(v).value = 6
    t(v.get)
    deep = t(copy.deepcopy, v)
    deep.value = 7
    t(v.get)
    t(v._getvalue)
    t(json.dumps, v)
    t(v._callmethod, "get")
    t(v._callmethod, "set", (9,))
    t(v._callmethod, "get")
    t(v._callmethod, "__str__")
    t(v._callmethod, "nope")
    t.type_only(v.set)
    t.type_only(v.set, 1, 2)
    t.type_only(v.get, 1)
    t(format, v, "x")


def body_value_of_proxies(m, t):
    v = m.Value("x", m.list([1]))
    v.value.append(2)
    t(v.get)
    v.value = v
    t(lambda: type(v.value.value.value).__name__)
    t(str, m.Value("x", m.dict()))


# -- Array

NUMBERS = {
    "b": [0, -128, 127],
    "B": [0, 255],
    "h": [-(2**15), 2**15 - 1],
    "H": [0, 2**16 - 1],
    "i": [-(2**31), 2**31 - 1, 0],
    "I": [0, 2**32 - 1],
    "l": [-(2**63), 2**63 - 1],
    "L": [0, 2**64 - 1],
    "q": [-(2**63), 2**63 - 1],
    "Q": [0, 2**64 - 1],
    "f": [0.5, -0.0, 1e30, float("inf"), float("nan"), 3],
    "d": [0.1, -0.0, 5e-324, 1e308, float("-inf"), float("nan"), 3],
    "u" if sys.version_info < (3, 13) else "w": ["a", "é", "日", "\U0001f600"],
}


TOO_LARGE = [256, 2**16, 2**31, 2**32, 2**63, 2**64, -(2**100)]


def get(a, index):
    return a[index]


def put(a, index, value):
    a[index] = value


def delete(a, index):
    del a[index]


def body_array_types(m, t):
    for typecode, numbers in NUMBERS.items():
        a = m.Array(typecode, numbers)
        t(str, a)
        t(repr, a)
        t(len, a)
        t(list, a)
        t(get, a, slice(None))
        t(a._getvalue)
        t(copy.deepcopy, a)
        for number in [*numbers, 0, -1, *TOO_LARGE, 1.0, 1e300]:
            t(put, a, 0, number)
            t(get, a, 0)
        for bad in ["x", "", "xy", b"x", None, [1], Number(3), BadIndex(), True, "\ud800", 1j]:
            t(put, a, 0, bad)
            t(get, a, 0)
            t(put, a, 99, bad)
    t(m.Array, "i", ())
    t(m.Array, "i", [True, Number(2)])
    t(m.Array, "i", range(5), False)
    t(m.Array, "i", (1, 2), lock=True)
    t(m.Array, typecode="i", sequence=[1])
    t(m.Array, "i", array.array("i", [5, 6]))
    t(m.Array, "i", array.array("h", [5, 6]))
    t(m.Array, "d", array.array("i", [5, 6]))
    t(m.Array, "b", b"ab")
    t(m.Array, next(reversed(NUMBERS)), "text")
    t(m.Array, "i", {1: 2})
    t(m.Array, "i", m.list([1, 2]))


def body_array_indexes(m, t):
    a, empty = m.Array("i", range(5)), m.Array("d", [])
    for index in [0, 4, 5, -1, -5, -6, 99, True, Number(2), Number(-9), *HUGE, *BAD]:
        t(get, a, index)
        t(put, a, index, 77)
        t(list, a)
        t(get, empty, index)
        t(put, empty, index, 1.0)
        t(delete, a, index)


def body_array_slices(m, t):
    a = m.Array("h", range(6))
    bounds, steps = [None, 0, 2, 9, -1, -9], [None, 1, 2, -1, -4]
    for start, stop, step in itertools.product(bounds, bounds, steps):
        t(get, a, slice(start, stop, step))
    for start, stop, step in itertools.product(bounds[::2], bounds[1::2], steps):
        for size in (0, 1, 2, 3):
            a = m.Array("h", range(6))
            t(put, a, slice(start, stop, step), array.array("h", range(50, 50 + size)))
            t(list, a)


def body_array_strange_slices(m, t):
    for where in [
        *(slice(None, None, 0), slice("a", None), slice(None, 1.5), slice(BadIndex())),
        *(slice(Number(1), Number(-1), Number(2)), slice(True, None), slice(2**100, -(2**100))),
        *(slice(-(2**100), 2**100, 2**100), slice(2**100, None, -(2**100))),
        slice(None, None, 2**63),
    ]:
        a = m.Array("i", range(6))
        t(get, a, where)
        t(put, a, where, array.array("i", [50]))
        t(list, a)
    for thing in [
        *([1], (1,), 5, None, "a", b"a", array.array("h", [1]), array.array("I", [1])),
        *(array.array("i"), array.array("i", range(20)), range(1)),
    ]:
        for where in (slice(1, 3), slice(None, None, 2), slice(None)):
            a = m.Array("i", range(6))
            t(put, a, where, thing)
            t(list, a)


def body_array_in_general(m, t):
    a = m.Array("i", [3, 1, 2])
    t(list, a)
    t(sorted, a)
    t(sum, a)
    t(lambda: list(reversed(a)))
    t(tuple, a)
    t(max, a)
    for value in [1, 1.0, True, 9, "a", None]:
        t(operator.contains, a, value)
    t(bool, a)
    t(bool, m.Array("i", []))
    t(lambda: a == a)
    t(lambda: a == array.array("i", [3, 1, 2]))
    t(lambda: a == m.Array("i", [3, 1, 2]))
    t(lambda: hash(a) == hash(a))
    for op in [operator.add, operator.mul, operator.lt]:
        t(op, a, array.array("i", [1]))
        t(op, a, 2)
    t(lambda: a.append)
    t(lambda: a.tolist)
    t(lambda: a.typecode)
    t(lambda: a.value)
    t(lambda: a.get_lock)
    t(lambda: a())
    t(delete, a, 0)
    t(delete, a, slice(None))
    again = pickle.loads(pickle.dumps(a))
    again[0] = 50
    copy.copy(a)[1] = 60
    t(list, a)
    t(a._callmethod, "__getitem__", (0,))
    t(a._callmethod, "__getitem__", (slice(0, 2),))
    t(a._callmethod, "__setitem__", (0, 9))
    t(a._callmethod, "__len__")
    t(a._callmethod, "__str__")
    t(a._callmethod, "append", (1,))
    t(json.dumps, a)
    t(format, a, "x")
    t(lambda: [(x, x) for x in a])
    t(next, a)
    t(lambda: dict(enumerate(a)))


def body_array_in_a_container(m, t):
    d = m.dict(a=m.Array("d", [1.5]))
    d["a"][0] *= 2
    t(d.copy)
    t(lambda: d["a"][:])
    t(str, d)


@pytest.mark.parametrize("body", bodies(globals()))
def test_values(body, same):
    same(body)
