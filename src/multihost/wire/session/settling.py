"""Settling with a server that may have gone back.

A server that was restarted from what it had saved, or taken over by a replica, may not know what it
had acknowledged: a hold that was granted, or one that was released. Each session notices that by
another run of the server, by a counter that is not what it was, or for a partition by another
server. It closes its gate, so that nothing is taken, and settles each object that it uses there by
one script, all in one write for each server: of what my session has here keep these, give back the
rest. What the server does not know is lost, and the next fencing token is above all that were
handed out. Repeated it finds the same.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from multihost.errors import LinkError
from multihost.wire.keys import PARTITIONS, REPLY_CACHE_SECONDS, partition, prefix
from multihost.wire.link import Command, Node, Reply, pack_all
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.script import Script
from multihost.wire.session.logs import log
from multihost.wire.session.presence import Presence
from multihost.wire.session.registration import SessionRegistration, is_elsewhere
from multihost.wire.stored import report_damage

if TYPE_CHECKING:
    from multihost.wire.session.handle import Hold

__all__ = ["Settling", "SettlingUser"]

logger: logging.Logger = logging.getLogger(__name__)


MAX_IDLE = 10_000  # objects that are settled though nothing is held there


class SettlingUser(Protocol):
    """What a session uses: an object at which it may hold something."""

    @property
    def ident(self) -> str:
        """The ident of the object."""

    def is_idle(self, holds: Sequence[Hold], /) -> bool:
        """Return whether none of these holds, which the session has there, is of its kind."""

    def settle_call(
        self, holds: Sequence[Hold], /
    ) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return an idempotent script with its keys and arguments, for the holds that the session
        has there. The gate is closed.
        """

    def settled(self, reply: Reply) -> int:
        """Give up what the server does not know; return how many holds that were."""


class Settling:
    """The objects that a session uses. Any thread adds; the background thread settles.

    Where a release was undone the object is one at which nothing is held: so they are remembered,
    but for those that were used first if there are very many.
    """

    def __init__(
        self, namespace: str, registration: SessionRegistration, holds: Mapping[Hashable, Hold]
    ) -> None:
        self.users: dict[Hashable, SettlingUser] = {}
        self._namespace = namespace
        self._registration = registration
        self._holds = holds
        self._room = MAX_IDLE
        # Of a server: one that was sent may arrive until then, unless that is prevented.
        self._late_until: dict[Node | None, float] = {}

    def add(self, key: Hashable, user: SettlingUser) -> SettlingUser:
        """Remember an object; return what is remembered of it already, if anything is."""
        self._make_room()
        return self.users.setdefault(key, user)

    def replace(self, key: Hashable, user: SettlingUser) -> None:
        """Remember an object, in place of what was remembered under that key."""
        self._make_room()
        self.users[key] = user

    def _make_room(self) -> None:
        if len(self.users) >= self._room:
            self._forget_idle()

    def _forget_idle(self) -> None:
        holds = self._holds_by_ident()
        spare = len(self.users) - MAX_IDLE // 2
        for key, user in list(self.users.items()):
            if spare and user.is_idle(holds.get(user.ident, ())):
                spare -= 1
                self.users.pop(key, None)
        self._room = len(self.users) + MAX_IDLE // 2

    def _holds_by_ident(self) -> dict[str, list[Hold]]:
        found: dict[str, list[Hold]] = defaultdict(list)
        for hold in list(self._holds.values()):
            found[hold.handle.keys.ident].append(hold)
        return found

    def settle(self, presence: Presence, lapsed: int) -> None:
        """Settle every object in the partitions of a server that have to, and open the gate; so
        many holds were lost because the session had lapsed. 1 round trip. Raises what the server
        refuses for a while, and LinkError while an earlier one may arrive.
        """
        self._wait_for_late(presence)
        gate, prefixes, sent = presence.gate, set(presence.unsettled), time.monotonic()
        numbers = {n for n in range(PARTITIONS) if prefix(self._namespace, n) in prefixes}
        holds = self._holds_by_ident()
        calls = defaultdict(list)
        for user in list(self.users.values()):
            if partition(user.ident) not in numbers:
                continue
            script, keys, args = user.settle_call(holds.get(user.ident, ()))
            calls[script].append((user, keys, args))
        users = [user for each in calls.values() for user, _, _ in each]
        commands: list[Command] = []
        for script, each in calls.items():
            commands += script.commands(presence.link, [(keys, args) for _, keys, args in each])
        replies = self._exchange(presence, commands) if commands else []
        self._wait_for_late(presence)
        for reply, command in zip(replies, commands, strict=True):
            if type(reply) is ReplyError and (reply.passes or is_elsewhere(reply)):
                raise command_error(reply, command)
        lost = lapsed
        for user, reply in zip(users, replies, strict=True):
            if type(reply) is ReplyError:  # others must not wait for one that is damaged
                report_damage(user.ident, str(reply))
            else:
                lost += user.settled(reply)
        self._registration.open_gate(presence, gate, prefixes, sent)
        level = logging.WARNING if lost else logging.INFO
        text = "settled with the server at %s, which was restarted or went back: %d holds lost"
        log(logger, level, text, presence.link.address, lost)

    def _exchange(self, presence: Presence, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies. Take note if some may be executed once more, later."""
        link = presence.link
        connection = link.checkout()
        channel, repeats = connection.channel, connection.repeats
        try:
            return link.exchange_many(connection, pack_all(commands), len(commands))
        finally:
            # With another run of the server its requests have ended, too.
            run = b"" if channel is None else channel.run
            if connection.repeats != repeats and run == presence.run:
                self._late_until[presence.node] = time.monotonic() + REPLY_CACHE_SECONDS

    def _wait_for_late(self, presence: Presence) -> None:
        """Raise LinkError while something that was sent may still arrive. 1 round trip if it may,
        none otherwise.
        """
        late_until = self._late_until.get(presence.node)
        if late_until is None:
            return
        if time.monotonic() < late_until and not presence.link.fence_broken():
            raise LinkError(
                f"the connection to {presence.link.address} broke while the session settled with "
                "the server, and may not be closed there: nothing is taken for a minute; permit "
                "CLIENT KILL"
            )
        self._late_until.pop(presence.node, None)
