"""Two processes, as far as the server can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from multihost import RedisManager
from tests.interrupts.steps import open_channels
from tests.support.leaks import AnyServer


@pytest.fixture
def mine(server: AnyServer) -> Iterator[RedisManager]:
    """Whose calls are interrupted. No connection may be left of those."""
    with RedisManager(server.url) as manager:
        yield manager
        assert open_channels(manager) <= 2  # this thread's, and that of the background


@pytest.fixture
def theirs(server: AnyServer) -> Iterator[RedisManager]:
    """What another process has: a session of its own."""
    with RedisManager(server.url) as manager:
        yield manager
