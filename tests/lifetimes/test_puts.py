"""What a put of a proxy costs: round trips, and none that finds out what was known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from multihost import PayloadTooLarge, RedisManager
from multihost.wire.keys import partition
from multihost.wire.script import staged
from tests.lifetimes.keys import ident, is_kept, is_leased
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer
from tests.support.requests import foreground, script_of


class Way(NamedTuple):
    """How a container is made, with a name or without, how something is put into it, and the script
    that does it.
    """

    script: str
    make: Callable[[Any, str | None], Any]
    put: Callable[[Any, Any], object]


def made(factory: str, *args: object) -> Callable[[Any, str | None], Any]:
    return lambda m, name: getattr(m, factory)(*([name] if name else []), *args)


PUTS = {
    "d[k] = x": Way("dict/set", made("dict"), lambda d, x: d.__setitem__("k", x)),
    "d.update(x)": Way("dict/update", made("dict"), lambda d, x: d.update(a=1, x=x)),
    "l[i] = x": Way("list/set", made("list", [0]), lambda li, x: li.__setitem__(0, x)),
    "l[:] = xs": Way(
        "list/splice", made("list"), lambda li, x: li.__setitem__(slice(None), [1, x])
    ),
    "l[::2] = xs": Way(
        "list/set_slice",
        made("list", [1, 2, 3]),
        lambda li, x: li.__setitem__(slice(None, None, 2), [1, x]),
    ),
    "l.append(x)": Way("list/extend", made("list"), lambda li, x: li.append(x)),
    "l.insert(x)": Way("list/insert", made("list"), lambda li, x: li.insert(0, x)),
    "namespace.x = x": Way("namespace/set", made("Namespace"), lambda ns, x: setattr(ns, "x", x)),
    "value.value = x": Way(
        "value/set",
        lambda m, name: m.Value("O", None, name=name),
        lambda v, x: setattr(v, "value", x),
    ),
    "q.put(x)": Way("queue/put", made("Queue"), lambda q, x: q.put(x)),
    "q.put_many(xs)": Way("queue/put", made("Queue"), lambda q, x: q.put_many([1, x])),
    "PriorityQueue.put(x)": Way(
        "queue/put_ranked", made("PriorityQueue"), lambda q, x: q.put((next(RANKS), x))
    ),
}
RANKS = itertools.count()  # an item of an equal rank is compared with others


class Requests:
    """Which scripts a process has the server run, but for those of its background thread."""

    def __init__(self, proxy: CuttingProxy) -> None:
        self._found: list[str] = []
        proxy.cut_before_request(match=self._note)

    def _note(self, args: list[bytes]) -> bool:
        if foreground(args) and script_of(args):
            self._found.append(script_of(args))
        return False

    def of(self, call: Callable[[], object]) -> list[str]:
        """Those of a call."""
        self._found.clear()
        call()
        return list(self._found)


@pytest.fixture
def m(proxy: CuttingProxy) -> Iterator[RedisManager]:
    with RedisManager(proxy.url, lease=600.0) as manager:
        yield manager


@pytest.fixture
def requests(proxy: CuttingProxy) -> Requests:
    return Requests(proxy)


@pytest.mark.parametrize("way", PUTS)
def test_a_put_of_a_proxy(m: RedisManager, server: AnyServer, requests: Requests, way: str) -> None:
    script, make, put = PUTS[way]

    def sent(container: Any, value: object) -> list[str]:
        return requests.of(lambda: put(container, value))

    leased, named, owned = (make(m, name) for name in (None, "named", None))
    m.dict("d")["x"] = owned
    leaf, chain = m.list(), m.list([m.list([m.list()])])
    for container in (leased, named):  # the server knows the scripts from then on
        put(container, m.list([m.list()]))

    # With a lease it keeps nothing.
    for value in (leaf, chain, "plain"):
        assert sent(leased, value) == [script]

    # With a name it is known to need that. What is kept already is kept once more, in any epoch.
    for _ in range(2):
        assert sent(named, "plain") == [script]
        assert sent(named, leaf) == ["object/keep", script]
        assert is_kept(server, ident(leaf))
        assert m.runtime.session.collector.collect().finished

    # Once for each level below, of what has a lease, and once for all containers among them.
    whole = ["object/whole"] * len({partition(ident(each)) for each in (chain, chain[0])})
    assert sent(named, chain) == ["object/keep"] * 3 + whole + [script]
    assert sent(named, chain) == ["object/keep", script]

    # One without a name that has no lease is known from the first refusal on.
    new = m.list(), m.list()
    assert sent(owned, new[0]) == [script, "object/keep", script]
    assert sent(owned, new[1]) == ["object/keep", script]
    assert sent(owned, "plain") == [script]


@pytest.mark.parametrize(
    ("put", "answer"),
    [
        (lambda d, x: d.setdefault("x", x), 1),
        (lambda d, x: d.update_new({"x": x}), []),
        (lambda d, x: d.add_new("x", x), False),
    ],
    ids=["setdefault", "update_new", "add_new"],
)
def test_nothing_is_kept_where_nothing_is_put(
    m: RedisManager,
    server: AnyServer,
    requests: Requests,
    put: Callable[..., Any],
    answer: object,
) -> None:
    d, leaf = m.dict("d", x=1), m.list()
    assert put(d, leaf) == answer
    assert len(requests.of(lambda: put(d, leaf))) == 1
    assert is_leased(server, ident(leaf))


def test_who_attaches_keeps_nothing(m: RedisManager, server: AnyServer) -> None:
    m.dict("d", x=1)
    leaf = m.list()
    assert m.dict("d", x=leaf)["x"] == 1
    assert is_leased(server, ident(leaf))


def test_more_items_than_a_command_takes_do_not_wait_for_room(
    m: RedisManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = m.Queue(20)
    q.put(1)
    monkeypatch.setattr(staged, "MAX_ARGS", 8)
    q.put_many(range(10))
    with pytest.raises(PayloadTooLarge, match=r"queue.put.*of 'u:|put fewer at once") as caught:
        q.put_many(range(10))
    assert caught.value.__context__ is None
    assert [q.get() for _ in range(11)] == [1, *range(10)]
    q.put_many(range(20))
    assert q.qsize() == 20
