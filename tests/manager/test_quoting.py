"""What comes from a server, or was chosen as a name, is one printable line in errors and logs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import MultihostError, RedisManager
from multihost.cli import run
from multihost.inspection import Finding, opened
from multihost.inspection.fact_checks import check_facts
from multihost.inspection.server_facts import facts as facts_of
from multihost.wire.keys import Keys
from tests.damage.world import proxy_of
from tests.support.odd import OddServer, info

NASTY = "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202egpj.exe\u2066 \x00"  # no line feed: RESP ends there
NASTY_NAME = NASTY + "\n2026-01-01 00:00:00 ERROR forged\r"


def is_quoted(*texts: object) -> None:
    for text in texts:
        assert all(line.isprintable() for line in str(text).split("\n")), repr(text)
        assert "\n" not in str(text).strip(), repr(text)


def refusing(command: bytes, answer: bytes) -> Callable[[list[bytes]], bytes]:
    """Answers one command so, and the others as a server does that is well."""

    def respond(args: list[bytes]) -> bytes:
        if args[0] == command:
            return answer
        if args[0] == b"HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if args[0] == b"CONFIG":
            return b"-NOPERM no permissions\r\n"
        if args[0] == b"INFO":
            return info(redis_version="7.4.0", redis_mode="standalone")
        return b"+OK\r\n"

    return respond


ERRORS = [b"ERR", b"NOAUTH", b"LOADING", b"MISCONF", b"WRONGTYPE", b"NOPERM", b"STRANGE", b"MOVED"]


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("command", [b"HELLO", b"INFO", b"EVALSHA", b"PING"])
def test_errors_of_a_server(
    command: bytes, code: bytes, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    answer = b"-%b %b\r\n" % (code, NASTY.encode())
    with OddServer(refusing(command, answer)) as server:
        errors: list[BaseException] = []
        try:
            with RedisManager(server.url, timeout=0.2) as manager:
                manager.dict("d")
        except MultihostError as error:
            errors.append(error)
        is_optional = command == b"HELLO" and code in (b"ERR", b"NOPERM")  # there is RESP2
        assert errors or is_optional or command in (b"INFO", b"PING")
        is_quoted(*errors)
        if command in (b"HELLO", b"PING") and not is_optional:
            assert run(["ls", "--url", server.url]) in (1, 3)
            said = capsys.readouterr()
            assert said.err
            is_quoted(*said.err.splitlines())
    is_quoted(*[record.getMessage() for record in caplog.records])


@pytest.mark.parametrize(
    "facts",
    [
        {"redis_version": "5.0" + NASTY},
        {"redis_version": "7.0", "maxmemory_policy": NASTY},
        {"redis_version": "7.0", "role": "slave", "master_host": NASTY, "master_port": NASTY},
        {"redis_version": NASTY, "used_memory": NASTY, "maxclients": NASTY, "role": NASTY},
        {
            "redis_version": "7.0",
            "connected_slaves": NASTY,
            "connected_clients": "-",
            "maxmemory": "x",
        },
    ],
)
def test_what_a_server_says_of_itself(facts: dict[str, str]) -> None:
    with OddServer(refusing(b"INFO", info(**facts))) as server:
        try:
            RedisManager(server.url, timeout=0.3).shutdown()
        except MultihostError as error:
            is_quoted(error)
        with opened(server.url) as session:
            for finding in check_facts(facts_of(session.link)):
                is_quoted(*vars_of(finding))


def vars_of(finding: Finding) -> list[str]:
    return [finding.check, finding.verdict, finding.found, finding.advice]


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


# A call of each type that asks the server.
CALLS: dict[str, Callable[[Any], object]] = {
    "dict": lambda d: d.copy(),
    "list": lambda each: each[0],
    "set": lambda each: each.add(1),
    "Namespace": lambda each: each.x,
    "Lock": lambda each: each.holder(),
    "RLock": lambda each: each.acquire(False),
    "Semaphore": lambda each: each.statistics(),
    "BoundedSemaphore": lambda each: each.acquire(False),
    "Condition": lambda each: each.statistics(),
    "Event": lambda each: each.set(),
    "Barrier": lambda each: each.statistics(),
    "Queue": lambda each: each.put(1),
    "JoinableQueue": lambda each: each.get_nowait(),
    "LifoQueue": lambda each: each.qsize(),
    "PriorityQueue": lambda each: each.put(1),
    "SimpleQueue": lambda each: each.statistics(),
}


@pytest.mark.parametrize("typeid", CALLS)
def test_names_of_objects(server: Any, manager: RedisManager, typeid: str, caplog: Any) -> None:
    """In the errors of methods, and of those who ask for another type."""
    proxy = proxy_of(manager, typeid, NASTY_NAME)
    other: Any = manager.dict if typeid != "dict" else manager.Lock
    with pytest.raises(TypeError) as wrong:
        other(NASTY_NAME)
    keys: Keys = proxy._handle.keys
    errors: list[BaseException] = [wrong.value]
    for harm in (("SET", keys.data, "x"), ("EXISTS", keys.data), ("HSET", keys.data, "h", "a.b.c")):
        server.commands(("DEL", keys.data), harm)
        try:
            CALLS[typeid](proxy)
        except Exception as error:
            errors.append(error)
    assert len(errors) >= 2
    is_quoted(*errors, *[note for e in errors for note in getattr(e, "__notes__", [])])
    server.command("DEL", *[key for key in server.keys() if b"PWNED" in key] or ["x"])
    server.command("HDEL", keys.names, NASTY_NAME)
    del proxy
    is_quoted(*[record.getMessage() for record in caplog.records])


def test_names_of_pools_and_of_hosts(
    manager: RedisManager, monkeypatch: pytest.MonkeyPatch, capsys: Any, url: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: NASTY)
    with RedisManager(url) as other:
        lock = other.Lock("lock")
        lock.acquire()
        pool = other.Pool(1, name=NASTY_NAME)
        with pytest.raises(ValueError, match="attach with the same") as caught:
            other.Pool(1, maxtasksperchild=7, name=NASTY_NAME)
        is_quoted(caught.value)
        for command in ("ls", "locks", "queues", "top", "show"):
            more = {"top": ["--once"], "show": ["lock"]}.get(command, [])
            assert run([command, "--url", url, *more]) == 0
            said = capsys.readouterr()
            is_quoted(*said.out.splitlines(), *said.err.splitlines())
        pool.delete()
        lock.release()
        lock.delete()
