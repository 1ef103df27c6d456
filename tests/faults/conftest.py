"""Requests are counted here: none comes by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from multihost.wire.collect import Collector
from multihost.wire.session import references


@pytest.fixture(autouse=True, scope="session")
def nothing_in_the_background() -> Iterator[None]:
    """Nobody collects, nor renews what was fetched a moment ago."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collector, "take_turn", lambda _: None)
        patch.setattr(references, "GATHERED", 3600.0)
        yield
