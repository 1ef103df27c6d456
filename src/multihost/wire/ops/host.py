"""Operations of a host, a process that has objects in its memory and answers calls to them.

A host is a hash beside a set of its conversations. It has a lease, and ends with its session.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence

from multihost.wire import keys as key_names
from multihost.wire.janitor import Watched
from multihost.wire.link import Broken, pack, pairs
from multihost.wire.replies import ReplyError, failure
from multihost.wire.script import Script
from multihost.wire.session import Handle, Session
from multihost.wire.speech import KEPT
from multihost.wire.talk import hosts_of
from multihost.wire.wait import OVERDUE, watching

__all__ = [
    "LEFT",
    "begin",
    "disclaim",
    "end",
    "find",
    "forget",
    "hint",
    "refuse",
    "renew",
    "tend",
    "visits",
]

_tend = Script("host/tend")
_leave = Script("host/leave")
_disclaim = Script("host/disclaim")

LEFT = 500  # how much of what clients let go is looked at in one go
DISCLAIMED = 200  # claims that are taken back in one call


def begin(handle: Handle, typeids: Iterable[str]) -> None:
    """Enter a host, with the types that it serves. 2 round trips, and its session."""
    keys, session = handle.keys, handle.session
    session.enter(keys)
    listed = json.dumps([time.time_ns(), *typeids]).encode()
    handle.link.snapshot(
        (b"HSET", keys.data, b"s", session.presence.sid),
        (b"PEXPIRE", keys.data, session.lease_ms),
    )
    handle.link.snapshot(
        (b"HSET", key_names.hosts(session.namespace), keys.ident.encode(), listed),
        (b"PEXPIRE", key_names.hosts(session.namespace), session.lease_ms),
    )


def renew(handle: Handle) -> None:
    """Give a host another lease, if it has one. 1 round trip."""
    keys, session = handle.keys, handle.session
    handle.link.pipeline(
        [
            (b"PEXPIRE", key, session.lease_ms)
            for key in (keys.data, keys.talks, keys.left, key_names.hosts(session.namespace))
        ]
    )


def tend(handle: Handle) -> Watched:
    """Have the background thread look whether the clients live."""
    return watching(handle, _tend)


def end(handle: Handle) -> None:
    """Remove a host; who waits for its answers is told. 2 round trips."""
    handle.link.call(b"HDEL", key_names.hosts(handle.session.namespace), handle.keys.ident.encode())
    _leave.repeat(handle)


def find(session: Session, typeid: str) -> str | None:
    """The host that serves the type in this namespace, the newest if there are several. 2 round
    trips.
    """
    listed = pairs(session.link.call(b"HGETALL", key_names.hosts(session.namespace)))
    found: list[tuple[int, str]] = []
    for ident, packed in listed.items():
        since, *typeids = json.loads(packed)
        if typeid in typeids:
            found.append((since, ident.decode()))
    for _, newest in sorted(found, reverse=True):
        if hosts_of(session, newest).is_there():
            return newest
        session.link.call(b"HDEL", key_names.hosts(session.namespace), newest.encode())
    return None


# -- what it hears of


def visits(handle: Handle, seconds: float) -> tuple[set[bytes], list[bytes]] | None:
    """Wait for a hint up to so many seconds; then the conversations there are, and what was let go.
    None if the host is not known to the server. 1 round trip, and the wait.
    """
    link, keys = handle.link, handle.keys
    caller = link.take()
    request = b"".join(
        map(
            pack,
            (
                (b"EXISTS", keys.data),
                (b"BLPOP", keys.tokens, b"%.3f" % max(seconds, 0.002)),
                (b"SMEMBERS", keys.talks),
                (b"SPOP", keys.left, b"%d" % LEFT),
            ),
        )
    )
    try:
        replies = link.blocked(caller, request, seconds + OVERDUE, count=4)
    except Broken as error:
        try:
            link.revive(caller, error, link.patience)
        finally:
            link.give_back(caller)
        return visits(handle, 0.0)
    except BaseException:
        link.drop(caller)
        link.give_back(caller)
        raise
    link.give_back(caller)
    if replies[0] == 0:
        return None
    for reply in replies:
        if type(reply) is ReplyError:
            if not reply.passing and reply.code != "OOM":
                raise failure(reply, "host/visits", keys.ident)
            link.pause()
            return set(), []
    return set(replies[2]), list(replies[3] or ())


def hint(handle: Handle) -> None:
    """Have the host look around. 1 round trip."""
    tokens = handle.keys.tokens
    handle.link.snapshot((b"RPUSH", tokens, b""), (b"PEXPIRE", tokens, KEPT))


def forget(handle: Handle, talk: bytes) -> None:
    """A conversation is over. 1 round trip."""
    handle.link.pipeline(
        [
            (b"SREM", handle.keys.talks, talk),
            (b"DEL", handle.keys.talk(b"a", talk), handle.keys.talk(b"b", talk)),
        ]
    )


def refuse(handle: Handle, talk: bytes) -> None:
    """Tell a client that its conversation was over. 1 round trip."""
    answers = handle.keys.talk(b"b", talk)
    handle.link.snapshot(
        (b"SREM", handle.keys.talks, talk), (b"LPUSH", answers, b"x"), (b"PEXPIRE", answers, KEPT)
    )


# -- what others tell it


def disclaim(session: Session, host: str, claims: Sequence[tuple[str, int]]) -> None:
    """Take back claims on objects of a host: it deletes what nobody has a claim on. One that has
    ended hears nothing. 1 round trip for each 200.
    """
    handle, sid = session.handle(host), session.presence.sid
    for start in range(0, len(claims), DISCLAIMED):
        chunk = claims[start : start + DISCLAIMED]
        _disclaim.repeat(handle, *[b"%b %b %d" % (i.encode(), sid, claim) for i, claim in chunk])
