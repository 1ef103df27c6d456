"""The shared list against the standard library's."""

from __future__ import annotations

import copy
import itertools
import json
import operator
import pickle

import pytest

from tests.parity import samples
from tests.parity.samples import BadIndex, Number
from tests.parity.transcript import bodies

INDEXES = [0, 1, 4, 5, 6, -1, -5, -6, 100, -100, True, False, Number(2), Number(-9)]
HUGE = [2**31, -(2**31), 2**52, 2**62, -(2**62), 2**63, -(2**63), -(2**63) - 1, 2**100, -(2**100)]
BAD = ["a", 1.0, None, (), [0], b"0", 1j, BadIndex(), object]
BOUNDS = [None, 0, 1, 3, 5, 9, -1, -2, -5, -9]
STEPS = [None, 1, 2, 3, 7, -1, -2, -7]


def get(l, index):
    return l[index]


def put(l, index, value):
    l[index] = value


def delete(l, index):
    del l[index]


def add_in_place(l, other):
    before = l
    l += other
    return l is before


def multiply_in_place(l, times):
    before = l
    l *= times
    return l is before


def body_create(m, t):
    for args in [(), ([],), ([1, 2],), ((),), ((1, "a"),), (range(3),), ({"a": 1},), (b"ab",)]:
        t(m.list, *args)
    t(m.list, {5})
    t(m.list, list(range(2000)))


def body_values_keep_their_type(m, t):
    l = m.list(samples.VALUES)
    t(l.copy)
    for index, value in enumerate(samples.VALUES):
        t(get, l, index)
        t(put, l, index, [value])
        t(get, l, index)
        t(l.append, value)
        t(get, l, -1)
    t(list, l)
    for _ in samples.VALUES:
        t(l.pop)
        t(l.pop, 0)
    t(l.copy)


def body_indexes(m, t):
    l = m.list(list("abcde"))
    for index in [*INDEXES, *HUGE, *BAD]:
        t(get, l, index)
        t(put, l, index, ("put", repr(index)))
        t(l.copy)
    t(get, m.list(), 0)
    t(put, m.list(), 0, 1)
    t(delete, m.list(), 0)


def body_delete(m, t):
    for index in [*INDEXES, *HUGE, *BAD]:
        l = m.list(list("abcde"))
        t(delete, l, index)
        t(l.copy)


def body_pop(m, t):
    for index in [*INDEXES, *HUGE, *BAD]:
        l = m.list(list("abcde"))
        t(l.pop, index)
        t(l.copy)
    l = m.list([1, None, []])
    for _ in range(5):
        t(l.pop)
    for index in [*INDEXES, *HUGE, *BAD]:
        t(l.pop, index)


def body_insert(m, t):
    for index in [*INDEXES, *HUGE, *BAD]:
        for content in ("", "abcde"):
            l = m.list(list(content))
            t(l.insert, index, "X")
            t(l.copy)


def body_get_slices(m, t):
    full, empty = m.list(list(range(5))), m.list()
    for start, stop, step in itertools.product(BOUNDS, BOUNDS, STEPS):
        t(get, full, slice(start, stop, step))
    for start, stop, step in itertools.product(BOUNDS[:4], BOUNDS[:4], STEPS):
        t(get, empty, slice(start, stop, step))


def body_put_slices(m, t):
    l = m.list()
    for start, stop, step in itertools.product(BOUNDS[::2], BOUNDS[1::2], STEPS):
        for size in (0, 1, 2, 3):
            if step not in (None, 1) and size == 1:
                continue
            l[:] = [0, 1, 2, 3, 4]
            t(put, l, slice(start, stop, step), list("abcdef"[:size]))
            t(l.copy)


def body_delete_slices(m, t):
    l = m.list()
    for start, stop, step in itertools.product(BOUNDS, BOUNDS[::2], STEPS):
        l[:] = [0, 1, 2, 3, 4]
        t(delete, l, slice(start, stop, step))
        t(l.copy)


def body_strange_slices(m, t):
    odd = [
        *(slice(None, None, 0), slice(1, 2, 0), slice("a", None), slice(None, 1.5)),
        slice(0, 1, "x"),
        *(slice(True, None), slice(False, True, True), slice(Number(1), Number(-1), Number(2))),
        *(slice(BadIndex()), slice(None, None, BadIndex()), slice(Number(0), 3, Number(0))),
        *itertools.starmap(slice, itertools.product((None, *HUGE[::3]), HUGE[1::3], (None, 2))),
        *(slice(None, None, n) for n in HUGE),
        *(slice(2, None, n) for n in HUGE),
        *(slice(None, 2, n) for n in HUGE),
    ]
    l = m.list()
    for where in odd:
        l[:] = [0, 1, 2, 3, 4]
        t(get, l, where)
        t(put, l, where, ["x"])
        t(l.copy)
        l[:] = [0, 1, 2, 3, 4]
        t(delete, l, where)
        t(l.copy)


def body_what_can_be_put_in_a_slice(m, t):
    things = [(), (1, 2), "xy", b"xy", {7: 8}, {9}, range(2), [[]], m.list([5, 6]), m.dict(z=1)]
    for thing in things[:-1]:
        for where in (slice(1, 2), slice(0, 4, 2), slice(9, 9), slice(None), slice(3, 1)):
            l = m.list([0, 1, 2, 3, 4])
            t(put, l, where, thing)
            t(l.copy)
    for thing in [5, None, 1.5, object, samples.Unhashable()]:
        for where in (slice(1, 2), slice(0, 4, 2), slice(None, None, -1), slice(None)):
            l = m.list([0, 1, 2, 3, 4])
            t(put, l, where, thing)
            t(l.copy)
    for where in (slice(None), slice(1, 2), slice(None, None, -1), slice(2, 2)):
        l = m.list([0, 1, 2, 3, 4])
        t(put, l, where, l)
        t(l.copy)
    t(put, m.list([1]), slice(0, 1), [lambda: 0])


def body_append_and_extend(m, t):
    l = m.list()
    t(l.append, 1)
    t(l.append, [2, 3])
    t(l.append, None)
    t(l.extend, [4, 5])
    t(l.extend, [])
    t(l.extend, "ab")
    t(l.extend, (6,))
    t(l.extend, {7: 8})
    t(l.extend, range(3))
    t(l.extend, m.list([8, 9]))
    t(l.copy)
    for bad in [5, None, 1.5, object]:
        t(l.extend, bad)
    t(l.append, lambda: 0)
    t(l.extend, [1, lambda: 0])
    t(l.insert, 0, lambda: 0)
    t(len, l)


def body_in_place(m, t):
    l = m.list([1])
    t(add_in_place, l, [2])
    t(add_in_place, l, ())
    t(add_in_place, l, "ab")
    t(add_in_place, l, m.list([3]))
    t(l.copy)
    for bad in [5, None, 1.5]:
        t(add_in_place, l, bad)
    for times in [2, 1, True, Number(2)]:
        t(multiply_in_place, l, times)
        t(l.copy)
    for bad in [1.5, "a", None, [1], BadIndex()]:
        t(multiply_in_place, l, bad)
    t(len, l)
    for times in [0, -1, False, -(2**40)]:
        l = m.list([1, 2])
        t(multiply_in_place, l, times)
        t(l.copy)
    t(multiply_in_place, m.list(), 3)
    t(multiply_in_place, m.list(), 2**62)
    t.type_only(multiply_in_place, m.list([1]), 2**62)
    for times in [2**63, 2**100, -(2**100)]:
        t(multiply_in_place, m.list([1]), times)


def body_operators(m, t):
    l = m.list([1, 2])
    t(operator.add, l, [3])
    t(operator.add, l, [])
    t(lambda: l * 2)
    t(lambda: 2 * l)
    t(lambda: l * 0)
    t(lambda: -1 * l)
    t(lambda: l * True)
    t(lambda: l * Number(2))
    t(lambda: Number(2) * l)
    for other in [(3,), "ab", None, 5, {1}, range(2), 1.5]:
        t(lambda other=other: l + other)
        t(lambda other=other: other + l)
    t(operator.add, [0], l)
    t(lambda: l + m.list([3]))
    t(lambda: l + l)
    for other in [1.5, "a", None, [1], (), 2**63, 2**100, BadIndex()]:
        t(lambda other=other: l * other)
        t(lambda other=other: other * l)
    t(lambda: l * l)
    for op in [operator.sub, operator.and_, operator.or_, operator.truediv, operator.mod]:
        t(op, l, [1])
        t(op, [1], l)
    t(l.copy)


def body_looking_for(m, t):
    things = [0, 1, 2, "a", b"a", None, 1.5, (1,), [1], {"k": 1}, {3}, frozenset({4}), True]
    l = m.list([*things, *things[::-1]])
    looked_for = [
        *things,
        *(False, 0.0, -0.0, 1.0, 2.0, 2**63, "b", "", b"", "\ud800", [], (), {}, set(), [1.0]),
        *((True,), {3.0}, float("nan"), 1 + 0j, frozenset({3})),
        *(samples.Level.HIGH, samples.Word.A, samples.Color.RED),
    ]
    for thing in looked_for:
        t(operator.contains, l, thing)
        t(l.count, thing)
        t(l.index, thing)
        t(l.remove, thing)
        t(len, l)
    t(l.copy)
    for thing in looked_for:
        t(l.remove, thing)
    t(l.copy)
    empty = m.list()
    for thing in [1, None, "a"]:
        t(operator.contains, empty, thing)
        t(empty.count, thing)
        t(empty.index, thing)
        t(empty.remove, thing)


def body_nan_is_never_found(m, t):
    nan = float("nan")
    l = m.list([nan, 1])
    t(operator.contains, l, nan)
    t(l.count, nan)
    t(l.index, nan)
    t(l.remove, nan)
    t(l.copy)


def body_index_with_bounds(m, t):
    l = m.list([0, 1, 2, 1, 0, 1])
    for start, stop in itertools.product([0, 1, 2, 5, 6, 9, -1, -3, -9], repeat=2):
        t(l.index, 1, start, stop)
    for start in [0, 2, 4, 6, -1, -2, True, Number(2), *HUGE]:
        t(l.index, 1, start)
    for bad in BAD:
        t(l.index, 1, bad)
        t(l.index, 1, 0, bad)


def body_sort(m, t):
    for content in [
        [3, 1, 2],
        [],
        [1],
        list("banana"),
        [3.5, -1, True, 2, 0.0, -0.0],
        [(2, "b"), (1, "z"), (2, "a")],
        [[2], [1, 5], []],
        [b"b", b"a"],
        list(range(1000, 0, -1)),
        ["b", "A", "a", "B"],
    ]:
        for kwds in [{}, {"reverse": True}, {"reverse": 0}, {"key": None}, {"key": str}]:
            l = m.list(content)
            t(l.sort, **kwds)
            t(l.copy)
    l = m.list(["bb", "A", "ccc", "a", "", "BB"])
    t(l.sort, key=len)
    t(l.copy)
    t(l.sort, key=str.lower, reverse=True)
    t(l.copy)
    t(l.sort, key=len, reverse=True)
    t(l.copy)


def body_sort_that_fails(m, t):
    l = m.list([1, "a"])
    t(l.sort)
    t(l.sort, key=len)
    t(l.sort, key=5)
    t(l.sort, reverse="yes")
    t(l.sort, reverse=None)
    t(l.copy)
    t(m.list([{}, {}]).sort)
    t(m.list([1j, 2j]).sort)
    t(m.list([None, None]).sort)
    t(m.list([1]).sort, key=operator.itemgetter(0))
    same = m.list([1])
    t(same.sort, reverse="yes")


def body_sort_is_stable(m, t):
    pairs = [(n % 3, n) for n in range(30)]
    l = m.list(pairs)
    t(l.sort, key=operator.itemgetter(0))
    t(l.copy)
    t(l.sort, key=operator.itemgetter(0), reverse=True)
    t(l.copy)


def body_reverse_clear_copy(m, t):
    for content in [[], [1], [1, 2], [1, [2], None], list(range(999))]:
        l = m.list(content)
        t(l.reverse)
        c = t(l.copy)
        t(l.copy)
        c.append("only here")
        t(l.clear)
        t(l.copy)
        t(len, l)
        t(l.clear)
        t(l.append, 1)
        t(l.copy)


def body_iterating(m, t):
    for l in (m.list([3, 1, 2]), m.list()):
        for function in [list, tuple, set, sorted, len, bool, iter, reversed, enumerate, sum]:
            t(function, l)
        t(max, l, default=None)
        t(min, l, default=None)
        t(lambda l=l: [*l])
        t(lambda l=l: list(zip(l, l, strict=True)))
        t(lambda l=l: [(x, x) for x in l])
        t(lambda l=l: [(x, x) for x in reversed(l)])
        t(map, str, l)
        t(any, l)
        t(all, l)
        t(dict.fromkeys, l)

    def unpack(l):
        first, *rest = l
        return first, rest

    t(unpack, m.list([1, 2, 3]))
    t(unpack, m.list())
    t("-".join, m.list(["a", "b"]))
    t(next, m.list([1]))


def body_text(m, t):
    for content in [[], [1], ["a", 'b"', b"c", None, -0.0, {"k": [1]}, (1,)]]:
        l = m.list(content)
        t(str, l)
        t(repr, l)
        t("{}|{!r}|{!s:>40}".format, l, l, l)
        t(format, l, "x")


def body_identity(m, t):
    l, e = m.list([1]), m.list([1])
    t(lambda: l == l)
    t(lambda: l == e)
    t(lambda: l != e)
    t(lambda: l == [1])
    t(lambda: [1] == l)
    t(lambda: l == pickle.loads(pickle.dumps(l)))
    t(lambda: hash(l) == hash(l))
    t(lambda: {l: 1}[l])
    for op in [operator.lt, operator.le, operator.gt, operator.ge]:
        t(op, l, e)
        t(op, l, [1])
        t(op, [1], l)


def body_copies(m, t):
    l = m.list([[1]])
    c = t(copy.copy, l)
    c.append(2)
    t(l.copy)
    deep = t(copy.deepcopy, l)
    deep.append(3)
    t(l.copy)
    again = t(lambda: pickle.loads(pickle.dumps(l)))
    again.append(4)
    t(l.copy)
    t(l._getvalue)
    l[0].append("lost")
    t(l.copy)


def body_json(m, t):
    l = m.list([1])
    t(json.dumps, l)
    t(json.dumps, [l])
    t(json.dumps, l[:])


def body_callmethod(m, t):
    l = m.list([3, 1])
    t(l._callmethod, "append", (2,))
    t(l._callmethod, "__getitem__", (0,))
    t(l._callmethod, "__getitem__", (slice(0, 2),))
    t(l._callmethod, "__getitem__", (9,))
    t(l._callmethod, "__setitem__", (0, 5))
    t(l._callmethod, "__delitem__", (0,))
    t(l._callmethod, "__len__")
    t(l._callmethod, "__contains__", (1,))
    t(l._callmethod, "__add__", ([1],))
    t(l._callmethod, "__mul__", (2,))
    t(l._callmethod, "__rmul__", (2,))
    t(l._callmethod, "sort", (), {"reverse": True})
    t(l._callmethod, "pop")
    t(l._callmethod, "__str__")
    t(l._callmethod, "nope")
    t(l._callmethod, "__lt__", ([],))
    t(l.copy)


def body_attributes(m, t):
    l = m.list([1])
    t(lambda: l.nothing)
    t(lambda: l.keys)
    t(lambda: l())
    t(isinstance, l, list)
    t(delattr, l, "nothing")


def body_wrong_arguments(m, t):
    l = m.list([1])
    names = "append extend insert remove pop clear index count sort reverse copy".split()
    for name in names:
        method = getattr(l, name)
        t.type_only(method, 1, 2, 3, 4)
        t.type_only(method, nonsense=1)
    for name in "append extend insert remove index count __getitem__ __setitem__".split():
        t.type_only(getattr(l, name))
    t.type_only(l.insert, 0)
    t.type_only(l.sort, len)
    t.type_only(l.sort, None, True)
    t.type_only(l.pop, index=0)
    t.type_only(l.append, value=0)
    t.type_only(l.index, 1, start=0)
    t(l.copy)


def body_proxies_as_values(m, t):
    l = m.list([m.list([1]), m.dict(a=1)])
    t(l.copy)
    t(get, l, 0)
    l[0].append(2)
    t(get, l, 0)
    t(lambda: l[1]["a"])
    t(str, l)
    t(get, l, slice(None))
    t(get, l, slice(None, None, -1))
    t(l.append, m.Value("i", 3))
    t(lambda: l[-1].value)
    t(l.insert, 0, m.Namespace(x=1))
    t(lambda: l[0].x)
    t(put, l, 0, m.Array("i", [1, 2]))
    t(get, l, 0)
    t(l.reverse)
    t(l.copy)
    popped = t(l.pop)
    t(lambda: popped[0])
    t(put, l, slice(0, 2), [m.list(["new"])])
    t(l.copy)
    t(multiply_in_place, l, 2)
    l[0].append("in both")
    t(l.copy)
    t(delete, l, slice(None, None, 2))
    t(l.copy)
    t(l.extend, [m.list(), [m.list([m.list()])]])
    t(l.copy)
    t(l._getvalue)
    t(copy.deepcopy, l)
    t(l.clear)
    t(l.copy)
    t(m.list, m.list([m.list([1])]))


def body_looking_for_proxies(m, t):
    inner = m.list([1])
    l = m.list([inner, 5])
    t(operator.contains, l, inner)
    t(l.count, inner)
    t(l.index, inner)
    t(l.remove, inner)
    t(operator.contains, l, 5)
    t(l.copy)
    t(m.list([m.dict(), m.dict()]).sort)


def body_in_itself(m, t):
    l = m.list([1])
    l.append(l)
    t(len, l)
    t(lambda: l[1][1][1][0])
    l[1].append(2)
    t(len, l)
    t(str, l)
    t(l.insert, 0, [l])
    t(lambda: l[0][0][1])


@pytest.mark.parametrize("body", bodies(globals()))
def test_list(body, same):
    same(body)
