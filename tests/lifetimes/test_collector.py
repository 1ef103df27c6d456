"""The collector, step by step, and in every order in which it meets those who use the objects."""

from __future__ import annotations

import gc
import itertools
import math
import multiprocessing
import pickle
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.managers import DictProxy
from multihost.wire import keys as key_names
from multihost.wire.collect import Collector, collector, partitions
from multihost.wire.collect.partitions import Partitions
from multihost.wire.keys import PARTITIONS, partition
from multihost.wire.ops import keeping
from multihost.wire.replies import MustKeep
from multihost.wire.script import Script
from tests.lifetimes.keys import (
    all_but_records,
    collect,
    held,
    ident,
    is_gone,
    is_kept,
    let_go_long_ago,
    unnamed,
)
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

DICT_SET = Script("dict/set")
BEGIN = Script("collect/begin")


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=600.0) as manager:
        yield manager


@pytest.fixture
def other(url: str) -> Iterator[RedisManager]:
    """Another process, for all that the server sees."""
    with RedisManager(url, lease=600.0) as manager:
        yield manager


def collector_of(m: RedisManager) -> Collector:
    return m.runtime.session.collector


def epoch_key(m: RedisManager, number: int) -> bytes:
    return key_names.prefix(m.runtime.session.namespace, number) + b"epoch"


def colour(server: AnyServer, name: str) -> int:
    (key,) = [k for k in server.keys("*}:kept") if server.command("ZSCORE", k, name) is not None]
    return int(server.command("ZSCORE", key, name))


def forget(m: RedisManager, *proxies: Any) -> None:
    """The process of the manager does not hold them any more."""
    references = m.runtime.session.references
    for proxy in proxies:
        references.decref(ident(proxy))
    wait_until(lambda: not any(ident(each) in references for each in proxies))


def in_partition(m: RedisManager, *numbers: int) -> Any:
    """An unnamed list in one of these partitions; others are dropped."""
    while True:
        found = m.list()
        if partition(ident(found)) in numbers:
            return found


# -- what is reached, and what is not


def test_what_a_name_leads_to_stays(m: RedisManager, server: AnyServer) -> None:
    d = m.dict("d")
    chain = [m.list(["end"])]
    for _ in range(5):
        chain.append(m.list([chain[-1], chain[0]]))
    d["chain"] = chain[-1]
    circle = m.list([d])
    circle.append(circle)
    d["circle"] = circle
    names = [ident(each) for each in (*chain, circle)]
    forget(m, *chain, circle)
    let_go_long_ago(server)
    assert collector_of(m).collect() == (0, True)
    assert is_kept(server, *names)
    assert d["chain"][0][0][0][0][0][:] == ["end"]


@pytest.mark.parametrize("way", ["removed", "deleted", "overwritten", "cleared"])
def test_what_nothing_leads_to_goes(m: RedisManager, server: AnyServer, way: str) -> None:
    d = m.dict("d")
    leaf = m.list([1])
    one, two = m.dict(leaf=leaf), m.dict(leaf=leaf)
    one["two"], two["one"] = two, one
    d["x"] = one
    match way:
        case "removed":
            del d["x"]
        case "deleted":
            d.delete()
        case "overwritten":
            d["x"] = 1
        case "cleared":
            d.clear()
    forget(m, leaf, one, two)
    let_go_long_ago(server)
    assert collector_of(m).collect() == (3, True)
    assert unnamed(server) == []
    assert not [k for k in all_but_records(server) if k.rpartition(b":")[2] in KNOWN]


KNOWN = {b"kept", b"held", b"cut", b"partial"}


def test_what_was_let_go_a_moment_ago_counts_as_contained(
    m: RedisManager, server: AnyServer
) -> None:
    d = m.dict("d")
    d["x"] = x = m.list([m.list(["deep"])])
    del d["x"]
    forget(m, x)
    for key in server.keys("*}:held"):
        server.command("DEL", key)
    assert collector_of(m).collect() == (0, True)
    let_go_long_ago(server)
    assert collector_of(m).collect() == (2, True)


def test_what_a_process_holds_counts_with_all_below_it(
    m: RedisManager, other: RedisManager, server: AnyServer
) -> None:
    d = m.dict("d")
    d["x"] = m.list([m.list(["deep"])])
    theirs = other.dict("d")["x"]
    other.runtime.session.references.renew()
    del d["x"]
    for key in server.keys("*}:cut"):
        server.command("DEL", key)
    assert collector_of(m).collect() == (0, True)
    assert theirs[0][:] == ["deep"]
    forget(other, theirs)
    let_go_long_ago(server)
    assert collector_of(m).collect() == (2, True)


# -- rules of those who store


def test_a_value_without_a_stamp_is_refused(m: RedisManager) -> None:
    d = m.dict("d")
    value = d._handle.codec.dump(m.list(), d._handle.codec.field("x"))
    with pytest.raises(MustKeep):
        DICT_SET.run_once(d._handle, b"field", value, b"")
    assert d.copy() == {}


def test_a_stamp_is_never_stored(m: RedisManager, server: AnyServer) -> None:
    """So equal values have equal bytes, whenever they were stored."""
    inner = m.list()
    l = m.list("l", [inner])
    assert collector_of(m).collect().finished
    l.append(inner)
    stored = server.command("LRANGE", l._handle.keys.data, 1, -1)
    assert stored[0] == stored[1]
    assert stored[0].startswith(f"@{ident(inner)};".encode())


def test_a_stamp_of_an_earlier_collection_is_refused(m: RedisManager, server: AnyServer) -> None:
    """Also when the partition has forgotten which collection that was."""
    d, inner = m.dict("d"), m.list()
    codec = d._handle.codec
    (stamped,) = keeping.keep(d._handle, [codec.dump(inner)], 0)
    assert collector_of(m).collect().finished
    with pytest.raises(MustKeep) as refusal:
        DICT_SET.run_once(d._handle, b"field", stamped, b"")
    hours_ago = refusal.value.epoch - 2 * 3_600_000
    server.command("DEL", epoch_key(m, partition("n:d")))
    with pytest.raises(MustKeep):
        stamped = codec.stamped(codec.dump(inner), hours_ago)
        DICT_SET.run_once(d._handle, b"field", stamped, b"")
    d["x"] = inner
    assert is_kept(server, ident(inner))


def test_a_collector_killed_between_two_partitions_refuses_nobody(
    m: RedisManager, server: AnyServer
) -> None:
    """It has begun where the container is, and not where the object is."""
    d, inner = m.dict("d"), m.list([1])
    assert collector_of(m).collect().finished
    number = partition("n:d")
    later = int(server.command("HGET", epoch_key(m, number), "e")) + 1000
    names = key_names.names(m.runtime.session.namespace, number)
    BEGIN.run_readonly(m.runtime.session.link, [names], b"%d" % later, b"0")
    d["x"] = inner
    assert colour(server, ident(inner)) >= 2 * later
    assert collector_of(m).collect() == (0, True), "and the next one goes above it"
    assert d["x"][:] == [1]


def test_keeping_what_is_kept_leaves_a_reason(m: RedisManager, server: AnyServer) -> None:
    """Whoever keeps it may be killed before it is put."""
    d, inner = m.dict("d"), m.list()
    d["x"] = inner
    for key in server.keys("*}:held"):
        server.command("DEL", key)
    keeping.keep(d._handle, [d._handle.codec.dump(inner)], 0)
    assert held(server, ident(inner))
    for key in (*server.keys("*}:held"), *server.keys("*}:cut"), *server.keys("*}:kept")):
        assert server.command("PTTL", key) == -1


def test_new_containers_do_not_keep_a_collection_from_its_end(
    m: RedisManager, server: AnyServer
) -> None:
    """They are black at once when all that they contain is kept."""
    collector_of(m).collect()
    d = m.dict("d")
    outer = m.list([m.list()])
    assert collector_of(m).collect().finished
    epoch = int(server.command("HGET", epoch_key(m, partition(ident(outer))), "e"))
    d["x"] = outer
    assert colour(server, ident(outer)) == 2 * epoch + 1


def test_an_object_is_partial_until_all_below_it_is_kept(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holders renew what is below it meanwhile."""
    d, deep = m.dict("d"), m.list([1])
    outer = m.list([deep])
    monkeypatch.setattr(keeping, "_keep", Killed(keeping._keep, 1))
    with pytest.raises(KeyboardInterrupt):
        d["x"] = outer
    assert is_kept(server, ident(outer))
    assert not is_kept(server, ident(deep))
    [key] = server.keys("*}:partial")
    assert server.command("SMEMBERS", key) == [ident(outer).encode()]
    server.command("PEXPIRE", deep._handle.keys.data, 60_000)
    m.runtime.session.references.renew()
    assert server.command("PTTL", deep._handle.keys.data) > 600_000


class Killed:
    """A script whose process is killed behind so many calls of it."""

    def __init__(self, script: Script, calls: int) -> None:
        self._script = script
        self._calls = calls

    def run_many(self, *args: Any) -> Any:
        if self._calls == 0:
            raise KeyboardInterrupt
        self._calls -= 1
        return self._script.run_many(*args)


# -- two at once, and those that end early


def test_what_is_white_in_a_settled_partition_is_refused(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was paused for longer than a lease comes with it: it cannot be stored, nor held."""
    d = m.dict("d")
    d["x"] = x = m.list([1])
    del d["x"]
    let_go_long_ago(server)
    monkeypatch.setattr(Collector, "_sweep_all", lambda *_: None)
    assert collector_of(m).collect().finished
    with pytest.raises(ObjectGone):
        d["y"] = x
    m.runtime.session.references.renew()
    assert not held(server, ident(x))
    renewed_long_ago(m)
    with pytest.raises(ObjectGone, match="__reduce__"):
        pickle.dumps(x)
    monkeypatch.undo()
    assert collector_of(m).collect().removed == 1


def test_a_collection_that_was_overtaken_sweeps_no_further(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the partitions, and up to the first in which another one has begun."""
    first, second = in_partition(m, *range(10)), in_partition(m, *range(50, 64))
    d = m.dict("d", {1: first, 2: second})
    d.clear()
    forget(m, first, second)
    let_go_long_ago(server)
    sweep = Collector._sweep_all

    def overtaken(self: Collector, args: Any) -> None:
        names = key_names.names(m.runtime.session.namespace, 30)
        BEGIN.run_readonly(m.runtime.session.link, [names], b"9" * 15, b"0")
        sweep(self, args)

    monkeypatch.setattr(Collector, "_sweep_all", overtaken)
    assert collector_of(m).collect() == (1, False)
    assert is_gone(server, ident(first))
    assert is_kept(server, ident(second))
    monkeypatch.undo()
    assert collector_of(m).collect() == (1, True)


def test_a_collection_ends_with_its_connection(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may have come back with an older state: marks were made that it does not know."""
    d = m.dict("d")
    d["x"] = x = m.list([1])
    del d["x"]
    forget(m, x)
    let_go_long_ago(server)
    mark = Partitions.mark_held

    def cut_off(self: Partitions, epoch: bytes) -> None:
        mark(self, epoch)
        m.runtime.session.link.disconnect_current()

    monkeypatch.setattr(Partitions, "mark_held", cut_off)
    assert collector_of(m).collect() == (0, False)
    assert is_kept(server, ident(x))
    assert collector_of(m).survey().reasons >= PARTITIONS, "which the next one has to end"
    monkeypatch.undo()
    assert collector_of(m).collect() == (1, True)


def test_what_is_stored_behind_the_marking_is_marked(
    m: RedisManager, other: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was looked at, and empty; then another process stores something and forgets it."""
    d = m.dict("d")
    d["before"] = m.list()
    tops = Partitions.contained_in_names

    def behind(self: Partitions) -> Any:
        yield from tops(self)
        theirs = other.list([other.list(["late"])])
        other.dict("d")["late"] = theirs
        forget(other, theirs)
        server.commands(*(("DEL", key) for key in server.keys("*}:held")), ("PING",))

    monkeypatch.setattr(Partitions, "contained_in_names", behind)
    assert collector_of(m).collect() == (0, True)
    assert d["late"][0][:] == ["late"]


def test_what_is_stored_while_a_collection_begins_is_marked(
    m: RedisManager, other: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has begun where the name is. What is stored there and is empty takes something in where it
    has not begun; before that is looked at, those who did so are gone.
    """
    name = next(n for n in map(str, itertools.count()) if partition(f"n:{n}") < PARTITIONS // 2)
    begun = partition(f"n:{name}") + 1
    behind = range(begun, PARTITIONS)
    d, run, puts = m.dict(name), Partitions.run, []
    box, leaf = in_partition(other, *behind), in_partition(other, *behind)

    def between(self: Partitions, script: Script, calls: Any, **options: Any) -> Any:
        if script.name != BEGIN.name or puts:
            return run(self, script, calls, **options)
        replies = run(self, script, calls[:begun], **options)
        puts.append(other.dict(name))
        puts[0]["x"] = box
        box.append(leaf)
        replies += run(self, script, calls[begun:], **options)
        forget(other, box, leaf)
        server.commands(*(("DEL", key) for key in server.keys("*}:held")), ("PING",))
        return replies

    monkeypatch.setattr(Partitions, "run", between)
    assert collector_of(m).collect() == (0, True)
    assert puts
    assert d["x"][0][:] == []


def test_what_moves_behind_the_marking_is_found(
    m: RedisManager, other: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of a container that is not looked at yet, into the hands of a process."""
    d = m.dict("d")
    d["outer"] = m.list([m.list(["inner"])])
    tops = Partitions.contained_in_names
    hands: list[Any] = []

    def behind(self: Partitions) -> Any:
        yield from tops(self)
        hands.append(other.dict("d")["outer"].pop())

    monkeypatch.setattr(Partitions, "contained_in_names", behind)
    assert collector_of(m).collect() == (0, True)
    assert hands[0][:] == ["inner"]


# -- clocks, restarts, turns


def test_epochs_rise_though_the_clock_falls(m: RedisManager, server: AnyServer) -> None:
    """An object that is black in a higher epoch would not be looked at."""
    d = m.dict("d")
    d["x"] = outer = m.list()
    (key,) = server.keys("*}:kept")
    future = 10**14
    server.command("ZADD", key, 2 * future + 1, ident(outer))
    outer.append(m.list(["later"]))
    gc.collect()
    let_go_long_ago(server)
    server.commands(*(("DEL", epoch_key(m, n)) for n in range(PARTITIONS)), ("PING",))
    assert collector_of(m).collect() == (0, True)
    assert int(server.command("HGET", epoch_key(m, 0), "e")) > future
    assert d["x"][0][:] == ["later"]


def test_the_longest_lease_of_all_counts(m: RedisManager, url: str, server: AnyServer) -> None:
    with RedisManager(url, lease=9000.0) as patient:
        d = m.dict("d")
        d["x"] = m.list([1])
        theirs = patient.dict("d").pop("x")
        patient.runtime.session.collector.take_turn()
        server.commands(*(("DEL", key) for key in server.keys("*}:held")), ("PING",))
        ours = int(m.runtime.session.ttl_ms)
        for key in server.keys("*}:cut"):
            (name, since) = server.command("ZRANGE", key, 0, -1, "WITHSCORES")
            server.command("ZADD", key, int(since) - ours - 60_000, name)
        assert collector_of(m).collect() == (0, True)
        assert theirs[:] == [1]


INFO = "uptime_in_seconds:{}\r\naof_enabled:{}\r\nrdb_last_load_keys_loaded:{}\r\n"


@pytest.mark.parametrize(
    ("text", "may"),
    [
        (INFO.format(3, 0, 0), True),
        (INFO.format(3, 0, 17), False),
        (INFO.format(3, 1, 0), False),
        (INFO.format(900, 1, 17), True),
        ("uptime_in_seconds:3\r\n", False),
    ],
)
def test_nobody_collects_on_a_server_that_came_back_just_now(
    m: RedisManager, monkeypatch: pytest.MonkeyPatch, text: str, may: bool
) -> None:
    """Leases could not be renewed while it was away."""
    found = collector_of(m)
    found.survey()
    monkeypatch.setattr(m.runtime.session.link, "execute_raw", lambda *_: text.encode())
    assert found._may_begin() == may


def test_one_process_at_a_time(m: RedisManager, other: RedisManager, server: AnyServer) -> None:
    d = m.dict("d")
    d["x"] = x = m.list([1])
    del d["x"]
    forget(m, x)
    let_go_long_ago(server)
    server.command("DEL", key_names.collector(m.runtime.session.namespace))
    collector_of(m).take_turn()
    before = server.command("GET", key_names.collector(m.runtime.session.namespace))
    collector_of(other).take_turn()
    assert server.command("GET", key_names.collector(m.runtime.session.namespace)) == before
    wait_until(lambda: collector_of(m).removed == 1)
    assert is_gone(server, ident(x))


def test_who_stood_still_in_a_collection_holds_nobody_up(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one comes 20 times as long later as this one took, without the hour in which its
    process was suspended.
    """
    run_many, seconds = Script.run_many, [0.0]

    def suspended(script: Script, *args: Any) -> Any:
        seconds[0] += 3600.0 * (script.name == "collect/settle")
        return run_many(script, *args)

    class Clock:
        monotonic = staticmethod(lambda: time.monotonic() + seconds[0])

    monkeypatch.setattr(Script, "run_many", suspended)
    for module in (collector, partitions):
        monkeypatch.setattr(module, "time", Clock, raising=False)
    server.command("DEL", key_names.collector(m.runtime.session.namespace))
    assert collector_of(m).collect().finished
    assert seconds[0] >= 3600.0
    left = server.command("PTTL", key_names.collector(m.runtime.session.namespace))
    assert left < 1000 * m.runtime.session.lease


def test_a_collection_without_a_connection_does_not_begin(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could tell then that it went on over another one."""
    m.dict("d")["x"] = x = m.list()
    m.dict("d").clear()
    forget(m, x)
    let_go_long_ago(server)
    monkeypatch.setattr(m.runtime.session.link, "current_channel", lambda: None)
    assert collector_of(m).collect() == (0, False)
    monkeypatch.undo()
    assert collector_of(m).collect() == (1, True)


def test_without_a_reason_nobody_begins(m: RedisManager, server: AnyServer) -> None:
    """Nor a thread, whatever there is."""
    d = m.dict("d", {"x": m.list()})
    m.Queue("q").put(1)
    server.command("DEL", key_names.collector(m.runtime.session.namespace))
    collector_of(m).take_turn()
    assert collector_of(m)._thread is None
    assert not server.keys("*}:epoch")
    assert len(d) == 1


# -- very many


def test_a_container_with_very_many(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read in pieces, and let go in one step."""
    inner = [m.list() for _ in range(1200)]
    d = m.dict("d", dict(enumerate(inner)))
    outer = m.list(inner)
    d["outer"] = outer
    names = [ident(each) for each in inner]
    forget(m, *inner, outer)
    let_go_long_ago(server)
    assert collector_of(m).collect() == (0, True)
    d.clear()
    assert len(server.keys("*}:u:cut-*")) == 1
    assert collector_of(m).collect() == (0, True)
    assert is_kept(server, names[0], names[-1]), "they count as contained for one more lease"
    let_go_long_ago(server)
    assert collector_of(m).collect().finished
    assert unnamed(server) == []


def test_partitions_are_read_in_pieces(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that are held, cut, grey and contained in names, in few partitions."""
    monkeypatch.setattr(collector, "SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(partitions, "AT_ONCE", 1)
    inner = [in_partition(m, 7) for _ in range(150)]
    for n in range(20):
        m.dict(f"d{n}", {"x": inner[n]})
    for each, following in itertools.pairwise(inner):
        each.append(following)
    m.list("all", inner).clear()
    forget(m, *inner)
    assert collector_of(m).collect() == (0, True)
    for n in range(20):
        m.delete(f"d{n}")
    let_go_long_ago(server)
    assert collector_of(m).collect() == (150, True)


# -- the end of a process


def test_close_removes_what_it_made_unless_a_name_leads_to_it(
    url: str, m: RedisManager, server: AnyServer
) -> None:
    with RedisManager(url, lease=600.0) as ends:
        d = ends.dict("d")
        d["stays"] = ends.list(["stays"])
        d["goes"] = one = ends.list()
        one.append(ends.list([one]))
        unnamed_one = ends.dict(inner=ends.list())
        theirs = m.list(["theirs"])
        unnamed_one["theirs"] = theirs
        del d["goes"]
    assert m.dict("d")["stays"][:] == ["stays"]
    assert theirs[:] == ["theirs"]
    left = {key.partition(b"}:")[2] for key in unnamed(server)}
    stays = ident(m.dict("d")["stays"])
    assert left == {stays.encode(), ident(theirs).encode()}


def test_a_killed_process_leaves_what_the_next_one_removes(
    m: RedisManager, server: AnyServer
) -> None:
    """Nobody lives meanwhile: that is no reason to forget it."""
    d = m.dict("d")
    d["x"] = x = m.list([m.list()])
    keeping.keep(d._handle, [d._handle.codec.dump(m.list())], 0)
    del d["x"]
    forget(m, x)
    gc.collect()
    let_go_long_ago(server)
    collect(server)
    assert unnamed(server) == []


def test_a_pickle_begins_a_lease(m: RedisManager, server: AnyServer) -> None:
    """Of one that was fetched a moment ago, and of what is in it."""
    with RedisManager(server.url, lease=600.0) as theirs:
        outer = theirs.list([theirs.list()])
        pickled = pickle.dumps(outer)
        fetched = pickle.loads(pickled)
        deep = fetched[0]
        keys = [fetched._handle.keys.data, deep._handle.keys.data]
        server.commands(*(("PEXPIRE", key, 60_000) for key in keys), ("PING",))
        renewed_long_ago(theirs)
        pickle.dumps(fetched)
        assert all(server.command("PTTL", key) > 600_000 for key in keys)


def renewed_long_ago(m: RedisManager) -> None:
    """So a proxy that is pickled renews its object first."""
    for reference in m.runtime.session.references._live.values():
        reference.renewed = -math.inf


def test_a_proxy_of_what_is_gone_is_not_pickled(m: RedisManager, server: AnyServer) -> None:
    """Whoever got it could do nothing with it. Below it something may be gone."""
    outer, inner = m.list(), m.list([1])
    outer.append(inner)
    server.command("DEL", inner._handle.keys.data)
    renewed_long_ago(m)
    assert pickle.loads(pickle.dumps(outer)) is not None
    with pytest.raises(ObjectGone, match=r"__reduce__.*create it again"):
        pickle.dumps([1, inner])
    child = multiprocessing.get_context("spawn").Process(target=len, args=(inner,))
    with pytest.raises(ObjectGone):
        child.start()
    assert outer[0] is not None


# -- whatever happens


def reached_from_names(m: RedisManager, names: list[str]) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = [m.dict(name) for name in names if name in m.names()]
    while waiting:
        proxy = waiting.pop()
        values = proxy.values() if isinstance(proxy, DictProxy) else proxy[:]
        for each in values:
            if hasattr(each, "_token") and ident(each) not in found:
                found.add(ident(each))
                waiting.append(each)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_random_graph(m: RedisManager, other: RedisManager, server: AnyServer, seed: int) -> None:
    """Two processes tie and untie what one of them collects, step by step in between."""
    chance = random.Random(seed)
    names = ["a", "b", "c"]
    hands: list[Any] = []

    def turn() -> None:
        who = chance.choice((m, other))
        name = chance.choice(names)
        key = chance.randrange(4)
        match chance.randrange(8):
            case 0 | 1:
                hands.append(who.dict(n=key))
            case 2 if hands:
                who.dict(name)[key] = chance.choice(hands)
            case 3 if hands:
                chance.choice(hands)[chance.choice("xyz")] = chance.choice(hands)
            case 4:
                if (found := who.dict(name).pop(key, None)) is not None:
                    hands.append(found)
            case 5 if hands:
                hands.pop(chance.randrange(len(hands)))
            case 6 if hands:
                chance.choice(hands).pop(chance.choice("xyz"), None)
            case 7 if chance.random() < 0.2:
                who.delete(name)

    run = Partitions.run

    def between(self: Partitions, script: Script, calls: Any, **options: Any) -> list[Any]:
        if chance.random() < 0.3:
            turn()
        return run(self, script, calls, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Partitions, "run", between)
        for _ in range(6):
            for _ in range(15):
                turn()
            assert collector_of(m).collect().finished
            assert all(isinstance(each.copy(), dict) for each in hands)
            reached_from_names(m, names)
    hands.clear()
    gc.collect()
    wait_until(lambda: not m.runtime.session.references._live)
    wait_until(lambda: not other.runtime.session.references._live)
    reached = reached_from_names(m, names)
    gc.collect()
    let_go_long_ago(server)
    assert collector_of(m).collect().finished
    assert is_kept(server, *reached)
    kept = {
        each.decode()
        for key in server.keys("*}:kept")
        for each in server.command("ZRANGE", key, 0, -1)
    }
    assert kept == reached
