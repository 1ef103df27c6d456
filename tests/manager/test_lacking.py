"""Servers that lack a part of Redis, or a proxy in front of them does: what works all the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import redis

from multihost import RedisManager
from tests.manager.test_addresses import works
from tests.objects.bodies import BODIES, Body
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer
from tests.support.tls import TlsProxy
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
    start_server: Callable[..., AnyServer],
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
