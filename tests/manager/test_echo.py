"""A server that repeats what it is sent makes no password appear: not in an error, with all that it
came from, not in a log, and not in what a command prints.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
import redis

from multihost import RedisManager, SyncManager
from multihost.cli import commands, run
from multihost.wire.link import link_to
from multihost.wire.session import registry
from tests.manager.test_errors import _everything
from tests.support.echo import ANSWERS, EchoServer
from tests.support.server import Server
from tests.support.sessions import beat
from tests.support.tls import TlsProxy

USER, PASSWORD = "bob", "p@ss/w0rd %:é"
QUOTED = quote(PASSWORD, safe="")
KEY = b"k3y-0f-4uth-0f-t3sts"
VALUE = "all in a value"  # which some calls take for what they asked for
FEW = ["as Redis 5", "all as an error", "the password as a code", VALUE, "NOPERM"]


def texts(error: BaseException) -> Iterator[str]:
    """All that can be printed of an error, and of those that it came from."""
    todo, seen = [error], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield from (str(each), repr(each), repr(each.args), repr(getattr(each, "__notes__", "")))
        yield repr(vars(each))
        yield "".join(traceback.format_exception(each))
        todo += [other for other in (each.__cause__, each.__context__) if other is not None]


def is_clean(text: str, *secrets: str) -> None:
    for secret in secrets or (PASSWORD,):
        for form in (secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]):
            for part in (form, form[:4], form[-4:]):
                assert part.lower() not in text.lower(), text


def check(call: Callable[[], Any], log: pytest.LogCaptureFixture, *secrets: str) -> bool:
    """Return whether the call failed."""
    failed = False
    try:
        call()
    except Exception as error:
        failed = True
        for text in texts(error):
            is_clean(text, *secrets)
    is_clean(log.text, *secrets)
    log.clear()
    return failed


SOME = [
    "as Redis 5",
    "all as an error",
    "the password as a code",
    "NOPERM",
    "OOM",
    "LOADING",
    "MOVED",
]
SOME += ["WRONGTYPE", "ODD", "in a script"]


@pytest.fixture(autouse=True)
def _setting(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every log, and no patience with a server that says that it is not ready."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(registry, "reconnect_timeout_for", lambda address: 0.02)
    monkeypatch.setitem(link_to.__kwdefaults__, "reconnect_timeout", 0.02)


class Provider(redis.CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        return USER, PASSWORD


def ways(port: int, tls: str) -> dict[str, Callable[[], Any]]:
    """All ways to connect to a server with a password."""
    plain = f"redis://{USER}:{QUOTED}@127.0.0.1:{port}/0"
    client: dict[str, Any] = {"host": "127.0.0.1", "port": port}

    def with_client(**options: Any) -> Callable[[], RedisManager]:
        return lambda: RedisManager(client=redis.Redis(**client, **options), timeout=20)

    return {
        "plain": lambda: RedisManager(plain),
        "database": lambda: RedisManager(plain[:-1] + "3"),
        "default user": lambda: RedisManager(plain.replace(USER, "")),
        "long name": lambda: RedisManager(plain.replace(USER, "bob" * 30)),
        "RESP2": lambda: RedisManager(plain + "?protocol=2"),
        "RESP3 of redis-py": lambda: RedisManager(plain + "?protocol=3"),
        "TLS": lambda: RedisManager(tls.replace("rediss://", f"rediss://{USER}:{QUOTED}@")),
        "client": with_client(username=USER, password=PASSWORD),
        "RESP2 client": with_client(username=USER, password=PASSWORD, protocol=2),
        "provider": with_client(credential_provider=Provider()),
    }


@pytest.mark.parametrize("greets", [False, True], ids=["refused", "accepted"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_connecting(answer: str, greets: bool, caplog: pytest.LogCaptureFixture) -> None:
    with EchoServer() as server, TlsProxy(f"redis://127.0.0.1:{server.port}") as tls:
        server.answer, server.greets = ANSWERS[answer], greets
        for name, connect in ways(server.port, tls.url).items():
            assert check(connect, caplog) or answer == VALUE, name


@pytest.mark.parametrize("greets", [False, True], ids=["refused", "accepted"])
@pytest.mark.parametrize("answer", FEW)
def test_a_private_server_at_a_given_address(
    answer: str, greets: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked for a proof first, and cannot give it."""
    with EchoServer() as server:
        server.answer, server.greets = ANSWERS[answer], greets
        manager = SyncManager(("127.0.0.1", server.port), authkey=KEY)
        assert check(manager.connect, caplog, KEY.decode(), KEY.hex())
        manager.shutdown()


COMMANDS = {
    **{name: [name] for name in commands.commands},
    "show": ["show", "x"],
    "rm": ["rm", "x", "--yes"],
    "worker": ["worker", "--pool", "p", "--processes", "1"],
    "ls json": ["ls", "--json", "--memory"],
    "doctor json": ["doctor", "--json"],
}


@pytest.mark.parametrize("greets", [False, True], ids=["refused", "accepted"])
@pytest.mark.parametrize("answer", FEW)
def test_the_command_line(
    answer: str,
    greets: bool,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with EchoServer() as server:
        server.answer, server.greets = ANSWERS[answer], greets
        url = f"redis://{USER}:{QUOTED}@127.0.0.1:{server.port}/0"
        for args in COMMANDS.values():
            check(lambda args=args: run([*args, "--url", url]), caplog)  # type: ignore[misc]
            said = capsys.readouterr()
            assert said.out + said.err or answer == VALUE
            is_clean(said.out + said.err)


def _calls(manager: Any) -> dict[str, Callable[[], Any]]:
    """Calls of every type, none of which waits."""
    calls = _everything(manager)
    lock, semaphore, event = manager.Lock(), manager.Semaphore(1), manager.Event()
    condition, barrier = manager.Condition(), manager.Barrier(2)
    queue, sorted_ = manager.Queue(), manager.PriorityQueue()
    redelivering = manager.Queue(redeliver=True)
    for each in (lock, semaphore, condition):
        each.acquire()
        each.release()
    for each in (queue, sorted_, redelivering):
        each.put(1)
    return calls | {
        "Lock.locked": lock.locked,
        "Lock.holder": lock.holder,
        "Semaphore.release": semaphore.release,
        "Event.set": event.set,
        "Event.clear": event.clear,
        "Event.is_set": event.is_set,
        "Condition.notify": condition.notify_all,
        "Barrier.n_waiting": lambda: barrier.n_waiting,
        "Barrier.abort": barrier.abort,
        "Queue.put": lambda: queue.put(1),
        "Queue.put_many": lambda: queue.put_many([1, 2]),
        "Queue.qsize": queue.qsize,
        "Queue.shutdown": queue.shutdown,
        "PriorityQueue.put": lambda: sorted_.put(1),
        "Queue.dead_letters": redelivering.dead_letters,
        "names": manager.names,
        "delete": lambda: manager.delete("d"),
        "create": lambda: manager.dict("d"),
        "Pool": lambda: manager.Pool(0, name="p"),
    }


@pytest.fixture
def behind(request: pytest.FixtureRequest, fresh_server: Server) -> Iterator[tuple[Any, Any]]:
    """A server that can be told to repeat all, and a manager that is connected to it."""
    fresh_server.command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "+@all")
    with EchoServer(fresh_server.tcp_url) as server:
        options = "?protocol=3" if request.param == "redis-py" else ""
        url = f"redis://{USER}:{QUOTED}@127.0.0.1:{server.port}/0{options}"
        manager = RedisManager(url, timeout=20)
        yield server, manager
        server.answer = None
        manager.runtime.session.link.reconnect_timeout = 0.0
        with contextlib.suppress(Exception):  # it was told nonsense before
            manager.shutdown()


@pytest.mark.leaks_ok("the server told it that nothing can be deleted")
@pytest.mark.parametrize(
    ("answer", "behind"),
    [(answer, "socket") for answer in SOME]
    + [(answer, "redis-py") for answer in SOME if answer in FEW],
    indirect=["behind"],
)
def test_calls(answer: str, behind: tuple[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    server, manager = behind
    calls = _calls(manager)
    manager.runtime.session.link.reconnect_timeout = 0.02
    server.answer, server.greets = ANSWERS[answer], True
    failed = sum([check(call, caplog) for call in calls.values()])
    assert failed > len(calls) * 0.9
    session = manager.runtime.session
    for action in (session.references.renew, partial(beat, session), session.janitor.run):
        check(lambda action=action: session.heartbeat._try(action), caplog)  # type: ignore[misc]
