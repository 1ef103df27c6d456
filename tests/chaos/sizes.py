"""How much is done to what is tested: with the other tests a sample, all of it by ``make chaos``.

And the lease of those whom nobody is to find out about by that: no test is as patient.
"""

from __future__ import annotations

import os
from typing import TypeVar

from tests.support.waiting import PATIENCE

__all__ = ["LONG_LEASE", "sample"]

T = TypeVar("T")

LONG_LEASE = 10 * PATIENCE


def sample(everything: T, some: T) -> T:
    """Return the one or the other."""
    return everything if os.environ.get("MULTIHOST_CHAOS") else some
