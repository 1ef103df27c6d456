"""Requests are counted here: none comes by itself."""

from __future__ import annotations

import pytest

from multihost.wire.collect import Collector
from multihost.wire.session import references


@pytest.fixture(autouse=True)
def nothing_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody collects, nor renews what was fetched a moment ago."""
    monkeypatch.setattr(Collector, "take_turn", lambda _: None)
    monkeypatch.setattr(references, "GATHERED", 3600.0)
