"""The one way to wait: blocked on the server, in the order of arrival, with the decision behind it.

A round is one write of three commands: a script that enters the thread among those who wait, a pop
that blocks until there is a token, and a script that decides, which runs as soon as the pop
returns. Tokens are hints and carry nothing: one that is lost costs time, never data. A pop blocks
for :data:`SLICE` seconds at most, so that a connection that died unnoticed is found out. A server
looks at its clock ten times a second: a wait that ends sooner hangs up, and is exact. A thread
waits on the connection that it has anyway: as many connections as threads, however many wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from multihost.errors import LinkError
from multihost.wire.link import Broken, Caller, Command, Late, Link, Reply, pack
from multihost.wire.replies import ReplyError, failure
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["Step", "attempt", "circle_in", "insist", "pop_from", "wait"]

SLICE = 5.0
OVERDUE = 2.0  # seconds that a server may be late with the end of a slice


class Step(NamedTuple):
    """A script and its arguments."""

    script: Script
    args: Sequence[bytes]


def pop_from(tokens: bytes) -> Callable[[bytes], Command]:
    """The usual way to block: until there is a token."""
    return lambda seconds: (b"BLPOP", tokens, seconds)


def circle_in(tokens: bytes) -> Callable[[bytes], Command]:
    """To block until there is a token for all: each pushes it back for the next one."""
    return lambda seconds: (b"BRPOPLPUSH", tokens, tokens, seconds)


def wait(
    handle: Handle,
    seconds: float | None,
    opening: Step,
    pop: Callable[[bytes], Command],
    closing: Step,
    leave: Callable[[bytes], Step] | None = None,
    look: Script | None = None,
) -> Reply:
    """Wait until ``closing`` answers something, and return that; None when time is up.

    ``leave`` is what undoes ``opening`` if the wait ends in another way: its time is up, the object
    is gone, the server is lost, or the thread is interrupted. It is told the last request of the
    caller before this wait. ``look`` finds dead holders.
    """
    turn = _Turn(handle, seconds, opening, pop, closing)
    session = handle.session
    if look is not None:
        session.enter(handle.keys)
    try:
        if look is None:
            reply = turn.take()
        else:
            with session.janitor.watching(handle.keys, look):
                reply = turn.take()
    except BaseException:
        turn.link.drop(turn.caller)  # with the connection the server forgets what it blocks
        turn.end(leave)
        raise
    turn.end(leave if reply is None else None)
    return reply


def attempt(handle: Handle, step: Step, leave: Callable[[bytes], Step]) -> Reply:
    """Run a script once; if its outcome stays unknown, because the server was lost or the thread
    was interrupted, undo it by ``leave``, which is told the last request before this one.
    """
    caller = handle.link.take()
    before = b"%012d" % caller.number
    return _exchange(handle, caller, step, lambda: withdraw(handle, caller, leave(before)))


def insist(handle: Handle, step: Step) -> Reply:
    """Run a script once, also if this thread is interrupted while it waits for the answer."""
    caller = handle.link.take()
    return _exchange(handle, caller, step, None)


def _exchange(
    handle: Handle, caller: Caller, step: Step, instead: Callable[[], None] | None
) -> Reply:
    """Run a script; if its outcome stays unknown do something else, or the same again."""
    caller.kept = True
    request, unknown = step.script.request(handle, caller, step.args)
    try:
        reply = handle.link.exchange(caller, request, unknown)
    except ReplyError as error:
        caller.kept = False
        raise failure(error, step.script.name, handle.keys.ident) from None
    except BaseException:
        if instead is None:
            _send_or_owe(handle, caller, request, unknown)
        else:
            instead()
        raise
    caller.kept = False
    return reply


def withdraw(handle: Handle, caller: Caller, leave: Step) -> None:
    """Undo what requests of ``caller`` may have done, or may still do when they arrive late.

    Its next request has a larger number: what is still under way of earlier ones is refused after
    it. If the server cannot be reached the background thread does it later.
    """
    caller.kept = True
    request, unknown = leave.script.request(handle, caller, leave.args)
    _send_or_owe(handle, caller, request, unknown)


def _send_or_owe(
    handle: Handle, caller: Caller, request: bytes, unknown: Callable[[], bytes] | None
) -> None:
    """Send a request of a kept caller, now or later."""

    def send() -> None:
        try:
            handle.link.exchange(caller, request, unknown)
        except ReplyError as error:
            caller.kept = False
            raise failure(error, "the end of a wait", handle.keys.ident) from None
        caller.kept = False

    try:
        send()
    except LinkError:
        handle.session.janitor.owe(send)


class _Turn:
    """One wait of one thread."""

    def __init__(
        self,
        handle: Handle,
        seconds: float | None,
        opening: Step,
        pop: Callable[[bytes], Command],
        closing: Step,
    ) -> None:
        self.handle = handle
        self.link: Link = handle.link
        self.caller: Caller = self.link.take()
        self._before = b"%012d" % self.caller.number
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._opening, self._pop, self._closing = opening, pop, closing
        self._passing_until = 0.0

    def _left(self) -> float:
        return SLICE if self._deadline is None else self._deadline - time.monotonic()

    def take(self) -> Reply:
        while (left := self._left()) > 0:
            try:
                reply = self._round(left)
            except Broken as error:
                if isinstance(error, Late) and self._left() <= 0:
                    break
                patience = self.link.patience
                if self._deadline is not None:
                    patience = min(patience, max(self._left(), 0.0))
                self.link.revive(self.caller, error, patience)
                continue
            if type(reply) is ReplyError:
                self._failed(reply)
            elif reply is not None:
                return reply
            else:
                self._passing_until = 0.0
        return None

    def _round(self, left: float) -> Reply:
        # The last round ends by our clock, the others by the server's.
        block, limit = (left + OVERDUE, left) if left < SLICE else (SLICE, SLICE + OVERDUE)
        opening, _ = self._opening.script.request(self.handle, self.caller, self._opening.args)
        closing, _ = self._closing.script.request(self.handle, self.caller, self._closing.args)
        first, last = self.link.blocked(
            self.caller, opening, pack(self._pop(b"%.3f" % block)), closing, limit
        )
        return first if type(first) is ReplyError else last

    def _failed(self, error: ReplyError) -> None:
        """Return if another round may do better."""
        if error.code == "NOSCRIPT":
            for step in (self._opening, self._closing):
                self.link.call(b"SCRIPT", b"LOAD", step.script.source)
        elif error.passing and time.monotonic() < (self._passing_until or self._be_patient()):
            self.link.pause()
        else:
            raise failure(error, self._closing.script.name, self.handle.keys.ident) from None

    def end(self, leave: Callable[[bytes], Step] | None) -> None:
        """Give the caller back, after it has left."""
        if leave is None:
            self.link.give_back(self.caller)
        else:
            withdraw(self.handle, self.caller, leave(self._before))

    def _be_patient(self) -> float:
        self._passing_until = time.monotonic() + self.link.patience
        return self._passing_until
