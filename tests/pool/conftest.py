from __future__ import annotations

import pytest

from multihost import RedisManager
from tests.support.waiting import PATIENCE


@pytest.fixture
def manager(url):
    with RedisManager(url, lease=PATIENCE) as manager:
        yield manager
