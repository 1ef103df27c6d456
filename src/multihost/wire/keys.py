"""Every key name, as a function of what it belongs to. No other module writes one.

Keys that scripts use together share a hash tag ``{namespace:NN}``: the partition of the object's
identity, one of 64. An object owns its data; ``data:index``, the order of a dict; ``data:spelled``,
the keys and members whose first spelling is not the canonical one; ``data:refs``, the unnamed
objects it contains; and ``data:owners``, the kept objects that contain it. A queue has
``data:items``, ``data:dead`` for dead letters, and ``data:flight:<session>.<n>`` for what a
consumer has taken. Scripts are given the first and derive the others. Who waits for an object is
blocked on the list ``data:tokens``, or ``data:tokens:<generation>``: what lies there is a hint, and
expires. A host (``h:<22 characters>``), a process that has objects in its memory, has
``data:talks``, its conversations, of which each goes over the lists ``data:a:<id>`` and
``data:b:<id>``, and ``data:left``, what clients let go. A partition has its ``names``, and a key
``s:<id>`` for each session that holds or waits for something in it; the first one also lists the
``hosts`` of the namespace.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from multihost.wire.identity import NAMED, UNNAMED, escape, name_of, new_unnamed, unescape

__all__ = [
    "PARTITIONS",
    "PROTOCOL",
    "REPLY_CACHE_MS",
    "REPLY_CACHE_SECONDS",
    "Keys",
    "Part",
    "colocated_ident",
    "hosts",
    "names",
    "part",
    "partition",
    "pattern",
    "prefix",
]

PROTOCOL = 1
"""Number of the data layout. A change of it needs a note for users and an upgrade test."""

PARTITIONS = 64

REPLY_CACHE_SECONDS = 60.0
"""How long the server remembers the last request of a connection, and so how long a request may be
sent again (``lua/lib/reply_cache.lua``)."""

REPLY_CACHE_MS = b"%d" % (REPLY_CACHE_SECONDS * 1000)


def partition(ident: str) -> int:
    """Which of the 64 partitions ``ident`` belongs to; the same on every host."""
    return zlib.crc32(ident.encode("utf-8", "surrogatepass")) % PARTITIONS


def prefix(namespace: str, number: int) -> bytes:
    """What all keys of a partition start with."""
    return b"{%b:%02d}:" % (namespace.encode(), number)


def names(namespace: str, number: int) -> bytes:
    """The hash of the names in a partition: name -> type, parameters, protocol."""
    return prefix(namespace, number) + b"names"


def hosts(namespace: str) -> bytes:
    """The hash of the hosts in a namespace: host -> the types it serves."""
    return prefix(namespace, 0) + b"hosts"


def pattern(namespace: str) -> bytes:
    """What SCAN looks for to find every key of a namespace, and few others."""
    return b"{%b:[0-9][0-9]}:*" % namespace.replace("\\", "\\\\").encode()


class Part(NamedTuple):
    """What a key is: part of an object, or of a partition (then ``ident`` is empty).

    ``suffix`` is empty for the data of an object.
    """

    number: int
    ident: str
    suffix: str


_KEY = re.compile(rb"\{(.*?):(\d\d)\}:(.*)", re.DOTALL)


def part(namespace: str, key: bytes) -> Part | None:
    """What the key is, None if it is not one of this namespace."""
    found = _KEY.fullmatch(key)
    if found is None or found[1] != namespace.encode():
        return None
    number, tail = int(found[2]), found[3].decode("utf-8", "surrogatepass")
    if tail[:2] not in (NAMED, UNNAMED):
        return Part(number, "", tail)
    name, _, suffix = tail[2:].partition(":")
    return Part(number, tail[:2] + unescape(name, ":"), suffix)


def colocated_ident(ident: str) -> str:
    """A new ident of an unnamed object, in the partition of ``ident``."""
    number = partition(ident)
    while partition(found := new_unnamed()) != number:
        pass
    return found


class Keys:
    """The keys of one object.

    ``ident`` is ``n:<name>`` for a named object, ``u:<22 characters>`` for an unnamed one, and
    ``h:<22 characters>`` for a host.
    """

    __slots__ = ("data", "ident", "names", "prefix", "sessions")

    def __init__(self, namespace: str, ident: str) -> None:
        number = partition(ident)
        self.ident = ident
        self.prefix = prefix(namespace, number)
        self.names = names(namespace, number)
        self.sessions = self.prefix + b"s"
        # A colon in a name is escaped: a suffix cannot be mistaken for a part of it.
        tail = ident[2:] if ident.startswith(UNNAMED) else escape(ident[2:], ":")
        self.data = self.prefix + f"{ident[:2]}{tail}".encode("utf-8", "surrogatepass")

    @property
    def name(self) -> bytes | None:
        """The name as the server has it, None for an unnamed object."""
        name = name_of(self.ident)
        return None if name is None else name.encode("utf-8", "surrogatepass")

    @property
    def clients(self) -> bytes:
        """What the data of unnamed objects of this partition starts with, but for a colon."""
        return self.prefix + b"u"

    @property
    def index(self) -> bytes:
        return self.data + b":index"

    @property
    def originals(self) -> bytes:
        return self.data + b":spelled"

    @property
    def refs(self) -> bytes:
        return self.data + b":refs"

    @property
    def owners(self) -> bytes:
        return self.data + b":owners"

    @property
    def items(self) -> bytes:
        return self.data + b":items"

    @property
    def dead(self) -> bytes:
        return self.data + b":dead"

    def in_flight(self, place: bytes) -> bytes:
        """Where a consumer of a queue keeps what it has taken."""
        return b"%b:flight:%b" % (self.data, place)

    def all_in_flight(self, refs: Mapping[bytes, bytes]) -> list[bytes]:
        """All of those that the queue knows of, by what its refs say."""
        return [
            self.in_flight(b"%b.%d" % (field[2:], number))
            for field, count in refs.items()
            if field[:2] == b"f:"
            for number in range(1, int(count) + 1)
        ]

    @property
    def tokens(self) -> bytes:
        return self.data + b":tokens"

    @property
    def channels(self) -> bytes:
        return self.data + b":talks"

    @property
    def released(self) -> bytes:
        return self.data + b":left"

    def channel(self, side: bytes, talk: bytes) -> bytes:
        """What is said in a conversation: side ``a`` to the host, ``b`` by it."""
        return b"%b:%b:%b" % (self.data, side, talk)

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key that an object may own which is no queue."""
        return self.data, self.index, self.originals, self.refs, self.owners
