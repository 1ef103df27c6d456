from __future__ import annotations

import pytest

from multihost.wire.session import heartbeat
from tests.lifetimes.keys import BEATS


@pytest.fixture
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats come often. Forked children inherit it; programs do it themselves: ``QUICK``."""
    monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", BEATS)
