"""Creating a queue, shutting it down, its state, and what consumers left behind."""

from __future__ import annotations

from typing import NamedTuple

from multihost.wire.identity import label, name_of
from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import without_flag
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.queue.constants import (
    GETTERS,
    MAXSIZE,
    PUTTERS,
    SHUT_DOWN,
    UNFINISHED,
)
from multihost.wire.ops.queue.items import without_rank
from multihost.wire.ops.queue.settings import PRIORITY, QueueSettings
from multihost.wire.replies import altered, counted, pairs, row, stored_number, texts
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.stored import number

__all__ = [
    "QueueStatistics",
    "create",
    "dead_letters",
    "drain_dead_letters",
    "reopen",
    "requeue_orphaned",
    "shutdown",
    "size",
    "statistics",
]

_create = Script("queue/create")
_shutdown = Script("queue/shutdown")
_reopen = Script("queue/reopen")
_drain_dead_letters = Script("queue/drain_dead_letters")
_requeue_orphaned = Script("queue/requeue_orphaned")


class QueueStatistics(NamedTuple):
    """What the server has of a queue.

    ``in_flight`` counts items that consumers received and have not acknowledged, ``waiters`` the
    threads that wait for room (in a priority queue also those that wait for an item).
    """

    typeid: str
    name: str | None
    size: int
    maxsize: int
    unfinished: int
    in_flight: int
    dead_letters: int
    waiters: int
    is_shut_down: bool


def create(
    handle: Handle, typeid: str, settings: QueueSettings, explicit: tuple[bool, bool]
) -> str | None:
    """Create the queue and return None, or attach to it and return its settings. 1 round trip.

    ``explicit`` says whether the maximum size, and that of deliveries, were given by the user: then
    those of the existing queue must be the same. Raises ValueError.
    """
    wanted = (settings.maxsize, settings.max_deliveries)
    existing = any_object.attach(
        _create,
        handle,
        typeid,
        f"{settings.maxsize} {settings.max_deliveries}",
        b"%d" % settings.maxsize,
        settings.order.encode(),
        b"%d" % settings.max_deliveries,
        explicit=False,
    )
    found = wanted if existing is None else _settings(handle, existing)
    names = ("maxsize", "deliveries (0: once, -1: any number)")
    for name, is_explicit, has, should in zip(names, explicit, found, wanted, strict=True):
        if is_explicit and has != should:
            raise ValueError(
                f"{label(handle.keys.ident)!r} is a {typeid} with {name} {has}, not {should}: "
                "attach with the same"
            )
    return existing


def _settings(handle: Handle, parameters: str) -> tuple[int, ...]:
    """Return maximum size and deliveries of a queue that exists."""
    found = [number(each.encode("utf-8", "surrogateescape")) for each in parameters.split()]
    if len(found) != 2 or None in found:
        raise altered("queue/create", handle.keys.ident, "the entry of its name")
    return tuple(each or 0 for each in found)


def size(handle: Handle, settings: QueueSettings) -> int:
    """Return the number of items. 1 round trip."""
    keys = handle.keys
    count = b"ZCARD" if settings.order == PRIORITY else b"LLEN"
    fields, length = handle.link.pipeline(
        [(b"HMGET", keys.data, MAXSIZE, SHUT_DOWN), (count, keys.items)]
    )
    maxsize, shut_down = row("queue/qsize", keys.ident, fields, 2)
    if maxsize is None:
        raise object_gone(handle, "queue/qsize")
    has_end_marker = shut_down is not None and settings.order != PRIORITY
    return max(counted("queue/qsize", keys.ident, length) - has_end_marker, 0)


def shutdown(handle: Handle, immediate: bool) -> None:
    """Let the queue accept no more items, and drop those in it if ``immediate``. 1 round trip,
    O(items) if they are dropped.
    """
    without_flag(handle, _shutdown.run_once(handle, b"%d" % immediate))


def reopen(handle: Handle) -> None:
    """Let a queue that was shut down accept items again. 1 round trip."""
    _reopen.run_once(handle)


def dead_letters(handle: Handle, settings: QueueSettings) -> list[bytes]:
    """Return the items that were delivered too often. 1 round trip, O(letters)."""
    reply = handle.link.execute(b"LRANGE", handle.keys.dead, b"0", b"-1")
    letters = texts("queue/dead_letters", handle.keys.ident, reply)
    if not letters:
        any_object.exists(handle, "queue/dead_letters")
    if settings.order != PRIORITY:
        return letters
    return [without_rank(letter) for letter in letters]


def drain_dead_letters(handle: Handle, requeue: bool) -> int:
    """Drop the dead letters, or put them back; return how many there were. 1 round trip,
    O(letters).
    """
    answer = without_flag(handle, _drain_dead_letters.run_once(handle, b"%d" % requeue))
    return stored_number("queue/dead_letters", handle.keys.ident, answer, "how many there were")


def statistics(handle: Handle, typeid: str, settings: QueueSettings) -> QueueStatistics:
    """Return what the server has of the queue. 3 round trips, O(in-flight lists)."""
    link, keys = handle.link, handle.keys
    fields, refs, dead = link.pipeline(
        [
            (b"HMGET", keys.data, UNFINISHED, SHUT_DOWN, PUTTERS, GETTERS),
            (b"HGETALL", keys.refs),
            (b"LLEN", keys.dead),
        ]
    )
    unfinished, shut_down, putters, getters = row("queue/statistics", keys.ident, fields, 4)
    lists = keys.all_in_flight(pairs(refs))
    lengths = link.pipeline([(b"LLEN", key) for key in lists])
    return QueueStatistics(
        typeid,
        name_of(keys.ident),
        size=size(handle, settings),
        maxsize=settings.maxsize,
        unfinished=_number(handle, unfinished, "the number of unfinished items"),
        in_flight=sum(lengths),
        dead_letters=counted("queue/statistics", keys.ident, dead),
        waiters=_number(handle, putters, "the number of waiters")
        + _number(handle, getters, "the number of waiters"),
        is_shut_down=shut_down is not None,
    )


def _number(handle: Handle, stored: bytes | None, what: str) -> int:
    return stored_number("queue/statistics", handle.keys.ident, stored, what)


def requeue_orphaned(handle: Handle, in_flight: bytes) -> int:
    """Requeue what is in an in-flight list of a dead session, also if the queue does not know that
    list any more; return how many items that were. May be repeated. 1 round trip.
    """
    return int(_requeue_orphaned.run_idempotent(handle, in_flight) or 0)
