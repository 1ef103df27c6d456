"""Containers that keep what is stored in them."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.managers import DictProxy
from tests.lifetimes.keys import (
    LEASE,
    all_but_records,
    ident,
    is_gone,
    is_kept,
    is_leased,
    let_a_lease_pass,
    run_out,
    unnamed,
)
from tests.support.leaks import AnyServer
from tests.support.procs import kill9, run_all, spawn_script
from tests.support.waiting import wait_until

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def m(url: str, quick_heartbeats: None) -> Iterator[RedisManager]:
    with RedisManager(url, lease=LEASE) as manager:
        yield manager


@pytest.fixture
def patient(url: str) -> Iterator[RedisManager]:
    """Whose objects do not go for want of renewal within a test."""
    with RedisManager(url, lease=60.0) as manager:
        yield manager


# In an unnamed container


def test_a_container_keeps_what_is_in_it_while_only_it_is_held(
    m: RedisManager, server: AnyServer
) -> None:
    d, l, ns, v = m.dict(), m.list(), m.Namespace(), m.Value("O", None)
    d["x"] = m.list(["in a dict"])
    l.append({"deep": [m.list(["in a list"])]})
    ns.x = m.list(["in a namespace"])
    v.value = m.list(["in a value"])
    # Five levels, of which only the first is held.
    inner = m.dict(level=5)
    for level in (4, 3, 2, 1):
        inner = m.dict(level=level, inner=inner)
    # Cycles: one through another, and one alone.
    one, other = m.dict(name="one"), m.dict(name="other")
    one["other"], other["one"] = other, one
    alone = m.list()
    alone.append(alone)
    del other
    gc.collect()
    for _ in range(2):
        let_a_lease_pass(server, m)
    assert d["x"][:] == ["in a dict"]
    assert l[0]["deep"][0][:] == ["in a list"]
    assert ns.x[:] == ["in a namespace"]
    assert v.value[:] == ["in a value"]
    for level in (1, 2, 3, 4, 5):
        assert inner["level"] == level
        inner = inner.get("inner")
    assert one["other"]["one"]["other"]["name"] == "other"
    assert ident(alone[0][0][0]) == ident(alone)
    # And what nobody holds goes, however it is tied together.
    del d, l, ns, v, one, alone, level
    gc.collect()
    let_a_lease_pass(server, m)
    wait_until(lambda: not unnamed(server))


def test_what_was_taken_out_of_an_unnamed_container_goes(
    m: RedisManager, server: AnyServer
) -> None:
    outer = m.dict()
    outer["a"] = outer["b"] = inner = m.list()
    name = ident(inner)
    del inner
    del outer["a"]
    let_a_lease_pass(server, m)
    assert outer["b"][:] == []
    outer["b"] = None
    run_out(server, m, name)
    assert outer.copy() == {"b": None}


# In a named container


def test_a_named_container_keeps_it_without_any_process(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    with spawn_script(STORES, {"URL": url}) as stores:
        idents = stores.line().split()
        assert len(idents) == 9
        kill9(stores)
    assert is_kept(server, *idents)
    let_a_lease_pass(server, m)
    assert is_kept(server, *idents)
    d = m.dict("d")
    assert d["x"][0]["y"].z == 7
    assert d["again"] is not d["x"]
    assert ident(d["again"]) == ident(d["x"])
    assert m.list("l")[0].copy() == {1.0}
    assert m.Namespace("ns").x.value[:].tolist() == [1, 2]
    assert m.Value("O", None, name="v").value["me"]["me"]["deep"][:] == []
    for name in ("d", "l", "ns", "v"):
        m.delete(name)
    run_out(server, m, *idents)
    wait_until(lambda: all_but_records(server) == [])


STORES = """
import os
from multihost import RedisManager
m = RedisManager(os.environ["URL"], lease=120.0)
ns = m.Namespace(z=7)
y = m.dict(y=ns)
x = m.list([y])
d = m.dict("d", {"x": x})
d["again"] = x
s = m.set([1.0])
l = m.list("l", [s])
a = m.Array("i", [1, 2])
v = m.Value("O", a)
m.Namespace("ns").x = v
deep = m.list()
me = m.dict(deep=deep)
me["me"] = me
m.Value("O", me, name="v")
print(*(p._token.ident for p in (ns, y, x, s, a, v, deep, me, me)), flush=True)
input()
"""

REMOVALS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]] = {
    # name -> how the container comes to hold the proxy, and how it loses it
    "dict overwrite": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.update(x=1)),
    "dict set": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.__setitem__("x", 1)),
    "dict del": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.__delitem__("x")),
    "dict pop": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.pop("x")),
    "dict popitem": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.popitem()),
    "dict clear": (lambda m, p: m.dict("c", {"x": p, "y": p}), lambda c: c.clear()),
    "dict ior": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.__ior__({"x": 2})),
    "dict delete": (lambda m, p: m.dict("c", {"x": p}), lambda c: c.delete()),
    "manager delete": (lambda m, p: m.dict("c", {"x": p}), lambda c: c._manager.delete("c")),
    "list pop": (lambda m, p: m.list("c", [p]), lambda c: c.pop()),
    "list set": (lambda m, p: m.list("c", [p]), lambda c: c.__setitem__(0, 1)),
    "list del": (lambda m, p: m.list("c", [p, 1]), lambda c: c.__delitem__(-2)),
    "list clear": (lambda m, p: m.list("c", [p, p]), lambda c: c.clear()),
    "list slice": (lambda m, p: m.list("c", [1, p, p, 2]), lambda c: c.__delitem__(slice(1, 3))),
    "list steps": (lambda m, p: m.list("c", [p, 1, p]), lambda c: c.__delitem__(slice(0, 3, 2))),
    "list assign": (lambda m, p: m.list("c", [p]), lambda c: c.__setitem__(slice(None), [1])),
    "list assign steps": (
        lambda m, p: m.list("c", [p, 1, p]),
        lambda c: c.__setitem__(slice(None, None, 2), [1, 2]),
    ),
    "list times nothing": (lambda m, p: m.list("c", [p]), lambda c: c.__imul__(0)),
    "list remove": (lambda m, p: m.list("c", [p]), lambda c: remove_first(c)),
    "list delete": (lambda m, p: m.list("c", [p]), lambda c: c.delete()),
    "Namespace set": (lambda m, p: m.Namespace("c", x=p), lambda c: setattr(c, "x", 1)),
    "Namespace del": (lambda m, p: m.Namespace("c", x=p), lambda c: delattr(c, "x")),
    "Namespace delete": (lambda m, p: m.Namespace("c", x=p), lambda c: c._delete()),
    "Value set": (lambda m, p: m.Value("O", p, name="c"), lambda c: c.set(1)),
    "Value delete": (lambda m, p: m.Value("O", p, name="c"), lambda c: c.delete()),
}


def remove_first(c: Any) -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    c.remove(Anything())


ADDITIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "dict set": (lambda m: m.dict("c"), lambda c, p: c.__setitem__("x", p)),
    "dict update": (lambda m: m.dict("c", x=1), lambda c, p: c.update(x=p, y=[p])),
    "dict setdefault": (lambda m: m.dict("c"), lambda c, p: c.setdefault("x", p)),
    "dict created": (lambda m: m, lambda m, p: m.dict("c", x=p)),
    "list append": (lambda m: m.list("c"), lambda c, p: c.append(p)),
    "list insert": (lambda m: m.list("c", [1, 2]), lambda c, p: c.insert(1, (p,))),
    "list extend": (lambda m: m.list("c"), lambda c, p: c.extend([1, p])),
    "list set": (lambda m: m.list("c", [1]), lambda c, p: c.__setitem__(0, p)),
    "list slice": (lambda m: m.list("c", [1]), lambda c, p: c.__setitem__(slice(0, 0), [p])),
    "list steps": (
        lambda m: m.list("c", [1, 2, 3]),
        lambda c, p: c.__setitem__(slice(None, None, 2), [p, 0]),
    ),
    "list times": (lambda m: m.list("c"), lambda c, p: (c.append(p), c.__imul__(3), c.pop())),
    "list reverse": (lambda m: m.list("c"), lambda c, p: (c.extend([p, 1]), c.reverse())),
    "list sort": (lambda m: m.list("c"), lambda c, p: (c.extend([p, 1]), c.sort(key=str))),
    "Namespace": (lambda m: m.Namespace("c"), lambda c, p: setattr(c, "x", p)),
    "Value": (lambda m: m.Value("O", 1, name="c"), lambda c, p: c.set(p)),
}


@pytest.mark.parametrize("way", ADDITIONS)
def test_every_way_into_a_named_container_keeps_it(
    way: str, patient: RedisManager, server: AnyServer
) -> None:
    make, add = ADDITIONS[way]
    deep = patient.list()
    inner = patient.dict(deep=deep)
    container = make(patient)
    assert is_leased(server, ident(inner), ident(deep))
    add(container, inner)
    assert is_kept(server, ident(inner), ident(deep))
    patient.delete("c")
    assert is_leased(server, ident(inner), ident(deep))


@pytest.mark.parametrize("way", REMOVALS)
def test_every_way_out_of_a_named_container_gives_it_a_lease_again(
    way: str, patient: RedisManager, server: AnyServer
) -> None:
    fill, take = REMOVALS[way]
    deep = patient.list()
    inner = patient.dict(deep=deep)
    container = fill(patient, inner)
    assert is_kept(server, ident(inner), ident(deep))
    take(container)
    assert is_leased(server, ident(inner), ident(deep))
    assert inner["deep"][:] == []
    (refs,) = server.keys("*:n:c:refs") or [b"none"]
    assert server.command("HKEYS", refs) in ([], [b""])


REFUSED: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any], type[Exception]]] = {
    "list index": (lambda m: m.list("c", [1]), lambda c, p: c.__setitem__(5, p), IndexError),
    "list steps": (
        lambda m: m.list("c", [1, 2, 3]),
        lambda c, p: c.__setitem__(slice(None, None, 2), [p]),
        ValueError,
    ),
    "unpicklable beside": (
        lambda m: m.dict("c"),
        lambda c, p: c.update(x=p, y=lambda: None),
        (AttributeError, pickle.PicklingError),  # type: ignore[dict-item]
    ),
    "wrong type": (lambda m: (m.dict("c"), m)[1], lambda m, p: m.list("c", [p]), TypeError),
    "gone": (lambda m: (c := m.dict("c"), c.delete())[0], lambda c, p: c.update(x=p), ObjectGone),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_was_refused_is_not_kept(way: str, patient: RedisManager, server: AnyServer) -> None:
    make, add, error = REFUSED[way]
    inner = patient.dict()
    container = make(patient)
    with pytest.raises(error):
        add(container, inner)
    assert is_leased(server, ident(inner))
    assert server.keys("*:refs") == []


def test_a_setdefault_that_finds_something_keeps_nothing(
    patient: RedisManager, server: AnyServer
) -> None:
    first, second = patient.list(["first"]), patient.list(["second"])
    d = patient.dict("d")
    d.setdefault("x", first)
    assert d.setdefault("x", second)[:] == ["first"]
    assert is_kept(server, ident(first))
    assert is_leased(server, ident(second))
    attached = patient.dict("d", x=second, y=second)
    assert attached["x"][:] == ["first"]
    assert is_leased(server, ident(second))


def test_a_proxy_of_nothing_is_refused_and_leaves_no_trace(
    patient: RedisManager, server: AnyServer
) -> None:
    dead, alive = patient.list(), patient.list()
    dead.delete()
    d = patient.dict("d", a=1)
    for store in (
        lambda: d.__setitem__("x", dead),
        lambda: d.update(x=alive, y=dead),
        lambda: d.update(x=dead, y=alive),
        lambda: patient.list("l", [alive, dead]),
        lambda: patient.Namespace("ns").__setattr__("x", [alive, dead]),
    ):
        with pytest.raises(ObjectGone):
            store()
    assert d.copy() == {"a": 1}
    assert patient.names() == ["d", "ns"]
    assert is_leased(server, ident(alive))
    assert is_gone(server, ident(dead))


def test_the_last_of_two_containers_keeps_it(patient: RedisManager, server: AnyServer) -> None:
    deep = patient.list()
    inner = patient.dict(deep=deep)
    one, other = patient.dict("one"), patient.list("other")
    one["a"] = one["b"] = inner
    other.append(inner)
    del one["a"]
    assert is_kept(server, ident(inner), ident(deep))
    del one["b"]
    assert is_kept(server, ident(inner), ident(deep))
    one["c"] = inner
    other.delete()
    assert is_kept(server, ident(inner), ident(deep))
    one.clear()
    assert is_leased(server, ident(inner), ident(deep))


def test_what_two_contain_is_kept_while_one_of_them_does(
    patient: RedisManager, server: AnyServer
) -> None:
    deep = patient.list()
    left_one, right = patient.dict(deep=deep), patient.dict(deep=deep)
    named = patient.dict("named", top=patient.list([left_one, right]))
    del left_one["deep"]
    assert is_kept(server, ident(deep))
    del right["deep"]
    assert is_leased(server, ident(deep))
    assert is_kept(server, ident(left_one), ident(right))
    named.clear()
    assert is_leased(server, ident(left_one), ident(right))


def test_a_chain_is_kept_and_let_go_as_a_whole(patient: RedisManager, server: AnyServer) -> None:
    chain = [patient.dict(level=5)]
    for level in (4, 3, 2, 1):
        chain.append(patient.dict(level=level, inner=chain[-1]))
    idents = list(map(ident, chain))
    named = patient.dict("named", top=chain[-1])
    assert is_kept(server, *idents)
    # The middle is kept by another container too.
    second = patient.list("second", [chain[2]])
    del named["top"]
    assert is_leased(server, *idents[3:])
    assert is_kept(server, *idents[:3])
    # What is stored in what is kept is kept as well, at any depth.
    late = patient.Namespace(x=1)
    chain[0]["late"] = late
    assert is_kept(server, ident(late))
    second.clear()
    assert is_leased(server, *idents, ident(late))
    del chain[0]["late"]
    assert is_leased(server, ident(late))


def test_a_container_in_itself(patient: RedisManager, server: AnyServer) -> None:
    named = patient.dict("named")
    named["me"] = named
    assert named["me"]["me"]["me"].name == "named"
    before, after = patient.list(), patient.list()
    before.append(before)
    named["before"], named["after"] = before, after
    after.append(after)  # it is kept already
    assert is_kept(server, ident(before), ident(after))
    assert ident(named["after"][0][0]) == ident(after)
    del named["before"], named["after"]
    assert is_leased(server, ident(before), ident(after))
    named.delete()
    assert is_leased(server, ident(before), ident(after))


def test_a_cycle_is_let_go_as_a_whole(patient: RedisManager, server: AnyServer) -> None:
    named = patient.dict("named")
    for tie_first in (True, False):
        a, b, c, beside = (patient.dict(name=name) for name in "abcd")
        cycle = [ident(a), ident(b), ident(c), ident(beside)]
        if not tie_first:
            named["a"] = a
        a["b"], b["c"], c["a"], b["beside"] = b, c, a, beside
        if tie_first:
            named["a"] = a
        assert is_kept(server, *cycle), tie_first
        del named["a"]
        assert is_leased(server, *cycle), tie_first


def test_a_cycle_that_is_entered_elsewhere_is_kept(
    patient: RedisManager, server: AnyServer
) -> None:
    named, other = patient.dict("named"), patient.dict("other")
    for tie_first in (True, False):
        a, b, beside = patient.dict(name="a"), patient.dict(name="b"), patient.list()
        if not tie_first:
            named["a"] = a
        a["b"], b["a"], a["beside"] = b, a, beside
        if tie_first:
            named["a"] = a
        other["b"] = b
        del named["a"]
        # other -> b -> a -> beside
        assert is_kept(server, ident(a), ident(b), ident(beside)), tie_first
        del other["b"]
        assert is_leased(server, ident(a), ident(b), ident(beside)), tie_first


# Races


def store_and_remove(number: int, url: str, child: Any, rounds: int, shared: bool) -> None:
    with RedisManager(url, lease=LEASE) as m:
        named = m.dict("shared" if shared else f"named {number}")
        key = "x" if shared else number
        for _ in range(rounds):
            named[key] = child
            named.pop(key, None)
            named.update({key: child, (key, 2): [child]})
            named.pop((key, 2), None)
        named[key] = child


@pytest.mark.parametrize("shared", [False, True], ids=["two containers", "one container"])
def test_storing_and_removing_at_the_same_time_never_loses_it(
    shared: bool, m: RedisManager, server: AnyServer, url: str
) -> None:
    deep = m.list(["deep"])
    child = m.dict(name="child", deep=deep)
    idents = [ident(child), ident(deep)]
    for _ in range(3):
        run_all(FORK, store_and_remove, [(n, url, child, 60, shared) for n in range(3)])
        # Whoever comes last has stored it: nothing may be on its way out.
        assert is_kept(server, *idents)
    del child, deep
    gc.collect()
    let_a_lease_pass(server, m)
    assert is_kept(server, *idents)
    for name in m.names():
        m.delete(name)
    run_out(server, m, *idents)


def store_for_ever(url: str, seed: int, connection: Any) -> None:
    chance = random.Random(seed)
    m = RedisManager(url, lease=LEASE)
    named, listed = m.dict("kills"), m.list("killed")
    connection.send("going")
    shared = m.list(["shared"])
    while True:
        deep = m.list(["deep"])
        inner = m.dict(name="inner", deep=deep)
        key = chance.randrange(30)
        what = chance.randrange(5)
        if what == 0:
            named[key] = inner
        elif what == 1:
            named.update({key: inner, key + 1: shared})
        elif what == 2:
            named.pop(key, None)
        elif what == 3:
            listed.append((inner, shared))
        elif len(listed) > 20:
            del listed[:10]


@pytest.mark.leaks_ok("what a killed process was about to store may be kept too long")
def test_kill_9_while_storing_loses_nothing_that_was_stored(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    chance = random.Random(9)
    seeds = itertools.count()
    while (seed := next(seeds)) < 60 or len(m.dict("kills")) + 2 * len(m.list("killed")) <= 20:
        ours, theirs = FORK.Pipe(duplex=False)
        with ours, theirs:
            child = FORK.Process(target=store_for_ever, args=(url, seed, theirs))
            child.start()
            assert ours.recv() == "going"
            child.join(chance.uniform(0.001, 0.03))
            kill9(child)
            child.close()
    let_a_lease_pass(server, m)
    stored = [*m.dict("kills").values()]
    stored += [proxy for pair in m.list("killed") for proxy in pair]
    assert [proxy for proxy in stored if not is_kept(server, ident(proxy))] == []
    for proxy in stored:
        deep = proxy["deep"] if isinstance(proxy, DictProxy) else proxy
        assert deep[:] in (["deep"], ["shared"])
        assert is_kept(server, ident(deep))


def test_a_container_that_holds_what_was_deleted_can_be_kept(
    patient: RedisManager, server: AnyServer
) -> None:
    inner, alive = patient.list(), patient.list()
    outer = patient.dict(inner=inner, alive=alive)
    inner.delete()
    named = patient.dict("named", outer=outer)
    assert is_kept(server, ident(outer), ident(alive))
    with pytest.raises(ObjectGone):
        named["outer"]["inner"].copy()
    named.clear()
    assert is_leased(server, ident(outer), ident(alive))


def test_a_long_chain_is_kept_and_let_go(patient: RedisManager, server: AnyServer) -> None:
    chain = [patient.dict()]
    for _ in range(1500):
        chain.append(patient.dict(inner=chain[-1]))
    named = patient.dict("named", top=chain[-1])
    assert is_kept(server, ident(chain[0]), ident(chain[700]), ident(chain[-1]))
    named.clear()
    assert is_leased(server, ident(chain[0]), ident(chain[700]), ident(chain[-1]))


def shuffle(number: int, url: str, children: list[Any], rounds: int) -> None:
    """Store and remove, in and between containers, what contains itself and each other."""
    chance = random.Random(number)
    with RedisManager(url, lease=60.0) as m:
        named = m.dict("shuffled")
        for _ in range(rounds):
            one, other = chance.sample(children, 2)
            match chance.randrange(6):
                case 0 | 1:
                    named[chance.randrange(3)] = one
                case 2:
                    named.pop(chance.randrange(3), None)
                case 3:
                    one["next"] = other
                case 4:
                    one["own"] = one
                case 5:
                    one.pop(chance.choice(["next", "own"]), None)


def test_what_can_be_reached_from_a_name_is_kept_whatever_happened(
    patient: RedisManager, server: AnyServer, url: str
) -> None:
    for seed in range(5):
        children = [patient.dict(leaf=patient.list([n])) for n in range(4)]
        run_all(FORK, shuffle, [(10 * seed + n, url, children, 60) for n in range(3)])
        reached: set[str] = set()
        waiting = list(patient.dict("shuffled").values())
        while waiting:
            proxy = waiting.pop()
            if ident(proxy) not in reached:
                reached.add(ident(proxy))
                waiting += proxy.values() if isinstance(proxy, DictProxy) else []
        assert is_kept(server, *reached)
        patient.delete("shuffled")
        everything = {each for child in children for each in (ident(child), ident(child["leaf"]))}
        # What the processes that ended last still held is let go a moment later.
        wait_until(lambda: is_leased(server, *everything), what=f"leases in round {seed}")


def test_a_queue_of_the_same_name_lets_go_what_the_last_one_had(
    m: RedisManager, server: AnyServer
) -> None:
    q, inner = m.Queue("q"), m.list([1])
    q.put(inner)
    name = ident(inner)
    q.delete()
    del inner
    again = m.Queue("q")
    again.put(m.list([2]))
    assert len(again.get()) == 1  # lets something go
    gc.collect()  # what refused the first attempt to put refers to what was put
    run_out(server, m, name)
    again.delete()
