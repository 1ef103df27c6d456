"""Commands that depend on what was read before: WATCH, MULTI and EXEC."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from multihost.wire.link.channel import Channel, ConnectionBroken, Reply
from multihost.wire.link.pinned import PinnedConnection
from multihost.wire.link.resp import Command, pack
from multihost.wire.replies import ReplyError

if TYPE_CHECKING:
    from multihost.wire.link.link import Link

__all__ = ["watch_and_execute"]


def watch_and_execute(
    link: Link,
    connection: PinnedConnection,
    key: bytes,
    read: Command,
    decide: Callable[[Reply], Command | None],
    finished: Callable[[], Sequence[Reply] | None],
) -> Reply:
    """Read, let ``decide`` turn the reply into a command, and run it if ``key`` did not change in
    between; else start over. 2 round trips, more if there was a change.

    After a lost connection ``finished`` returns the reply of the command if it had been executed.
    Returns None if ``decide`` returns None; what it raises is passed on, and nothing was changed.
    The connection is checked in.
    """
    broken, begun = False, time.monotonic()
    while True:
        try:
            channel = link.ensure_connected(connection)
            outcome = _watch(channel, key, read, decide)
            if (
                isinstance(outcome, ReplyError)
                and link.is_unavailable(outcome)
                and time.monotonic() < link.patience_ends(begun)
            ):
                link.pause_for(connection, outcome)
                broken, outcome = True, finished()  # it may have been executed elsewhere
        except ConnectionBroken as error:
            broken = True
            link.note_break()
            link.reconnect_and_resend(connection, pack(read), error)
            outcome = finished()
        except BaseException:
            link.recycle(connection)  # closing it ends the WATCH, too
            raise
        if outcome is not None:
            link.checkin(connection)
            if isinstance(outcome, Exception):
                # An earlier attempt may have been executed just now: then that is why the reply
                # to the read had nothing to decide on.
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
    """Try once; return the reply, None if another client changed the key, or an error."""
    reply = channel.exchange_many(pack((b"WATCH", key)) + pack(read), 2)[1]
    if type(reply) is ReplyError:
        return reply
    try:
        command = decide(reply)
    except Exception as error:  # noqa: BLE001 - watch_and_execute() raises it
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
