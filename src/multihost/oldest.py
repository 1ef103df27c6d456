"""The oldest servers that have the commands in use."""

from __future__ import annotations

import re

__all__ = ["OLDEST", "is_too_old"]

OLDEST = (6, 2)
"""Of Redis; every Valkey is newer, and says which Redis it is like."""


def is_too_old(version: str) -> bool:
    """Return True for a version of Redis, such as 6.0.16, that lacks commands; False if it is
    none.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
