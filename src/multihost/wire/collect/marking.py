"""Which objects to mark next: the rounds of one collection.

An object is *white* until something is known to lead to it, then *grey*; when all that it contains
is marked, too, it is *black*. Marking goes on until one round through all partitions finds nothing
grey. Clients store and remove meanwhile: what they store is marked before, and what they remove is
told by the log of the partition (``collect/cut``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from multihost.wire.collect.objects import is_ident
from multihost.wire.keys import LET_GO, PARTITIONS, partition

__all__ = ["Graph", "Marking"]

MOST_GREY = 10  # objects whose contents one script tells
MOST_MARKS = 200  # objects that one script marks


class Graph(Protocol):
    """What contains what, as the partitions tell it."""

    def cut(self, epoch: bytes, since: Sequence[int]) -> tuple[list[int], list[bytes]]:
        """Return the time of each partition, and what containers let go there since a time."""

    def step(
        self,
        epoch: bytes,
        most: int,
        calls: Sequence[tuple[int, Sequence[bytes], Sequence[bytes]]],
    ) -> list[list[tuple[bytes, list[bytes]]]]:
        """Blacken and mark, in each of these partitions; return for each what is grey there, some
        of it, with its contents.
        """


class Marking:
    """The marks of one epoch.

    ``since`` has for each partition the time from which on what was let go counts as contained.
    """

    def __init__(self, graph: Graph, epoch: int, since: Sequence[int]) -> None:
        self._graph = graph
        self._epoch = b"%d" % epoch
        self._since = list(since)
        # By partition: what is to be marked, and what is to be blackened, since its contents are
        # in the first.
        self._marks: list[dict[bytes, None]] = [{} for _ in range(PARTITIONS)]
        self._black: list[list[bytes]] = [[] for _ in range(PARTITIONS)]

    def mark(self, idents: Iterable[bytes]) -> None:
        """Have objects marked in the next round; what is no ident was not written by multihost."""
        for ident in idents:
            if is_ident(ident):
                self._marks[_partition_of(ident)][ident] = None

    def finish(self) -> None:
        """Mark until a round through all partitions finds nothing grey."""
        while True:
            active = self._active()
            while active:
                active = self._round(active) | self._active()
            self._since, cut = self._graph.cut(self._epoch, self._since)
            self.mark(cut)
            if not self._round(set(range(PARTITIONS))) and not self._active():
                return

    def _active(self) -> set[int]:
        """Return the partitions in which something is to be marked or blackened."""
        return {n for n in range(PARTITIONS) if self._marks[n] or self._black[n]}

    def _round(self, active: set[int]) -> set[int]:
        """Take one step in each of these partitions; return those that had something grey."""
        calls = []
        for number in sorted(active):
            marks = list(self._marks[number])
            self._marks[number] = dict.fromkeys(marks[MOST_MARKS:])
            black, self._black[number] = self._black[number], []
            calls.append((number, black, marks[:MOST_MARKS]))
        grey = set()
        told = self._graph.step(self._epoch, MOST_GREY, calls)
        for (number, _, _), found in zip(calls, told, strict=True):
            for ident, contained in found:
                self.mark(contained)
                self._black[number].append(ident)
                grey.add(number)
        return grey


def _partition_of(ident: bytes) -> int:
    """Return where an unnamed object is."""
    text = ident.decode()
    number = text.removeprefix(LET_GO)[:2]
    if number != text[:2] and number.isdecimal():
        return int(number) % PARTITIONS
    return partition(text)
