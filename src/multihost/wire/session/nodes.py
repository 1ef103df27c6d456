"""Work at several servers, of which one may be away: the others do not wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from multihost.errors import LinkError, MultihostError
from multihost.wire.link import Link, Node

__all__ = ["for_each_node"]

T = TypeVar("T")


def for_each_node(
    items: Iterable[T],
    link_of: Callable[[T], Link],
    action: Callable[[T], object],
    is_away: Callable[[Node], bool] = lambda _: False,
) -> None:
    """Call ``action`` with each of these. If it fails for one, leave out the rest of those at the
    same server, go on with the others, and raise the first error in the end. Those at a server of
    several that ``is_away`` fail at once: to ask it would hold up the others.
    """
    failed: dict[Node | None, MultihostError] = {}
    for item in items:
        link = link_of(item)
        node = link.node
        if node in failed:
            continue
        if node is not None and is_away(node):
            failed[node] = LinkError(f"{node[0]}:{node[1]}, of {link.address}, does not answer")
            continue
        try:
            action(item)
        except MultihostError as error:
            failed[node] = error
    for first in failed.values():
        raise first
