"""A signal handler raises at any bytecode of a change of a dict, a list and their kin.

It was carried out once, or not at all, and so was every other; the next call gets its own reply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from tests.interrupts.steps import ALL, explore
from tests.support.interrupts import Outcome

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


CHANGES: dict[str, tuple[str, Callable[[Any], object], Callable[[Any], int]]] = {
    "dict.increment": ("dict", lambda d: d.increment("n"), lambda d: d.get("n", 0)),
    "dict, disconnected": ("dict", lambda d: d.increment("n"), lambda d: d.get("n", 0)),
    "list.append": ("list", lambda each: each.append(1), len),
    "list.extend": ("list", lambda each: each.extend([1]), len),
    "list +=": ("list", lambda each: each.__iadd__([1]), len),
    "list.insert": ("list", lambda each: each.insert(0, 1), len),
    "a list in a list": ("list", lambda each: each.append([1]), len),
}
if not ALL:
    CHANGES = {name: CHANGES[name] for name in ("dict, disconnected", "a list in a list")}


@pytest.mark.parametrize("name", CHANGES)
def test_change(name: str, mine: RedisManager, theirs: RedisManager) -> None:
    kind, change, read = CHANGES[name]
    shared, others = getattr(mine, kind)("shared"), getattr(theirs, kind)("shared")
    returned = interrupted = 0

    def before() -> None:
        if "disconnected" in name:
            mine.runtime.session.link.disconnect_current()

    def after(outcome: Outcome) -> None:
        nonlocal returned, interrupted
        returned += outcome.has_returned
        interrupted += not outcome.has_returned
        total = read(others)
        assert returned <= total <= returned + interrupted
        change(shared)
        returned += 1
        # One that was interrupted may still arrive.
        assert total < read(shared) <= returned + interrupted

    explore(mine, lambda: change(shared), after, lambda: None, before)
