"""Unnamed objects in groups, and what they contain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from multihost.wire.keys import Keys
from multihost.wire.link import Link
from multihost.wire.script import Script

__all__ = ["by_partition", "contents", "is_ident"]

_contents = Script("object/contents")

PER_CALL = 200  # objects


def is_ident(ident: bytes) -> bool:
    """Return whether it is that of an unnamed object: other programs may leave others."""
    return re.fullmatch(rb"u:[\w-]{1,64}", ident) is not None


def by_partition(objects: Iterable[Keys], most: int = PER_CALL) -> Iterator[list[Keys]]:
    """Yield the objects in groups of at most so many that one script may touch."""
    groups: dict[bytes, list[Keys]] = {}
    for keys in objects:
        groups.setdefault(keys.prefix, []).append(keys)
    for group in groups.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]


def contents(link: Link, data: bytes) -> list[bytes]:
    """Return what the object of a key contains, however much that is. 1 round trip for each 500
    objects.
    """
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, *piece = _contents.run_readonly(link, [data], cursor)
        found += piece
        if cursor == b"0":
            return found
