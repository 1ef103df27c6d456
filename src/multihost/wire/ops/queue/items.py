"""The form in which a queue stores an item: ``[score ][rank][*deliveries;]value``.

An item of a priority queue has a rank in front, which sorts it among those of its score; in flight,
and as a dead letter, its score too. One that was delivered before has the number of its deliveries.
"""

from __future__ import annotations

__all__ = [
    "DELIVERED",
    "FIRST_BYTES",
    "RANK_SIZE",
    "WITH_PROXIES",
    "split_delivery_count",
    "without_rank",
]

RANK_SIZE = 32  # digits
DELIVERED = ord("*")  # first byte of an item that was delivered before
WITH_PROXIES = b"@"  # first byte of a value that contains proxies
FIRST_BYTES = bytes((DELIVERED, *WITH_PROXIES))  # of items that are more than a value


def without_rank(item: bytes) -> bytes:
    """Return an item in flight, or a dead letter, without its score and rank."""
    return item[item.find(b" ") + 1 + RANK_SIZE :]


def split_delivery_count(item: bytes) -> tuple[bytes, int]:
    """Return the value of an item without a rank, and how often it was delivered before. What
    another program put there is the value, which cannot be read.
    """
    count, found, value = item.partition(b";")
    if not found or count[:1] != b"*" or not count[1:].isdigit() or len(count) > 16:
        return item, 0
    return value, int(count[1:])
