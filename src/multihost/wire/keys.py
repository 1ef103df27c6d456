"""Every key name, as a function of what it belongs to. No other module writes one.

Keys that scripts use together share a hash tag ``{namespace:NN}``: the partition of the object's
ident, one of 64. Scripts are given ``data``, the key of an object, and derive the others from it.
``LAYOUT`` lists them all; ``docs/protocol.md`` is made from it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from multihost.wire.identity import NAMED, UNNAMED, escape, name_of, new_unnamed, unescape
from multihost.wire.stored import MOST_LISTS, number

__all__ = [
    "HELD",
    "IN_FLIGHT",
    "LAYOUT",
    "LET_GO",
    "PARTITIONS",
    "PROTOCOL",
    "REPLY_CACHE_MS",
    "REPLY_CACHE_SECONDS",
    "Keys",
    "Part",
    "collector",
    "colocated_ident",
    "guard",
    "hosts",
    "leases",
    "names",
    "part",
    "partition",
    "pattern",
    "prefix",
    "ring",
]

PROTOCOL = 4
"""Number of the data layout. A change of it needs a note for users and an upgrade test."""

PARTITIONS = 64

REPLY_CACHE_SECONDS = 60.0
"""How long the server remembers the last request of a connection, and so how long a request may be
sent again (``lua/lib/reply_cache.lua``)."""

REPLY_CACHE_MS = b"%d" % (REPLY_CACHE_SECONDS * 1000)

LAYOUT = (
    (
        "{namespace:NN}:names",
        "hash",
        "name → protocol, codec, type and parameters of a named object",
    ),
    (
        "{namespace:NN}:-",
        "none",
        "the guard, the last key of each call in a cluster: it never exists",
    ),
    ("{namespace:00}:hosts", "hash", "host → the types that it serves"),
    (
        "{namespace:NN}:s:<session>",
        "hash",
        "record of a process that holds or waits for something here; its TTL is for garbage only",
    ),
    (
        "{namespace:00}:ring:<host>",
        "zset",
        "ids of the sessions of a host, each of which watches the next few",
    ),
    (
        "{namespace:00}:ring:<host>:entries",
        "hash",
        "session → its process, connections, whom it watches, and its records",
    ),
    (
        "{namespace:NN}:r:<connection>",
        "string",
        "reply cache: the last request of a connection and its reply; it expires after a minute",
    ),
    (
        "{namespace:NN}:r:<connection>:args",
        "list",
        "arguments that are sent in parts; they expire after a minute",
    ),
    (
        "{namespace:NN}:kept",
        "zset",
        "unnamed object without a lease → its colour: twice an epoch, and one more if it is black",
    ),
    ("{namespace:NN}:held", "zset", "such an object → when the last lease of its holders ends"),
    (
        "{namespace:NN}:cut",
        "zset",
        "unnamed object → when a container without a lease last let go of it",
    ),
    (
        "{namespace:NN}:partial",
        "set",
        "objects without a lease of which some contents may have one",
    ),
    ("{namespace:NN}:tops", "set", "named objects that contain unnamed ones"),
    ("{namespace:NN}:epoch", "hash", "the epochs of the collector; without objects they expire"),
    (
        "{namespace:NN}:lists",
        "hash",
        "`<object> <session>` → how many places, or in-flight lists, the session has there",
    ),
    ("{namespace:00}:collector", "string", "the session whose turn it is to collect"),
    (
        "{namespace:00}:leases",
        "zset",
        "a lease → until when a process may have it; `kept` → inf: there are objects without one",
    ),
    ("{namespace:NN}:n:<name>", "by type", "a named object: `data` below"),
    (
        "{namespace:NN}:u:<22 characters>",
        "by type",
        "an unnamed object: `data` below; it has a TTL until something without one contains it",
    ),
    ("{namespace:NN}:h:<22 characters>", "hash", "a host process: `data` below"),
    ("data:index", "zset", "the keys of a dict, by the number of their insertion"),
    (
        "data:originals",
        "hash",
        "canonical field → the key or member that was stored first, where its bytes differ",
    ),
    ("data:refs", "hash", "the sessions that have places, or in-flight lists"),
    ("data:contains", "hash", "unnamed object → how many values in it refer to that"),
    (
        "data:given",
        "hash",
        "process that let go → how often it gave the object to others, less how often those let go",
    ),
    ("data:items", "list or zset", "the items of a queue; a zset if it is sorted by priority"),
    ("data:dead", "list", "the dead letters of a queue"),
    (
        "data:inflight:<session>.<n>",
        "list",
        "what a consumer has received from a queue and not acknowledged",
    ),
    (
        "data:free",
        "list",
        "the elements of a lock or a semaphore that are free: one for each permit",
    ),
    (
        "data:held:<session>.<n>",
        "list",
        "a place: the elements that a session has taken from there, and so holds",
    ),
    (
        "data:tokens",
        "list",
        "wake-up tokens, on which the waiters of an object are blocked; they expire after a minute",
    ),
    (
        "data:tokens:<generation>",
        "list",
        "the same, of a generation of a condition, event or barrier; `get`, `join` of a queue",
    ),
    ("data:channels", "set", "the RPC channels of a host: `<session>.<n>`"),
    ("data:req:<channel>", "list", "requests to a host on one of them"),
    ("data:res:<channel>", "list", "its responses"),
    ("data:released", "set", "references to objects of a host that clients released"),
)
"""Each kind of key, its type on the server and what it holds."""

IN_FLIGHT = "inflight:"
"""Start of the suffix of an in-flight list, before its name."""
_IN_FLIGHT = IN_FLIGHT.encode()
LET_GO = "u:cut-"
"""Start of the ident of what a container let go that was very much: it has no data. Its partition
follows, that of the container.
"""
HELD = "held:"
"""Start of the suffix of a place, before its name."""
_HELD = HELD.encode()


def partition(ident: str) -> int:
    """Return the partition of ``ident``, one of 64; the same on every host."""
    return zlib.crc32(ident.encode("utf-8", "surrogatepass")) % PARTITIONS


def prefix(namespace: str, number: int) -> bytes:
    """Return what all keys of a partition start with."""
    return b"{%b:%02d}:" % (namespace.encode(), number)


def names(namespace: str, number: int) -> bytes:
    """Return the hash of the names in a partition: name -> type, parameters, protocol."""
    return prefix(namespace, number) + b"names"


def guard(key: bytes) -> bytes:
    """Return the key in the partition of ``key`` that never exists. A cluster executes no command
    that names it while the slot moves from one node to another, see docs/design.md.
    """
    return key[: key.index(b"}:") + 2] + b"-"


def hosts(namespace: str) -> bytes:
    """Return the hash of the hosts in a namespace: host -> the types it serves."""
    return prefix(namespace, 0) + b"hosts"


def collector(namespace: str) -> bytes:
    """Return the string that says which session may collect."""
    return prefix(namespace, 0) + b"collector"


def leases(namespace: str) -> bytes:
    """Return the sorted set of the leases that processes have."""
    return prefix(namespace, 0) + b"leases"


ANY_KEPT = b"kept"
"""The member of the leases that says that there are objects without one."""


def ring(namespace: str, host: bytes) -> bytes:
    """Return the sorted set of the sessions of a host: their ids."""
    return prefix(namespace, 0) + b"ring:" + hashlib.sha256(host).hexdigest()[:16].encode()


def pattern(namespace: str) -> bytes:
    """Return a pattern for SCAN that matches every key of a namespace, and few others."""
    return b"{%b:[0-9][0-9]}:*" % namespace.replace("\\", "\\\\").encode()


class Part(NamedTuple):
    """What a key belongs to: an object, or a partition (then ``ident`` is empty).

    ``suffix`` is empty for the data of an object.
    """

    number: int
    ident: str
    suffix: str


_KEY = rb"(?s)\{(.*?):(\d\d)\}:(.*)"


def part(namespace: str, key: bytes) -> Part | None:
    """Return what the key belongs to, None if it is not one of this namespace, or no object of ours
    can have it.
    """
    found = re.fullmatch(_KEY, key)
    if found is None or found[1] != namespace.encode():
        return None
    try:
        tail = found[3].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    if tail[:2] not in (NAMED, UNNAMED):
        return Part(int(found[2]), "", tail)
    name, _, suffix = tail[2:].partition(":")
    return Part(int(found[2]), tail[:2] + unescape(name, ":"), suffix)


def colocated_ident(ident: str) -> str:
    """Return a new ident of an unnamed object, in the partition of ``ident``."""
    number = partition(ident)
    while partition(found := new_unnamed()) != number:
        pass
    return found


class Keys:
    """The keys of one object.

    For ``ident`` see :mod:`multihost.wire.identity`.
    """

    __slots__ = ("data", "ident", "names", "prefix", "sessions")

    def __init__(self, namespace: str, ident: str) -> None:
        number = partition(ident)
        self.ident: str = ident
        self.prefix: bytes = prefix(namespace, number)
        self.names: bytes = names(namespace, number)
        self.sessions: bytes = self.prefix + b"s"
        # A colon in a name is escaped: a suffix cannot be mistaken for a part of it.
        tail = ident[2:] if ident.startswith(UNNAMED) else escape(ident[2:], ":")
        self.data: bytes = self.prefix + f"{ident[:2]}{tail}".encode("utf-8", "surrogatepass")

    @property
    def name(self) -> bytes | None:
        """The name as it is on the server, None for an unnamed object."""
        name = name_of(self.ident)
        return None if name is None else name.encode("utf-8", "surrogatepass")

    @property
    def guard(self) -> bytes:
        return guard(self.prefix)

    @property
    def clients(self) -> bytes:
        """What the data keys of unnamed objects of this partition start with, but for a colon."""
        return self.prefix + b"u"

    @property
    def index(self) -> bytes:
        return self.data + b":index"

    @property
    def originals(self) -> bytes:
        return self.data + b":originals"

    @property
    def refs(self) -> bytes:
        return self.data + b":refs"

    @property
    def contains(self) -> bytes:
        return self.data + b":contains"

    @property
    def items(self) -> bytes:
        return self.data + b":items"

    @property
    def dead(self) -> bytes:
        return self.data + b":dead"

    def in_flight(self, name: bytes) -> bytes:
        """Return an in-flight list: the items that a consumer of a queue has received."""
        return b"%b:%b%b" % (self.data, _IN_FLIGHT, name)

    def all_in_flight(self, refs: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the in-flight lists of all consumers, by the refs of a queue; of one that is said
        to have more than :data:`~multihost.wire.stored.MOST_LISTS` as many.
        """
        return [
            self.in_flight(b"%b.%d" % (field[2:], index))
            for field, count in refs.items()
            if field[:2] == b"f:"
            for index in range(1, min(number(count) or 0, MOST_LISTS) + 1)
        ]

    @property
    def free(self) -> bytes:
        return self.data + b":free"

    def held(self, name: bytes) -> bytes:
        """Return a place: what a session holds of a lock or a semaphore."""
        return b"%b:%b%b" % (self.data, _HELD, name)

    def all_held(self, refs: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the names of the places of all sessions, by the refs of a lock or a semaphore."""
        return [
            b"%b.%d" % (field[2:], index)
            for field, count in refs.items()
            if field[:2] in (b"f:", b"x:")
            for index in range(1, min(number(count.partition(b" ")[0]) or 0, MOST_LISTS) + 1)
        ]

    @property
    def tokens(self) -> bytes:
        return self.data + b":tokens"

    @property
    def channels(self) -> bytes:
        return self.data + b":channels"

    @property
    def released(self) -> bytes:
        return self.data + b":released"

    def channel(self, side: bytes, channel: bytes) -> bytes:
        """Return a list of an RPC channel: ``req`` to the host, ``res`` from it."""
        return b"%b:%b:%b" % (self.data, side, channel)

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key that an object other than a queue may have."""
        return self.data, self.index, self.originals, self.refs, self.contains, self.free
