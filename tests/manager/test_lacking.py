"""Servers that lack a part of Redis, or a proxy in front of them does: what works all the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import redis

from multihost import AccessDenied, RedisManager, ServerUnfit
from multihost.pool import Pool
from tests.faults.calls import Call
from tests.manager.test_addresses import works
from tests.objects.bodies import BODIES, Body
from tests.support.faults import CuttingProxy
from tests.support.server import Server
from tests.support.tls import TlsProxy
from tests.support.waiting import PATIENCE, wait_until
from tests.tour import test_processes, test_queue, test_synchronisation, test_tour

# -- no RESP3

NO_RESP3 = {
    "unknown": "ERR unknown command 'HELLO', with args beginning with: '3'",
    "NOPROTO": "NOPROTO unsupported protocol version",
}


@pytest.fixture
def resp2(proxy: CuttingProxy) -> Iterator[CuttingProxy]:
    """As a server before Redis 6, or many a proxy."""
    proxy.refusals["HELLO"] = NO_RESP3["unknown"]
    yield proxy
    assert proxy.passed[b"HELLO"], "it was asked for"


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_all_types_work_without_resp3(body: Body, resp2: CuttingProxy) -> None:
    with RedisManager(resp2.url) as manager:
        body(manager)
        assert manager.names() == []


def tours(*modules: ModuleType) -> list[Any]:
    return [
        pytest.param(function, id=name)
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("test_") and list(inspect.signature(function).parameters) == ["url"]
    ]


@pytest.mark.parametrize("tour", tours(test_tour, test_queue, test_synchronisation, test_processes))
def test_the_tour_works_without_resp3(tour: Callable[[str], None], resp2: CuttingProxy) -> None:
    tour(resp2.url)


@pytest.mark.parametrize("reply", NO_RESP3.values(), ids=NO_RESP3)
def test_a_connection_of_redis_py_does_without_resp3(reply: str, proxy: CuttingProxy) -> None:
    proxy.refusals["HELLO"] = reply
    works(RedisManager(proxy.url + "?protocol=3"))
    with TlsProxy(proxy) as tls:
        works(RedisManager(tls.url))
    with redis.Redis.from_url(proxy.url, protocol=3) as client:
        works(RedisManager(client=client))


def test_a_password_is_sent_without_resp3(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(tcp=True)
    server.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all")
    server.command("ACL", "SETUSER", "default", "on", ">other")
    with CuttingProxy(server.url_for("bob", "pw")) as proxy:
        proxy.refusals["HELLO"] = NO_RESP3["NOPROTO"]
        with RedisManager(proxy.url) as manager:
            manager.dict("d", a=1)
            assert {row["user"] for row in server.clients()} == {"bob"}
            assert {row["name"] for row in server.clients()} == {"multihost"}
            manager.delete("d")


# -- commands that are refused

COMMANDS = [
    "CLIENT",
    "CLIENT ID",
    "CLIENT KILL",
    "CLIENT LIST",
    "CLIENT REPLY",
    "CLIENT SETNAME",
    "CONFIG",
    "INFO",
    "MEMORY",
    "OBJECT",
]
EVERYTHING = ["HELLO", *COMMANDS]
"""But for TIME, by which sessions know the age of what they see."""
REPLIES = {
    "unknown": "ERR unknown command '{}'",
    "NOPERM": "NOPERM this user has no permissions to run the '{}' command",
    "not available": "ERR Command is not available: '{}'",
}


def use(url: str) -> None:
    """What one process does, and what two do that wait for each other."""
    with RedisManager(url) as ours, RedisManager(url) as theirs:
        d = ours.dict("d", a=1)
        d.update(b=2)
        assert theirs.dict("d").copy() == {"a": 1, "b": 2}
        assert d.statistics().length == 2
        lock, queue, event = ours.Lock("lock"), ours.Queue("queue", 1), ours.Event("event")
        barrier, condition = ours.Barrier(2, name="barrier"), ours.Condition("condition")
        tasks = ours.Queue("tasks", redeliver=True)
        assert lock.acquire()
        waits = [
            Call(theirs.Lock("lock").acquire),
            Call(theirs.Event("event").wait),
            Call(theirs.Queue("tasks").get),
            Call(theirs.Barrier(2, name="barrier").wait),
        ]
        wait_until(lambda: lock.statistics().waiters == 1)
        lock.release()
        event.set()
        tasks.put("task")
        assert barrier.wait() + waits[3].outcome() == 1
        assert [each.outcome() for each in waits[:3]] == [True, True, "task"]
        theirs.Queue("tasks").task_done()
        tasks.join()
        theirs.Lock("lock").release()
        with condition:
            told = Call(partial(notify, theirs))
            assert condition.wait(PATIENCE)
        told.outcome()
        queue.put(1)
        full = Call(partial(theirs.Queue("queue").put, 2))
        assert [queue.get(), queue.get()] == [1, 2]
        full.outcome()
        for name in ours.names():
            ours.delete(name)
    with Pool(1, url=url) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


def notify(manager: Any) -> None:
    condition = manager.Condition("condition")
    with condition:
        condition.notify()


@pytest.mark.parametrize(
    ("refused", "reply"),
    [
        *((["CLIENT"], reply) for reply in REPLIES),
        *(([name], "unknown") for name in COMMANDS),
        (EVERYTHING, "unknown"),
        (EVERYTHING, "NOPERM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:2]),
)
def test_all_of_it_works_without(refused: list[str], reply: str, proxy: CuttingProxy) -> None:
    proxy.refusals.update({name: REPLIES[reply].format(name) for name in refused})
    use(proxy.url)


@pytest.mark.parametrize(("reply", "kind"), [("unknown", ServerUnfit), ("NOPERM", AccessDenied)])
def test_what_is_needed_is_named(reply: str, kind: type[Exception], proxy: CuttingProxy) -> None:
    proxy.refusals["TIME"] = REPLIES[reply].format("TIME")
    with RedisManager(proxy.url) as manager, pytest.raises(kind, match="TIME"):
        manager.Lock().acquire()


# -- idle timeouts


def test_what_is_idle_for_long_goes_on(start_server: Callable[..., Server]) -> None:
    """As many services do, the server closes what was idle; whoever waits, and the thread that
    renews, notice it and lose nothing.
    """
    server = start_server(tcp=True)
    with RedisManager(server.url) as ours, RedisManager(server.url) as theirs:
        d, lock = ours.dict("d", n=0), ours.Lock("lock")
        queue = ours.Queue("queue", redeliver=True)
        assert lock.acquire()
        waits = [Call(theirs.Queue("queue").get), Call(theirs.Lock("lock").acquire)]
        wait_until(lambda: lock.statistics().waiters == 1)
        own = ours.runtime.session.link.current_channel().client_id.decode()
        server.command("CONFIG", "SET", "timeout", "1")
        server.drop_controls()
        wait_until(lambda: own not in {row["id"] for row in server.clients()})
        assert d.increment("n") == 1
        assert lock.holder() is not None
        assert all(each.is_alive() for each in waits)
        queue.put("item")
        lock.release()
        assert [each.outcome() for each in waits] == ["item", True]
        theirs.Queue("queue").task_done()
        queue.join()
        theirs.Lock("lock").release()
        assert d.copy() == {"n": 1}
        for name in ours.names():
            ours.delete(name)
