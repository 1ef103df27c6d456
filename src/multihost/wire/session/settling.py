"""Settling with a server that may have gone back.

A server that was restarted from what it had saved, or taken over by a replica, may not know what it
had acknowledged: a hold that was granted, or one that was released. Each session notices that by
another run of the server, or by a counter that is not what it was. It closes its gate, so that
nothing is taken, and settles each object that it uses by one script, all in one write: of what my
session has here keep these, give back the rest. What the server does not know is lost, and the next
fencing token is above all that were handed out. Repeated it finds the same.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Protocol

from multihost.wire.link import Command, Link, Reply
from multihost.wire.replies import ReplyError, command_error
from multihost.wire.script import Script
from multihost.wire.session.logs import log
from multihost.wire.session.registration import SessionRegistration

__all__ = ["Settling", "SettlingUser"]

logger: logging.Logger = logging.getLogger(__name__)


class SettlingUser(Protocol):
    """What a session uses: an object at which it may hold something."""

    def settle_call(self) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return an idempotent script with its keys and arguments. The gate is closed."""

    def settled(self, reply: Reply) -> int:
        """Give up what the server does not know; return how many holds that were."""


class Settling:
    """The objects that a session uses. Any thread adds; the background thread settles."""

    def __init__(self, link: Link, registration: SessionRegistration) -> None:
        self.users: dict[Hashable, SettlingUser] = {}
        self._link = link
        self._registration = registration

    def settle(self, lapsed: int) -> None:
        """Settle every object, and open the gate; so many holds were lost because the session had
        lapsed. 1 round trip. Raises what the server refuses.
        """
        registration = self._registration
        gate, sent = registration.gate, time.monotonic()
        calls = defaultdict(list)
        for user in list(self.users.values()):
            script, keys, args = user.settle_call()
            calls[script].append((user, keys, args))
        users = [user for each in calls.values() for user, _, _ in each]
        commands: list[Command] = []
        for script, each in calls.items():
            commands += script.commands([(keys, args) for _, keys, args in each])
        replies = self._link.pipeline_raw(commands) if commands else []
        for reply, command in zip(replies, commands, strict=True):
            if type(reply) is ReplyError:
                raise command_error(reply, command)
        lost = lapsed + sum(user.settled(reply) for user, reply in zip(users, replies, strict=True))
        registration.open_gate(gate, sent)
        level = logging.WARNING if lost else logging.INFO
        text = "settled with the server at %s, which was restarted or went back: %d holds lost"
        log(logger, level, text, self._link.address, lost)
