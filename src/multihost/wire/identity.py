"""Identities: of objects and hosts, and of the threads that wait for an object or hold it.

An **ident** names an object or a host. It starts with a letter and a colon:

==========  =====================================================
``n:``      a named object, followed by its name
``u:``      an unnamed object, followed by 22 random characters
``h:``      a host, followed by 22 random characters
==========  =====================================================

A **session** has a name in each partition, ``<sid>~<number>``: its process, and how often others
declared it dead there, for such a name is never used again.

A **waiter** is a thread that waits for an object. Its id is ``<session>.<number>.<thread>``: the
session of its process, a number that no other thread of the session has, and the thread's name. The
**hold** of a lock has one, too, with the number of the place where it lies instead, and the server
time in microseconds at which it was requested: ``<session>.<number>.<thread>.<time>``.

Scripts on the server cut both at the first dot, to see whether the session is alive. So the dot in
the name of a thread is escaped, as the colon is in the name of an object within a key.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

__all__ = [
    "HOST",
    "NAMED",
    "UNNAMED",
    "ParsedId",
    "check_name",
    "check_namespace",
    "escape",
    "is_unnamed",
    "label",
    "name_of",
    "named",
    "new_host",
    "new_maker",
    "new_unnamed",
    "session_name",
    "session_of",
    "sid_of",
    "thread_name",
    "unescape",
    "unpack",
    "waiter_id",
]

NAMED = "n:"
UNNAMED = "u:"
HOST = "h:"
_DIGITS = 20  # of the number of a thread, or a time

# names


def check_namespace(namespace: str) -> str:
    """Return the namespace. Raises TypeError or ValueError if it cannot be one.

    With a colon, the rights on ``billing`` could reach into ``billing:eu``.
    """
    if not isinstance(namespace, str):
        raise TypeError(f"a namespace is a str, not {type(namespace).__name__}")
    if not namespace or set(namespace) & set("{}*?[]:"):
        raise ValueError(
            f"a namespace is a non-empty str without any of : {{}} * ? [ ], not {namespace!r}"
        )
    return namespace


def check_name(name: object) -> str:
    """Return the name. Raises TypeError or ValueError if it cannot be one of an object."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a shared object is a str, not {type(name).__name__}")
    if not name or len(name) > 512:
        raise ValueError(f"the name of a shared object has 1 to 512 characters, not {len(name)}")
    return name


# idents


def named(name: str) -> str:
    """Return the ident of the object with that name."""
    return NAMED + name


def new_maker() -> str:
    """Return what the idents of all unnamed objects start with that one session makes."""
    return UNNAMED + secrets.token_urlsafe(6)


def new_unnamed(maker: str = "") -> str:
    """Return the ident of a new unnamed object, of this maker if there is one."""
    return (maker or new_maker()) + secrets.token_urlsafe(10)


def new_host() -> str:
    """Return the ident of a new host."""
    return HOST + secrets.token_urlsafe(16)


def is_unnamed(ident: str) -> bool:
    """Return True for the ident of an unnamed object."""
    return ident.startswith(UNNAMED)


def name_of(ident: str) -> str | None:
    """Return the name of an object, None for an unnamed one or a host."""
    return ident[2:] if ident.startswith(NAMED) else None


def label(ident: str) -> str:
    """Return what messages call an object: its name, the whole ident if it has none."""
    return ident[2:] if ident.startswith(NAMED) else ident


# sessions


def session_name(sid: bytes, number: int) -> bytes:
    """Return the name of a session in a partition."""
    return b"%b~%d" % (sid, number)


def sid_of(name: bytes) -> bytes:
    """Return which session has that name."""
    return name.partition(b"~")[0]


# waiters and holds


class ParsedId(NamedTuple):
    """The parts of the id of a waiter or a hold. Where sessions alone count, the rest is empty."""

    session: str
    number: int = 0
    thread: str = ""
    since: float | None = None
    """The server time at which a hold was requested, in seconds; None for a waiter."""


def thread_name(name: str) -> bytes:
    """Return the name of a thread as it is within an id."""
    return escape(name, ".").encode("utf-8", "surrogatepass")


def waiter_id(session: bytes, number: int, thread: str) -> bytes:
    """Return the id of a thread."""
    return b"%b.%d.%b" % (session, number, thread_name(thread))


def unpack(packed: bytes) -> ParsedId:
    """Return the parts of the id of a waiter, a hold or a session. Raises ValueError for what is
    none.
    """
    session, *rest = packed.decode("utf-8", "surrogatepass").split(".")
    if not rest:
        return ParsedId(session)
    number, thread, *time = rest
    if len(number) > _DIGITS or (time and len(time[0]) > _DIGITS):
        raise ValueError("no number of a thread, or time of a hold, is that long")
    since = int(time[0]) / 1e6 if time else None
    return ParsedId(session, int(number), unescape(thread, "."), since)


def session_of(packed: bytes) -> bytes:
    """Return the session in the id of a waiter or a hold."""
    return packed.partition(b".")[0]


# text between delimiters


def escape(text: str, delimiter: str) -> str:
    """Return ``text`` without ``delimiter``, which is written as in a URL, and so is ``%``."""
    return text.replace("%", "%25").replace(delimiter, f"%{ord(delimiter):02X}")


def unescape(text: str, delimiter: str) -> str:
    """Return the text that was escaped."""
    return text.replace(f"%{ord(delimiter):02X}", delimiter).replace("%25", "%")
