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
from multihost.wire.link import Broken, Caller, Late, Link, Reply, pack
from multihost.wire.replies import ReplyError, failure
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.janitor import Watched

__all__ = [
    "NUDGED",
    "OVERDUE",
    "QUIET",
    "SLICE",
    "Pop",
    "Step",
    "attempt",
    "brief",
    "circle_in",
    "insist",
    "pop_from",
    "wait",
    "watching",
]

SLICE = 20.0
QUIET = 2.0  # a first slice in which an error of the opening would not be heard of
OVERDUE = 2.0  # seconds that a server may be late with the end of a slice
NUDGED = 0.5  # and with the end of a wait, of which it is told
REST = 0.004  # by less than that it is early: it counts in milliseconds, and so do we


Step = tuple[Script, Sequence[bytes]]  # a script and its arguments
Note = Callable[[Reply], None]


class Pop:
    """What a thread is blocked in."""

    def __init__(self, name: bytes, *lists: bytes) -> None:
        self._command = name, *lists
        self._usual = {SLICE: self._packed(SLICE), QUIET: self._packed(QUIET)}

    def _packed(self, seconds: float) -> bytes:
        return pack((*self._command, b"%.3f" % seconds))

    def request(self, seconds: float) -> bytes:
        return self._usual.get(seconds) or self._packed(seconds)


def brief(left: float) -> tuple[float, float, float]:
    """For a wait that ends in less than a slice: how long the server blocks, after which time it is
    nudged, and how long it may take then.
    """
    block = max(int(left * 1000 - 1) / 1000, 0.002)  # Redis 6.2 takes 0.001 for 0, and for ever
    return block, max(left, block + 0.001), NUDGED


def pop_from(tokens: bytes) -> Pop:
    """The usual way to block: until there is a token."""
    return Pop(b"BLPOP", tokens)


def circle_in(tokens: bytes) -> Pop:
    """To block until there is a token for all: each pushes it back for the next one."""
    return Pop(b"BRPOPLPUSH", tokens, tokens)


def wait(
    handle: Handle,
    seconds: float | None,
    opening: Step,
    pop: Pop,
    closing: Step,
    leave: Callable[[bytes], Step] | None = None,
    look: Script | None = None,
    note: Note | None = None,
) -> Reply:
    """Wait until ``closing`` answers something, and return that; None when time is up.

    ``leave`` is what undoes ``opening`` if the wait ends in another way: its time is up, the object
    is gone, the server is lost, or the thread is interrupted. It is told the last request of the
    caller before this wait. ``look`` finds dead holders; the process must have entered its session
    then. ``note`` is called with the answer as long as an interruption would undo it.
    """
    turn = _Turn(handle, seconds, opening, pop, closing)
    watched = None if look is None else watching(handle, look)
    try:
        reply = turn.take()
        if reply is None:
            turn.end(leave)
        elif note is not None:
            note(reply)
    except BaseException:
        turn.link.drop(turn.caller)  # with the connection the server forgets what it blocks
        turn.end(leave)
        raise
    finally:
        if watched is not None:
            watched.waiters.discard(threading.get_ident())
    if reply is not None:
        turn.link.give_back(turn.caller)
    return reply


def watching(handle: Handle, look: Script) -> Watched:
    """Have the background thread look after what is waited for. Usually it does so already."""
    watched, janitor = handle.watched, handle.session.janitor
    if watched is not None and watched.script is look and watched.janitor is janitor:
        watched.waiters.add(threading.get_ident())
        if watched.listed:
            return watched
    handle.watched = watched = janitor.watch(handle.keys, look)
    return watched


def attempt(
    handle: Handle, step: Step, leave: Callable[[bytes], Step], note: Note | None = None
) -> Reply:
    """Run a script once; if its outcome stays unknown, because the server was lost or the thread
    was interrupted, undo it by ``leave``, which is told the last request before this one.

    ``note`` is called with the answer as long as an interruption would undo it.
    """
    caller = handle.link.take()
    before = b"%012d" % caller.number
    return _exchange(handle, caller, step, lambda: withdraw(handle, caller, leave(before)), note)


def insist(handle: Handle, step: Step, note: Note | None = None) -> Reply:
    """Run a script once, also if this thread is interrupted while it waits for the answer.

    ``note`` is called with the answer; with None if it is sure to be run, and not known.
    """
    caller = handle.link.take()
    return _exchange(handle, caller, step, None, note)


def _exchange(
    handle: Handle,
    caller: Caller,
    step: Step,
    instead: Callable[[], None] | None,
    note: Note | None,
) -> Reply:
    """Run a script; if its outcome stays unknown do something else, or the same again."""
    caller.kept = True
    script, args = step
    request, unknown = script.request(handle, caller, args)
    try:
        reply = handle.link.exchange(caller, request, unknown)
        if note is not None:
            note(reply)
    except ReplyError as error:
        caller.kept = False
        raise failure(error, script.name, handle.keys.ident) from None
    except BaseException:
        if instead is None:
            _send_or_owe(handle, caller, request, unknown)
            if note is not None:
                note(None)
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
    script, args = leave
    request, unknown = script.request(handle, caller, args)
    _send_or_owe(handle, caller, request, unknown)


def _send_or_owe(
    handle: Handle, caller: Caller, request: bytes, unknown: Callable[[], bytes] | None
) -> None:
    """Send a request of a kept caller, now or later."""
    link = handle.link
    link.reclaim(caller)

    def settle(reply: Reply) -> None:
        caller.kept = False
        if type(reply) is ReplyError:
            raise failure(reply, "the end of a wait", handle.keys.ident)

    def send() -> None:
        try:
            settle(link.exchange(caller, request, unknown))
        except ReplyError as error:
            settle(error)

    for _ in range(2):
        try:
            reply = link.once(caller, request)
            if unknown is not None and type(reply) is ReplyError and reply.code == "NOSCRIPT":
                reply = link.once(caller, unknown())
        except Late:
            break  # who does not wait any more does not wait for a silent server, either
        except (Broken, LinkError):
            continue
        if type(reply) is ReplyError and reply.passing:
            break
        link.give_back(caller)
        settle(reply)
        return
    handle.session.janitor.owe(send)


class _Turn:
    """One wait of one thread."""

    def __init__(
        self,
        handle: Handle,
        seconds: float | None,
        opening: Step,
        pop: Pop,
        closing: Step,
    ) -> None:
        self.handle = handle
        self.link: Link = handle.link
        self._quiet = handle.crowded and self.link.may_be_quiet()
        self.caller: Caller = self.link.take()
        self._before = b"%012d" % self.caller.number
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._opening, self._pop, self._closing = opening, pop, closing
        self._passing_until = 0.0
        # The last request to decide, while it is not known whether it was executed.
        self._unheard: tuple[bytes, Callable[[], bytes]] | None = None

    def _left(self) -> float:
        return SLICE if self._deadline is None else self._deadline - time.monotonic()

    def take(self) -> Reply:
        while (left := self._left()) > 0:
            try:
                reply = self._round(left) if self._unheard is None else self._ask_again()
                if type(reply) is ReplyError and reply.code == "NOSCRIPT":
                    self._load()
                    continue
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
                if (left := self._left()) < REST:  # another round could be refused by a full server
                    time.sleep(max(left, 0.0))
                    break
        return None

    def _round(self, left: float) -> Reply:
        block: float = SLICE
        limit: float | None = SLICE + OVERDUE
        overdue = 0.0
        known = self.link.opened(self.caller).known
        quiet, self._quiet = self._quiet and self._opening[0] in known, False
        if quiet and left > QUIET:
            block = QUIET
            if self.link.timeout >= QUIET + OVERDUE:
                limit = None
        elif left < SLICE:
            block, limit, overdue = brief(left)
        first, args = self._opening
        opening, source = first.request(self.handle, self.caller, args)
        if first not in known:  # what follows would block, and run, behind a NOSCRIPT as well
            opening = source()
        last, args = self._closing
        self._unheard = closing, source = last.request(self.handle, self.caller, args)
        if last not in known:
            closing = source()
        replies = self.link.blocked(
            self.caller, opening + self._pop.request(block) + closing, limit, overdue=overdue
        )
        for reply in (replies[0], replies[-1]):
            if type(reply) is ReplyError:
                return reply
        # A full server refuses a pop that pushes. What was decided behind it counts all the same.
        if replies[2] is None and type(replies[1]) is ReplyError:
            return replies[1]
        known.add(first)
        known.add(last)
        self._unheard = None
        return replies[2]

    def _ask_again(self) -> Reply:
        """Send the request to decide once more, under its number: the server executes what it was
        sent, also after an error of the opening, or when nobody hears the answer.
        """
        assert self._unheard is not None
        request, unknown = self._unheard
        reply = self.link.once(self.caller, request)
        if type(reply) is ReplyError and reply.code == "NOSCRIPT":
            reply = self.link.once(self.caller, unknown())
        if type(reply) is not ReplyError or not reply.passing:
            self._unheard = None
        return reply

    def _load(self) -> None:
        """Tell the server the scripts that it forgot, on the connection that this thread has."""
        for script, _ in (self._opening, self._closing):
            reply = self.link.once(self.caller, pack((b"SCRIPT", b"LOAD", script.source)))
            if type(reply) is ReplyError:
                self._failed(reply)

    def _failed(self, error: ReplyError) -> None:
        """Return if another round may do better."""
        if error.passing and time.monotonic() < (self._passing_until or self._be_patient()):
            self.link.pause()
        elif error.passing:
            raise LinkError(f"the server at {self.link.address} does not answer commands: {error}")
        else:
            raise failure(error, self._closing[0].name, self.handle.keys.ident) from None

    def end(self, leave: Callable[[bytes], Step] | None) -> None:
        """Give the caller back, after it has left."""
        if leave is None:
            self.link.give_back(self.caller)
        else:
            withdraw(self.handle, self.caller, leave(self._before))

    def _be_patient(self) -> float:
        self._passing_until = time.monotonic() + self.link.patience
        return self._passing_until
