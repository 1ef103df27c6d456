"""The shared set against a builtin set behind the standard library's server."""

from __future__ import annotations

import copy
import itertools
import json
import operator
import pickle

import pytest

from tests.parity import samples
from tests.parity.samples import SetSubclass
from tests.parity.transcript import bodies

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

BINARY = [operator.and_, operator.or_, operator.sub, operator.xor]
IN_PLACE = [operator.iand, operator.ior, operator.isub, operator.ixor]
ORDER = [operator.lt, operator.le, operator.gt, operator.ge]
METHODS = ["union", "intersection", "difference"]
CHANGES = ["update", "intersection_update", "difference_update"]

OTHERS = [set(), {1, 2}, {2, 3, 4}, {1, 2, 3}, frozenset({3, 9}), frozenset(), {1.0, "a"}]
ITERABLES = [*OTHERS, [3, 3, 4], (1,), "ab", b"\x01", range(2, 5), {1: 2}, [], [(1, 2)]]
ITERABLES.append([1.0, True])
NO_ITERABLES = [5, None, 1.5, object]


def contents(s, operation):
    """How to look at a set. Which of two equal members an intersection keeps, a builtin set leaves
    to chance: then without the spelling.
    """
    if operation in ("iand", "intersection_update"):
        return lambda: sorted(map(hash, s))
    return s.copy


def body_create(m, t):
    t(m.set)
    for iterable in ITERABLES:
        if not isinstance(iterable, str):  # for one of our managers a name
            t(m.set, iterable)
    t(m.set, list(range(3000)))
    t(m.set, m.list([1, 1]))
    t(m.set, list("abca"))


def body_members_keep_their_type(m, t):
    for member in samples.HASHABLE:
        s = m.set([member])
        t(list, s)
        t(operator.contains, s, member)
        t(s.copy)
        t(s.pop)
        t(s.add, member)
        t(s.add, member)
        t(len, s)
        t(s.discard, member)
        t(s.remove, member)
        t(s.copy)
    s = m.set()
    for member in samples.HASHABLE:
        t(s.add, member)
        t(len, s)
    t(s.copy)
    t(set, s)
    t(m.set, samples.HASHABLE)


def body_equal_members_are_one(m, t):
    for group in samples.EQUAL:
        for first in group:
            s = m.set([first])
            for other in group:
                t(operator.contains, s, other)
                t(s.add, other)
                t(s.update, [other])
                t(s.copy)
                t(s.issuperset, [other])
                t(s.isdisjoint, [other])
                t(lambda s=s, other=other: s >= {other})
            t(s.symmetric_difference_update, [group[-1], "x"])
            t(s.copy)
            t(s.remove, group[0])
            t(s.add, group[-1])
            t(s.copy)
            t(s.discard, group[0])
            t(s.copy)
        t(m.set, group)
        s = m.set()
        t(s.update, group)
        t(s.copy)


def body_nan_is_never_found(m, t):
    nan = float("nan")
    s = m.set([nan])
    t(s.add, nan)
    t(len, s)
    t(operator.contains, s, nan)
    t(s.discard, nan)
    t(s.remove, nan)
    t(len, s)


def body_missing_members(m, t):
    s = m.set([1])
    for member in ["b", 2, None, (1, 2), b"a", frozenset({1}), samples.Color.RED, "", 1.5, (1,)]:
        t(s.remove, member)
        t(s.discard, member)
        t(operator.contains, s, member)
    t(s.copy)
    t(s.pop)
    t(s.pop)


def body_unhashable_members(m, t):
    s = m.set([1])
    for member in [*samples.UNHASHABLE, {1}, SetSubclass({1}), [{1}], ({1},)]:
        t(s.add, member)
        t(s.remove, member)
        t(s.discard, member)
        t(operator.contains, s, member)
        t(m.set().update, [member])
        t(s.union, [member])
        t(s.intersection, [member])
        t(s.difference, [member])
        t(s.symmetric_difference, [member])
        t(s.intersection_update, [member])
        t(s.difference_update, [member])
        t(s.symmetric_difference_update, [member])
        t(s.isdisjoint, [member])
        t(s.issubset, [member])
        t(s.issuperset, [member])
    t(s.copy)


def body_sets_stand_for_frozensets(m, t):
    s = m.set([frozenset({1, 2}), frozenset()])
    t(operator.contains, s, {1, 2})
    t(operator.contains, s, {2.0, True})
    t(operator.contains, s, SetSubclass({1, 2}))
    t(operator.contains, s, {3})
    t(s.remove, {3})
    t(s.discard, {3})
    t(s.remove, {1, 2})
    t(s.copy)
    t(s.discard, set())
    t(s.copy)
    t(s.remove, SetSubclass())
    t(s.remove, set())


def body_methods(m, t):
    for content in (set(), {1, 2}, {1, 2, 3, "a", (1, 2)}):
        s = m.set(content)
        for name in METHODS:
            method = getattr(s, name)
            t(method)
            for iterable in ITERABLES:
                t(method, iterable)
            t(method, [1], [2])
            t(method, {1}, "a", {3: 4}, [])
            for bad in NO_ITERABLES:
                t(method, bad)
                t(method, [1], bad)
        names = ["symmetric_difference", "isdisjoint", "issubset", "issuperset"]
        for name, argument in itertools.product(names, [*ITERABLES, *NO_ITERABLES]):
            t(getattr(s, name), argument)
        t(s.copy)


def body_changes(m, t):
    for content, name in itertools.product(((), (1, 2, 3, "a", (1, 2))), CHANGES):
        for arguments in [
            *((iterable,) for iterable in ITERABLES),
            *((), ([1], [2]), ({1}, "a", {3: 4}, []), ([1, 2, 3], (2,), {2.0})),
            *((bad,) for bad in NO_ITERABLES),
        ]:
            s = m.set(content)
            t(getattr(s, name), *arguments)
            t(contents(s, name))
    for iterable in [*ITERABLES, *NO_ITERABLES]:
        s = m.set([1, 2, "a"])
        t(s.symmetric_difference_update, iterable)
        t(s.copy)


def body_operators(m, t):
    s = m.set([1, 2, 3])
    others = [*ITERABLES, *NO_ITERABLES, SetSubclass({1}), m.list([1]), m.dict(a=1)]
    for op, other in itertools.product([*BINARY, *ORDER], others):
        t(op, s, other)
        t(op, other, s)
    for op in BINARY:
        t(op, s, m.set([1, 9]))
        t(op, s, s)
    for op in [operator.add, operator.mul, operator.mod]:
        t(op, s, {1})
        t(op, {1}, s)
    t(s.copy)


def body_in_place(m, t):
    for op, other in itertools.product(IN_PLACE, [*ITERABLES, *NO_ITERABLES, SetSubclass({1, 5})]):
        s = m.set([1, 2, 3])
        t(lambda op=op, s=s, other=other: op(s, other) is s)
        t(contents(s, op.__name__))
    for op, other in itertools.product(IN_PLACE, OTHERS):
        s = m.set([frozenset({1}), 2.0])
        t(lambda op=op, s=s, other=other: op(s, other) is s)
        t(contents(s, op.__name__))


def body_plain_set_in_place_with_a_proxy(m, t):
    for op, name in itertools.product(IN_PLACE, ["set", "frozenset", "list"]):
        plain = {"set": set, "frozenset": frozenset, "list": list}[name]([1, 2, 3])
        t(op, plain, m.set([2, 9]))


def body_proxies_as_arguments(m, t):
    s, other, l, d = m.set([1, 2]), m.set([2, 3]), m.list([2, 4]), m.list(["k"])
    for name in [*METHODS, "symmetric_difference", "isdisjoint", "issubset", "issuperset"]:
        t(getattr(s, name), l)
        t(getattr(s, name), d)
    t(s.update, l)
    t(s.copy)
    t(s.intersection_update, l)
    t(s.copy)
    t(s.symmetric_difference_update, l)
    t(s.difference_update, d, l)
    t(s.copy)
    t(other.copy)


def body_iterating(m, t):
    for s in (m.set([3, 1, 2]), m.set(), m.set(["one"])):
        for function in [set, frozenset, sorted, len, bool]:
            t(function, s)
        t(lambda s=s: sorted(s, key=str))
        t(lambda s=s: {*s})
        t(max, s, default=None)
        t(lambda s=s: {(x, x) for x in s})
        t(lambda s=s: next(iter(s)) in s.copy())
    t(next, m.set([1]))
    t(reversed, m.set([1]))
    t(lambda: m.set([1])[0])
    t(sum, m.set([1, 2]))
    t("".join, m.set(["a"]))


def body_text(m, t):
    for content in [[], [1], [-0.0], ["a'"], [(1, None)], [frozenset()], [b"x"]]:
        s = m.set(content)
        t(str, s)
        t(repr, s)
        t("{}|{!r}|{!s:>40}".format, s, s, s)
        t(format, s, "x")


def body_identity(m, t):
    s, e = m.set([1]), m.set([1])
    t(lambda: s == s)
    t(lambda: s == e)
    t(lambda: s != e)
    t(lambda: s == {1})
    t(lambda: {1} == s)
    t(lambda: {1} != s)
    t(lambda: s == pickle.loads(pickle.dumps(s)))
    t(lambda: hash(s) == hash(s))
    t(lambda: {s: 1}[s])


def body_copies(m, t):
    s = m.set([1, (2,)])
    c = t(copy.copy, s)
    c.add(3)
    t(s.copy)
    deep = t(copy.deepcopy, s)
    deep.add(4)
    t(s.copy)
    again = t(lambda: pickle.loads(pickle.dumps(s)))
    again.add(5)
    t(s.copy)
    t(s._getvalue)
    plain = t(s.copy)
    plain.add(6)
    t(s.copy)
    t(json.dumps, s)


def body_clear_and_pop(m, t):
    s = m.set([1, 2, 3])
    t(lambda: {s.pop() for _ in range(3)})
    t(s.pop)
    t(s.add, 1.0)
    t(s.clear)
    t(len, s)
    t(s.clear)
    t(s.add, 1)
    t(s.copy)


def body_unpicklable_change_nothing(m, t):
    s = m.set([1])
    t(s.add, lambda: 0)
    t(s.update, [2, lambda: 0])
    t(s.discard, lambda: 0)
    t(s.copy)


def body_callmethod(m, t):
    s = m.set([1])
    t(s._callmethod, "add", (2,))
    t(s._callmethod, "copy")
    t(s._callmethod, "__contains__", (2,))
    t(s._callmethod, "__and__", ({2},))
    t(s._callmethod, "__and__", ([2],))
    t(s._callmethod, "__le__", ({2},))
    t(s._callmethod, "union", ([3], [4]))
    t(s._callmethod, "__len__")
    t(s._callmethod, "remove", (9,))
    t(s._callmethod, "nope")
    t(s._callmethod, "__eq__", ({1},))


def body_attributes(m, t):
    s = m.set([1])
    t(lambda: s.nothing)
    t(lambda: s.append)
    t(lambda: s())
    t(isinstance, s, set)


def body_wrong_arguments(m, t):
    s = m.set([1])
    for name in ["add", "discard", "remove", "pop", "clear", "copy"]:
        t.type_only(getattr(s, name), 1, 2, 3)
        t.type_only(getattr(s, name), nonsense=1)
    for name in ["symmetric_difference", "isdisjoint", "issubset", "issuperset"]:
        t.type_only(getattr(s, name))
        t.type_only(getattr(s, name), [1], [2])
        t.type_only(getattr(s, name), other=[1])
    for name in [*METHODS, *CHANGES]:
        t.type_only(getattr(s, name), others=[1])
    t.type_only(s.symmetric_difference_update)
    t.type_only(s.add)
    t.type_only(s.remove)
    t.type_only(s.discard)
    t(s.copy)


def body_a_set_in_a_container(m, t):
    l = m.list([m.set([1])])
    l[0].add(2)
    t(l.copy)
    t(lambda: len(l[0]))
    d = m.dict(s=l[0])
    l.clear()
    d["s"].discard(1)
    t(d.copy)


@pytest.mark.parametrize("body", bodies(globals()))
def test_set(body, same):
    same(body)
