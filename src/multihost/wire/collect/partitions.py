"""The partitions of a namespace, as one collection sees them.

A collection is over when one of its connections is, or a partition is at another server than in the
beginning: cursors mean nothing to another process of the server, and one that came back with an
older state has forgotten marks that were made.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from multihost.wire import keys as key_names
from multihost.wire.collect.objects import contents
from multihost.wire.link import Channel, Link, Node
from multihost.wire.script import Script

__all__ = ["Outdated", "Partitions"]

EVERYWHERE = range(key_names.PARTITIONS)
AT_ONCE = 4  # scripts in one write: while it executes those the server hears nobody else
LONGEST = 0.1  # seconds that one write can take: who took longer stood still, or was cut off

_tops = Script("collect/tops")
_roots = Script("collect/roots")
_cut = Script("collect/cut")
_step = Script("collect/step")

MANY = b"+"  # in place of contents: there are very many


class Outdated(Exception):
    """Another process has begun a collection, the connection broke, or this process ends."""


class Partitions:
    """Runs scripts in them, in small batches. ``stopping`` ends a collection that is under way."""

    def __init__(self, link: Link, namespace: str, stopping: threading.Event) -> None:
        self._link = link
        self._namespace = namespace
        self._stopping = stopping
        self._names = [key_names.names(namespace, number) for number in EVERYWHERE]
        self._lanes = [link.lane(key_names.prefix(namespace, number)) for number in EVERYWHERE]
        # Of each server, and at which of them each partition is: empty if that does not matter.
        self._channels: dict[Node | None, Channel | None] = {}
        self._nodes: list[Node | None] = []
        self._maker = b""
        self._ours: list[set[bytes]] = []
        self.longest_ms: int = 0
        """The longest lease of all processes."""
        self.seconds: float = 0.0
        """How long the collection took so far, without what this process stood still."""

    @contextlib.contextmanager
    def pinned(self, maker: str = "") -> Iterator[None]:
        """What this thread does meanwhile goes over one connection to each server, or raises
        Outdated. The objects of ``maker``, if there is one, count as neither held nor cut. 1 round
        trip for each server.
        """
        self._maker = maker.encode()
        self._ours = [set() for _ in EVERYWHERE]
        self.seconds = 0.0
        lanes: dict[Node | None, Link] = {}
        for lane in self._lanes:
            lanes.setdefault(lane.node, lane)
        for lane in lanes.values():
            lane.execute(b"PING")
        nodes = [lane.node for lane in self._lanes]
        channels = {node: lane.current_channel() for node, lane in lanes.items()}
        if None in channels.values() or not set(nodes) <= channels.keys():
            raise Outdated  # closed since, and what comes over another one is not looked at
        try:
            self._channels, self._nodes = channels, nodes
            yield
        finally:
            # A thread that ends closes its connections: nobody else has them.
            self._channels, self._nodes = {}, []
            self._ours = []

    def run(
        self,
        script: Script,
        calls: Sequence[tuple[int, Sequence[bytes]]],
        *,
        at_once: int | None = None,
    ) -> list[Any]:
        """Run a script in several partitions; return the replies. 1 round trip for each four."""
        at_once = at_once or AT_ONCE
        replies: list[Any] = []
        for start in range(0, len(calls), at_once):
            if self._stopping.is_set():
                raise Outdated
            batch = [([self._names[n]], args) for n, args in calls[start : start + at_once]]
            begun = time.monotonic()
            replies += script.run_many(self._link, batch)
            self.seconds += min(time.monotonic() - begun, LONGEST)
            self._check_channels(number for number, _ in calls[start : start + at_once])
        return replies

    def run_everywhere(self, script: Script, *args: bytes, at_once: int | None = None) -> list[Any]:
        """Run a script in all partitions; return the replies. Raises Outdated for a reply of
        nil.
        """
        calls = [(number, args) for number in EVERYWHERE]
        return _present(self.run(script, calls, at_once=at_once))

    def _check_channels(self, numbers: Iterable[int]) -> None:
        """Raise Outdated if what was read in these partitions came from elsewhere."""
        if not self._nodes:
            return
        for number in numbers:
            lane, node = self._lanes[number], self._nodes[number]
            if lane.node != node or lane.current_channel() is not self._channels[node]:
                raise Outdated

    def forget_ours(self) -> None:
        """Remove what is noted of cut objects of the maker, which is about to end."""
        commands = [
            (b"ZREM", key_names.prefix(self._namespace, n) + b"cut", *ours)
            for n, ours in zip(EVERYWHERE, self._ours, strict=True)
            if ours
        ]
        if commands:
            self._link.pipeline(commands)

    # what marking needs

    def mark_held(self, epoch: bytes) -> None:
        """Mark what living processes hold."""
        waiting = [(number, b"0") for number in EVERYWHERE]
        while waiting:
            calls = [(number, (epoch, cursor, self._maker)) for number, cursor in waiting]
            cursors = _present(self.run(_roots, calls))
            waiting = [
                (number, cursor)
                for (number, _), cursor in zip(waiting, cursors, strict=True)
                if cursor != b"0"
            ]

    def contained_in_names(self) -> Iterator[bytes]:
        """Yield what named objects contain."""
        waiting = [(number, b"0") for number in EVERYWHERE]
        while waiting:
            answers = self.run(_tops, [(number, (cursor,)) for number, cursor in waiting])
            further = []
            for (number, _), (cursor, *told) in zip(waiting, answers, strict=True):
                for entry in told:
                    yield from self.told(number, entry)
                if cursor != b"0":
                    further.append((number, cursor))
            waiting = further

    def cut(self, epoch: bytes, since: Sequence[int]) -> tuple[list[int], list[bytes]]:
        """Return the time of each partition, and what containers let go there since a time."""
        times = list(since)
        found: list[bytes] = []
        waiting = [(number, b"0") for number in EVERYWHERE]
        begun: set[int] = set()
        while waiting:
            calls = [(n, (epoch, b"%d" % since[n], cursor)) for n, cursor in waiting]
            further = []
            for (n, _), answer in zip(waiting, _present(self.run(_cut, calls)), strict=True):
                cursor, time, *idents = answer
                ours = {i for i in idents if self._maker and i.startswith(self._maker)}
                self._ours[n] |= ours
                found += [ident for ident in idents if ident not in ours]
                if n not in begun:  # later pieces may miss what came since the first one
                    begun.add(n)
                    times[n] = time
                if cursor != b"0":
                    further.append((n, cursor))
            waiting = further
        return times, found

    def step(
        self,
        epoch: bytes,
        most: int,
        calls: Sequence[tuple[int, Sequence[bytes], Sequence[bytes]]],
    ) -> list[list[tuple[bytes, list[bytes]]]]:
        """Blacken and mark, in each of these partitions; return for each what is grey there, some
        of it, with its contents.
        """
        packed = [
            (number, (epoch, b"%d" % most, b"%d" % len(black), *black, *marks))
            for number, black, marks in calls
        ]
        return [
            [(entry[0], self.told(number, entry)) for entry in answer]
            for (number, _, _), answer in zip(calls, _present(self.run(_step, packed)), strict=True)
        ]

    def told(self, number: int, entry: list[bytes]) -> list[bytes]:
        """Return the contents of an object that a script told of: itself, and they."""
        ident, *found = entry
        if found != [MANY]:
            return found
        if self._stopping.is_set():
            raise Outdated
        found = contents(self._link, key_names.prefix(self._namespace, number) + ident)
        self._check_channels([number])
        return found


def _present(replies: Iterable[Any]) -> list[Any]:
    """Return the replies. Raises Outdated if one is nil: another collection has begun there."""
    found = list(replies)
    if any(reply is None for reply in found):
        raise Outdated
    return found
