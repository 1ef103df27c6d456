"""What holds for the proxies of all types, and where strings go."""

from __future__ import annotations

import collections.abc
import copy
import pickle

import pytest

from tests.parity.transcript import bodies, compare, write

ABCS = [
    *("Container", "Iterable", "Sized", "Collection", "Hashable", "Reversible", "Callable"),
    *("Mapping", "MutableMapping", "Sequence", "MutableSequence", "Set", "MutableSet", "Iterator"),
]


def one_of_each(m):
    return [
        m.dict({"a": 1}),
        m.list([1, "a"]),
        m.set([1]),
        m.Namespace(x=1, y="hello"),
        m.Value("i", 3),
        m.Array("d", [1.5]),
    ]


def body_text(m, t):
    for p in one_of_each(m):
        t(repr, p)
        t(str, p)
        t(lambda p=p: f"{p}")
        t(lambda p=p: f"{p!r}")
        t(lambda p=p: f"{p!s:>60}")
        t(ascii, p)


def body_names_of_the_classes(m, t):
    for p in one_of_each(m):
        t(lambda p=p: type(p).__name__)
        t(lambda p=p: p.__class__.__name__)
        t(lambda p=p: type(type(p)).__name__)


def body_identity(m, t):
    every = one_of_each(m)
    for p in every:
        t(lambda p=p: [p == q for q in every])
        t(lambda p=p: p == p._getvalue())
        t(lambda p=p: p != p._getvalue())
        t(lambda p=p: p == copy.copy(p))
        t(lambda p=p: p == None)  # noqa: E711
        t(lambda p=p: {p: 1}[p])
        t(lambda p=p: len({p, copy.copy(p), p}))
        t(lambda p=p: hash(p) == hash(copy.copy(p)))
        t(bool, p)


def body_abstract_classes(m, t):
    for p in one_of_each(m)[:2]:
        for name in ABCS:
            t(isinstance, p, getattr(collections.abc, name))
    for p in one_of_each(m):
        t(isinstance, p, (dict, list, set, int, str))


def body_copies(m, t):
    for p in one_of_each(m):
        t(copy.copy, p)
        t(copy.deepcopy, p)
        t(p._getvalue)
        t(lambda p=p: type(copy.copy(p)) is type(p))
        t(lambda p=p: pickle.loads(pickle.dumps(p)))
        t(lambda p=p: pickle.loads(pickle.dumps([p, p])))
        t(copy.deepcopy, {"in": [p]})
        t(p._callmethod, "#GETVALUE")
        t(p._callmethod, "__str__")
        t(p._callmethod, "no such method")
        t(p._callmethod, "_private")


def body_every_proxy_in_every_container(m, t):
    every = one_of_each(m)
    l, d, ns, v = m.list(), m.dict(), m.Namespace(), m.Value("x", None)
    for number, p in enumerate(every):
        t(l.append, p)
        t(lambda number=number: l[number])
        d[number] = (p, [p])
        t(lambda number=number: d[number])
        ns.p = {"here": p}
        t(lambda: ns.p)
        v.value = p
        t(v.get)
    every.clear()
    t(l.copy)
    t(d.copy)
    t(m.Array, "d", m.Array("d", [1, 2]))


def body_a_container_outlives_the_proxies(m, t):
    d = m.dict()
    d["l"] = m.list([m.list([m.dict(x=m.set([1]))])])
    t(lambda: d["l"][0][0]["x"])
    inner = d["l"][0][0]
    d.clear()
    inner["y"] = 2
    t(lambda: inner["x"])
    t(inner.keys)


def body_in_a_circle(m, t):
    a, b, c = m.dict(n="a"), m.list(["b"]), m.Namespace(n="c")
    a["next"] = b
    b.append(c)
    c.next = a
    t(lambda: a["next"][1].next["next"][1].n)
    t(lambda: c.next["next"][1].next["n"])
    del b
    t(lambda: len(a["next"]))
    c.next = None
    a.clear()


@pytest.mark.parametrize("body", bodies(globals()))
def test_proxies(body, same):
    same(body)


def body_strings_are_data(m, t):
    t(m.list, "abc")
    t(m.list, "")
    t(m.set, "a")
    t(m.set, "")
    t(m.list, b"ab")


def test_strings_are_data(expected, embedded):
    """For ``Manager()``; for a ``RedisManager`` they are names."""
    assert not compare(expected(body_strings_are_data), write(body_strings_are_data, embedded))
