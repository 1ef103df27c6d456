"""What is known to go wrong. Each row is an expected failure, strictly: when it does not fail any
more, the row has to go.
"""

from __future__ import annotations

import fnmatch
from typing import NamedTuple

__all__ = ["KNOWN", "Known", "reason_of"]


class Known(NamedTuple):
    """``scenarios`` are patterns of their names. ``witness`` is a schedule of one of them, by its
    number; None if none of them fails each time.
    """

    scenarios: tuple[str, ...]
    fault: str
    witness: tuple[str, int] | None
    reason: str


KNOWN: list[Known] = [
    Known(
        ("lock*", "rlock*", "condition*"),
        "gone back",
        None,  # the numbers of schedules count requests, of which there are others now
        "a grant that others saw before the server forgot it: the checker knows no such order",
    ),
]


def reason_of(scenario: str, fault: str) -> str | None:
    """Return why schedules of a scenario with a fault may be wrong; None if they may not."""
    for row in KNOWN:
        if row.fault == fault and any(fnmatch.fnmatchcase(scenario, s) for s in row.scenarios):
            return row.reason
    return None
