"""Operations of a host, a process that has objects in its memory and answers calls to them.

A host is a hash beside a set of its conversations. It has a lease, and ends with its session.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence

from multihost.wire import keys as key_names
from multihost.wire.link import ConnectionBroken, pack, transaction
from multihost.wire.replies import ReplyError, pairs, to_exception
from multihost.wire.rpc.client import host_client
from multihost.wire.rpc.frames import FRAME_TTL
from multihost.wire.script import Script
from multihost.wire.session import Handle, Session
from multihost.wire.session.janitor import WatchedObject
from multihost.wire.wait import BLOCK_GRACE, start_watching

__all__ = [
    "MAX_RELEASED",
    "register",
    "unregister",
    "find",
    "close_channel",
    "wake",
    "release_references",
    "reject_channel",
    "renew",
    "watch_clients",
    "poll",
]

_reap_clients = Script("host/reap_clients")
_unregister = Script("host/unregister")
_release = Script("host/release")

MAX_RELEASED = 500  # how much of what clients let go is looked at in one go
RELEASED_PER_CALL = 200  # references that are released in one call


def register(handle: Handle, typeids: Iterable[str]) -> None:
    """Enter a host, with the types that it serves. 2 round trips, and its session."""
    keys, session = handle.keys, handle.session
    session.ensure_registered(keys)
    listed = json.dumps([time.time_ns(), *typeids]).encode()
    transaction(
        handle.link,
        (b"HSET", keys.data, b"s", session.registration.sid),
        (b"PEXPIRE", keys.data, session.lease_ms),
    )
    transaction(
        handle.link,
        (b"HSET", key_names.hosts(session.namespace), keys.ident.encode(), listed),
        (b"PEXPIRE", key_names.hosts(session.namespace), session.lease_ms),
    )


def renew(handle: Handle) -> None:
    """Give a host another lease, if it has one. 1 round trip."""
    keys, session = handle.keys, handle.session
    handle.link.pipeline(
        [
            (b"PEXPIRE", key, session.lease_ms)
            for key in (keys.data, keys.channels, keys.released, key_names.hosts(session.namespace))
        ]
    )


def watch_clients(handle: Handle) -> WatchedObject:
    """Have the background thread look whether the clients live."""
    return start_watching(handle, _reap_clients)


def unregister(handle: Handle) -> None:
    """Remove a host; who waits for its answers is told. 2 round trips."""
    handle.link.execute(
        b"HDEL", key_names.hosts(handle.session.namespace), handle.keys.ident.encode()
    )
    _unregister.run_idempotent(handle)


def find(session: Session, typeid: str) -> str | None:
    """The host that serves the type in this namespace, the newest if there are several. 2 round
    trips.
    """
    listed = pairs(session.link.execute(b"HGETALL", key_names.hosts(session.namespace)))
    found: list[tuple[int, str]] = []
    for ident, packed in listed.items():
        since, *typeids = json.loads(packed)
        if typeid in typeids:
            found.append((since, ident.decode()))
    for _, newest in sorted(found, reverse=True):
        if host_client(session, newest).is_alive():
            return newest
        session.link.execute(b"HDEL", key_names.hosts(session.namespace), newest.encode())
    return None


# -- what it hears of


def poll(handle: Handle, seconds: float) -> tuple[set[bytes], list[bytes]] | None:
    """Wait for a hint up to so many seconds; then the conversations there are, and what was let go.
    None if the host is not known to the server. 1 round trip, and the wait.
    """
    link, keys = handle.link, handle.keys
    caller = link.checkout()
    request = b"".join(
        map(
            pack,
            (
                (b"EXISTS", keys.data),
                (b"BLPOP", keys.tokens, b"%.3f" % max(seconds, 0.002)),
                (b"SMEMBERS", keys.channels),
                (b"SPOP", keys.released, b"%d" % MAX_RELEASED),
            ),
        )
    )
    try:
        replies = link.exchange_blocking(caller, request, seconds + BLOCK_GRACE, count=4)
    except ConnectionBroken as error:
        try:
            link.reconnect(caller, error, link.reconnect_timeout)
        finally:
            link.checkin(caller)
        return poll(handle, 0.0)
    except BaseException:
        link.disconnect(caller)
        link.checkin(caller)
        raise
    link.checkin(caller)
    if replies[0] == 0:
        return None
    for reply in replies:
        if type(reply) is ReplyError:
            if not reply.is_transient and reply.code != "OOM":
                raise to_exception(reply, "host/visits", keys.ident)
            link.back_off()
            return set(), []
    return set(replies[2]), list(replies[3] or ())


def wake(handle: Handle) -> None:
    """Have the host look around. 1 round trip."""
    tokens = handle.keys.tokens
    transaction(handle.link, (b"RPUSH", tokens, b""), (b"PEXPIRE", tokens, FRAME_TTL))


def close_channel(handle: Handle, talk: bytes) -> None:
    """A conversation is over. 1 round trip."""
    handle.link.pipeline(
        [
            (b"SREM", handle.keys.channels, talk),
            (b"DEL", handle.keys.channel(b"a", talk), handle.keys.channel(b"b", talk)),
        ]
    )


def reject_channel(handle: Handle, talk: bytes) -> None:
    """Tell a client that its conversation was over. 1 round trip."""
    answers = handle.keys.channel(b"b", talk)
    transaction(
        handle.link,
        (b"SREM", handle.keys.channels, talk),
        (b"LPUSH", answers, b"x"),
        (b"PEXPIRE", answers, FRAME_TTL),
    )


# -- what others tell it


def release_references(session: Session, host: str, references: Sequence[tuple[str, int]]) -> None:
    """Release references, ``(ident, version)``, to objects of a host, which deletes what no process
    refers to any more. A host that has ended is not told. 1 round trip for each 200.
    """
    handle, sid = session.handle(host), session.registration.sid
    for start in range(0, len(references), RELEASED_PER_CALL):
        chunk = references[start : start + RELEASED_PER_CALL]
        args = [b"%b %b %d" % (ident.encode(), sid, version) for ident, version in chunk]
        _release.run_idempotent(handle, *args)
