"""Waiting for a shared object: blocked on the server, in the order of arrival.

A wait is made of rounds. Each is one write of three commands on the thread's own connection:

enqueue  a script that makes this thread a waiter of the object
block    a pop from the list of wake-up tokens, which blocks until there is one
claim    a script that takes what was waited for, or finds that it is not to be had

Two more scripts belong to it:

cancel   undoes enqueue, and a claim of which no reply was received; sent when a wait ends otherwise
reap     removes what dead processes left; run by the janitors of those who wait (see
         :mod:`multihost.wire.session.janitor`)

*Why tokens.* A blocking pop is what a server lets clients queue for, in order. Whoever releases the
object changes its state and pushes a token; a token itself carries nothing. One that was popped by
a client that died, or that expired, costs time: a reap compares the object's state with the list
and pushes another. Had the token been the data, that would be lost with the client.

*Why the claim is behind the pop.* The server executes it the moment the pop returns, without a
round trip in which the object is reserved for a client that has not heard of it. And it decides:
a token may be stale, or one of several; a claim that gets nothing begins another round. That
enqueues again, which has no effect on a thread that is still a waiter.

What happens if, meanwhile,

- the thread is interrupted, or the object deleted: its connection is closed, and with it the server
  forgets the pop and what is behind it. Then the thread cancels. The request has a larger number
  than all before it, so what is still under way of those is refused when it arrives;
- the connection breaks: the thread connects again and sends the claim once more under its number:
  if it was executed its reply is returned again. If it got nothing, another round begins;
- the server is lost: the wait fails, and the janitor sends the cancel as soon as it can;
- the process is killed: the server closes its connections. It is a waiter until a reap finds its
  session dead; what was handed off to it goes to the next one;
- the process is suspended and declared dead: its first heartbeat afterwards finds that the session
  expired and breaks the connections of the blocked threads, which begin another round.

A pop blocks for :data:`MAX_BLOCK` seconds at most: so a connection that died unnoticed is found. A
server checks its clock ten times a second, or when it receives something: at the end of a wait it
is sent an empty command, which makes time-outs exact.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from multihost.wire.completion import Call, send_cancel
from multihost.wire.link import (
    ConnectionBroken,
    Link,
    PinnedConnection,
    Reply,
    confirm_request,
    pack,
    pack_args,
    stood_still,
)
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.janitor import WatchedObject

__all__ = [
    "BLOCK_GRACE",
    "FIRST_BLOCK",
    "MAX_BLOCK",
    "WAKE_GRACE",
    "BlockingPop",
    "Outage",
    "SessionLapsed",
    "broadcast_pop",
    "short_block",
    "start_watching",
    "stop_watching",
    "token_pop",
    "wait",
    "wait_by_name",
]

T = TypeVar("T")

MAX_BLOCK = 20.0  # seconds that one pop blocks at most
FIRST_BLOCK = 2.0  # the same for a wait that is expected to be short
BLOCK_GRACE = 2.0  # seconds that a server may be late with the end of a pop
WAKE_GRACE = 0.5  # the same if it is sent an empty command then
CLOCK_TICK = 0.004  # seconds that it may be early: it counts in milliseconds, and so do we


class BlockingPop:
    """A command that blocks until there is a wake-up token."""

    __slots__ = ("_head",)

    def __init__(self, name: bytes, *lists: bytes) -> None:
        self._head = b"*%d\r\n%b" % (len(lists) + 2, pack_args((name, *lists)))

    def request(self, seconds: float) -> bytes:
        """Return the packed command that blocks for so long."""
        timeout = b"%.3f" % seconds
        return b"%b$%d\r\n%b\r\n" % (self._head, len(timeout), timeout)


def token_pop(tokens: bytes) -> BlockingPop:
    """Return the pop for tokens that wake one waiter each."""
    return BlockingPop(b"BLPOP", tokens)


def broadcast_pop(tokens: bytes) -> BlockingPop:
    """Return the pop for a token that wakes all waiters: each pushes it back for the next one."""
    return BlockingPop(b"BRPOPLPUSH", tokens, tokens)


def short_block(left: float) -> tuple[float, float, float]:
    """Return how to block for ``left`` seconds, less than :data:`MAX_BLOCK`: how long the server
    blocks, after which time it is sent an empty command, and how long the reply may take then.
    """
    # The server's clock has run out when it receives the empty command. At least two milliseconds:
    # Redis 6.2 rounds 0.001 to 0, which means forever.
    block = max(int(left * 1000 - 1) / 1000, 0.002)
    return block, max(left, block + 0.001), WAKE_GRACE


def wait(
    handle: Handle,
    seconds: float | None,
    enqueue: Call,
    pop: BlockingPop,
    claim: Call,
    cancel: Callable[[bytes], Call] | None = None,
    reap: Script | None = None,
    *,
    by_name: bool = True,
) -> Reply:
    """Wait until ``claim`` returns something, and return that; None when time is up.

    ``cancel`` is called with the number of the last request before this wait. ``reap`` finds dead
    holders; the process must be registered (:meth:`Session.ensure_registered`) in order to be found
    itself. 1 round trip, and the wait.

    Raises SessionLapsed if this process was declared dead meanwhile, so that the name of its
    session is used no more; not if the wait is none ``by_name``.
    """
    waiting = _Wait(handle, seconds, enqueue, pop, claim, by_name)
    try:
        if reap is not None:
            start_watching(handle, reap)
        reply = waiting.run()
        if reply is None:
            waiting.end(cancel)
        elif handle.link.replicas and claim[0].header.writes:
            confirm_request(handle.link, waiting.connection, handle.keys.prefix)
            handle.link.withdraw(waiting.connection)
        stop_watching(handle)
    except BaseException:
        stop_watching(handle)
        waiting.link.disconnect(waiting.connection)  # ends the pop, and the claim behind it
        waiting.end(cancel)
        raise
    if reply is not None:
        waiting.link.checkin(waiting.connection)
    return reply


def wait_by_name(
    handle: Handle, seconds: float | None, attempt: Callable[[bytes, float | None], T]
) -> T:
    """Return the result of ``attempt``, a wait of this thread under that id, for so many seconds.
    If this process is declared dead meanwhile it begins anew under another id.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    session, prefix = handle.session, handle.keys.prefix
    while True:
        session.ensure_registered(handle.keys)
        left = None if deadline is None else deadline - time.monotonic()
        try:
            return attempt(session.identity.waiter_id(prefix), left)
        except SessionLapsed:
            continue


def start_watching(handle: Handle, reap: Script) -> WatchedObject:
    """Have the janitor watch the object, until :func:`stop_watching`."""
    watched, janitor = handle.watched, handle.session.janitor
    while True:
        if watched is not None and watched.reap is reap and watched.janitor is janitor:
            # Usually the janitor has it. Without its lock, but in this order, see Janitor._due_now.
            watched.waiters.add(threading.get_ident())
            if watched.listed:
                return watched
        # First where stop_watching() finds it, then among the waiters.
        handle.watched = watched = janitor.watched(handle.keys, reap)


def stop_watching(handle: Handle) -> None:
    """This thread does not wait any more, if it did."""
    if handle.watched is not None:
        handle.watched.waiters.discard(threading.get_ident())


class SessionLapsed(Exception):
    """This process was declared dead while it waited, and is not among the waiters any more."""


class Outage:
    """How long a wait goes on although the server refuses it: as long as this thread has patience,
    if that passes by itself; if somebody has to do something about it, only if it began when the
    thread waited already.
    """

    def __init__(self, link: Link, has_waited: bool = False) -> None:
        self.error: ReplyError | None = None
        self._link = link
        self._begun = 0.0
        self._tried = 0.0  # when it was tried again last
        self.has_waited: bool = has_waited

    def end(self) -> None:
        """The server did what it was asked to do."""
        self.error, self.has_waited = None, True

    def back_off(self, error: ReplyError) -> bool:
        """Return whether the wait goes on, after a pause."""
        if not (error.is_transient or (error.passes and self.has_waited)):
            return False
        now = time.monotonic()
        if self.error is None:
            self._begun = self._tried = now
        self._begun += stood_still(self._tried, self._link.timeout)
        self.error = error
        if now >= self._link.patience_ends(self._begun):
            return False
        self._link.back_off()
        self._begun += stood_still(now, 0.0)
        self._tried = time.monotonic()
        return True


class _Wait:
    """One wait of one thread."""

    def __init__(
        self,
        handle: Handle,
        seconds: float | None,
        enqueue: Call,
        pop: BlockingPop,
        claim: Call,
        by_name: bool,
    ) -> None:
        self.handle = handle
        self.link: Link = handle.link
        self.connection: PinnedConnection = self.link.checkout()
        self._before = b"%012d" % self.connection.sequence
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._enqueue, self._pop, self._claim = enqueue, pop, claim
        self._failed = claim[0]  # the script whose error a reply is
        self._outage = Outage(self.link)
        self._names = handle.session.registration.names
        self._name = self._names[handle.keys.prefix] if by_name else None
        # The last claim and what to send if the server does not know its script, from before it is
        # sent until its reply is received: it may have been executed.
        self._pending_claim: tuple[bytes, Callable[[], bytes]] | None = None

    def _left(self) -> float:
        return MAX_BLOCK if self._deadline is None else self._deadline - time.monotonic()

    def run(self) -> Reply:
        """Return the reply of the claim that got something; None when time is up."""
        while (left := self._left()) > 0:
            if self._name not in (None, self._names[self.handle.keys.prefix]):
                raise SessionLapsed
            try:
                reply = self._round(left) if self._pending_claim is None else self._claim_again()
                if type(reply) is ReplyError and reply.code == "NOSCRIPT":
                    self._load_scripts()
                    continue
            except ConnectionBroken as error:
                # Also when time is up: a server that does not answer has not said that there was
                # nothing to be had.
                timeout = self.link.reconnect_timeout
                if self._deadline is not None:
                    timeout = min(timeout, max(self._left(), 0.0))
                self.link.reconnect(self.connection, error, timeout)
                continue
            if type(reply) is ReplyError:
                self._back_off_or_raise(reply)
            elif reply is not None:
                return reply
            else:
                self._outage.end()
                # The pop ended a little early. A full server could refuse another round, which
                # would be an error instead of a time-out. So the rest, a tick at most, is slept.
                if (left := self._left()) < CLOCK_TICK:
                    time.sleep(max(left, 0.0))  # the rest, see above
                    break
        if self._outage.error is not None:
            raise self._failed.to_exception(self._outage.error, self.handle.keys.ident)
        return None

    def _round(self, left: float) -> Reply:
        """Return the reply of the claim, or the error of any of the three commands."""
        block, limit, grace = self._limits(left)
        loaded = self.link.ensure_connected(self.connection).loaded_scripts
        script, args = self._enqueue
        enqueue, source = script.pack_request(self.handle, self.connection, args)
        # By their source, if the server may not know them: what is written behind a command that
        # fails with NOSCRIPT would block, and claim, all the same.
        if script not in loaded:
            enqueue = source()
        script, args = self._claim
        self._pending_claim = claim, source = script.pack_request(
            self.handle, self.connection, args
        )
        if script not in loaded:
            claim = source()
        replies = self.link.exchange_blocking(
            self.connection, enqueue + self._pop.request(block) + claim, limit, grace=grace
        )
        # After an error of the first it is the only one.
        for call, reply in ((self._enqueue, replies[0]), (self._claim, replies[-1])):
            if type(reply) is ReplyError:
                self._failed = call[0]
                return reply
        _, popped, claimed = replies
        # A full server refuses a pop that pushes. What was claimed behind it counts all the same.
        if claimed is None and type(popped) is ReplyError:
            return popped
        loaded.update((self._enqueue[0], self._claim[0]))
        self._pending_claim = None
        return claimed

    def _limits(self, left: float) -> tuple[float, float | None, float]:
        """Return how long the pop blocks, how long the connection waits for it (None: as long as
        for any reply), and how long after it was sent an empty command then.
        """
        if left < MAX_BLOCK:
            return short_block(left)
        return MAX_BLOCK, MAX_BLOCK + BLOCK_GRACE, 0.0

    def _claim_again(self) -> Reply:
        """Send the pending claim once more, under its number: the server executes what it has
        received, also after an error of enqueue, or when the connection breaks before the reply.
        """
        assert self._pending_claim is not None
        self._failed = self._claim[0]
        request, on_noscript = self._pending_claim
        reply = self.link.try_once(self.connection, request)
        if type(reply) is ReplyError and reply.code == "NOSCRIPT":
            reply = self.link.try_once(self.connection, on_noscript())
        if type(reply) is not ReplyError or not reply.passes:
            self._pending_claim = None
        return reply

    def _load_scripts(self) -> None:
        """Load the scripts into a server that forgot them, over the same connection."""
        for script, _ in (self._enqueue, self._claim):
            reply = self.link.try_once(self.connection, pack((b"SCRIPT", b"LOAD", script.source)))
            if type(reply) is ReplyError:
                self._back_off_or_raise(reply)

    def _back_off_or_raise(self, error: ReplyError) -> None:
        """Return, after a pause, if another round may succeed."""
        if not self._outage.back_off(error):
            raise self._failed.to_exception(error, self.handle.keys.ident) from None
        if error.has_moved:
            self.link.disconnect(self.connection)

    def end(self, cancel: Callable[[bytes], Call] | None) -> None:
        """Give the connection back, after the thread is no waiter any more."""
        if cancel is None:
            self.link.withdraw(self.connection)  # if a signal came behind this
            self.link.checkin(self.connection)
        else:
            send_cancel(self.handle, self.connection, cancel(self._before))
