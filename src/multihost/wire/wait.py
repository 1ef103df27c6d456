"""The one way to wait: blocked on the server, in the order of arrival, with the decision behind it.

A round is one write of three commands: a script that enters the thread among those who wait, a pop
that blocks until there is a token, and a script that decides, which runs as soon as the pop
returns. Tokens are hints and carry nothing: one that is lost costs time, never data. A pop blocks
for :data:`SLICE` seconds at most, so that a connection that died unnoticed is found out. A server
looks at its clock ten times a second, or when it hears something: at the end of a wait it is sent
an empty command, which makes timeouts exact. A thread waits on the connection that it has anyway:
as many connections as threads, however many wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from multihost.errors import LinkError
from multihost.wire.link import (
    ConnectionBroken,
    Link,
    PinnedConnection,
    Reply,
    ReplyTimeout,
    pack,
    pack_args,
)
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.janitor import WatchedObject

__all__ = [
    "WAKE_GRACE",
    "BLOCK_GRACE",
    "FIRST_BLOCK",
    "MAX_BLOCK",
    "BlockingPop",
    "Call",
    "run_or_undo",
    "short_block",
    "broadcast_pop",
    "run_to_completion",
    "token_pop",
    "wait",
    "start_watching",
]

MAX_BLOCK = 20.0
FIRST_BLOCK = 2.0  # a first slice in which an error of the opening would not be heard of
BLOCK_GRACE = 2.0  # seconds that a server may be late with the end of a slice
WAKE_GRACE = 0.5  # and with the end of a wait, of which it is told
CLOCK_TICK = 0.004  # by less than that it is early: it counts in milliseconds, and so do we


Call = tuple[Script, Sequence[bytes]]  # a script and its arguments
ResultCallback = Callable[[Reply], None]


class BlockingPop:
    """What a thread is blocked in."""

    __slots__ = ("_head",)

    def __init__(self, name: bytes, *lists: bytes) -> None:
        self._head = b"*%d\r\n%b" % (len(lists) + 2, pack_args((name, *lists)))

    def request(self, seconds: float) -> bytes:
        """Return the packed command that blocks for so long."""
        timeout = b"%.3f" % seconds
        return b"%b$%d\r\n%b\r\n" % (self._head, len(timeout), timeout)


def short_block(left: float) -> tuple[float, float, float]:
    """For a wait that ends in less than a slice: how long the server blocks, after which time it is
    nudged, and how long it may take then.
    """
    block = max(int(left * 1000 - 1) / 1000, 0.002)  # Redis 6.2 takes 0.001 for 0, and for ever
    return block, max(left, block + 0.001), WAKE_GRACE


def token_pop(tokens: bytes) -> BlockingPop:
    """The usual way to block: until there is a token."""
    return BlockingPop(b"BLPOP", tokens)


def broadcast_pop(tokens: bytes) -> BlockingPop:
    """To block until there is a token for all: each pushes it back for the next one."""
    return BlockingPop(b"BRPOPLPUSH", tokens, tokens)


def wait(
    handle: Handle,
    seconds: float | None,
    enqueue: Call,
    pop: BlockingPop,
    claim: Call,
    cancel: Callable[[bytes], Call] | None = None,
    reap: Script | None = None,
    on_result: ResultCallback | None = None,
) -> Reply:
    """Wait until ``closing`` answers something, and return that; None when time is up.

    ``leave`` is what undoes ``opening`` if the wait ends in another way: its time is up, the object
    is gone, the server is lost, or the thread is interrupted. It is told the last request of the
    caller before this wait. ``look`` finds dead holders; the process must have entered its session
    then. ``note`` is called with the answer as long as an interruption would undo it.
    """
    turn = _Wait(handle, seconds, enqueue, pop, claim)
    watched = None if reap is None else start_watching(handle, reap)
    try:
        reply = turn.run()
        if reply is None:
            turn.end(cancel)
        elif on_result is not None:
            on_result(reply)
    except BaseException:
        turn.link.disconnect(
            turn.connection
        )  # with the connection the server forgets what it blocks
        turn.end(cancel)
        raise
    finally:
        if watched is not None:
            watched.waiters.discard(threading.get_ident())
    if reply is not None:
        turn.link.checkin(turn.connection)
    return reply


def start_watching(handle: Handle, reap: Script) -> WatchedObject:
    """Have the background thread look after what is waited for. Usually it does so already."""
    watched, janitor = handle.watched, handle.session.janitor
    if watched is not None and watched.reap is reap and watched.janitor is janitor:
        watched.waiters.add(threading.get_ident())
        if watched.listed:
            return watched
    handle.watched = watched = janitor.watch(handle.keys, reap)
    return watched


def run_or_undo(
    handle: Handle,
    step: Call,
    cancel: Callable[[bytes], Call],
    on_result: ResultCallback | None = None,
) -> Reply:
    """Run a script once; if its outcome stays unknown, because the server was lost or the thread
    was interrupted, undo it by ``leave``, which is told the last request before this one.

    ``note`` is called with the answer as long as an interruption would undo it.
    """
    caller = handle.link.checkout()
    before = b"%012d" % caller.sequence
    return _exchange(
        handle, caller, step, lambda: cancel_request(handle, caller, cancel(before)), on_result
    )


def run_to_completion(handle: Handle, step: Call, on_result: ResultCallback | None = None) -> Reply:
    """Run a script once, also if this thread is interrupted while it waits for the answer.

    ``note`` is called with the answer; with None if it is sure to be run, and not known.
    """
    caller = handle.link.checkout()
    return _exchange(handle, caller, step, None, on_result)


def _exchange(
    handle: Handle,
    caller: PinnedConnection,
    step: Call,
    instead: Callable[[], None] | None,
    note: ResultCallback | None,
) -> Reply:
    """Run a script; if its outcome stays unknown do something else, or the same again."""
    caller.reserved = True
    script, args = step
    request, unknown = script.pack_request(handle, caller, args)
    try:
        reply = handle.link.exchange(caller, request, unknown)
        if note is not None:
            note(reply)
    except ReplyError as error:
        caller.reserved = False
        raise to_exception(error, script.name, handle.keys.ident) from None
    except BaseException:
        if instead is None:
            _send_or_defer(handle, caller, request, unknown)
            if note is not None:
                note(None)
        else:
            instead()
        raise
    caller.reserved = False
    return reply


def cancel_request(handle: Handle, caller: PinnedConnection, leave: Call) -> None:
    """Undo what requests of ``caller`` may have done, or may still do when they arrive late.

    Its next request has a larger number: what is still under way of earlier ones is refused after
    it. If the server cannot be reached the background thread does it later.
    """
    caller.reserved = True
    script, args = leave
    request, unknown = script.pack_request(handle, caller, args)
    _send_or_defer(handle, caller, request, unknown)


def _send_or_defer(
    handle: Handle, caller: PinnedConnection, request: bytes, unknown: Callable[[], bytes] | None
) -> None:
    """Send a request of a kept caller, now or later."""
    link = handle.link
    link.withdraw(caller)

    def settle(reply: Reply) -> None:
        caller.reserved = False
        if type(reply) is ReplyError:
            raise to_exception(reply, "the end of a wait", handle.keys.ident)

    def send() -> None:
        try:
            settle(link.exchange(caller, request, unknown))
        except ReplyError as error:
            settle(error)

    for _ in range(2):
        try:
            reply = link.try_once(caller, request)
            if unknown is not None and type(reply) is ReplyError and reply.code == "NOSCRIPT":
                reply = link.try_once(caller, unknown())
        except ReplyTimeout:
            break  # who does not wait any more does not wait for a silent server, either
        except (ConnectionBroken, LinkError):
            continue
        if type(reply) is ReplyError and reply.is_transient:
            break
        link.checkin(caller)
        settle(reply)
        return
    handle.session.janitor.defer(send)


class _Wait:
    """One wait of one thread."""

    def __init__(
        self,
        handle: Handle,
        seconds: float | None,
        opening: Call,
        pop: BlockingPop,
        closing: Call,
    ) -> None:
        self.handle = handle
        self.link: Link = handle.link
        self._quiet = handle.contended and self.link.supports_reply_off()
        self.connection: PinnedConnection = self.link.checkout()
        self._before = b"%012d" % self.connection.sequence
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._opening, self._pop, self._closing = opening, pop, closing
        self._passing_until = 0.0
        # The last request to decide, while it is not known whether it was executed.
        self._pending_claim: tuple[bytes, Callable[[], bytes]] | None = None

    def _left(self) -> float:
        return MAX_BLOCK if self._deadline is None else self._deadline - time.monotonic()

    def run(self) -> Reply:
        while (left := self._left()) > 0:
            try:
                reply = self._round(left) if self._pending_claim is None else self._ask_again()
                if type(reply) is ReplyError and reply.code == "NOSCRIPT":
                    self._load()
                    continue
            except ConnectionBroken as error:
                if isinstance(error, ReplyTimeout) and self._left() <= 0:
                    break
                patience = self.link.reconnect_timeout
                if self._deadline is not None:
                    patience = min(patience, max(self._left(), 0.0))
                self.link.reconnect(self.connection, error, patience)
                continue
            if type(reply) is ReplyError:
                self._failed(reply)
            elif reply is not None:
                return reply
            else:
                self._passing_until = 0.0
                if (
                    left := self._left()
                ) < CLOCK_TICK:  # another round could be refused by a full server
                    time.sleep(max(left, 0.0))
                    break
        return None

    def _round(self, left: float) -> Reply:
        block: float = MAX_BLOCK
        limit: float | None = MAX_BLOCK + BLOCK_GRACE
        overdue = 0.0
        known = self.link.ensure_connected(self.connection).loaded_scripts
        quiet, self._quiet = self._quiet and self._opening[0] in known, False
        if quiet and left > FIRST_BLOCK:
            block = FIRST_BLOCK
            if self.link.timeout >= FIRST_BLOCK + BLOCK_GRACE:
                limit = None
        elif left < MAX_BLOCK:
            block, limit, overdue = short_block(left)
        first, args = self._opening
        opening, source = first.pack_request(self.handle, self.connection, args)
        if first not in known:  # what follows would block, and run, behind a NOSCRIPT as well
            opening = source()
        last, args = self._closing
        self._pending_claim = closing, source = last.pack_request(
            self.handle, self.connection, args
        )
        if last not in known:
            closing = source()
        replies = self.link.exchange_blocking(
            self.connection, opening + self._pop.request(block) + closing, limit, grace=overdue
        )
        for reply in (replies[0], replies[-1]):
            if type(reply) is ReplyError:
                return reply
        # A full server refuses a pop that pushes. What was decided behind it counts all the same.
        if replies[2] is None and type(replies[1]) is ReplyError:
            return replies[1]
        known.add(first)
        known.add(last)
        self._pending_claim = None
        return replies[2]

    def _ask_again(self) -> Reply:
        """Send the request to decide once more, under its number: the server executes what it was
        sent, also after an error of the opening, or when nobody hears the answer.
        """
        assert self._pending_claim is not None
        request, unknown = self._pending_claim
        reply = self.link.try_once(self.connection, request)
        if type(reply) is ReplyError and reply.code == "NOSCRIPT":
            reply = self.link.try_once(self.connection, unknown())
        if type(reply) is not ReplyError or not reply.is_transient:
            self._pending_claim = None
        return reply

    def _load(self) -> None:
        """Tell the server the scripts that it forgot, on the connection that this thread has."""
        for script, _ in (self._opening, self._closing):
            reply = self.link.try_once(self.connection, pack((b"SCRIPT", b"LOAD", script.source)))
            if type(reply) is ReplyError:
                self._failed(reply)

    def _failed(self, error: ReplyError) -> None:
        """Return if another round may do better."""
        if error.is_transient and time.monotonic() < (self._passing_until or self._be_patient()):
            self.link.back_off()
        elif error.is_transient:
            raise LinkError(f"the server at {self.link.address} does not answer commands: {error}")
        else:
            raise to_exception(error, self._closing[0].name, self.handle.keys.ident) from None

    def end(self, leave: Callable[[bytes], Call] | None) -> None:
        """Give the caller back, after it has left."""
        if leave is None:
            self.link.checkin(self.connection)
        else:
            cancel_request(self.handle, self.connection, leave(self._before))

    def _be_patient(self) -> float:
        self._passing_until = time.monotonic() + self.link.reconnect_timeout
        return self._passing_until
