"""What a server says of itself, how fast it answers, and what it permits."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from multihost.wire import keys as key_names
from multihost.wire.link import Command, Link
from multihost.wire.replies import ReplyError, pairs
from multihost.wire.script.source import all_names, expand

__all__ = [
    "OF_TOOLS",
    "PLAIN",
    "Facts",
    "Permissions",
    "clock_offset",
    "facts",
    "needed",
    "permissions",
    "round_trips",
    "size",
]

SETTINGS = (
    "appendfsync",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "save",
    "timeout",
)

_PLAIN = """
BLMOVE BLPOP BRPOPLPUSH DEL EVAL EVALSHA EXEC EXISTS GET GETRANGE HDEL HEXISTS HGET HGETALL
HINCRBY HKEYS HLEN HMGET HSET HSETNX LINDEX LLEN LMOVE LPOS LPUSH LRANGE LREM LTRIM MULTI PEXPIRE
PING PTTL RPUSH SCARD SCRIPT SMEMBERS SMISMEMBER SPOP SREM STRLEN TIME UNLINK UNWATCH WATCH
ZCARD ZCOUNT ZRANGE
"""
PLAIN = frozenset(_PLAIN.split())
"""What is sent without a script. tests/cli sees that it is complete."""

OPTIONAL = {
    "CLIENT ID": "a killed process is noticed at the end of its lease only",
    "CLIENT LIST": "a killed process is noticed at the end of its lease only",
    "CLIENT REPLY": "who waits costs a little more",
    "INFO": "nothing warns of a server that is too old, or may evict objects",
    "MEMORY": "the memory of objects is not known",
    "SCAN": "multihost ls, gc and top do not find unnamed objects",
    "HSCAN": "multihost ls, gc and top do not work",
    "SSCAN": "multihost show does not show the members of a set",
    "TYPE": "multihost ls, show, gc and top do not work",
    "OBJECT": "multihost gc leaves containers that were never finished",
}
"""What multihost can do without, and what is missing then."""

OF_TOOLS = frozenset(["CONFIG", "DBSIZE", "DISCARD", "HSCAN", "OBJECT", "SCAN", "SSCAN", "TYPE"])
"""What only looking around takes."""

# How each command may be called on a key "k", so that only permissions can be against it.
_SAMPLES = """
BLMOVE k k LEFT LEFT 1 / BLPOP k 1 / BRPOPLPUSH k k 1 / DEL k / EVAL 0 0 / EVALSHA 0 0 / EXISTS k
GET k / GETRANGE k 0 0 / HDEL k f / HEXISTS k f / HGET k f / HGETALL k / HINCRBY k f 1 / HKEYS k
HLEN k / HMGET k f / HSET k f v / HSETNX k f v / INFO / LINDEX k 0 / LINSERT k BEFORE a b / LLEN k
LMOVE k k LEFT LEFT / LPOP k / LPOS k v / LPUSH k v / LRANGE k 0 0 / LREM k 0 v / LSET k 0 v
LTRIM k 0 0 / MEMORY USAGE k / OBJECT IDLETIME k / PERSIST k / PEXPIRE k 1 / PING / PTTL k / RPOP k
RPUSH k v / RPUSHX k v / SADD k v / SCAN 0 / HSCAN k 0 / SSCAN k 0 / SCARD k / SCRIPT LOAD 0
SET k v / SETRANGE k 0 v / SISMEMBER k v / SMEMBERS k / SMISMEMBER k v / SPOP k / SRANDMEMBER k
SREM k v / STRLEN k / TIME / TYPE k / UNLINK k / UNWATCH / ZADD k 1 v
ZCARD k / ZCOUNT k 0 1 / ZRANGE k 0 1
ZRANK k v / ZREM k v / ZREMRANGEBYRANK k 0 1 / ZREVRANGE k 0 1 / ZREVRANGEBYSCORE k 1 0
ZSCORE k v / CLIENT ID / CLIENT LIST / CLIENT REPLY ON
"""
_SPELLED = {
    words[0] if words[0] != "CLIENT" else " ".join(words[:2]): words
    for line in _SAMPLES.strip().splitlines()
    for words in map(str.split, line.split(" / "))
}
_OUTSIDE = ("WATCH", "EXEC")  # not to be queued in a transaction
_CALL = re.compile(r"\bp?call\(([^,)]*)")


class Facts(NamedTuple):
    """INFO and CONFIG, each empty where it is not permitted."""

    info: dict[str, str]
    settings: dict[str, str]


class Permissions(NamedTuple):
    """Commands that the user may not run, needed ones and others, and whether keys of the namespace
    are refused. ``is_known`` is False if nothing could be tried.
    """

    missing: tuple[str, ...]
    missing_optional: tuple[str, ...]
    keys_refused: bool
    is_known: bool


def facts(link: Link) -> Facts:
    """What the server says. 2 round trips."""
    info, *found = link.pipeline_raw(
        [(b"INFO", b"everything"), *[(b"CONFIG", b"GET", s.encode()) for s in SETTINGS]]
    )
    said: dict[str, str] = {}
    if not isinstance(info, ReplyError):
        lines = info.decode("utf-8", "replace").splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
    settings: dict[str, str] = {}
    for reply in found:
        if not isinstance(reply, ReplyError):
            settings |= {k.decode(): v.decode() for k, v in pairs(reply).items()}
    return Facts(said, settings)


def round_trips(link: Link, command: Command, count: int) -> list[float]:
    """How long it takes to be answered, in seconds, sorted; ``count`` round trips."""
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        link.execute(*command)
        found.append(time.perf_counter() - begun)
    return sorted(found)


def clock_offset(link: Link) -> float:
    """How many seconds the server's clock is ahead of ours. 1 round trip."""
    begun = time.time()
    seconds, micros = link.execute(b"TIME")
    return float(int(seconds) + int(micros) / 1e6 - (begun + time.time()) / 2)


def size(link: Link) -> int | None:
    """How many keys the database has, None where that is not told. 1 round trip."""
    (reply,) = link.pipeline_raw([(b"DBSIZE",)])
    return None if isinstance(reply, ReplyError) else int(reply)


def needed() -> frozenset[str]:
    """The commands that multihost cannot do without: those of its scripts, and plain ones."""
    of_scripts = {
        command
        for name in all_names()
        for called in _CALL.findall(expand(name).code)
        for command in re.findall(r"'([A-Z]{2,})'", called)
    }
    return frozenset((of_scripts | PLAIN) - OPTIONAL.keys())


def permissions(link: Link, namespace: str) -> Permissions:
    """What the user may do with keys of the namespace. 3 round trips.

    Nothing is executed: a transaction is filled and discarded, and the server checks permissions as
    it takes a command in.
    """
    key = key_names.prefix(namespace, 0) + b"doctor"
    if link.pipeline_raw([(b"MULTI",), (b"DISCARD",)])[0] != b"OK":
        return Permissions(("MULTI",), (), False, False)
    wanted = sorted((needed() | OPTIONAL.keys()) & _SPELLED.keys())
    commands: list[Command] = [(b"MULTI",)]
    commands += [
        tuple(key if word == "k" else word.encode() for word in _SPELLED[name]) for name in wanted
    ]
    _, *replies, discarded = link.pipeline_raw([*commands, (b"DISCARD",)])
    if isinstance(discarded, ReplyError):
        link.disconnect_current()  # which discards it, too
    replies += link.pipeline_raw([(b"WATCH", key), (b"EXEC",)])
    link.disconnect_current()  # and with it what is watched
    refused = {
        name: str(reply)
        for name, reply in zip((*wanted, *_OUTSIDE), replies, strict=True)
        if isinstance(reply, ReplyError) and "NOPERM" in str(reply)
    }
    by_key = {name for name, text in refused.items() if "access" in text and "key" in text}
    missing = refused.keys() - by_key
    return Permissions(
        tuple(sorted(missing - OPTIONAL.keys())),
        tuple(sorted(missing & OPTIONAL.keys())),
        bool(by_key),
        True,
    )
