"""The table of types: one row for each primitive, and nothing else that knows them all.

A row says how the data of an object is stored and counted, what is held of it, which fields of its
hash name waiters, how those are woken, and which scripts reap them.
:mod:`multihost.wire.ops.object` stores in each object what its deletion needs: the field ``t`` is
the type and, for each kind of waiter, the list on which it is blocked (:func:`stored`). The
inspection reads the rest.

A new primitive needs its own Lua files, operations and proxy, and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple

from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.stored import number

__all__ = [
    "FREE",
    "HOSTED",
    "KINDS",
    "TYPE",
    "Kind",
    "Length",
    "of",
    "of_data",
    "reap",
    "stored",
    "typeids",
]

TYPE = b"t"
"""The field of a hash that holds the type of the object."""

THOROUGHLY = b"1"  # for a script that reaps: check waiters, too, not only holders
IN_ANY_CASE = b""  # whoever looks after it just now

Fields = Mapping[str, str]
Layout = Literal["", "array", "attributes", "dict", "items", "list", "set", "value"]
Listing = Literal["", "locks", "pools", "queues"]
Elements = Literal["", "lock", "permits"]

FREE = ":free"
"""Stands among the fields of what can be held for the number of elements that are free."""


class Length(NamedTuple):
    """A command that counts what an object contains, on one of its keys.

    ``hidden`` is the number of entries that are not the user's, ``end_marker`` a field whose
    presence adds one.
    """

    command: bytes
    key: Literal["data", "items"] = "data"
    hidden: int = 0
    end_marker: str = ""

    def of(self, reply: int, fields: Fields) -> int:
        """Return the length for the reply of the command."""
        return max(reply - self.hidden - (self.end_marker in fields), 0)


def _always(_: bytes | None) -> bool:
    return True


class Kind(NamedTuple):
    """One row: types that differ in nothing but their name.

    ``family``
        the word for all of them.
    ``data``
        the Redis type of the data. A hash stores its type, unless its fields are those of users.
    ``recognise``
        for data that does not store its type: whether an object with this Redis type is of this
        kind, by its field ``''`` (None if there is none).
    ``layout``, ``length``
        how entries are stored, and counted.
    ``elements``, ``consumers``
        what is held of it, if anything: the only element of a lock, whose holder is noted, or
        permits; whether sessions consume items. ``data:refs`` lists the sessions, with how many
        places each has.
    ``waiters``
        the prefixes of the fields that name a waiter each.
    ``wake``
        the list on which waiters are blocked, by the field or the prefix (with a colon) of the
        fields that stand for them. ``*`` is the value of the field. The deletion of the object
        pushes one token for each such field.
    ``reap``
        the names of the scripts that release what dead sessions hold, and remove dead waiters.
    ``fence``
        the field of the last fencing token.
    ``state``
        its state in a word or two.
    ``internal``
        fields that no reader of states wants: they may be large.
    ``listing``
        which command lists it, besides ``ls``.
    """

    typeids: tuple[str, ...]
    family: str
    data: Literal["hash", "list", "set", "string"] = "hash"
    recognise: Callable[[bytes | None], bool] | None = None
    layout: Layout = ""
    length: Length | None = None
    elements: Elements = ""
    consumers: bool = False
    waiters: tuple[str, ...] = ()
    wake: Mapping[str, str] = MappingProxyType({})
    reap: tuple[str, ...] = ()
    fence: str = ""
    state: Callable[[Fields], str] | None = None
    internal: frozenset[str] = frozenset()
    listing: Listing = ""

    @property
    def is_stateful(self) -> bool:
        """True if its fields are its state, and few: all are read."""
        return self.state is not None


# -- states


def _lock_state(fields: Fields) -> str:
    return "locked" if fields.get(FREE) == "0" else "free"


def _semaphore_state(fields: Fields) -> str:
    free = sum(number(fields.get(field, "").encode()) or 0 for field in (FREE, "v"))
    return f"{free} of {fields.get('i', '?')} free"


def _event_state(fields: Fields) -> str:
    return "set" if fields.get("s") == "1" else "unset"


def _barrier_state(fields: Fields) -> str:
    if fields.get("s") == "broken":
        return "broken"
    return f"{fields.get('c', '?')} of {fields.get('n', '?')} arrived"


def _queue_state(fields: Fields) -> str:
    return "shut down" if "x" in fields else "open"


# -- the table

_QUEUE = Kind(
    ("Queue", "JoinableQueue", "LifoQueue", "SimpleQueue"),
    "queue",
    layout="items",
    length=Length(b"LLEN", "items", end_marker="x"),
    consumers=True,
    waiters=("q:",),
    # Consumers are blocked on the items themselves, and not counted.
    wake={"q:": "tokens", "o": "items", "j": "tokens:join"},
    reap=("queue/reap",),
    state=_queue_state,
    listing="queues",
)

_ROWS = (
    Kind(
        ("dict",),
        "dict",
        recognise=bool,
        layout="dict",
        length=Length(b"HLEN", hidden=1),
    ),
    Kind(
        ("list",),
        "list",
        data="list",
        recognise=_always,
        layout="list",
        length=Length(b"LLEN", hidden=1),
    ),
    Kind(
        ("set",),
        "set",
        data="set",
        recognise=_always,
        layout="set",
        length=Length(b"SCARD", hidden=1),
    ),
    Kind(
        ("Namespace",),
        "namespace",
        recognise=lambda mark: mark == b"",
        layout="attributes",
        length=Length(b"HLEN", hidden=1),
    ),
    Kind(
        ("Value",),
        "value",
        layout="value",
    ),
    Kind(
        ("Array",),
        "array",
        data="string",
        recognise=_always,
        layout="array",
        length=Length(b"STRLEN"),
    ),
    Kind(
        ("Lock", "RLock"),
        "lock",
        elements="lock",
        waiters=("q:",),
        wake={"f": "free"},
        reap=("hold/reap",),
        fence="f",
        state=_lock_state,
        listing="locks",
    ),
    Kind(
        ("Semaphore", "BoundedSemaphore"),
        "semaphore",
        elements="permits",
        waiters=("q:",),
        wake={"f": "free"},
        reap=("hold/reap",),
        fence="f",
        state=_semaphore_state,
        listing="locks",
    ),
    Kind(
        ("Condition",),
        "condition",
        elements="lock",
        waiters=("q:", "z:", "y:"),  # for its own lock; for a notification; notified
        wake={"f": "free", "z:": "tokens:*"},
        reap=("condition/reap", "hold/reap"),  # its own lock is in the same hash
        fence="f",
        state=_lock_state,
        listing="locks",
    ),
    Kind(
        ("Event",),
        "event",
        wake={"n": "tokens:*"},  # waiters are not counted: one token goes round
        state=_event_state,
        listing="locks",
    ),
    Kind(
        ("Barrier",),
        "barrier",
        waiters=("q:",),
        wake={"q:": "tokens:*"},
        reap=("barrier/reap",),
        state=_barrier_state,
        internal=frozenset({"a"}),  # the action
        listing="locks",
    ),
    _QUEUE,
    Kind(
        ("PriorityQueue",),
        "queue",
        length=Length(b"ZCARD", "items"),
        consumers=True,
        waiters=("q:", "g:"),
        wake={"q:": "tokens", "g:": "tokens:get", "j": "tokens:join"},
        reap=("queue/reap",),
        state=_queue_state,
        listing="queues",
    ),
    _QUEUE._replace(
        typeids=("Pool",),
        internal=frozenset({"init"}),  # how workers begin
        listing="pools",
    ),
)

HOSTED = Kind((), "hosted")
"""An object in the memory of a process, of a type that users registered."""

KINDS: dict[str, Kind] = {typeid: kind for kind in _ROWS for typeid in kind.typeids}
"""The rows by type."""


def of(typeid: str) -> Kind:
    """Return the row of a type; a type without one is one that users registered."""
    return KINDS.get(typeid, HOSTED)


@lru_cache(maxsize=256)
def stored(typeid: str) -> str:
    """Return what an object of this type stores in its field ``t``, empty for one without that
    field: the type, then field and list of each kind of waiter.
    """
    kind = of(typeid)
    if kind.recognise is not None:
        return ""
    return " ".join([typeid, *map("=".join, kind.wake.items())])


def typeids(listing: Listing) -> frozenset[str]:
    """Return the types that a command lists."""
    return frozenset(typeid for typeid, kind in KINDS.items() if kind.listing == listing)


def reap(kind: Kind, handle: Handle) -> None:
    """Release what dead sessions hold of an object, and remove dead waiters. May be repeated. 1
    round trip for each script of the row.
    """
    for name in kind.reap:
        Script(name).run_idempotent(handle, b"", THOROUGHLY, IN_ANY_CASE)


def of_data(data: str, mark: bytes | None) -> str:
    """Return the type of an object that does not store it, by the Redis type of its data and its
    field ``''``; the Redis type itself if no row matches.
    """
    for typeid, kind in KINDS.items():
        if kind.data == data and kind.recognise is not None and kind.recognise(mark):
            return typeid
    return data
