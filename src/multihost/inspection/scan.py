"""Finding the names and the keys of a namespace.

Keys are found by SCAN with a cursor, in pages, so that a server is never occupied for long. What
is created and deleted meanwhile may be missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from multihost.wire import keys as key_names
from multihost.wire.identity import is_unnamed
from multihost.wire.keys import Part
from multihost.wire.link import Link
from multihost.wire.ops.object import scanned
from multihost.wire.replies import pairs
from multihost.wire.stored import report_damage

__all__ = ["NameEntry", "entries", "parts", "unnamed"]

LONGEST = 1000  # characters
PAGE = 1000  # keys that a SCAN visits


class NameEntry(NamedTuple):
    """The entry that is stored under the name of an object."""

    protocol: str
    codec: str
    typeid: str
    parameters: str

    @classmethod
    def unpack(cls, entry: bytes) -> NameEntry:
        """Return the parts of an entry, each of at most 1000 characters."""
        fields = [each[:LONGEST] for each in entry.decode("utf-8", "replace").split(" ", 3)]
        return cls(*fields, *[""] * (4 - len(fields)))

    @property
    def is_damaged(self) -> bool:
        """True if it is not what is stored under a name."""
        return not (self.protocol.isdecimal() and self.codec and self.typeid)


def parts(link: Link, namespace: str, page: int = PAGE) -> Iterator[list[Part]]:
    """Yield every key of the namespace, some perhaps more than once. 1 round trip for each ``page``
    keys of the whole database, server by server; O(keys). What moves to another server meanwhile
    may be missed.
    """
    for each in link.masters():
        for keys in scanned(each, key_names.pattern(namespace), page):
            yield [part for key in keys if (part := key_names.part(namespace, key)) is not None]


def unnamed(link: Link, namespace: str) -> set[str]:
    """Return the idents of all unnamed objects. 1 round trip for each thousand keys of the
    database.
    """
    return {
        part.ident
        for page in parts(link, namespace)
        for part in page
        if is_unnamed(part.ident) and not part.suffix
    }


def entries(link: Link, namespace: str) -> dict[str, bytes]:
    """Return every name and its entry. 1 round trip for each thousand; O(names)."""
    found: dict[str, bytes] = {}
    hashes = [key_names.names(namespace, n) for n in range(key_names.PARTITIONS)]
    cursors = dict.fromkeys(hashes, b"0")
    while cursors:
        commands = [(b"HSCAN", key, cursor, b"COUNT", b"1000") for key, cursor in cursors.items()]
        replies = link.pipeline(commands)
        for key, (cursor, fields) in zip(list(cursors), replies, strict=True):
            for name, entry in pairs(fields).items():
                try:
                    found[name.decode("utf-8", "surrogatepass")] = entry
                except UnicodeDecodeError:  # no manager can ask for it
                    report_damage("a name of an object", name)
            cursors[key] = cursor
            if cursor == b"0":
                del cursors[key]
    return found
