"""What the children of these tests do; a spawned child imports this module and little more."""

from __future__ import annotations

import array
import collections
import multiprocessing
import os
import pickle
from typing import Any

from multihost import RedisManager
from tests.support.procs import run_all


def one_of_each(m: Any) -> dict[str, Any]:
    inner = m.list([1])
    return {
        "dict": m.dict(a=1, inner=inner),
        "list": m.list([1, inner]),
        "set": m.set([1, "a"]),
        "Namespace": m.Namespace(x=1, inner=inner),
        "Value": m.Value("i", 1),
        "Array": m.Array("i", [1, 2, 3]),
    }


def use(shared: dict[str, Any], mark: str = "") -> list[Any]:
    """Read, iterate and change each of them; what is inside them too."""
    mark = mark or str(os.getpid())
    d, l, s = shared["dict"], shared["list"], shared["set"]
    ns, v, a = shared["Namespace"], shared["Value"], shared["Array"]
    d[mark] = 1
    d.increment("a")
    d["inner"].append(mark)
    l[1].append(mark)
    l.append(mark)
    s.add(mark)
    s |= {("t", mark)}
    setattr(ns, f"p{mark}", 1)
    ns.inner.append(mark)
    v.add(1)
    a[1] = 7
    a[2:] = array.array("i", [8])
    assert mark in list(d)
    assert mark in list(l)
    assert mark in set(s)
    assert list(a) == [1, 7, 8]
    assert all(value for value in d.values())
    return [d["a"] > 1, mark in l, mark in s, ns.x, v.value > 1, a[0]]


USED = [True, True, True, 1, True, 1]


def check(shared: dict[str, Any], *marks: str) -> None:
    """That each of those who used them has left its marks."""
    d, l, s = shared["dict"], shared["list"], shared["set"]
    assert d["a"] == 1 + len(marks)
    assert set(d) == {"a", "inner", *marks}
    assert collections.Counter(l[1][1:]) == dict.fromkeys(marks, 3)
    assert (l[0], sorted(l[2:])) == (1, sorted(marks))
    assert set(s) == {1, "a", *marks, *(("t", mark) for mark in marks)}
    assert all(getattr(shared["Namespace"], f"p{mark}") == 1 for mark in marks)
    assert shared["Value"].value == 1 + len(marks)
    assert shared["Array"][:] == array.array("i", [1, 7, 8])


def use_one(job: tuple[str, Any]) -> Any:
    """For Pool.map: one proxy and what its type is called."""
    name, proxy = job
    read = {
        "dict": lambda: proxy["a"],
        "list": lambda: proxy[0],
        "set": lambda: 1 in proxy,
        "Namespace": lambda: proxy.x,
        "Value": lambda: proxy.value,
        "Array": lambda: proxy[0],
    }
    return name, read[name](), os.getpid()


def use_from_queue(inbox: Any, outbox: Any) -> None:
    shared = inbox.get(timeout=60)
    outbox.put((use(shared), os.getpid()))


def use_from_bytes(data: bytes) -> tuple[list[Any], int]:
    return use(pickle.loads(data)), os.getpid()


def make_and_send(url: str, outbox: Any, go: Any) -> None:
    with RedisManager(url) as m:
        outbox.put(one_of_each(m))
        go.wait(60)


def read_nested(outer: Any) -> list[Any]:
    found = []
    while outer is not None:
        found.append([outer["level"], sorted(outer.keys())])
        outer = outer.get("inner")
    return found


def pass_on(methods: list[str], shared: dict[str, Any]) -> list[list[Any]]:
    """Use the proxies here, and in a child by the first method, and so on."""
    answers = [use(shared)]
    if methods:
        # Only a process that is no daemon may have children.
        ctx = multiprocessing.get_context(methods[0])
        (below,) = run_all(ctx, pass_on, [(methods[1:], shared)])
        answers += below
    return answers


def credentials_seen(shared: dict[str, Any], secret: str) -> list[str]:
    """Where the secret shows in this process: it must not."""
    forms = [repr(shared), str({name: str(proxy) for name, proxy in shared.items()})]
    forms += [repr(pickle.dumps(shared)), repr(dict(os.environ))]
    forms += [repr(vars(proxy)) for proxy in shared.values()]
    return [form for form in forms if secret in form]
