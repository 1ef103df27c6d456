"""Which commands multihost needs, and which of them a user may run."""

from __future__ import annotations

import re
from typing import NamedTuple

from multihost.wire import keys as key_names
from multihost.wire.link import Command, Link
from multihost.wire.refusals import NO_SUCH_COMMAND, NOT_PERMITTED
from multihost.wire.replies import ReplyError
from multihost.wire.script.source import all_names, expand

__all__ = [
    "OF_CLUSTERS",
    "OF_REPLICAS",
    "OF_TOOLS",
    "OPTIONAL",
    "PLAIN",
    "Permissions",
    "needed",
    "permissions",
]

_PLAIN = """
BLMOVE BLPOP BRPOPLPUSH DEL EVAL EVALSHA EXEC EXISTS GET GETRANGE HDEL HEXISTS HGET HGETALL
HINCRBY HKEYS HLEN HMGET HSET HSETNX LINDEX LLEN LMOVE LPOS LPUSH LRANGE LREM LTRIM MULTI PERSIST
PEXPIRE PING PTTL RPUSH SADD SCARD SCRIPT SMEMBERS SMISMEMBER SPOP SREM STRLEN TIME UNLINK UNWATCH
WATCH ZADD ZCARD ZCOUNT ZRANGE ZREM
"""
PLAIN = frozenset(_PLAIN.split())
"""The commands that are sent without a script. tests/cli checks that they are complete."""

OPTIONAL = {
    "CLIENT ID": "a killed process is noticed at the end of its lease only",
    "CLIENT KILL": "a late request of a broken connection is made good for, not prevented",
    "CLIENT LIST": "a killed process is noticed at the end of its lease only",
    "CLIENT REPLY": "each wait costs a little more",
    "INFO": "nothing warns of a server that is too old, or may evict objects",
    "MEMORY": "the memory of objects is not known",
    "SCAN": "multihost ls, gc and top do not find unnamed objects",
    "TYPE": "multihost ls, show, gc and top do not work",
}
"""The commands that multihost can do without, and what is missing then."""

OF_TOOLS = frozenset(["CONFIG", "DBSIZE", "DISCARD", "SCAN", "TYPE"])
"""The commands that only the inspection needs."""

OF_CLUSTERS = frozenset(["ASKING", "CLUSTER"])
"""The commands that are needed only in a cluster. Nobody connects without the second."""

OF_REPLICAS = frozenset(["WAIT"])
"""The command that only managers with ``replicas=`` need, which say so when it is refused."""

# A valid call of each command on a key "k": only permissions can refuse it.
_SAMPLES = """
BLMOVE k k LEFT LEFT 1 / BLPOP k 1 / BRPOPLPUSH k k 1 / DEL k / EVAL 0 0 / EVALSHA 0 0 / EXISTS k
GET k / GETRANGE k 0 0 / HDEL k f / HEXISTS k f / HGET k f / HGETALL k / HINCRBY k f 1 / HKEYS k
HLEN k / HMGET k f / HSET k f v / HSETNX k f v / INFO / LINDEX k 0 / LINSERT k BEFORE a b / LLEN k
LMOVE k k LEFT LEFT / LPOP k / LPOS k v / LPUSH k v / LRANGE k 0 0 / LREM k 0 v / LSET k 0 v
LTRIM k 0 0 / MEMORY USAGE k / PERSIST k / PEXPIRE k 1 / PING / PTTL k / RPOP k
RPUSH k v / RPUSHX k v / SADD k v / SCAN 0 / HSCAN k 0 / SSCAN k 0 / SCARD k / SCRIPT LOAD 0
SET k v / SETRANGE k 0 v / SISMEMBER k v / SMEMBERS k / SMISMEMBER k v / SPOP k / SRANDMEMBER k
SREM k v / STRLEN k / TIME / TYPE k / UNLINK k / UNWATCH / ZADD k 1 v
ZCARD k / ZCOUNT k 0 1 / ZRANGE k 0 1
ZRANK k v / ZREM k v / ZREMRANGEBYRANK k 0 1 / ZREVRANGE k 0 1 / ZREVRANGEBYSCORE k 1 0
ZSCORE k v / RENAME k k / ZSCAN k 0 / ZRANGEBYSCORE k 0 1 / ZREMRANGEBYSCORE k 0 1
CLIENT ID / CLIENT KILL ID 1 / CLIENT LIST / CLIENT REPLY ON
"""
_SAMPLE_CALLS = {
    words[0] if words[0] != "CLIENT" else " ".join(words[:2]): words
    for line in _SAMPLES.strip().splitlines()
    for words in map(str.split, line.split(" / "))
}
_OUTSIDE = ("WATCH", "EXEC")  # cannot be queued in a transaction
_CALL = re.compile(r"\bp?call\(([^,)]*)")


class Permissions(NamedTuple):
    """The commands and keys that a user is refused.

    ``missing``, ``missing_optional``
        commands that the user may not run: needed ones, and others.
    ``keys_refused``
        True if keys of the namespace are refused.
    ``unknown``
        those of them that the server lacks.
    ``is_known``
        False if nothing could be tried.
    """

    missing: tuple[str, ...]
    missing_optional: tuple[str, ...]
    keys_refused: bool
    is_known: bool
    unknown: frozenset[str] = frozenset()


def needed() -> frozenset[str]:
    """Return the commands that multihost cannot do without: of its scripts, and plain ones."""
    of_scripts = {
        command
        for name in all_names()
        for called in _CALL.findall(expand(name).code)
        for command in re.findall(r"'([A-Z]{2,})'", called)
    }
    return frozenset((of_scripts | PLAIN) - OPTIONAL.keys())


def permissions(link: Link, namespace: str) -> Permissions:
    """Return what the user may not do with keys of the namespace. 3 round trips.

    Nothing is executed: a transaction is filled and discarded, and the server checks permissions
    when it queues a command.
    """
    key = key_names.prefix(namespace, 0) + b"doctor"
    if link.pipeline_raw([(b"MULTI",), (b"DISCARD",)])[0] != b"OK":
        return Permissions(("MULTI",), (), False, False)
    wanted = sorted((needed() | OPTIONAL.keys()) & _SAMPLE_CALLS.keys())
    commands: list[Command] = [(b"MULTI",)]
    commands += [
        tuple(key if word == "k" else word.encode() for word in _SAMPLE_CALLS[name])
        for name in wanted
    ]
    _, *replies, discarded = link.pipeline_raw([*commands, (b"DISCARD",)])
    if isinstance(discarded, ReplyError):
        link.disconnect_current()  # which discards the transaction, too
    replies += link.pipeline_raw([(b"WATCH", key), (b"EXEC",)])
    link.disconnect_current()  # which ends the WATCH
    outside = list(_OUTSIDE)
    if link.guarded:
        replies += link.pipeline_raw([(b"ASKING",), (b"PING",)])[:1]
        outside.append("ASKING")
    refused = {
        name: str(reply)
        for name, reply in zip((*wanted, *outside), replies, strict=True)
        if isinstance(reply, ReplyError) and reply.refusal in (NOT_PERMITTED, NO_SUCH_COMMAND)
    }
    unknown = frozenset(
        name for name, text in refused.items() if ReplyError(text).refusal is NO_SUCH_COMMAND
    )
    by_key = {name for name, text in refused.items() if "access" in text and "key" in text}
    missing = refused.keys() - by_key
    return Permissions(
        tuple(sorted(missing - OPTIONAL.keys())),
        tuple(sorted(missing & OPTIONAL.keys())),
        bool(by_key),
        True,
        unknown,
    )
