from __future__ import annotations

import pytest

from multihost import RedisManager


@pytest.fixture
def manager(url):
    with RedisManager(url, lease=5) as manager:
        yield manager
