"""What lies in a container, for people to read. Nothing of it is executed."""

from __future__ import annotations

import io
import pickle
import re
from typing import Any

from multihost.errors import BadPayload
from multihost.inspection.objects import ObjectInfo
from multihost.wire.session import Session
from multihost.wire.values.canonical import PlainUnpickler
from multihost.wire.values.codec import Codec
from multihost.wire.values.opcodes import HEADER

__all__ = ["preview"]

_UNREADABLE = (BadPayload, pickle.UnpicklingError, EOFError, LookupError, ValueError, MemoryError)


def preview(session: Session, info: ObjectInfo, count: int) -> list[tuple[str, str]]:
    """The first entries of a container, each as key (or index) and value, for people to read.

    Nothing is executed: of what was pickled with a class or a function only the size is told. 1
    round trip; values longer than a line are cut. Empty for what has no entries.
    """
    link, keys, codec = session.link, session.handle(info.ident).keys, session.codec
    last = b"%d" % (count - 1)
    if count < 1:
        return []
    match info.typeid:
        case "dict":
            fields = link.execute(b"ZRANGE", keys.index, b"1", b"%d" % count)
            values = link.execute(b"HMGET", keys.data, *fields) if fields else []
            return [
                (_shown(codec, f), _shown(codec, v)) for f, v in zip(fields, values, strict=True)
            ]
        case "list":
            found = link.execute(b"LRANGE", keys.data, b"1", b"%d" % count)
            return [(str(n), _shown(codec, value)) for n, value in enumerate(found)]
        case "set":
            _, found = link.execute(b"SSCAN", keys.data, b"0", b"COUNT", b"%d" % (count + 1))
            return [("", _shown(codec, member)) for member in found if member][:count]
        case "Value":
            return [("value", _shown(codec, link.execute(b"HGET", keys.data, b"v")))]
        case "Namespace":
            _, flat = link.execute(b"HSCAN", keys.data, b"0", b"COUNT", b"%d" % (count + 1))
            pairs = list(zip(flat[0::2], flat[1::2], strict=True))
            return [
                (name[1:].decode("utf-8", "replace"), _shown(codec, value))
                for name, value in pairs
                if name
            ][:count]
        case _ if info.fields.get("o") in ("f", "l"):
            found = link.execute(b"LRANGE", keys.items, b"0", last)
            return [(str(n), _shown(codec, _bare(item))) for n, item in enumerate(found) if item]
        case _:
            return []


def _bare(item: bytes) -> bytes:
    """An item of a queue without how often it was delivered."""
    return re.sub(rb"^\*\d+;", b"", item)


def _shown(codec: Codec, stored: bytes | None) -> str:
    if stored is None:
        return "?"
    if stored[:1] in (b"@", b"#") and b";" in stored:
        return f"<refers to {', '.join(codec.links(stored))}>"
    try:
        return repr(_plain(codec, stored))
    except _UNREADABLE:
        return f"<{len(stored)} bytes>"


def _plain(codec: Codec, stored: bytes) -> Any:
    """The value, if that takes neither a class nor a call."""
    stored = codec.unsealed(stored)
    if stored[:1].isdigit() or stored[:1] == b"-":
        return int(stored)
    if stored[:1] == b"=":
        return stored[1:].decode()
    whole = stored if stored[:1] == HEADER[:1] else HEADER + stored + b"."
    return PlainUnpickler(io.BytesIO(whole)).load()
