"""Several commands that the server executes as one step."""

from __future__ import annotations

from multihost.errors import ServerFull
from multihost.wire.link import Command, Link, Reply
from multihost.wire.replies import ReplyError, command_error, misread
from multihost.wire.script.script import Script

__all__ = ["transaction"]

_transaction = Script("server/transaction")


def transaction(link: Link, *commands: Command) -> list[Reply]:
    """Return the replies to several commands, all of one moment. 1 round trip.

    The commands must be idempotent, and each must have a key as its first argument.
    """
    try:
        replies: list[Reply] = link.pipeline([(b"MULTI",), *commands, (b"EXEC",)])[-1]
        if type(replies) is not list or len(replies) != len(commands):
            raise misread("server/transaction", commands[0][1].decode("utf-8", "replace"))
    except ServerFull:
        # A full server queues nothing, not even reads, but runs a script. That is slower.
        keys = [command[1] for command in commands]
        args = [part for name, _, *rest in commands for part in (b"%d" % len(rest), name, *rest)]
        replies = _transaction.run_readonly(link, keys, *args)
    for reply, command in zip(replies, commands, strict=True):
        if isinstance(reply, ReplyError):
            raise command_error(reply, command)
    return replies
