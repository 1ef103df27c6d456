"""The first entries of a container, for people to read. Nothing of it is executed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from multihost.errors import BadPayload
from multihost.inspection.plain_pickles import read
from multihost.inspection.records import ObjectInfo
from multihost.wire.keys import Keys
from multihost.wire.link import Link
from multihost.wire.ops import kinds
from multihost.wire.session import Session
from multihost.wire.values.codec import Codec

__all__ = ["preview"]


def preview(session: Session, info: ObjectInfo, count: int) -> list[tuple[str, str]]:
    """Return the first entries of a container, each as key (or index) and value.

    Nothing is executed: of what was pickled with a class or a function only the size is shown. Up
    to 2 round trips. Empty for an object without entries.
    """
    if count < 1:
        return []
    handle = session.handle(info.ident)
    codec = handle.codec
    try:
        found = _entries(session.link, handle.keys, kinds.of(info.typeid).layout, count)
    except BadPayload:  # a key of another type, which the record names
        return []
    return [
        (key if isinstance(key, str) else _shown(codec, key, None), _shown(codec, value, place))
        for key, value, place in found
    ]


Entry = tuple[str | bytes, bytes | None, bytes | None]
"""A key, as text or encoded; an encoded value; and the field in which it stands, empty for an
element, None if it is a member of a set.
"""


def _entries(link: Link, keys: Keys, layout: str, count: int) -> Sequence[Entry]:
    match layout:
        case "dict":
            fields = link.execute(b"ZRANGE", keys.index, b"1", b"%d" % count)
            values = link.execute(b"HMGET", keys.data, *fields) if fields else []
            return list(zip(fields, values, fields, strict=True))
        case "list":
            return _numbered(link.execute(b"LRANGE", keys.data, b"1", b"%d" % count))
        case "set":
            _, found = link.execute(b"SSCAN", keys.data, b"0", b"COUNT", b"%d" % (count + 1))
            return [("", member, None) for member in found if member][:count]
        case "value":
            return [("value", link.execute(b"HGET", keys.data, b"v"), b"v")]
        case "attributes":
            _, flat = link.execute(b"HSCAN", keys.data, b"0", b"COUNT", b"%d" % (count + 1))
            named = zip(flat[0::2], flat[1::2], strict=True)
            return [(_attribute(name), value, name) for name, value in named if name][:count]
        case "items":
            found = link.execute(b"LRANGE", keys.items, b"0", b"%d" % (count - 1))
            return _numbered([_without_deliveries(item) for item in found if item])
        case _:
            return []


def _attribute(field: bytes) -> str:
    return field[1:].decode("utf-8", "replace")


def _numbered(values: list[bytes]) -> Sequence[Entry]:
    return [(str(number), value, b"") for number, value in enumerate(values)]


def _without_deliveries(item: bytes) -> bytes:
    """Return an item of a queue without the number of its deliveries."""
    return re.sub(rb"^\*\d+;", b"", item)


def _shown(codec: Codec, stored: bytes | None, place: bytes | None) -> str:
    if stored is None:
        return "?"
    try:
        data = codec.unsealed_field(stored) if place is None else codec.unsealed(stored, place)
        if stored[:1] == b"@":
            return f"<refers to {', '.join(codec.links(stored))}>"
        return repr(_plain(data))
    except ValueError:
        return f"<{len(stored)} bytes>"


def _plain(stored: bytes) -> Any:
    """Return the value, if that takes neither a class nor a call. Raises ValueError."""
    if stored[:1].isdigit() or stored[:1] == b"-":
        return int(stored)
    if stored[:1] == b"=":
        return stored[1:].decode()
    return read(stored)
