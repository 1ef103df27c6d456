"""Every type over every transport, with every encoding of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.objects.bodies import BODIES, Body
from tests.support.leaks import AnyServer


def with_client(server: AnyServer) -> RedisManager:
    import redis

    with redis.Redis.from_url(server.unix_url) as client:
        return RedisManager(client=client)


WAYS: dict[str, Callable[[AnyServer], RedisManager]] = {
    "unix": lambda server: RedisManager(server.unix_url),
    "tcp": lambda server: RedisManager(server.tcp_url),
    "client": with_client,
    "signed": lambda server: RedisManager(server.unix_url, authkey=b"a key of the tests"),
}


@pytest.fixture(params=WAYS)
def m(request: pytest.FixtureRequest, server: AnyServer) -> Iterator[RedisManager]:
    with WAYS[request.param](server) as manager:
        yield manager


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_types(body: Body, m: Any) -> None:
    body(m)
    assert m.names() == []
