"""The objects that are damaged, and those beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.damage.world import NAMESPACE, World


@pytest.fixture
def world(server: Any, url: str) -> Iterator[World]:
    with RedisManager(url, namespace=NAMESPACE) as manager:
        world = World(server, manager)
        yield world
        world.restore()
        server.command("DEL", *world.keys())
