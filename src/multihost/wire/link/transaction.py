"""Several commands at one moment: MULTI, and WATCH."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from multihost.errors import ServerFull
from multihost.wire.link.channel import Channel, ConnectionBroken, Reply
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.resp import Command, pack
from multihost.wire.replies import ReplyError, command_error

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["transaction", "watch_and_execute"]

# Several reads at one moment. ARGV: for each key the number of arguments, the command, those.
_TRANSACTION = b"""
local replies, at = {}, 1
for i, key in ipairs(KEYS) do
  local last = at + 1 + tonumber(ARGV[at])
  replies[i] = redis.call(ARGV[at + 1], key, unpack(ARGV, at + 2, last))
  at = last + 1
end
return replies
"""


def transaction(link: Link, *commands: Command) -> list[Reply]:
    """The replies of several reads, all of the same moment, in one round trip."""
    try:
        replies: list[Reply] = link.pipeline([(b"MULTI",), *commands, (b"EXEC",)])[-1]
    except ServerFull:
        # A full server queues nothing, not even reads. Slower, and only there:
        keys = [command[1] for command in commands]
        args = [part for name, _, *rest in commands for part in (b"%d" % len(rest), name, *rest)]
        replies = link.execute(b"EVAL", _TRANSACTION, b"%d" % len(keys), *keys, *args)
    for reply, command in zip(replies, commands, strict=True):
        if isinstance(reply, ReplyError):
            raise command_error(reply, command)
    return replies


def watch_and_execute(
    link: Link,
    connection: PinnedConnection,
    key: bytes,
    read: Command,
    decide: Callable[[Reply], Command | None],
    finished: Callable[[], Sequence[Reply] | None],
) -> Reply:
    """Read, let ``decide`` turn the reply into a command, and run it if ``key`` did not change.

    Repeats until nobody came between. ``finished`` is asked after a lost connection whether the
    command had been executed, and with which reply. Two round trips; None if ``decide`` returns
    None.
    """
    broken = False
    while True:
        try:
            channel = link.ensure_connected(connection)
            outcome = _watch(channel, key, read, decide)
        except ConnectionBroken as error:
            broken = True
            link.note_break()
            link.reconnect_and_resend(connection, pack(read), error)
            outcome = finished()
        except BaseException:
            link.recycle(connection)  # and with the connection what it watched
            raise
        if outcome is not None:
            link.checkin(connection)
            if isinstance(outcome, Exception):
                # What it missed, an earlier attempt may have taken just now.
                done = finished() if broken else None
                if done is None:
                    raise outcome
                outcome = done
            return outcome[0]


def _watch(
    channel: Channel,
    key: bytes,
    read: Command,
    decide: Callable[[Reply], Command | None],
) -> Sequence[Reply] | Exception | None:
    """One attempt: the reply, None if another client came between, or an error."""
    reply = channel.exchange_many(pack((b"WATCH", key)) + pack(read), 2)[1]
    if type(reply) is ReplyError:
        return reply
    try:
        command = decide(reply)
    except Exception as error:  # noqa: BLE001 - it is raised again by the caller
        channel.exchange(pack((b"UNWATCH",)))
        return error
    if command is None:
        channel.exchange(pack((b"UNWATCH",)))
        return (None,)
    _, queued, replies = channel.exchange_many(
        pack((b"MULTI",)) + pack(command) + pack((b"EXEC",)), 3
    )
    if isinstance(replies, ReplyError):
        return queued if isinstance(queued, ReplyError) else replies
    if isinstance(replies, list) and isinstance(replies[0], ReplyError):
        return replies[0]
    return replies  # type: ignore[no-any-return]
