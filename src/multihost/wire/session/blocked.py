"""Threads of this process that are blocked on the server in a move.

They are for as long as they want to wait: a move that ended and was sent again would go to the end
of the line. So the connection must live: the kernel finds out when the other end is gone. But there
may be something between, which keeps this end open though the server has closed its own; or the
reply was lost. So the background thread asks the server, over its own connection, whether it has
the connections, and that they are blocked.

It also tells others who waits (``hold/announce``), of those that have waited for a moment: most
waits are shorter, and cost nothing.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

from multihost.wire.keys import Keys
from multihost.wire.link import Command, Link, Node, PinnedConnection
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.session.janitor import Janitor
from multihost.wire.session.nodes import for_each_node

__all__ = ["BlockedThreads", "Waiting"]

_announce = Script("hold/announce")

TICK = 0.3  # seconds between two turns while any thread waits
SHORT = 0.05  # seconds of a wait that nobody is told of
INTERVAL = 20.0  # seconds after which the server is asked about a connection again
IDLE = 2  # seconds for which a connection that is not blocked any more may have no reply

_ROW = rb"(?m)^id=(\d+) .*? idle=(\d+) flags=(\w+)"


class Waiting:
    """A thread that waits for an element of an object, under that id."""

    __slots__ = ("begun", "checked", "connection", "id", "is_announced", "keys")

    def __init__(self, keys: Keys, id_: bytes, connection: PinnedConnection) -> None:
        self.keys: Keys = keys
        self.id: bytes = id_
        self.connection: PinnedConnection = connection
        self.begun: float = time.monotonic()
        self.checked: float = 0.0  # when the server was asked about its connection last
        self.is_announced: bool = False

    @property
    def client_id(self) -> bytes:
        """The number of its connection, empty where not known."""
        channel = self.connection.channel
        return b"" if channel is None else channel.client_id

    def interrupt(self) -> None:
        """Break the connection: the thread asks anew."""
        channel = self.connection.channel
        if channel is not None:
            channel.interrupt()


class BlockedThreads:
    """Those of one session. Any thread comes and goes; the background thread checks."""

    def __init__(self, link: Link, janitor: Janitor) -> None:
        self.may_list: bool = True  # connections
        self._link = link
        self._janitor = janitor
        self._waiting: dict[int, Waiting] = {}  # by ident of the thread
        self._announced: set[Waiting] = set()
        self._is_checked = False  # a timer runs

    # any thread

    def add(self, waiting: Waiting) -> None:
        """This thread is about to wait. No round trip."""
        self._waiting[threading.get_ident()] = waiting
        if not self._is_checked:
            self._is_checked = True
            self._janitor.call_every(TICK, self._check)

    def remove(self) -> None:
        """It does not wait any more, if it did."""
        self._waiting.pop(threading.get_ident(), None)

    # the background thread

    def _check(self) -> bool:
        """Ask about connections, and tell who waits. Return whether there is more to do. Up to 2
        round trips.
        """
        if not (self._waiting or self._announced):
            # In this order: whoever comes meanwhile is seen here, or starts another timer.
            self._is_checked = False
            if not self._waiting:
                return False
            self._is_checked = True
        now = time.monotonic()
        present = list(self._waiting.values())
        due: defaultdict[Node | None, list[Waiting]] = defaultdict(list)
        for each in present:
            if now - each.begun >= SHORT and now - each.checked >= INTERVAL:
                due[self._lane(each).node].append(each)
        blocked: list[Waiting] = []
        for_each_node(
            due.values(),
            lambda some: self._lane(some[0]),
            lambda some: blocked.extend(self._blocked(some)),
        )
        self._tell([each for each in blocked if not each.is_announced], present)
        for each in blocked:
            each.checked = now
        return True

    def _blocked(self, due: list[Waiting]) -> list[Waiting]:
        """Return those that wait at one server, as far as that knows. Break the connections of
        those whose connection it does not have, or that it has answered. 1 round trip.
        """
        ids = {each.client_id for each in due} - {b""}
        if not (self.may_list and ids):
            return due
        link = self._lane(due[0])
        channel = link.current_channel()
        own = b"" if channel is None else channel.client_id
        try:
            listed = link.execute_raw(b"CLIENT", b"LIST", b"ID", *{own, *ids} - {b""})
        except ReplyError as error:
            if error.passes:
                return []
            self.may_list = False  # not permitted: they wait for a shorter time, and ask again
            for each in due:
                each.interrupt()
            return []
        found = re.findall(_ROW, listed) if isinstance(listed, bytes) else []
        rows = {id_: (int(idle), flags) for id_, idle, flags in found}
        if own not in rows:
            return due  # it is no list, or not that of the server that we are connected to
        blocked = []
        for each in due:
            idle, flags = rows.get(each.client_id, (IDLE, b""))
            if b"b" in flags or not each.client_id:
                blocked.append(each)
            elif min(idle, time.monotonic() - each.begun) >= IDLE and self._still_waits(each):
                each.interrupt()
        return blocked

    def _lane(self, waiting: Waiting) -> Link:
        return self._link.lane(waiting.keys.prefix)

    def _still_waits(self, waiting: Waiting) -> bool:
        return any(each is waiting for each in list(self._waiting.values()))

    def _tell(self, new: list[Waiting], present: Iterable[Waiting]) -> None:
        """Tell others who waits now, and who does not any more. 1 round trip if that changed."""
        ended = self._announced - set(present)
        changes: defaultdict[Keys, list[bytes]] = defaultdict(list)
        staying = {(each.keys, each.id) for each in {*self._announced, *new} - ended}
        for each in ended:
            if (each.keys, each.id) not in staying:
                changes[each.keys].append(b"-" + each.id)
        for each in new:
            changes[each.keys].append(b"+" + each.id)
        if changes:
            commands: list[Command] = _announce.commands(
                self._link, (((keys.data,), told) for keys, told in changes.items())
            )
            self._link.pipeline(commands)
        self._announced -= ended
        self._announced.update(new)
        for each in new:
            each.is_announced = True
