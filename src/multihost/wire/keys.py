"""Every key name, as a function of what it belongs to. No other module writes one.

Keys that scripts use together share a hash tag ``{namespace:NN}``: the partition of the object's
identity, one of 64. An object owns its data; ``data:index``, the order of a dict; ``data:spelled``,
the keys and members whose first spelling is not the canonical one; ``data:refs``, the unnamed
objects it contains; and ``data:owners``, the kept objects that contain it. A queue has
``data:items``, ``data:dead`` for dead letters, and ``data:flight:<session>.<n>`` for what a
consumer has taken. Scripts are given the first and derive the others. Who waits for an object is
blocked on the list ``data:tokens``, or ``data:tokens:<generation>``: what lies there is a hint, and
expires. A host (``h:<22 characters>``), a process that has objects in its memory, has
``data:clients``, its conversations, of which each goes over the lists ``data:a:<id>`` and
``data:b:<id>``, and ``data:left``, what clients let go. A partition has its ``names``, and a key
``s:<id>`` for each session that holds or waits for something in it; the first one also lists the
``hosts`` of the namespace.
"""

from __future__ import annotations

import zlib

__all__ = [
    "PARTITIONS",
    "PROTOCOL",
    "Keys",
    "check_name",
    "check_namespace",
    "hosts",
    "names",
    "partition",
    "prefix",
]

PROTOCOL = 1
"""Number of the data layout. A change of it needs a note for users and an upgrade test."""

PARTITIONS = 64


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


def check_namespace(namespace: str) -> str:
    """The namespace, if it can be one."""
    if not namespace or set(namespace) & set("{}*?[]"):
        raise ValueError(
            f"a namespace is a non-empty str without any of {{}}*?[], not {namespace!r}"
        )
    return namespace


def check_name(name: object) -> str:
    """The name, if it can be one."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a shared object is a str, not {type(name).__name__}")
    if not name or len(name) > 512:
        raise ValueError(f"the name of a shared object has 1 to 512 characters, not {len(name)}")
    return name


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
        tail = ident[2:].replace("%", "%25").replace(":", "%3A")
        self.data = self.prefix + f"{ident[:2]}{tail}".encode("utf-8", "surrogatepass")

    @property
    def name(self) -> bytes | None:
        """The name as the server has it, None for an unnamed object."""
        return self.ident[2:].encode("utf-8", "surrogatepass") if self.ident[0] == "n" else None

    @property
    def index(self) -> bytes:
        return self.data + b":index"

    @property
    def spelled(self) -> bytes:
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

    @property
    def tokens(self) -> bytes:
        return self.data + b":tokens"

    @property
    def clients(self) -> bytes:
        return self.data + b":clients"

    @property
    def left(self) -> bytes:
        return self.data + b":left"

    def talk(self, side: bytes, talk: bytes) -> bytes:
        """What is said in a conversation: side ``a`` to the host, ``b`` by it."""
        return b"%b:%b:%b" % (self.data, side, talk)

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key that the object may own."""
        return (
            self.data,
            self.index,
            self.spelled,
            self.refs,
            self.owners,
            self.items,
            self.dead,
        )
