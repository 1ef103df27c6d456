"""Unnamed objects: they live while someone holds them, and not much longer."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.wire.keys import PARTITIONS
from multihost.wire.session.session import RESERVE
from tests.lifetimes.keys import (
    LEASE,
    QUICK,
    all_but_records,
    end,
    ident,
    is_gone,
    is_leased,
    lasts,
    left,
    run_out,
    unnamed,
    unnamed_idents,
)
from tests.support.leaks import AnyServer
from tests.support.procs import kill9, run_all, send_signal, spawn_script
from tests.support.reserve import spend_reserve
from tests.support.waiting import PATIENCE, wait_until

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


def six(m: RedisManager) -> list[Any]:
    inner = m.list()
    return [
        m.dict({1.0: inner, "a": 1}),
        m.list([inner, 2]),
        m.set([1.0, 2]),
        m.Namespace(inner=inner),
        m.Value("O", inner),
        m.Array("i", [1]),
    ]


# Held


def test_what_is_held_lasts_for_many_leases(m: RedisManager, server: AnyServer) -> None:
    proxies = six(m)
    lasts(server, *map(ident, proxies), ident(proxies[1][0]))
    assert str(proxies[5]) == "array('i', [1])"
    assert max(left(server, *map(ident, proxies))) <= (LEASE + RESERVE) * 1000


def test_what_is_held_outlives_an_outage_of_a_minute(server: AnyServer, url: str) -> None:
    """Nobody can renew it while the server is out of reach: it is there all the same."""
    with RedisManager(url) as m:
        held, queue = six(m), m.Queue()
        queue.prefetch = 2
        queue.put_many([1, 2, 3])
        assert queue.get() == 1  # others are in flight
        before = unnamed_ttls(server)
        assert len(before) > len(held) + 3
        assert min(before.values()) > 60_000
        spend_reserve(server)  # the outage
        assert unnamed_ttls(server).keys() == before.keys()
        m.runtime.session.heartbeat.call_soon(m.runtime.session.references.renew)
        wait_until(lambda: min(unnamed_ttls(server).values()) > 60_000, 20.0, "all is renewed")
        assert queue.get_many(2) == [2, 3]


def unnamed_ttls(server: AnyServer) -> dict[bytes, int]:
    """How many milliseconds the server gives each key of an unnamed object."""
    keys = server.keys("*}:u:*")
    return dict(zip(keys, server.commands(*(("PTTL", key) for key in keys)), strict=True))


def test_what_another_process_holds_lasts(m: RedisManager, server: AnyServer) -> None:
    proxies = six(m)
    idents = list(map(ident, proxies))
    with spawn_script(HOLDER, {"DATA": pickle.dumps(proxies).hex()}) as holder:
        assert holder.line() == "holding"
        del proxies
        gc.collect()
        lasts(server, *idents)
        # It has only held them so far: there is a connection, and everything is there.
        holder.tell("read")
        assert holder.line() == "{1.0: 1, 'a': 1}"
        kill9(holder)
    run_out(server, m, *idents)


HOLDER = (
    QUICK
    + """
import os, pickle
proxies = pickle.loads(bytes.fromhex(os.environ["DATA"]))
print("holding", flush=True)
input()
print({key: 1 for key in proxies[0]}, flush=True)
input()
"""
)


# Let go


def test_what_only_this_process_can_know_goes_with_its_last_proxy(
    patient: RedisManager, server: AnyServer
) -> None:
    inner, outer = patient.list(), patient.dict()
    again = patient.list([1])
    idents = [ident(inner), ident(outer), ident(again)]
    del inner, outer
    wait_until(lambda: is_gone(server, *idents[:2]))
    assert is_leased(server, idents[2])
    del again
    wait_until(lambda: is_gone(server, idents[2]))
    assert all_but_records(server) == []


def test_thousands_go_in_few_requests(patient: RedisManager, server: AnyServer) -> None:
    session = patient.runtime.session
    assert session is not None
    proxies = [patient.Value("i", n) for n in range(2000)]
    go_on = threading.Event()
    session.heartbeat.call_soon(lambda: go_on.wait(PATIENCE))
    before = server.calls()
    del proxies
    gc.collect()
    go_on.set()
    wait_until(lambda: not unnamed(server))
    assert (server.calls() - before)["evalsha"] <= 3 * PARTITIONS


def test_others_are_renewed_while_proxies_go_all_the_time(
    m: RedisManager, server: AnyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lock = m.list([1]), m.Lock()
    assert lock.acquire()
    session = m.runtime.session
    assert session is not None
    drop, turns = session.references.drop, [0]

    def drop_and_go_on(objects: Any, **options: Any) -> None:
        drop(objects, **options)
        turns[0] += 1
        m.list()  # which nobody keeps

    monkeypatch.setattr(session.references, "drop", drop_and_go_on)
    m.list()
    lasts(server, ident(kept))
    wait_until(lambda: turns[0] > 10)
    lock.release()  # it was not lost


def test_what_another_may_know_goes_a_lease_later(m: RedisManager, server: AnyServer) -> None:
    shared = m.dict(a=1)
    data = pickle.dumps(shared)  # in flight: anyone may load it, for a lease at least
    name = ident(shared)
    del shared
    gc.collect()
    arrived = pickle.loads(data)
    assert arrived["a"] == 1
    lasts(server, name)
    del arrived
    gc.collect()
    run_out(server, m, name)
    late = pickle.loads(data)
    with pytest.raises(ObjectGone):
        late["a"]


def test_a_proxy_that_was_copied_counts_twice(patient: RedisManager, server: AnyServer) -> None:
    import copy

    first = patient.list([1])
    name = ident(first)
    second = copy.copy(first)
    del first
    gc.collect()
    assert second[0] == 1
    del second
    gc.collect()
    # A copy goes through pickle, so others might know the object: it is left to expire.
    assert is_leased(server, name)


def test_a_held_object_that_is_deleted_is_gone_and_stays_gone(
    m: RedisManager, server: AnyServer
) -> None:
    proxy = m.dict(a=1)
    name = ident(proxy)
    other = pickle.loads(pickle.dumps(proxy))
    proxy.delete()
    assert is_gone(server, name)
    for each in (proxy, other):
        with pytest.raises(ObjectGone, match="was deleted, or its lease ran out"):
            each["a"]
    m.runtime.session.references.renew()
    assert is_gone(server, name)


# Processes that end


CREATOR = (
    QUICK
    + """
import os, pickle, sys
from multihost import RedisManager
m = RedisManager(os.environ["URL"], lease=120.0)
given, kept = m.dict(a=1), m.list([1])
given["inner"] = m.list([5])
print(kept._token.ident, flush=True)
print(pickle.dumps(given).hex(), flush=True)
input()
if sys.argv[1:] == ["shutdown"]:
    m.shutdown()
elif sys.argv[1:] == ["collect"]:
    del m, given, kept
    import gc; gc.collect()
    print("collected", flush=True)
    input()
"""
)


def test_what_was_given_away_outlives_a_creator_that_ends_in_order(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    with spawn_script(CREATOR, {"URL": url}) as creator:
        kept = creator.line()
        given = pickle.loads(bytes.fromhex(creator.line()))
        assert is_leased(server, kept, ident(given))
        creator.tell("go")
        creator.finish()
    assert is_gone(server, kept)  # nobody else could know it
    lasts(server, ident(given), ident(given["inner"]))
    assert given["a"] == 1
    assert given["inner"][:] == [5]


def test_what_was_given_away_outlives_a_manager_that_was_collected(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    with spawn_script(CREATOR, {"URL": url}, args=["collect"]) as creator:
        kept = creator.line()
        given = pickle.loads(bytes.fromhex(creator.line()))
        creator.tell("go")
        assert creator.line() == "collected"
        run_out(server, m, kept)
        lasts(server, ident(given))
        assert given["inner"][:] == [5]


def test_shutdown_deletes_what_the_manager_made_whoever_holds_it(
    m: RedisManager, server: AnyServer, url: str
) -> None:
    with spawn_script(CREATOR, {"URL": url}, args=["shutdown"]) as creator:
        kept = creator.line()
        given = pickle.loads(bytes.fromhex(creator.line()))
        creator.tell("go")
        creator.finish()
    assert is_gone(server, kept, ident(given))
    with pytest.raises(ObjectGone):
        given["a"]


def make_in_child(m: RedisManager, connection: Connection) -> None:
    given, kept = m.dict(a=1), m.dict(b=2)
    connection.send((given, ident(kept)))
    assert kept["b"] == 2
    connection.recv()


def test_what_a_forked_child_gave_away_outlives_it(m: RedisManager, server: AnyServer) -> None:
    ours, theirs = FORK.Pipe()
    with ours, theirs:
        child = FORK.Process(target=make_in_child, args=(m, theirs))
        child.start()
        given, kept = ours.recv()
        assert is_leased(server, ident(given), kept)
        ours.send("end")
        child.join(PATIENCE)
        assert child.exitcode == 0
        child.close()
    assert is_gone(server, kept)
    lasts(server, ident(given))
    assert given.copy() == {"a": 1}
    name = ident(given)
    del given
    gc.collect()
    run_out(server, m, name)


def shut_down_in_child(m: RedisManager, proxy: Any) -> str:
    own = m.dict()
    m.shutdown()
    try:
        proxy["a"]
    except ConnectionError as error:
        return f"{type(error).__name__} {ident(own)}"
    raise AssertionError("a proxy worked after shutdown()")


def test_a_child_that_shuts_down_its_copy_of_the_manager_deletes_only_its_own(
    m: RedisManager, server: AnyServer
) -> None:
    proxy = m.dict(a=1)
    ((error, own),) = (answer.split() for answer in run_all(FORK, shut_down_in_child, [(m, proxy)]))
    assert error == "ManagerClosed"
    assert is_gone(server, own)
    lasts(server, ident(proxy))
    assert proxy["a"] == 1


def keep_reading(proxy: Any, connection: Connection) -> None:
    connection.send(proxy["a"])
    connection.recv()


def test_a_forked_child_holds_what_its_parent_has_let_go(
    m: RedisManager, server: AnyServer
) -> None:
    proxy = m.dict(a=1)
    name = ident(proxy)
    ours, theirs = FORK.Pipe()
    with ours, theirs:
        child = FORK.Process(target=keep_reading, args=(proxy, theirs))
        child.start()
        assert ours.recv() == 1
        child._args = ()  # the parent's copy of them
        del proxy
        gc.collect()
        lasts(server, name)
        kill9(child)
        child.close()
    run_out(server, m, name)


def test_nothing_is_left_of_a_killed_process_but_its_records(server: AnyServer, url: str) -> None:
    with spawn_script(BUSY, {"URL": url}) as busy:
        assert busy.line() == "busy"
        assert len(unnamed(server)) >= 20
        kill9(busy)
    idents = unnamed_idents(server)
    assert all(is_leased(server, each) for each in idents)
    end(server, *idents)
    # Its last requests may still be repeated: they go by themselves, a minute later.
    assert all_but_records(server) == []
    rest = server.keys()
    assert all(0 < ttl <= 60_000 for ttl in server.commands(*(("PTTL", key) for key in rest)))


BUSY = """
import os, threading
from multihost import RedisManager
m = RedisManager(os.environ["URL"], lease=120.0)
proxies = []
for n in range(10):
    inner = m.list([n])
    proxies.append(m.dict(inner=inner, namespace=m.Namespace(x=inner)))
print("busy", flush=True)
while True:
    for d in proxies:
        d["other"] = m.set([1.0])
        d["inner"].append(2)
"""


def test_a_holder_that_was_paused_past_its_lease_is_told_so(server: AnyServer, url: str) -> None:
    with spawn_script(PAUSED, {"URL": url}) as paused:
        assert paused.line() == "ready"
        assert send_signal(paused, signal.SIGSTOP)
        end(server, *unnamed_idents(server))
        assert send_signal(paused, signal.SIGCONT)
        paused.tell("wake")
        lines = [line for line in paused.finish().splitlines() if line]
    assert len(lines) == 32
    assert [line for line in lines if not line.endswith(" ObjectGone")] == []
    assert not unnamed(server)  # and nothing came back by writing to it


PAUSED = """
import array, os, pickle, sys
from multihost import RedisManager
m = RedisManager(os.environ["URL"], lease=120.0)
d, l, s = m.dict(a=1), m.list([1]), m.set([1])
ns, v, a = m.Namespace(x=1), m.Value("i", 1), m.Array("i", [1])
print("ready", flush=True)
input()
calls = dict(
    get=lambda: d.get("a"), contains=lambda: "a" in d, length=lambda: len(d), copy=d.copy,
    keys=d.keys, put=lambda: d.update(b=1), increment=lambda: d.increment("a"),
    pop=lambda: d.pop("a", None), clear=d.clear, setdefault=lambda: d.setdefault("a"),
    item=lambda: l[0], slice=lambda: l[:], tail=lambda: l[5:], size=lambda: len(l),
    append=lambda: l.append(1), sort=l.sort, remove=lambda: l.remove(1), last=l.pop,
    inside=lambda: 1 in l, member=lambda: 1 in s, members=s.copy, add=lambda: s.add(1),
    any=s.pop, card=lambda: len(s), attribute=lambda: ns.x, set=lambda: setattr(ns, "x", 1),
    value=v.get, sum=lambda: v.add(1), first=lambda: a[0], all=lambda: a[:],
    number=lambda: len(a), assign=lambda: a.__setitem__(0, 1),
)
for name, call in calls.items():
    try:
        print(name, "->", call())
    except Exception as error:
        print(name, type(error).__name__)
m.shutdown()
"""


# The end


def use_everything(m: RedisManager) -> None:
    named, proxies = m.dict("named"), six(m)
    named.update(kept=m.list([m.dict(deep=1)]), plain=1)
    for proxy in proxies[:2]:
        proxy[0] = m.dict()
    proxies[2].add(3.0)
    named.pop("plain", None)
    named.pop("kept", None)
    named["other"] = m.dict(a=m.list())


def use_in_child(url: str, m: RedisManager, proxies: list[Any]) -> None:
    use_everything(m)
    assert proxies[5][0] == 1
    with RedisManager(url, lease=LEASE) as own:
        use_everything(own)
        own.list()


def test_a_clean_shutdown_leaves_nothing_but_what_is_named(server: AnyServer, url: str) -> None:
    with RedisManager(url, lease=60.0) as m:
        proxies = six(m)
        use_everything(m)
        shared = pickle.loads(pickle.dumps(proxies))
        thread = threading.Thread(target=use_everything, args=(m,))
        thread.start()
        thread.join()
        m.delete("named")
        m.dict("stays", a=1)
        assert shared[5][0] == 1
    # Not even the records of our last requests.
    assert not server.keys("*}:r:*")
    # What was given away, and has no proxy here any more, is there for its lease.
    lasting = [key for key in all_but_records(server) if server.command("PTTL", key) == -1]
    assert [key.partition(b"}:")[2] for key in sorted(lasting, key=len)] == [
        b"names",
        b"n:stays",
        b"n:stays:index",
    ]


def test_nor_do_processes_that_ended_after_a_lease(server: AnyServer, url: str) -> None:
    with RedisManager(url, lease=LEASE) as m:
        proxies = six(m)
        run_all(FORK, use_in_child, [(url, m, proxies)] * 2)
        run_all(multiprocessing.get_context("spawn"), plain_use_in_child, [(url, proxies)])
        m.delete("named")
    idents = unnamed_idents(server)
    assert all(is_leased(server, each) for each in idents)
    end(server, *idents)
    assert {key.partition(b"}:")[2] for key in all_but_records(server)} <= {b"names"}


def plain_use_in_child(url: str, proxies: list[Any]) -> None:
    assert proxies[5][0] == 1
    with RedisManager(url, lease=LEASE) as own:
        use_everything(own)


def test_after_shutdown_every_use_raises_and_none_answers(url: str) -> None:
    with RedisManager(url) as m:
        proxies = six(m)
        named = m.dict("named", a=1)
    for use in (
        lambda: named["a"],
        lambda: len(proxies[0]),
        lambda: proxies[1].append(1),
        lambda: proxies[2].copy(),
        lambda: proxies[3].inner,
        lambda: proxies[4].value,
        lambda: proxies[5][:],
        m.names,
        lambda: m.delete("named"),
        m.dict,
        lambda: m.list("x"),
    ):
        with pytest.raises(ConnectionError, match="shut down"):
            use()
    assert "failed" in str(proxies[0])
    m.shutdown()


# Many


def test_ten_thousand_proxies_are_renewed_by_a_few_calls(server: AnyServer, url: str) -> None:
    with RedisManager(url, lease=600.0) as m:
        make = (m.dict, m.list, lambda: m.Value("i", 0))
        proxies = [make[n % 3]() for n in range(10_000)]
        keys = [key for key in unnamed(server) if not key.endswith(b":index")]
        assert len(keys) == 10_000
        server.commands(*(("PEXPIRE", key, 300_000) for key in keys))
        before = server.calls()
        m.runtime.session.references.renew()
        calls = server.calls() - before
        # One script for up to 200 objects of a partition.
        assert calls["evalsha"] + calls["eval"] <= 2 * 64
        ttls = server.commands(*(("PTTL", key) for key in keys))
        assert min(ttls) > 500_000
        assert proxies[9_999].copy() == {}
        # Letting go of them all keeps nobody waiting, and shutdown takes what is left.
        del proxies[5_000:]
    assert unnamed(server) == []
