"""ls, show, locks, queues, rm and top tell what was put there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.cli import run
from multihost.wire.ops import kinds
from tests.faults.calls import Call
from tests.support.procs import ROOT
from tests.support.server import Server
from tests.support.waiting import wait_until

Capture = pytest.CaptureFixture[str]


class Bomb:
    """Must not be unpickled by anybody who only looks."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def ask(url: str, capsys: Capture) -> Callable[..., Any]:
    """Run a command with --json; what it printed."""

    def ask(command: str, *args: str, code: int = 0) -> Any:
        assert run([command, "--url", url, "--json", *args]) == code
        said = capsys.readouterr()
        assert not said.err
        return json.loads(said.out)

    return ask


@pytest.fixture
def rows(url: str, capsys: Capture) -> Callable[..., list[list[str]]]:
    """Run a command; the words of each line of its table."""

    def rows(command: str, *args: str) -> list[list[str]]:
        assert run([command, "--url", url, *args]) == 0
        said = capsys.readouterr()
        assert "\x1b" not in said.out, "no colours where there is no terminal"
        assert all(line == line.rstrip() for line in said.out.splitlines())
        return [line.split() for line in said.out.splitlines()]

    return rows


@contextlib.contextmanager
def waiting(call: Callable[[], object], release: Callable[[], object]) -> Iterator[None]:
    """A thread that waits meanwhile."""
    thread = threading.Thread(target=call, name="who.waits")
    thread.start()
    try:
        yield
    finally:
        release()
        thread.join()


ME = {"pid": os.getpid(), "host": os.uname().nodename}


def test_every_type(manager: RedisManager, ask: Any, rows: Any) -> None:
    m = manager
    named = {
        "dict": (m.dict("a dict", {1: 2, 3: 4}), 2),
        "list": (m.list([1, 2, 3], name="a list"), 3),
        "set": (m.set([1], name="a set"), 1),
        "Namespace": (m.Namespace("a namespace", x=1, n="n"), 2),
        "Value": (m.Value("i", 5, name="a value"), None),
        "Array": (m.Array("l", [1, 2, 3], name="an array"), 3),
        "Lock": (m.Lock("a lock"), None),
        "RLock": (m.RLock("an rlock"), None),
        "Semaphore": (m.Semaphore("a semaphore", 2), None),
        "BoundedSemaphore": (m.BoundedSemaphore("a bounded one", 2), None),
        "Condition": (m.Condition("a condition"), None),
        "Event": (m.Event("an event"), None),
        "Barrier": (m.Barrier("a barrier", 2), None),
        "Queue": (m.Queue("a queue"), 0),
        "JoinableQueue": (m.JoinableQueue("a joinable queue"), 0),
        "LifoQueue": (m.LifoQueue("a stack"), 0),
        "PriorityQueue": (m.PriorityQueue("by priority"), 0),
        "SimpleQueue": (m.SimpleQueue("a simple queue"), 0),
    }
    found = ask("ls", "--memory")
    assert [(o["name"], o["typeid"], o["length"]) for o in found] == sorted(
        (proxy._token.ident[2:], typeid, length) for typeid, (proxy, length) in named.items()
    )
    for info in found:
        assert info["lease"] is None
        assert info["codec"] == "pickle"
        assert info["memory"] > 0
    listed = [" ".join(row) for row in rows("ls")[1:]]
    assert len(listed) == len(named)
    assert "a dict dict 2 - - - -" in listed
    assert "a semaphore Semaphore - - 2 of 2 free - -" in listed


def test_unnamed_objects_have_their_exact_type(manager: RedisManager, ask: Any) -> None:
    m = manager
    proxies = {
        "dict": m.dict(a=1),
        "list": m.list([1]),
        "set": m.set([1]),
        "Namespace": m.Namespace(n=1),
        "Value": m.Value("i", 5),
        "Array": m.Array("i", [1, 2]),
        "Lock": m.Lock(),
        "RLock": m.RLock(),
        "Semaphore": m.Semaphore(2),
        "BoundedSemaphore": m.BoundedSemaphore(2),
        "Condition": m.Condition(),
        "Event": m.Event(),
        "Barrier": m.Barrier(2),
        "Queue": m.Queue(),
        "JoinableQueue": m.JoinableQueue(),
        "LifoQueue": m.LifoQueue(),
        "PriorityQueue": m.PriorityQueue(),
        "SimpleQueue": m.SimpleQueue(),
    }
    assert proxies.keys() == kinds.KINDS.keys() - {"Pool"}  # a pool has a name
    found = {info["ident"]: info for info in ask("ls")}
    assert {p._token.ident: typeid for typeid, p in proxies.items()} == {
        ident: info["typeid"] for ident, info in found.items()
    }
    for info in found.values():
        assert info["name"] is None
        assert 60 < info["lease"] <= 90
    assert {info["typeid"] for info in ask("ls", "--type", "dict", "--type", "Lock")} == {
        "dict",
        "Lock",
    }
    assert ask("ls", "--named") == []


def test_looking_holds_nothing(
    server: Server, manager: RedisManager, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = manager.list([1])
    manager.dict("d")["x"] = inner
    lone = manager.dict()
    key = lone._handle.keys.data
    references = manager.runtime.session.references
    monkeypatch.setattr(references, "renew", lambda: False)  # what has a lease keeps that
    server.command("PEXPIRE", key, 5000)
    before = len(server.keys("*}:s:*"))
    for command in ("ls", "locks", "queues"):
        ask(command)
    shown = ask("show", "d")
    assert shown["contains"] == [inner._token.ident]
    assert ask("show", inner._token.ident)["lease"] is None
    assert server.command("PTTL", key) <= 5000
    assert len(server.keys("*}:s:*")) == before


def test_locks(manager: RedisManager, ask: Any, rows: Any) -> None:
    lock, semaphore, event = manager.Lock("l"), manager.Semaphore("s", 3), manager.Event("e")
    lock.acquire()
    semaphore.acquire()
    semaphore.acquire()
    event.set()
    with waiting(lambda: lock.acquire() and lock.release(), lock.release):
        wait_until(lambda: lock.statistics().waiters)
        of_event, of_lock, of_semaphore = ask("locks")
        table = rows("locks")
    assert of_event["state"] == "set"
    assert of_lock["state"] == "locked"
    [holder], [waiter] = of_lock["holders"], of_lock["waiters"]
    assert holder.items() >= {**ME, "thread": "MainThread", "count": 1}.items()
    assert waiter.items() >= {**ME, "thread": "who.waits"}.items()
    assert holder["since"] <= of_lock["time"]
    assert of_lock["fencing_token"] > 1 << 40
    assert of_semaphore["state"] == "1 of 3 free"
    [account] = of_semaphore["holders"]
    assert account.items() >= {**ME, "count": 2}.items()
    place = f"{ME['host']}:{ME['pid']}"
    assert table[0] == "NAME TYPE STATE HOLDER HELD FOR TOKEN WAITING WAITERS".split()
    assert table[2][:5] == ["l", "Lock", "locked", place, "MainThread"]
    assert table[2][-3:] == ["1", place, "who.waits"]
    semaphore.release(2)


def test_conditions_and_barriers(manager: RedisManager, ask: Any) -> None:
    condition, barrier = manager.Condition("c"), manager.Barrier("b", 2)

    def sleep() -> None:
        with condition:
            condition.wait()

    def rouse() -> None:
        with condition:
            condition.notify()

    with waiting(sleep, rouse), waiting(barrier.wait, barrier.wait):
        wait_until(lambda: condition.statistics().waiters and barrier.n_waiting)
        of_barrier, of_condition = ask("locks")
    assert of_barrier["state"] == "1 of 2 arrived"
    for info in (of_barrier, of_condition):
        assert [who["thread"] for who in info["waiters"]] == ["who.waits"]


def test_queues(manager: RedisManager, ask: Any, rows: Any) -> None:
    q = manager.Queue("q", 3, redeliver=True, max_deliveries=5)
    q.put_many([1, 2, 3])
    q.get()
    p = manager.PriorityQueue("p")
    p.put(4)
    p.shutdown()
    full = manager.Queue("full", 1)
    full.put(1)
    with waiting(lambda: full.put(2), full.get):
        wait_until(lambda: full.statistics().waiters)
        of_full, of_p, of_q = ask("queues")
        table = rows("queues")
    assert [who["thread"] for who in of_full["waiters"]] == ["who.waits"]
    assert of_q["queue"] == {
        "maxsize": 3,
        "max_deliveries": 5,
        "size": 2,
        "unfinished": 3,
        "in_flight": 1,
        "dead_letters": 0,
        "is_shut_down": False,
    }
    [consumer] = of_q["holders"]
    assert consumer.items() >= {**ME, "count": 1}.items()
    assert (of_p["length"], of_p["state"]) == (1, "shut down")
    assert table[3] == [
        "q",
        "Queue",
        "2",
        "3",
        "3",
        "1",
        "0",
        "0",
        "open",
        f"{ME['host']}:{ME['pid']}",
    ]


def test_show(manager: RedisManager, ask: Any, rows: Any) -> None:
    inner = manager.list()
    d = manager.dict("d", {"a": 1, (1, 2): [3], "bomb": Bomb()})
    d["b"] = inner
    shown = ask("show", "d")
    assert [(e["key"], e["value"]) for e in shown["entries"][:2]] == [
        ("'a'", "1"),
        ("(1, 2)", "[3]"),
    ]
    assert shown["entries"][2]["value"].endswith("bytes>"), "nothing is executed"
    assert shown["entries"][3]["value"] == f"<refers to {inner._token.ident}>"
    assert len(ask("show", "d", "--items", "2")["entries"]) == 2
    assert ask("show", "d", "--items", "0")["entries"] == []
    for name, proxy, entries in (
        ("l", manager.list(["x", 1.5], name="l"), [("0", "'x'"), ("1", "1.5")]),
        ("s", manager.set([7], name="s"), [("", "7")]),
        ("n", manager.Namespace("n", x=b"y"), [("x", "b'y'")]),
        ("v", manager.Value("i", 3, name="v"), [("value", "3")]),
        ("a", manager.Array("i", [1], name="a"), []),
        ("q", manager.Queue("q"), []),
    ):
        if name == "q":
            proxy.put("item")
            entries = [("0", "'item'")]
        assert [(e["key"], e["value"]) for e in ask("show", name)["entries"]] == entries
    table = rows("show", "d")
    assert ["length", "4"] in table
    assert ["'a'", "1"] in table


def test_signed_values(url: str, ask: Any, tmp_path: Any, monkeypatch: Any) -> None:
    with RedisManager(url, authkey=b"a key of the tests") as m:
        m.dict("d", {"a": "value"})
        file = tmp_path / "key"
        file.write_bytes(b"a key of the tests\n")
        shown = [{"key": "'a'", "value": "'value'"}]
        assert ask("show", "d", "--authkey-file", str(file))["entries"] == shown
        monkeypatch.setenv("MULTIHOST_AUTHKEY", "a key of the tests")
        assert ask("show", "d")["entries"] == shown
        monkeypatch.setenv("MULTIHOST_AUTHKEY", "another key of tests")
        assert "bytes" in ask("show", "d")["entries"][0]["value"]


def test_odd_names_do_nothing_to_a_terminal(
    manager: RedisManager, url: str, capsys: Capture
) -> None:
    names = ["[red]x", "a\x1b[31mb", "a:b%3A\n", "\udc80", "redis://h", "u:" + "x" * 22]
    for name in names:
        manager.Value("i", 1, name=name)
    assert run(["ls", url]) == 0
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert "a\\x1b[31mb" in out
    assert len(out.splitlines()) == 1 + len(names)
    assert run(["ls", "--json", url]) == 0
    assert {o["name"] for o in json.loads(capsys.readouterr().out)} == set(names)
    for name in names:
        assert run(["show", url, name]) == 0
    assert run(["rm", "--yes", url, *names]) == 0
    assert manager.names() == []
    assert "\x1b" not in capsys.readouterr().out


def test_rm(manager: RedisManager, url: str, ask: Any, capsys: Capture) -> None:
    d, l = manager.dict("d"), manager.list([1])
    assert run(["rm", "--url", url, "d"]) == 2, "nobody is there to be asked"
    assert "--yes" in capsys.readouterr().err
    assert ask("rm", "--yes", "d", "none", code=1) == {"d": True, "none": False}
    with pytest.raises(ObjectGone):
        d.copy()
    assert run(["rm", url, "--yes", l._token.ident]) == 0
    assert "deleted" in capsys.readouterr().out
    with pytest.raises(ObjectGone):
        l.copy()
    assert run(["show", url, "d"]) == 1
    assert capsys.readouterr().err == "multihost: object 'd' not found\n"


def test_an_empty_server(url: str, ask: Any, capsys: Capture) -> None:
    for command, what in (("ls", "objects"), ("locks", "locks"), ("queues", "queues")):
        assert ask(command) == []
        assert run([command, url]) == 0
        said = capsys.readouterr()
        assert said == ("", f"no {what} in namespace 'multihost'\n")
    assert ask("gc") == []
    now = ask("top", "--once")
    assert (now["types"], now["locks"], now["queues"]) == ({}, [], [])
    assert now["clients"] >= 1


def test_namespaces_are_apart(url: str, ask: Any) -> None:
    with RedisManager(url, namespace="multihost-2") as other, RedisManager(url) as m:
        other.dict("theirs"), m.dict("ours")
        here, there = m.dict(), other.dict()
        assert [info["ident"] for info in ask("ls")] == ["n:ours", here._token.ident]
        found = ask("ls", "--namespace", "multihost-2")
        assert [info["ident"] for info in found] == ["n:theirs", there._token.ident]
        other.delete("theirs")


def test_many_objects_take_few_calls(server: Server, manager: RedisManager, ask: Any) -> None:
    kept = [manager.dict({n: n}) for n in range(500)]
    before = server.calls()
    assert len(ask("ls")) == len(kept)
    calls = server.calls() - before
    assert 0 < calls["scan"] <= 4
    assert not calls["keys"]


def test_top(manager: RedisManager, url: str, capsys: Capture) -> None:
    q, lock = manager.Queue("q"), manager.Lock("l")
    q.put(1)
    with lock:
        assert run(["top", "--once", "--json", url]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        now = json.loads(lines[0])
        assert now["types"] == {"Lock": 1, "Queue": 1}
        assert now["is_whole"] is True
        assert [who["pid"] for who in now["locks"][0]["holders"]] == [os.getpid()]
        assert (now["queues"][0]["length"], now["queues"][0]["growth_per_second"]) == (1, None)
        assert run(["top", "--once", url]) == 0
    out = capsys.readouterr().out
    assert "clients" in out
    assert "objects  Lock 1  Queue 1" in out
    assert "\x1b" not in out


def test_a_lock_is_taken_while_it_is_looked_at(manager: RedisManager, ask: Any) -> None:
    lock = manager.Lock("busy")
    call = Call(lambda: [lock.acquire() and lock.release() for _ in range(100)])
    for _ in range(5):
        assert [info["name"] for info in ask("locks")] == ["busy"]
    call.outcome()


def documented(part: str) -> set[str]:
    """Return the JSON keys that docs/howto/command-line.md lists in a row of a table."""
    page = (ROOT / "docs" / "howto" / "command-line.md").read_text()
    text = page.partition("\n## JSON\n")[2].partition("\n## ")[0]
    [row] = [line for line in text.splitlines() if line.startswith(f"| {part} |")]
    return set(re.findall(r"`(\w+)`", row.split("|")[2]))


def test_the_keys_of_json_are_documented(manager: RedisManager, ask: Any, url: str) -> None:
    queue, lock = manager.Queue("q"), manager.Lock("l")
    queue.put(1)
    queue.get()
    lock.acquire()
    manager.dict("d", {1: 2})
    keys = documented("object")
    participant = documented("holder, waiter, worker")
    for info in ask("ls"):
        assert info.keys() == keys
        assert all(each.keys() == participant for each in info["holders"])
    assert ask("show", "q")["queue"].keys() == documented("queue")
    shown = ask("show", "d")
    assert shown.keys() == keys | {"time", "entries"}
    assert shown["entries"][0].keys() == documented("`show`") - {"time", "entries"}
    assert ask("locks")[0].keys() == keys | documented("`locks`")
    now = ask("top", "--once")
    assert now.keys() <= documented("`top`")
    assert now["queues"][0].keys() == keys | {"growth_per_second"}
    assert set(ask("doctor")) | set(ask("doctor")["findings"][0]) == documented("`doctor`")
    lock.release()
