"""Work at several servers, of which one may be away: the others do not wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from multihost.errors import MultihostError
from multihost.wire.link import Link, Node

__all__ = ["for_each_node"]

T = TypeVar("T")


def for_each_node(
    items: Iterable[T], link_of: Callable[[T], Link], action: Callable[[T], object]
) -> None:
    """Call ``action`` with each of these. If it fails for one, leave out the rest of those at the
    same server, go on with the others, and raise the first error in the end.
    """
    failed: dict[Node | None, MultihostError] = {}
    for item in items:
        node = link_of(item).node
        if node in failed:
            continue
        try:
            action(item)
        except MultihostError as error:
            failed[node] = error
    for first in failed.values():
        raise first
