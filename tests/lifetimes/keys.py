"""What the server itself says of an object: no test here asks the code under test.

Whoever asks spends the reserve beyond the lease: nobody waits a minute.
"""

from __future__ import annotations

import re
from typing import Any

from tests.support.leaks import AnyServer
from tests.support.reserve import spend_reserve

LEASE = 1.0
MARGIN = 8.0  # what is renewed lives much longer
"""What a busy machine may add to a lease."""


def ident(proxy: Any) -> str:
    return str(proxy._token.ident)


def keys_of(server: AnyServer, *idents: str) -> list[bytes]:
    """Every key that an object has, whatever it is for."""
    spend_reserve(server)
    wanted = [re.compile(rb".*}:%b(:\w+)?" % re.escape(each.encode())) for each in idents]
    return [key for key in server.keys() if any(each.fullmatch(key) for each in wanted)]


def unnamed(server: AnyServer) -> list[bytes]:
    """The keys of all unnamed objects."""
    spend_reserve(server)
    return server.keys("*}:u:*")


def all_but_records(server: AnyServer) -> list[bytes]:
    """Every key but those of last requests, which expire by themselves within a minute."""
    return [key for key in server.keys() if b"}:r:" not in key]


def left(server: AnyServer, *idents: str) -> list[int]:
    """The milliseconds that each key of the objects has, -1 for ever."""
    commands = [("PTTL", key) for key in keys_of(server, *idents)]
    return server.commands(*commands) if commands else []


def is_kept(server: AnyServer, *idents: str) -> bool:
    """Whether each object exists and none of its keys can expire."""
    return all(set(left(server, each)) == {-1} for each in idents)


def is_leased(server: AnyServer, *idents: str) -> bool:
    """Whether each object exists and all of its keys will expire."""
    return all(min(left(server, each), default=-1) >= 0 for each in idents)


def is_gone(server: AnyServer, *idents: str) -> bool:
    return not keys_of(server, *idents)
