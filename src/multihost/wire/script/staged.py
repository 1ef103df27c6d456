"""Calls with more arguments than a server accepts in one command.

The arguments go ahead in chunks, to a list beside the reply key of the connection, where they
expire after a minute. The script then runs with ``lib/staged.lua`` in front, which takes its
arguments from the list. Each chunk is sent at least once: if one arrived twice, because its reply
was lost, the script refuses to run and everything is sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from multihost.errors import PayloadTooLarge
from multihost.wire.keys import REPLY_CACHE_MS
from multihost.wire.link import Reply, confirm_request, pack
from multihost.wire.replies import ReplyError
from multihost.wire.script.source import expand

if TYPE_CHECKING:
    from multihost.wire.script.script import Script, Target

__all__ = ["TooLong", "is_too_long", "run_staged"]

MAX_ARGS = 400_000  # Redis 6.2 closes a connection that sends 2 ** 20
MAX_BYTES = 256 * 1024 * 1024  # and every server one that sends a gigabyte
CHUNK_ARGS = 20_000


class TooLong(PayloadTooLarge):
    """The arguments do not fit into one command."""


def is_too_long(args: Sequence[bytes]) -> bool:
    """Return True for arguments that do not fit into one command."""
    return len(args) > MAX_ARGS or sum(map(len, args)) > MAX_BYTES


def run_staged(script: Script, target: Target, args: Sequence[bytes]) -> Reply:
    """Run a script that writes, once and only once. 2 round trips, and 1 for each chunk."""
    link = target.link
    script.header.check_args(len(args))
    source = script.expanded.behind(expand("lib/staged"))
    while True:
        connection = link.checkout()
        connection.sequence = number = connection.sequence + 1
        keys = script.keys_of(target, connection)
        staged = connection.reply_key(target.keys.prefix) + b":args"
        everything = (b"%012d" % number, *args)
        try:
            link.execute(b"UNLINK", staged)
            for chunk in _chunks(everything):
                push, expire = (b"RPUSH", staged, *chunk), (b"PEXPIRE", staged, REPLY_CACHE_MS)
                link.pipeline([(b"MULTI",), push, expire, (b"EXEC",)])
        except BaseException:
            link.recycle(connection)
            raise
        sent = b"%d" % len(everything)
        command = (b"EVAL", source.code.encode(), *keys, sent, everything[0])
        try:
            reply = link.exchange(connection, pack(command))
            if link.replicas:
                link.withdraw(connection)
                confirm_request(link, connection, target.keys.prefix)
            return reply
        except ReplyError as error:
            if error.code != "STAGED":
                return script.handle_error(target, args, error, source)


def _chunks(args: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the arguments in runs of a size that a server accepts easily."""
    start, size = 0, 0
    for index, arg in enumerate(args):
        size += len(arg)
        if index > start and (size > MAX_BYTES or index - start >= CHUNK_ARGS):
            yield args[start:index]
            start, size = index, len(arg)
    yield args[start:]
