"""Requests that are executed once, or undone, whatever interrupts the thread that sent them.

A signal handler may raise, and a server may be lost, while the reply is under way. Then the same
request is sent again under its number, or one with a larger number that undoes it: whatever arrives
late of the first is refused. If the server cannot be reached the background thread does it later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from multihost.errors import LinkError
from multihost.wire.link import (
    SHORTEST,
    ConnectionBroken,
    Patience,
    PinnedConnection,
    Reply,
    ReplyTimeout,
)
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["Call", "run_or_undo", "run_to_completion", "send_cancel"]

Call = tuple[Script, Sequence[bytes]]
"""A script and its arguments."""

ResultCallback = Callable[[Reply], None]


def run_or_undo(
    handle: Handle,
    step: Call,
    cancel: Callable[[bytes], Call],
) -> Reply:
    """Run a script once. If its outcome stays unknown, because the server was lost or the thread
    was interrupted, undo it by ``cancel``, which is called with the number of the request before
    this one. 1 round trip.
    """
    connection = handle.link.checkout()
    before = b"%012d" % connection.sequence
    return _exchange(
        handle,
        connection,
        step,
        lambda: send_cancel(handle, connection, cancel(before)),
        None,
    )


def run_to_completion(handle: Handle, step: Call, on_result: ResultCallback | None = None) -> Reply:
    """Run a script once, also if this thread is interrupted while it waits for the reply.

    ``on_result`` is called with the reply; with None if the script will have run, and its reply is
    unknown. 1 round trip.
    """
    return _exchange(handle, handle.link.checkout(), step, None, on_result)


def _exchange(
    handle: Handle,
    connection: PinnedConnection,
    step: Call,
    undo: Callable[[], None] | None,
    on_result: ResultCallback | None,
) -> Reply:
    """Run a script; if its outcome stays unknown undo it, or send the same request again."""
    connection.reserved = True  # whatever fails, the next number is for what makes good for it
    script, args = step
    request, on_noscript = script.pack_request(handle, connection, args)
    try:
        reply = handle.link.exchange(connection, request, on_noscript)
        if on_result is not None:
            on_result(reply)
    except ReplyError as error:
        connection.reserved = False
        raise script.to_exception(error, handle.keys.ident) from None
    except BaseException:
        if undo is None:
            _send_or_defer(handle, connection, script, request, on_noscript)
            if on_result is not None:
                on_result(None)
        else:
            undo()
        raise
    connection.reserved = False
    return reply


def send_cancel(handle: Handle, connection: PinnedConnection, cancel: Call) -> None:
    """Undo what earlier requests of a connection did, or would do when they arrive late.

    The number of this one is larger: after it the server refuses them. If the server cannot be
    reached the janitor sends it later.
    """
    connection.reserved = True
    script, args = cancel
    request, on_noscript = script.pack_request(handle, connection, args)
    _send_or_defer(handle, connection, script, request, on_noscript)


def _send_or_defer(
    handle: Handle,
    connection: PinnedConnection,
    script: Script,
    request: bytes,
    on_noscript: Callable[[], bytes] | None,
) -> None:
    """Send a request of a reserved connection, now or by the janitor."""
    link = handle.link
    link.withdraw(connection)

    def settle(reply: Reply) -> None:
        connection.reserved = False
        if type(reply) is ReplyError:
            raise script.to_exception(reply, handle.keys.ident)

    def send() -> None:
        try:
            reply = link.exchange(connection, request, on_noscript)
        except ReplyError as error:
            reply = error
        # This is the background thread, which has one of its own: it would keep each of them open.
        link.withdraw(connection)
        connection.reserved = False
        link.recycle(connection)
        settle(reply)

    # The wait is over: it does not go on for a silent server.
    with Patience(link, 0.0, replies=False):
        # Twice: the first attempt may be the one that finds the connection broken.
        for _ in range(2):
            try:
                reply = link.try_once(connection, request, SHORTEST)
                if (
                    on_noscript is not None
                    and type(reply) is ReplyError
                    and reply.code == "NOSCRIPT"
                ):
                    reply = link.try_once(connection, on_noscript(), SHORTEST)
            except ReplyTimeout:
                break
            except (ConnectionBroken, LinkError):
                continue
            if type(reply) is ReplyError and reply.is_transient:
                break
            link.checkin(connection)
            settle(reply)
            return
    # The connection is not checked in: nothing else may get a number before this is sent.
    handle.session.janitor.defer(send)
