"""A set of objects that are used elsewhere, and leave it when nothing else refers to them.

``weakref.WeakSet`` raises RuntimeError for whoever looks through it while another thread adds
something.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["WeakMembers"]

T = TypeVar("T")


class WeakMembers(Generic[T]):
    """The members that are alive. Any thread adds, discards and looks through them."""

    __slots__ = ("_references",)

    def __init__(self) -> None:
        self._references: set[weakref.ref[T]] = set()

    def add(self, member: T) -> None:
        references = self._references  # the callback must not keep this object alive
        references.add(weakref.ref(member, references.discard))

    def discard(self, member: T) -> None:
        self._references.discard(weakref.ref(member))

    def __iter__(self) -> Iterator[T]:
        """Iterate over those that are members now."""
        # A set is copied in one step, in which no other thread runs.
        references = list(self._references)
        return iter([each for ref in references if (each := ref()) is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)
