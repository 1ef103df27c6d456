"""Operations of a host, a process with objects in its memory that executes calls to them.

A host is a hash beside a set of its open channels. It has a lease, and ends with its session.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

from multihost.wire import keys as key_names
from multihost.wire.link import ConnectionBroken, pack
from multihost.wire.refusals import ALTERED
from multihost.wire.replies import ReplyError, pairs, to_exception
from multihost.wire.rpc.client import host_client
from multihost.wire.rpc.frames import CLOSED, FRAME_TTL
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle, Session
from multihost.wire.session.janitor import WatchedObject
from multihost.wire.stored import report_damage
from multihost.wire.wait import BLOCK_GRACE, start_watching

__all__ = [
    "MAX_RELEASED",
    "close_channel",
    "find",
    "poll",
    "register",
    "reject_channel",
    "renew",
    "restore",
    "served_types",
    "unregister",
    "wake",
    "watch_clients",
]

_reap_clients = Script("host/reap_clients")
_unregister = Script("host/unregister")

MAX_RELEASED = 500  # references that one poll returns


def register(handle: Handle, typeids: Iterable[str]) -> bytes:
    """Register a host with the types that it serves; return the name of its session. 2 round
    trips, and the registration of the session.
    """
    keys, session = handle.keys, handle.session
    session.ensure_registered(keys)
    name = session.registration.names[keys.prefix]
    import json

    listed = json.dumps([time.time_ns(), *typeids]).encode()
    transaction(
        handle.link,
        (b"HSET", keys.data, b"s", name),
        (b"PEXPIRE", keys.data, session.ttl_ms),
    )
    hosts = key_names.hosts(session.namespace)
    transaction(
        session.link.lane(key_names.prefix(session.namespace, 0)),
        (b"HSET", hosts, keys.ident.encode(), listed),
        (b"PEXPIRE", hosts, session.ttl_ms),
    )
    return name


def renew(handle: Handle) -> None:
    """Renew the lease of a host, if it has not expired. 1 round trip."""
    keys, session = handle.keys, handle.session
    session.link.pipeline(
        [
            (b"PEXPIRE", key, session.ttl_ms)
            for key in (keys.data, keys.channels, keys.released, key_names.hosts(session.namespace))
        ]
    )


def watch_clients(handle: Handle) -> WatchedObject:
    """Have the janitor check whether the clients are alive, and close the channels of dead ones."""
    return start_watching(handle, _reap_clients)


def unregister(handle: Handle) -> None:
    """Remove a host, and notify the clients that wait for its replies. 2 round trips."""
    session = handle.session
    session.link.execute(b"HDEL", key_names.hosts(session.namespace), handle.keys.ident.encode())
    _unregister.run_idempotent(handle)


def find(session: Session, typeid: str) -> str | None:
    """Return the host that serves the type in this namespace, the newest if there are several. 2
    round trips, and 2 for each dead one.
    """
    found = [(since, ident) for ident, (since, *typeids) in _listed(session) if typeid in typeids]
    for _, newest in sorted(found, reverse=True):
        if host_client(session, newest).is_alive():
            return newest
        session.link.execute(b"HDEL", key_names.hosts(session.namespace), newest.encode())
    return None


def served_types(session: Session) -> set[str]:
    """Return the types that hosts of this namespace serve, or served until lately. 1 round trip."""
    return {typeid for _, (_, *typeids) in _listed(session) for typeid in typeids}


def _listed(session: Session) -> list[tuple[str, list[Any]]]:
    """Return each host, with the time of its registration and its types, without records that are
    none.
    """
    import json

    hosts = key_names.hosts(session.namespace)
    found = []
    for ident, packed in pairs(session.link.execute(b"HGETALL", hosts)).items():
        try:
            record = json.loads(packed)
        except (ValueError, RecursionError):
            record = None
        match record:
            case [int(), *typeids] if _is_host(ident) and set(map(type, typeids)) <= {str}:
                found.append((ident.decode(), record))
            case _:
                report_damage("a host of registered types", b"%b %b" % (ident, packed))
    return found


def _is_host(ident: bytes) -> bool:
    return re.fullmatch(rb"h:[\w-]{22}", ident) is not None


# -- of the host itself


def poll(handle: Handle, seconds: float) -> tuple[set[bytes], list[bytes]] | None:
    """Wait for a wake-up token, up to so many seconds; return the ids of the open channels, and the
    references that clients released since. None if the server has no such host, because this
    process was declared dead. 1 round trip, and the wait. Raises BadPayload if another program has
    altered a key of the host: see :func:`restore`.
    """
    link, keys = handle.link, handle.keys
    connection = link.checkout()
    request = b"".join(
        map(
            pack,
            (
                (b"HEXISTS", keys.data, b"s"),
                (b"BLPOP", keys.tokens, b"%.3f" % max(seconds, 0.002)),
                (b"SMEMBERS", keys.channels),
                (b"SPOP", keys.released, b"%d" % MAX_RELEASED),
            ),
        )
    )
    try:
        replies = link.exchange_blocking(connection, request, seconds + BLOCK_GRACE, count=4)
    except ConnectionBroken as error:
        try:
            link.reconnect(connection, error, link.reconnect_timeout)
        finally:
            link.checkin(connection)
        return poll(handle, 0.0)
    except BaseException:
        link.disconnect(connection)
        link.checkin(connection)
        raise
    link.checkin(connection)
    if replies[0] == 0:
        return None
    for reply in replies:
        if type(reply) is ReplyError:
            if not reply.passes:
                raise to_exception(reply, "host/poll", keys.ident)
            link.back_off()
            return set(), []
    return set(replies[2]), list(replies[3] or ())


def restore(handle: Handle, typeids: Iterable[str], channels: Iterable[bytes]) -> None:
    """Make those keys of a host anew that another program has altered, with the channels that are
    open. 5 round trips. What a client has entered meanwhile stays.
    """
    keys = handle.keys
    probes = [
        (b"HEXISTS", keys.data, b"s"),
        (b"SCARD", keys.channels),
        (b"SCARD", keys.released),
        (b"LLEN", keys.tokens),
    ]
    replies = handle.link.pipeline_raw(probes)
    damaged = [
        probe[1]
        for probe, reply in zip(probes, replies, strict=True)
        if isinstance(reply, ReplyError) and reply.refusal is ALTERED
    ]
    if damaged:
        handle.link.execute(b"DEL", *damaged)
    register(handle, typeids)
    if found := list(channels):
        transaction(
            handle.link,
            (b"SADD", keys.channels, *found),
            (b"PEXPIRE", keys.channels, handle.session.ttl_ms),
        )


def wake(handle: Handle) -> None:
    """Have the host poll again. 1 round trip."""
    tokens = handle.keys.tokens
    transaction(handle.link, (b"RPUSH", tokens, b""), (b"PEXPIRE", tokens, FRAME_TTL))


def close_channel(handle: Handle, channel: bytes) -> None:
    """Remove a channel, and what was sent over it. 1 round trip."""
    handle.link.pipeline(
        [
            (b"SREM", handle.keys.channels, channel),
            (b"DEL", handle.keys.channel(b"req", channel), handle.keys.channel(b"res", channel)),
        ]
    )


def reject_channel(handle: Handle, channel: bytes) -> None:
    """Remove a channel that a client entered again, and notify it that the host has closed it. 1
    round trip.
    """
    replies = handle.keys.channel(b"res", channel)
    transaction(
        handle.link,
        (b"SREM", handle.keys.channels, channel),
        (b"LPUSH", replies, CLOSED),
        (b"PEXPIRE", replies, FRAME_TTL),
    )
