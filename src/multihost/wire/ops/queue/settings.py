"""The settings of a queue, which are fixed when it is created."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FIFO", "LIFO", "PRIORITY", "QueueSettings"]

FIFO, LIFO, PRIORITY = "f", "l", "p"


class QueueSettings(NamedTuple):
    """What all clients of a queue agree on."""

    maxsize: int
    """Items at most; 0: any number."""
    order: str
    """:data:`FIFO`, :data:`LIFO` or :data:`PRIORITY`."""
    max_deliveries: int
    """How often an item is delivered until it is done; 0: once, done or not; -1: any number."""
