"""The shared dict against the standard library's."""

from __future__ import annotations

import copy
import json
import operator
import pickle

import pytest

from tests.parity import samples
from tests.parity.transcript import bodies

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")


def get(d, key):
    return d[key]


def put(d, key, value):
    d[key] = value


def delete(d, key):
    del d[key]


def update_in_place(d, other):
    before = d
    d |= other
    return d is before


def body_create(m, t):
    for args in [(), ({},), ({"a": 1, 2: None},), ([("x", 1), ("y", 2)],), ((),)]:
        t(m.dict, *args)
    t(m.dict, a=1, self=2, name=3, source=4)
    t(m.dict, {"a": 1}, a=2, c=3)
    t(m.dict, [["a", 1], ("b", 2), "cd"])
    t(m.dict, [(n, n * n) for n in range(50)])


def body_values_keep_their_type(m, t):
    d = m.dict()
    for number, value in enumerate(samples.VALUES):
        t(put, d, number, value)
        t(get, d, number)
        t(d.get, number)
        t(d.setdefault, number, "not this")
    t(d.copy)
    t(d.values)
    t(d.items)
    for number in range(len(samples.VALUES)):
        t(d.pop, number)


def body_many_keys(m, t):
    d = m.dict()
    for number, key in enumerate(samples.HASHABLE):
        t(operator.contains, d, key)
        t(put, d, key, number)
        t(operator.contains, d, key)
        t(get, d, key)
    t(len, d)
    t(d.keys)
    t(d.items)
    t(d.copy)
    t(list, d)
    t(list, reversed(d))
    for key in samples.HASHABLE:
        t(d.get, key, "gone")
        t(d.pop, key, "gone")
    t(len, d)


def body_equal_keys_are_one(m, t):
    for group in samples.EQUAL:
        for first in group:
            d = m.dict({first: "first"})
            for other in group:
                t(operator.contains, d, other)
                t(get, d, other)
                t(put, d, other, repr(other))
                t(d.items)
                t(d.setdefault, other, "not this")
                t(d.update, {other: "updated"})
                t(d.items)
            t(delete, d, group[-1])
            t(d.items)
            t(put, d, group[-1], "again")
            t(d.items)
            t(d.popitem)
            t(len, d)


def body_the_first_of_equal_keys_stays(m, t):
    d = m.dict({1: 1})
    t(d.update, {True: 2, 2: 3})
    t(d.items)
    t(d.update, [(1.0, 4), (True, 5), (2, 6), (2.0, 7)])
    t(d.items)
    t(m.dict, [(1.0, "a"), (True, "b"), ("k", "c")])


def body_nan_is_never_found(m, t):
    nan = float("nan")
    d = m.dict()
    t(put, d, nan, 1)
    t(put, d, nan, 2)
    t(put, d, (nan, 1), 3)
    t(d.items)
    t(operator.contains, d, nan)
    t(d.get, nan)
    t(get, d, nan)
    t(operator.contains, d, (nan, 1))
    t(len, d)
    t(d.popitem)


def body_missing_keys(m, t):
    d = m.dict({"a": 1})
    for key in ["b", 1, None, (1, 2), b"a", frozenset({1}), samples.Color.RED, "", 1.5, "\ud800"]:
        t(get, d, key)
        t(delete, d, key)
        t(d.pop, key)
        t(d.pop, key, None)
        t(d.pop, key, "default")
        t(d.get, key)
        t(d.get, key, [])
        t(operator.contains, d, key)
    t(d.items)


def body_unhashable_keys(m, t):
    d = m.dict({"a": 1})
    for key in samples.UNHASHABLE:
        t(get, d, key)
        t(put, d, key, 1)
        t(delete, d, key)
        t(operator.contains, d, key)
        t(d.get, key)
        t(d.get, key, 1)
        t(d.pop, key)
        t(d.pop, key, 1)
        t(d.setdefault, key)
        t(d.setdefault, key, 1)
    t(d.update, [([], 1)])
    t(d.fromkeys, [[]])
    t(d.items)


def body_unpicklable_change_nothing(m, t):
    d = m.dict({"a": 1})
    t(put, d, "b", lambda: 0)
    t(put, d, "a", lambda: 0)
    t(d.update, {"c": 1, "e": (x for x in ())})
    t(d.setdefault, "f", lambda: 0)
    t(d.setdefault, "a", 2)
    t(d.items)


def body_order(m, t):
    d = m.dict()
    for key in "caebd":
        d[key] = key
    t(d.keys)
    t(put, d, "a", "new value, old place")
    t(d.keys)
    t(delete, d, "c")
    t(put, d, "c", "at the end")
    t(d.items)
    t(d.pop, "e")
    t(d.setdefault, "e", 5)
    t(d.setdefault, "a", 5)
    t(d.update, {"z": 1, "b": 2, "y": 3})
    t(d.items)
    t(list, d)
    t(list, reversed(d))
    t(d.popitem)
    t(d.popitem)
    t(d.keys)


def body_order_of_many(m, t):
    d = m.dict()
    t(d.update, {f"key {n * 7919 % 1000}": n for n in range(1000)})
    for n in range(0, 1000, 3):
        d.pop(f"key {n}")
    for n in range(0, 1000, 9):
        d[f"key {n}"] = "x" * 100
    t(d.items)
    t(d.keys)
    t(d.values)
    t(d.copy)


def body_popitem(m, t):
    d = m.dict([(1, "a"), (2, "b"), ("c", [1]), ((1, 2), None)])
    for _ in range(6):
        t(d.popitem)
    t(len, d)
    d["x"] = 1
    t(d.popitem)
    t(m.dict().popitem)


def body_setdefault(m, t):
    d = m.dict()
    t(d.setdefault, "a")
    t(d.setdefault, "a", 1)
    t(d.setdefault, "b", 2)
    t(d.setdefault, "b", 3)
    t(d.setdefault, 1.0, "one")
    t(d.setdefault, True, "uno")
    t(d.setdefault, "none", None)
    t(d.setdefault, "none", 1)
    t(d.items)


def body_update(m, t):
    d = m.dict({"a": 1})
    t(d.update)
    t(d.update, {})
    t(d.update, [])
    t(d.update, {"b": 2})
    t(d.update, [("c", 3), ["d", 4], "ef"])
    t(d.update, a=5, self=6, other=7)
    t(d.update, {"g": 8}, g=9, h=10)
    t(d.update, ())
    t(d.update, "")
    t(d.update, {1: 2}.copy())
    t(d.items)
    for bad in [5, None, [1], ["a"], [("a", 1, 2)], ["abc"], [()], 1.5, [None]]:
        t(d.update, bad)
    t(d.update, {}, {})
    t(d.items)


def body_operators(m, t):
    d = m.dict({"a": 1, "b": 2})
    t(lambda: d | {"b": 3, "c": 4})
    t(lambda: {"b": 3, "c": 4} | d)
    t(lambda: d | {})
    t(lambda: {} | d)
    for other in [[("b", 3)], None, 5, "ab", {1}, ()]:
        t(lambda other=other: d | other)
        t(lambda other=other: other | d)
    t(lambda: d | m.dict({"z": 1}))
    t(lambda: d | d)
    t(d.items)
    for op in [operator.add, operator.sub, operator.and_, operator.xor, operator.mul]:
        t(op, d, {"a": 1})
        t(op, {"a": 1}, d)


def body_update_in_place(m, t):
    d = m.dict({"a": 1, "b": 2})
    t(update_in_place, d, {"b": 3, "c": 4})
    t(update_in_place, d, [("d", 5)])
    t(update_in_place, d, {})
    t(update_in_place, d, m.dict({"e": 6}))
    t(update_in_place, d, d)
    t(d.items)
    for bad in [5, None, [1], "abc"]:
        t(update_in_place, d, bad)
    t(d.items)


def body_fromkeys(m, t):
    d = m.dict({"a": 1})
    t(d.fromkeys, "abc")
    t(d.fromkeys, [1, 1.0, True], [])
    t(d.fromkeys, (), 1)
    t(d.fromkeys, {"x": 1})
    t(d.fromkeys, 5)
    t(d.fromkeys, None)
    t(d.items)


def body_views_are_lists(m, t):
    d = m.dict({"b": 1, "a": 2})
    for p in (d, m.dict()):
        t(p.keys)
        t(p.values)
        t(p.items)
        t(iter, p)
        t(reversed, p)
        t(list, p)
        t(tuple, p)
        t(sorted, p)
        t(set, p)
        t(len, p)
        t(bool, p)
        t(p.copy)
        t(dict, p)
        t(lambda p=p: {**p})
        t(lambda p=p: [*p])
        t(lambda p=p: dict(**p))
        t(lambda p=p: dict(p, c=3))
        t(max, p, default="nothing")
        t(lambda p=p: [(k, v) for k, v in p.items()])
        t(enumerate, p)
        t(lambda p=p: list(zip(p, p.values(), strict=True)))
    keys = d.keys()
    d["c"] = 3
    t(lambda: keys)


def body_clear(m, t):
    d = m.dict({"b": 1, 1.0: 2})
    t(d.clear)
    t(d.items)
    t(len, d)
    t(d.clear)
    t(put, d, 1, "spelled anew")
    t(d.items)


def body_values_are_copies(m, t):
    d = m.dict({"l": [1]})
    d["l"].append(2)
    t(d.items)
    kept = d["l"]
    kept.append(2)
    d["l"] = kept
    kept.append(3)
    t(d.items)
    t(lambda: d["l"] is d["l"])
    plain = d.copy()
    plain["x"] = 1
    t(d.items)


def body_text(m, t):
    for content in [{}, {"a": 1}, {1: {2: [3]}}, {"q'": 'd"', b"b": None, 1.0: -0.0}]:
        d = m.dict(content)
        t(str, d)
        t(repr, d)
        t(format, d)
        t("{}|{!r}|{!s:>40}".format, d, d, d)
        t(format, d, "x")


def body_identity(m, t):
    d, e = m.dict({"a": 1}), m.dict({"a": 1})
    t(lambda: d == d)
    t(lambda: d == e)
    t(lambda: d != e)
    t(lambda: d == {"a": 1})
    t(lambda: {"a": 1} == d)
    t(lambda: d != {"a": 1})
    t(lambda: d == pickle.loads(pickle.dumps(d)))
    t(lambda: hash(d) == hash(d))
    t(lambda: {d: 1}[d])
    t(lambda: d in {e, 1})
    t(lambda: d in [e, d])
    for op in [operator.lt, operator.le, operator.gt, operator.ge]:
        t(op, d, e)
        t(op, d, {})
    t(bool, d)
    t(bool, m.dict())
    t(lambda: d is not e and type(d) is type(e))


def body_copies(m, t):
    d = m.dict({"a": [1]})
    c = t(copy.copy, d)
    t(lambda: c is d)
    c["b"] = 2
    t(d.items)
    deep = t(copy.deepcopy, d)
    deep["c"] = 3
    t(d.items)
    again = t(lambda: pickle.loads(pickle.dumps(d)))
    again["e"] = 4
    t(d.items)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        t(lambda protocol=protocol: pickle.loads(pickle.dumps(d, protocol)).items())
    t(d._getvalue)


def body_json(m, t):
    d = m.dict({"a": 1})
    t(json.dumps, d)
    t(json.dumps, {"d": d})
    t(json.dumps, d.copy())
    t(json.dumps, d, default=dict)


def body_callmethod(m, t):
    d = m.dict({"a": 1})
    t(d._callmethod, "keys")
    t(d._callmethod, "__getitem__", ("a",))
    t(d._callmethod, "__getitem__", ("b",))
    t(d._callmethod, "__setitem__", ("b", 2))
    t(d._callmethod, "__delitem__", ("a",))
    t(d._callmethod, "__contains__", ("b",))
    t(d._callmethod, "__len__")
    t(d._callmethod, "get", ("zz", 5))
    t(d._callmethod, "update", ((("c", 3),),), {"d": 4})
    t(d._callmethod, "copy")
    t(d._callmethod, "__str__")
    t(d._callmethod, "#GETVALUE")
    t(d._callmethod, "nope")
    t(d._callmethod, "__class__")
    t(d._callmethod, "__eq__", ({},))
    t(d.items)


def body_attributes(m, t):
    d = m.dict({"a": 1})
    t(lambda: d.nothing)
    t(lambda: d.has_key)
    t(lambda: d.__missing__)
    t(delattr, d, "nothing")
    t(lambda: d())
    t(next, d)
    t(lambda: d[1:2])
    t(d.keys().append, 1)
    t(isinstance, d, dict)
    t(lambda: type(d).__name__)


def body_wrong_arguments(m, t):
    d = m.dict({"a": 1})
    for name in "get pop setdefault popitem keys values items copy clear update fromkeys".split():
        method = getattr(d, name)
        t.type_only(method, 1, 2, 3, 4)
        t.type_only(method, nonsense=1) if name != "update" else None
    for name in "get pop setdefault fromkeys __getitem__ __setitem__ __delitem__".split():
        t.type_only(getattr(d, name))
    t.type_only(d.get, key="a")
    t.type_only(d.get, "a", default=1)
    t.type_only(d.pop, "a", default=1)
    t.type_only(d.setdefault, "a", default=1)
    t(d.items)


def body_proxies_as_arguments(m, t):
    d, e = m.dict({"a": 1}), m.dict({"b": 2, 1.0: 3})
    t(d.update, e)
    t(d.update, d)
    t(d.update, m.list([("x", 1), ("y", 2)]))
    t(d.items)
    t(m.dict, d)
    t(m.dict, d, z=1)
    t(m.dict, m.list([(1, 2)]))
    t(d.fromkeys, m.list([1, 2]), 3)


def body_proxies_as_values(m, t):
    d = m.dict()
    inner = m.dict({"x": 1})
    t(put, d, "inner", inner)
    t(get, d, "inner")
    d["inner"]["y"] = m.list([1])
    t(inner.items)
    d["inner"]["y"].append(2)
    t(get, inner, "y")
    t(str, d)
    t(d.copy)
    t(d._getvalue)
    t(copy.deepcopy, d)
    t(d.setdefault, "inner", 5)
    t(d.get, "inner")
    t(d.values)
    del inner
    t(d.items)
    popped = t(d.pop, "inner")
    popped["z"] = 3
    t(popped.items)
    t(d.items)
    t(d.update, {"a": [m.list([1]), {"deep": (m.Value("i", 2),)}]})
    t(lambda: d["a"][0])
    t(lambda: d["a"][1]["deep"][0].value)
    t(d.popitem)


def body_nested_deep(m, t):
    top = d = m.dict()
    for depth in range(20):
        d["in"] = m.dict({"depth": depth})
        d = d["in"]
    del d
    d = top
    for _ in range(20):
        t(lambda d=d: sorted(map(str, d.keys())))
        d = d["in"]
    t(d.items)


def body_in_itself(m, t):
    d = m.dict({"a": 1})
    d["self"] = d
    t(len, d)
    t(lambda: d["self"]["self"]["a"])
    d["self"]["b"] = 2
    t(d.keys)
    t(str, d)
    t(lambda: type(d["self"]).__name__)
    other = m.dict({"back": d})
    d["other"] = other
    t(lambda: d["other"]["back"]["other"]["back"]["b"])


@pytest.mark.parametrize("body", bodies(globals()))
def test_dict(body, same):
    same(body)
