"""Operations of an array: items of one width, packed into one string."""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import exists
from multihost.wire.replies import WRONG_SIZE, counted, misread, text
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle

_create = Script("array/create")
_set = Script("array/set")
_splice = Script("array/splice")


def create(handle: Handle, typecode: str, items: bytes) -> bool:
    """Create the array, or attach to it; return whether it was created. 1 round trip, O(items)."""
    return any_object.create(_create, handle, "Array", typecode, items)


def get(handle: Handle, index: int, width: int) -> bytes | None:
    """Return one item, None if the index is out of range. 1 round trip, O(1)."""
    item: bytes
    data = handle.keys.data
    start = index * width
    if index >= 0:
        item = handle.link.execute(b"GETRANGE", data, b"%d" % start, b"%d" % (start + width - 1))
    else:
        stop = start + width - 1
        size, item = transaction(
            handle.link, (b"STRLEN", data), (b"GETRANGE", data, b"%d" % start, b"%d" % stop)
        )
        if counted("array/get", handle.keys.ident, size) + start < 0:
            item = b""
    try:
        if len(item) == width:
            return item
    except TypeError:
        raise misread("array/get", handle.keys.ident) from None
    exists(handle, "array/get")
    return None


def length(handle: Handle, width: int) -> int:
    """Return the number of items. 1 round trip, O(1)."""
    reply = handle.link.execute(b"STRLEN", handle.keys.data)
    size = counted("array/length", handle.keys.ident, reply)
    if not size:
        exists(handle, "array/length")
    return size // width


def items(handle: Handle) -> bytes:
    """Return all items, packed. 1 round trip, O(n)."""
    found: bytes | None = handle.link.execute(b"GET", handle.keys.data)
    if found is None:
        exists(handle, "array/items")
        return b""
    return found


def put(handle: Handle, index: int, item: bytes) -> bool:
    """Replace one item; return False if the index is out of range. 1 round trip, O(1)."""
    return _set.run_once(handle, b"%d" % index, item) is not None


def splice(handle: Handle, where: slice, width: int, items: bytes) -> int | None:
    """Replace the items of a slice; return the size of an extended one if that is not the number of
    items. 1 round trip.
    """
    bounds = [b"" if n is None else b"%d" % n for n in (where.start, where.stop, where.step)]
    answer = _splice.run_once(handle, *bounds, b"%d" % width, items)
    answer = text("array/splice", handle.keys.ident, answer)
    return int(answer[1:]) if answer[:1] == WRONG_SIZE else None
