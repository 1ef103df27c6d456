"""gc removes what belongs to nobody, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import pytest

from multihost import RedisManager
from multihost.cli import run
from multihost.inspection import GARBAGE_KINDS, find_garbage, opened, remove
from multihost.wire.session import Session
from tests.cli.garbage_samples import SAMPLES, lose
from tests.lifetimes.keys import let_go_long_ago
from tests.support.server import Server
from tests.support.waiting import wait_until


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    with opened(url) as session:
        yield session


def found(session: Session) -> set[tuple[str, str]]:
    return {(each.kind, each.name) for each in find_garbage(session)}


def collect(session: Session) -> set[tuple[str, str]]:
    """What was removed, until there is nothing more."""
    removed = set()
    for _ in range(5):
        removed |= {(g.kind, g.name) for g, done in remove(session, find_garbage(session)) if done}
    return removed


def everything(server: Server) -> dict[bytes, object]:
    """All keys with what is in them, without what sessions and callers renew, and hints."""
    hidden = (b"}:r:", b"}:s:", b":tokens")
    keys = [key for key in server.keys() if not any(part in key for part in hidden)]
    # Reading is a use, and what is not used for long is garbage: of notes only whether they exist.
    command = {True: "EXISTS", False: "DUMP"}
    dumps = server.commands(*((command[key.endswith(b":refs")], key) for key in keys))
    lasting = [bool(ttl < 0) for ttl in server.commands(*(("PTTL", key) for key in keys))]
    return dict(zip(keys, zip(dumps, lasting, strict=True), strict=True))


def test_there_is_a_sample_of_every_kind() -> None:
    assert SAMPLES.keys() == GARBAGE_KINDS.keys()


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_kind(kind: str, server: Server, manager: RedisManager, session: Session) -> None:
    manager.dict("living", {"a": manager.list([1])})
    for leave in SAMPLES[kind]:
        name = leave(server, manager)
        before = everything(server)
        assert (kind, name) in found(session), leave.__name__
        assert everything(server) == before, "looking changes nothing"
        assert kind in {kind for kind, _ in collect(session)}, "of a circle only the first"
        assert not found(session)
    assert manager.dict("living")["a"][:] == [1]


def test_what_came_of_it(server: Server, manager: RedisManager, session: Session) -> None:
    for kind in SAMPLES:
        for leave in SAMPLES[kind]:
            leave(server, manager)
    collect(session)
    assert "gone-value" not in manager.names()
    left = [key for key in server.keys() if b"gone" in key or b"never" in key]
    assert all(server.command("PTTL", key) != -1 for key in left), "but what expires"
    assert manager.Lock("dead-lock").acquire(False)
    assert manager.Semaphore("dead-semaphore", 2).statistics().permits == 2
    assert manager.Condition("held-by-the-dead").acquire(False)
    manager.Condition("held-by-the-dead").release()
    assert manager.Barrier("dead-barrier", 3).broken
    assert manager.Condition("dead-condition").statistics().waiters == 0
    assert manager.Queue("dead-queue").get(False) == "back"
    assert manager.Queue("with-a-stray").get(False) == "stray"
    manager.Lock("dead-lock").release()


def test_the_program(
    url: str, server: Server, manager: RedisManager, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gc", url]) == 0
    assert capsys.readouterr() == ("", "no garbage\n")
    name = SAMPLES["orphaned name"][0](server, manager)
    for args in ([], ["--dry-run"]):
        assert run(["gc", url, *args]) == 0
        said = capsys.readouterr()
        assert f"{name}  orphaned name  Value, not found  no\n" in said.out
        assert "pass --yes" in said.err
    assert run(["gc", url, "--dry-run", "--yes"]) == 2
    assert run(["gc", url, "--yes", "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document == {
        "name": name,
        "ident": "n:" + name,
        "kind": "orphaned name",
        "detail": "Value, not found",
        "removed": True,
    }


def use(url: str, stop: Any, turned: Any) -> int:
    """Everything that gc could mistake: objects that are made, nested, let go, held and taken."""
    turns = 0
    with RedisManager(url) as m:
        d, lock, queue = m.dict("shared"), m.Lock("busy"), m.Queue("work", redeliver=True)
        unnamed, semaphore = m.dict(a=1), m.Semaphore("permits", 2)
        d["unnamed"] = m.list([0])
        while not stop.is_set():
            turns += 1
            turned.release()
            inner = m.list([m.list([turns])])
            d["nested"] = inner
            assert d["nested"][0][0] == turns
            with lock, semaphore:
                queue.put(turns)
                assert queue.get(timeout=30) == turns
                queue.task_done()
            made = m.dict(f"made {turns}", {"x": m.list([turns])})
            assert made["x"][:] == [turns]
            made.delete()
            d.pop("nested")
            assert unnamed["a"] == 1
            assert d["unnamed"][:] == [0]
    return turns


def work(url: str, stop: Any, turned: Any, results: Any) -> None:
    try:
        results.send(use(url, stop, turned))
    except BaseException as error:
        results.send(repr(error))


def test_it_takes_nothing_from_a_process_that_works(url: str, session: Session) -> None:
    context = get_context("fork")
    stop, turned = context.Event(), context.Semaphore(0)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(url, stop, turned, theirs))
    process.start()
    theirs.close()
    with ours:
        wait_until(lambda: session.link.execute(b"DBSIZE") > 10)
        deadline = time.monotonic() + 0.8
        rounds = turns = 0
        while (min(rounds, turns) <= 10 or time.monotonic() < deadline) and not ours.poll():
            list(remove(session, find_garbage(session)))
            rounds += 1
            turns += turned.acquire(block=False)
        stop.set()
        assert isinstance(told := ours.recv(), int), told
    process.join()
    process.close()


# -- what comes to life between looking and removing


def late(session: Session, kind: str) -> Any:
    """Garbage of that kind, not removed yet."""
    return [each for each in find_garbage(session) if each.kind == kind]


def test_a_name_that_was_made_again(
    server: Server, manager: RedisManager, session: Session
) -> None:
    SAMPLES["orphaned name"][0](server, manager)
    SAMPLES["orphaned keys"][0](server, manager)
    garbage = [*late(session, "orphaned name"), *late(session, "orphaned keys")]
    manager.Value("i", 2, name="gone-value")
    manager.dict("gone-dict", {"b": 2})
    done = dict(remove(session, garbage))
    assert {each.name for each, was in done.items() if was} == {"gone-queue"}
    assert manager.Value("i", 0, name="gone-value").value == 2
    assert manager.dict("gone-dict").copy() == {"b": 2}
    assert list(manager.dict("gone-dict")) == ["b"]


def test_what_is_stored_again_before_it_is_collected(
    server: Server, manager: RedisManager, session: Session
) -> None:
    d = manager.dict("keeper")
    d["x"] = inner = manager.list([1])
    del d["x"]
    let_go_long_ago(server)
    garbage = late(session, "unreachable")
    assert garbage
    d["y"] = inner
    del inner
    list(remove(session, garbage))
    assert d["y"][:] == [1]
    assert not server.keys("*}:partial")


def test_what_was_let_go_a_moment_ago_stays(manager: RedisManager, session: Session) -> None:
    d = manager.dict("keeper")
    d["x"] = manager.list([1])
    taken = d.pop("x")
    list(remove(session, late(session, "unreachable")))
    assert session.collector.collect().removed == 0
    assert taken[:] == [1]


def test_a_session_that_came_back(server: Server, manager: RedisManager, session: Session) -> None:
    SAMPLES["dead session"][0](server, manager)
    SAMPLES["orphaned items"][0](server, manager)
    garbage = [*late(session, "dead session"), *late(session, "orphaned items")]
    assert len(garbage) == 7
    for name in {each.ident for each in garbage}:
        sessions = session.handle(name).keys.sessions
        server.command("HSET", sessions + b":ghost", "b", 1)
        server.command("PEXPIRE", sessions + b":ghost", 30000)
    before = everything(server)
    list(remove(session, garbage))
    after = everything(server)
    assert after.keys() == before.keys()
    assert not manager.Lock("dead-lock").acquire(False)
    assert manager.Queue("dead-queue").empty()


def test_unknown_types_are_left_alone(
    server: Server, manager: RedisManager, session: Session
) -> None:
    value = manager.dict("from tomorrow", {1: 1})
    keys = value._handle.keys
    server.command("HSET", keys.names, "from tomorrow", "2 pickle Teleporter")
    lose(server, value, "data")
    assert not found(session)
    assert not collect(session)
    assert server.command("HGET", keys.names, "from tomorrow")
    assert server.command("EXISTS", keys.index)


def test_on_a_full_server(fresh_server: Server) -> None:
    with RedisManager(fresh_server.url) as manager, opened(fresh_server.url) as session:
        for kind in SAMPLES.values():
            for leave in kind:
                leave(fresh_server, manager)
        fresh_server.command("CONFIG", "SET", "maxmemory", 1)
        assert {kind for kind, _ in collect(session)} == SAMPLES.keys()
        assert not found(session)
        fresh_server.command("CONFIG", "SET", "maxmemory", 0)
