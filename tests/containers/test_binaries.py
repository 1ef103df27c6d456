"""The shared types on every server program there is: Redis 6.2 to 8, Valkey 7.2 to 9."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from multihost import RedisManager
from tests.containers.binaries import programs
from tests.objects.bodies import BODIES, Body
from tests.support.leaks import ownerless_keys
from tests.support.server import Server, server_version

PROGRAMS = programs()


@pytest.fixture(scope="module", params=PROGRAMS or ["none"])
def program(request: pytest.FixtureRequest) -> Iterator[Server]:
    if not PROGRAMS:
        pytest.skip("needs a redis-server or a valkey-server")
    with Server(program=PROGRAMS[request.param]) as server:
        yield server


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_types(body: Body, program: Server) -> None:
    with RedisManager(program.url) as m:
        body(m)
        assert m.names() == [], server_version(program.program)
    assert ownerless_keys(program) == []
