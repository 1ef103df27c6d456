"""Conversations with a process that has objects, at the end that asks; see wire.speech."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from multihost.errors import LinkLost
from multihost.wire.link import Broken, Caller, Reply, snapshot
from multihost.wire.replies import ReplyError, failure
from multihost.wire.rpc.frames import HEAD, KEPT, LARGE, Mouth
from multihost.wire.script import Script
from multihost.wire.session import Session
from multihost.wire.wait import watching

__all__ = ["Absent", "Ended", "Host", "hosts_of"]

FIRST = 0.3  # seconds of a call after which it counts as a long one: the host is looked after

_look = Script("host/reap")
_knock = Script("host/open_channel")


class Absent(Exception):
    """There is no such host; nothing was sent, or nothing was heard."""


class Ended(Exception):
    """The host has ended during a call."""


class Host:
    """A process that serves objects, as the threads that call it see it."""

    def __init__(self, session: Session, ident: str) -> None:
        self.ident = ident
        self.session = session
        self.handle = session.handle(ident)
        self._numbers = itertools.count()
        self._local = _Talks(self)
        self._waiting: set[Talk] = set()
        self.talks: set[Talk] = set()
        self.ends = 0  # how often it was found dead

    def call(self, payload: bytes) -> bytes:
        """Send a request and return the answer. 1 round trip to the server and one from there to
        the host. The first call of a thread takes one or two more.

        Raises Absent, Ended, LinkLost.
        """
        session = self.session
        if time.monotonic() > session.presence.fresh_until:  # it may have been taken for dead
            session.enter(self.handle.keys)
        talks = self._local.free
        talk = talks.pop() if talks else Talk(self)
        if talk.is_over:
            talk.close()
            talk = Talk(self)
        try:
            answer = talk.ask(payload)
        except (Absent, Ended):
            self.talks.discard(talk)
            raise
        except BaseException:
            talk.close()
            raise
        talks.append(talk)
        return answer

    def is_there(self) -> bool:
        """Whether it lives, as far as one can know at this moment. 1 round trip."""
        return _look.repeat(self.handle, b"", b"0") is not None

    def next_id(self) -> bytes:
        return b"%b.%d" % (self.session.presence.sid, next(self._numbers))

    def wait_for(self, talk: Talk) -> Any:
        """Have the background thread look whether the host lives, while a call waits for it."""
        self._waiting.add(talk)
        watched = watching(self.handle, _look)
        watched.gone.add(self._tell)
        return watched

    def stop_waiting(self, talk: Talk, watched: Any) -> None:
        self._waiting.discard(talk)
        watched.waiters.discard(threading.get_ident())

    def _tell(self) -> None:
        """It is dead: those who wait for it find out."""
        self.ends += 1
        for talk in list(self._waiting):
            snapshot(
                self.session.link, (b"LPUSH", talk.hears, b"!"), (b"PEXPIRE", talk.hears, KEPT)
            )

    def say_goodbye(self) -> None:
        """This process ends: so do its conversations."""
        commands: list[Sequence[bytes]] = []
        for talk in list(self.talks):
            commands += [(b"LPUSH", talk.says, b"."), (b"PEXPIRE", talk.says, KEPT)]
        self.talks.clear()
        if commands:
            snapshot(self.session.link, *commands)


class _Free(list["Talk"]):
    """The free conversations of one thread with a host. Ends them with the thread."""

    __slots__ = ()

    def __del__(self) -> None:
        for talk in self:
            talk.close()


class _Talks(threading.local):
    def __init__(self, host: Host) -> None:  # noqa: ARG002 - threading.local calls it in each thread
        self.free = _Free()


class Talk:
    """One conversation, at the end that asks."""

    def __init__(self, host: Host) -> None:
        session = host.session
        keys = host.handle.keys
        session.enter(keys)
        self._host = host
        self.id = host.next_id()
        self._lapses = session.presence.lapses
        self._ends = host.ends
        self.says = keys.talk(b"a", self.id)
        self.hears = keys.talk(b"b", self.id)
        self._number = 0
        self._link = session.link
        self._mouth = Mouth(session.link, self.says, self.hears, FIRST)
        self._is_quick = self._mouth.can_be_quick(FIRST)
        self._presence = session.presence
        self._knock()
        host.talks.add(self)

    def _knock(self) -> None:
        if _knock.repeat(self._host.handle, self.id) is None:
            raise Absent

    @property
    def is_over(self) -> bool:
        """Whether one of the two was dead meanwhile, or taken for it."""
        return self._lapses != self._presence.lapses or self._ends != self._host.ends

    def ask(self, payload: bytes) -> bytes:
        """Send a request, and wait for its answer."""
        self._number = number = self._number + 1
        word = b"=%012d" % number + payload
        caller = self._link.take()
        heard, broken = None, False
        try:
            if self._is_quick and len(word) < LARGE:
                mouth = self._mouth
                try:
                    heard = self._link.converse(
                        caller, b"%b$%d\r\n%b%b" % (mouth.quick, len(word), word, mouth.rest)
                    )
                except Broken as error:
                    self._link.revive(caller, error, self._link.patience)
                    broken = True
            if type(heard) is list and heard[1][:HEAD] == word[:HEAD]:
                answer = heard[1][HEAD:]
            else:
                answer = self._patiently(caller, word, heard, broken)
        except BaseException:
            self._link.drop(caller)  # with the connection the server forgets what it blocks
            self._link.give_back(caller)
            raise
        self._link.give_back(caller)
        return answer  # type: ignore[no-any-return]

    def _patiently(self, caller: Caller, word: bytes, heard: Reply, broken: bool) -> bytes:
        """Wait for as long as it takes, and see whether the host lives."""
        again: bytes | None = word
        once = type(heard) is list  # it was said once, and not lost
        watched = self._host.wait_for(self)
        try:
            if broken and not self._is_heard(caller):
                raise Ended
            while True:
                if type(heard) is list:
                    again = None
                    said = heard[1]
                    kind, number = said[:1], said[1:HEAD]
                    if number == word[1:HEAD] and kind in (b"=", b"+"):
                        return said[HEAD:]  # type: ignore[no-any-return]
                    if kind == b"x":
                        raise LinkLost(
                            "this process was taken for dead during the call: whether it took "
                            "effect is unknown"
                        )
                    if kind == b"!" and not self._is_heard(caller):
                        self._host.ends += 1
                        raise Absent if once and self._is_unheard(caller, word) else Ended
                    if kind == b"+":
                        again = word
                elif type(heard) is ReplyError:
                    if not heard.passing:
                        raise failure(heard, "a call", self._host.ident)
                    self._link.pause()
                once = once and again is None
                try:
                    heard = self._mouth.slowly(caller, again)
                    again = word  # unless it is heard of: a server may have lost it
                except Broken as error:
                    self._link.revive(caller, error, self._link.patience)
                    heard, again = None, word
                if heard is None and not self._is_heard(caller):
                    raise Ended
        finally:
            self._host.stop_waiting(self, watched)

    def _is_heard(self, caller: Caller) -> bool:
        """Say once more that this conversation exists; whether there is a host to hear it."""
        with self._lent(caller):
            return self._host.is_there() and _knock.repeat(self._host.handle, self.id) is not None

    def _is_unheard(self, caller: Caller, word: bytes) -> bool:
        """Take back what the host had not heard when it ended; whether that is so."""
        with self._lent(caller):
            return bool(self._link.call(b"LREM", self.says, b"1", word))

    @contextlib.contextmanager
    def _lent(self, caller: Caller) -> Iterator[None]:
        """Other calls take the connection, and nobody else may."""
        caller.kept = True
        self._link.give_back(caller)
        try:
            yield
        finally:
            self._link.reclaim(caller)
            caller.kept = False

    def close(self) -> None:
        """The conversation is over; finalizers call this in any thread, so it only leaves word."""
        session = self._host.session
        self._host.talks.discard(self)
        if session.presence is self._presence and not session.link.is_closed:
            session.later(self._say_goodbye)

    def _say_goodbye(self) -> None:
        snapshot(self._link, (b"LPUSH", self.says, b"."), (b"PEXPIRE", self.says, KEPT))


def hosts_of(session: Session, ident: str) -> Host:
    """The host of that identity, as this process sees it."""
    host: Host | None = session.hosts.get(ident)
    if host is None:
        host = session.hosts.setdefault(ident, Host(session, ident))
        session.at_end.append(host.say_goodbye)
    return host
