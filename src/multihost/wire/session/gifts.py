"""What this process knows of one unnamed object, and of whom else it has given it to.

A process gives an object to each that it forks, and in the arguments of each that it starts. Such
gifts are counted, since each has one receiver, which had nothing before. When a process lets go in
order it says how many it gave, and returns those that it was given; so the server knows when all
who ever had the object have let go (``object/let_go``), and removes it at once. Any other pickle of
a proxy may be read by any number of processes: who has it from there is not counted, and whoever
made such a pickle never says that it has let go. Then the object goes with its lease.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from multihost.errors import BadPayload, InternalError
from multihost.wire.collect import by_partition
from multihost.wire.keys import Keys
from multihost.wire.link import Link
from multihost.wire.script import CommandPrefix, Script
from multihost.wire.session.nodes import for_each_node
from multihost.wire.stored import report_damage

__all__ = ["ObjectReference", "ReleaseRemote", "let_go"]

_let_go = Script("object/let_go")

ReleaseRemote = Callable[[Sequence[tuple[str, int]]], object]
"""Releases references, ``(ident, version)``, to objects in the memory of one host."""


class ObjectReference:
    """What this process knows of one unnamed object, from its first proxy to its last."""

    __slots__ = (
        "count",
        "created",
        "forks",
        "gifts",
        "keys",
        "owed",
        "release",
        "renewed",
        "spread",
        "version",
    )

    def __init__(self, keys: Keys, created: bool, forks: int) -> None:
        self.keys: Keys = keys
        self.count: int = 0  # proxies in this process
        self.created: bool = created  # by this process, which deletes it in the end
        self.spread: bool = False  # others may have got it, nobody knows how many
        self.gifts: int = 0  # to processes that this one started, and to each ...
        self.forks: int = forks  # ... that was forked since
        self.owed: set[str] = set()  # gifts that this process received: '<giver>.<number>'
        self.renewed: float = time.monotonic() if created else -math.inf  # when, by this process
        # Of an object in the memory of a host: with which number the host last sent a reference to
        # this process, and what releases that one and all before it.
        self.version: int = 0
        self.release: ReleaseRemote | None = None

    @property
    def is_counted(self) -> bool:
        """Whether this process is one of those of which it is known that they have the object, and
        has given it to no others.
        """
        return (self.created or bool(self.owed)) and not self.spread and self.release is None

    def given(self, forks: int) -> int:
        """Return how often this process has given the object."""
        return self.gifts + forks - self.forks

    def is_exclusive(self, forks: int) -> bool:
        """Return whether no other process can have a proxy of the object."""
        return self.created and not self.spread and not self.given(forks)

    def inherit(self, giver: str, forks: int) -> None:
        """Become that of a child that was forked, which had this one's process as its parent."""
        self.owed = {f"{giver}.f{forks}"} if self.is_counted else set()
        self.created = self.spread = False
        self.gifts, self.forks = 0, forks
        self.renewed = -math.inf


class _Partition(NamedTuple):
    """That of some objects, for a script that runs once."""

    link: Link
    keys: Keys
    command_prefixes: dict[tuple[Script, int], CommandPrefix]


def let_go(link: Link, giver: str, forks: int, references: Iterable[ObjectReference]) -> None:
    """Say that this process has let go of objects, for good; the server removes those that nobody
    has any more. 1 round trip for each 200 objects of a partition.

    If that fails it must not be tried again: they go with their lease.
    """
    by_ident = {each.keys.ident: each for each in references}

    def let_go_of(chunk: Sequence[Keys]) -> None:
        args = [giver.encode()]
        for keys in chunk:
            reference = by_ident[keys.ident]
            owed = Counter(gift.partition(".")[0] for gift in reference.owed)
            returned = " ".join(f"{who} {count}" for who, count in owed.items())
            args += [keys.ident.encode(), b"%d" % reference.given(forks), returned.encode()]
        try:
            _let_go.run_once(_Partition(link.lane(chunk[0].prefix), chunk[0], {}), *args)
        except (BadPayload, InternalError) as error:
            report_damage(f"at {link.address}", str(error))

    chunks = by_partition(each.keys for each in by_ident.values())
    for_each_node(chunks, lambda chunk: link.lane(chunk[0].prefix), let_go_of)
