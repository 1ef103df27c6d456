"""A killed holder is shown as dead at once, by the evidence of those who wait."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from multihost import RedisManager
from multihost.cli import run
from multihost.inspection import Monitor, liveness, opened
from tests.cli.garbage_samples import hold_by_the_dead
from tests.support.procs import send_signal
from tests.support.server import Server
from tests.support.sessions import DEAD_PID, add_dead_session, connections
from tests.support.waiting import wait_until

Capture = pytest.CaptureFixture[str]
fork = multiprocessing.get_context("fork")

HOLD: dict[str, Callable[[RedisManager], Callable[[], object]]] = {
    "Lock": lambda m: m.Lock("x").acquire,
    "RLock": lambda m: m.RLock("x").acquire,
    "Semaphore": lambda m: m.Semaphore("x", 2).acquire,
    "Condition": lambda m: m.Condition("x").acquire,
    "Queue": lambda m: m.Queue("x", redeliver=True).get,
    "PriorityQueue": lambda m: m.PriorityQueue("x", redeliver=True).get,
}


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@contextlib.contextmanager
def holder(hold: Callable[[], object]) -> Iterator[BaseProcess]:
    """A process that holds something until it is killed."""
    ours, theirs = fork.Pipe()

    def body() -> None:
        hold()
        theirs.send("holds")
        ours.close()
        theirs.recv()

    process = fork.Process(target=body)
    process.start()
    theirs.close()
    assert ours.recv() == "holds"
    try:
        yield process
    finally:
        process.kill()
        process.join()
        ours.close()


@pytest.fixture
def ask(url: str, capsys: Capture) -> Callable[..., Any]:
    """The holders that a command shows, as JSON and as text."""

    def ask(command: str) -> tuple[list[int | None], str]:
        name = ("x",) if command == "show" else ()
        assert run([command, "--url", url, "--json", *name]) == 0
        found = json.loads(capsys.readouterr().out)
        [info] = [found] if isinstance(found, dict) else found
        assert run([command, "--url", url, *name]) == 0
        return [each["pid"] for each in info["holders"]], capsys.readouterr().out

    return ask


@pytest.mark.parametrize("kind", HOLD)
def test_a_killed_holder_is_dead(kind: str, manager: RedisManager, ask: Any, url: str) -> None:
    if "Queue" in kind:
        getattr(manager, kind)("x", redeliver=True).put(1)
    commands = ("ls", "show", "queues" if "Queue" in kind else "locks")
    with holder(HOLD[kind](manager)) as process:
        for command in commands:
            assert ask(command)[0] == [process.pid]
        process.kill()
        process.join()
        for command in commands:
            pids, text = ask(command)
            assert pids == [None]
            assert "dead" in text
            assert f":{process.pid}" not in text
    with opened(url) as session:  # nothing was changed by looking
        sessions = session.link.execute(b"KEYS", b"*}:s:*")
        assert sessions


def test_a_broken_connection_is_no_death(server: Server, manager: RedisManager, ask: Any) -> None:
    with holder(manager.Lock("x").acquire) as process:
        for connection in set.union(*connections(server)):
            server.command("CLIENT", "KILL", "ID", connection)
        assert ask("locks")[0] == [process.pid]


def test_a_stopped_process_without_a_connection(
    server: Server, manager: RedisManager, ask: Any
) -> None:
    with holder(manager.Lock("x").acquire) as process:
        send_signal(process, signal.SIGSTOP)
        for connection in set.union(*connections(server)):
            server.command("CLIENT", "KILL", "ID", connection)
        assert ask("locks")[0] == [process.pid], "it is on this host, and lives"
        send_signal(process, signal.SIGCONT)


def test_a_holder_on_another_host_that_has_no_connection(
    server: Server, manager: RedisManager, ask: Any
) -> None:
    lock = manager.Lock("x")
    keys = lock._handle.keys
    add_dead_session(server, keys.sessions, "ghost")
    hold_by_the_dead(server, lock, "ghost")
    assert ask("locks")[0] == [None]
    assert server.command("EXISTS", keys.sessions + b":ghost") == 1, "it was only looked at"


def test_what_looks_again_and_again_waits_for_nobody(url: str, manager: RedisManager) -> None:
    with opened(url) as session, holder(manager.Lock("x").acquire) as process:
        monitor = Monitor(session, wait=False)
        alive = [each.is_alive for each in monitor.look().objects[0].holders]
        process.kill()
        process.join()
        wait_until(lambda: not monitor.look().objects[0].holders[0].is_alive)
    assert alive == [True]


def test_where_connections_must_not_be_listed(fresh_server: Server, capsys: Capture) -> None:
    server = fresh_server
    server.command("ACL", "SETUSER", "looks", "on", ">x", "~*", "+@all", "-client|list")
    with RedisManager(server.url) as manager:
        lock = manager.Lock("x")
        keys = lock._handle.keys
        add_dead_session(server, keys.sessions, "ghost")
        hold_by_the_dead(server, lock, "ghost")
        url = server.url_for("looks", "x")
        assert run(["locks", "--url", url, "--json"]) == 0
        [info] = json.loads(capsys.readouterr().out)
    assert [each["pid"] for each in info["holders"]] == [DEAD_PID]


@pytest.mark.parametrize("grace", ["100000", "9" * 18, "9" * 400])
def test_a_forged_grace_keeps_nobody_waiting(
    manager: RedisManager,
    url: str,
    server: Server,
    capsys: Capture,
    grace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program wrote how long a session without a connection is waited for."""
    monkeypatch.setattr(liveness, "LONGEST_WAIT", 0.1)
    lock = manager.Lock("x")
    with lock:
        [key] = server.keys("*}:s:*")
        found = dict(zip(*[iter(server.command("HGETALL", key))] * 2, strict=True))
        # As a process on another host, whose connection has ended.
        server.command("HSET", key, "c", "999999999", "h", "elsewhere", "g", grace)
        assert run(["locks", "--json", url]) == 0
        [shown] = json.loads(capsys.readouterr().out)
        assert [each["session"] for each in shown["holders"]]
        assert bool(shown["damage"]) is (len(grace) > 18)
        server.command("HSET", key, *[part for pair in found.items() for part in pair])
