"""No request of a connection that broke arrives after its successor was used.

A connection breaks for this process when nothing comes over it any more; the server may have it all
the same, with a request on the way that it executes later. Request numbers tell a repeated one, but
not all have one: a move to an in-flight list, a deletion of one that was used meanwhile. So the
server is told to close what broke (``CLIENT KILL ID``), over the next connection and before that is
used for anything else. Ids count from 1 in each run of a server, with which its connections end:
those of another run are nobody's, or a stranger's, and are left alone.

Where that is not permitted, or the id not known, a late request may arrive within a minute.
"""

from __future__ import annotations

import time

from multihost.wire.keys import REPLY_CACHE_SECONDS
from multihost.wire.link.channel import Channel, Reply
from multihost.wire.link.resp import pack_all
from multihost.wire.replies import ReplyError

__all__ = ["Fence", "run_id"]


def run_id(facts: Reply) -> bytes:
    """Return the run id of a server in its ``INFO server``, empty if that was refused."""
    lines = facts.splitlines() if isinstance(facts, bytes) else []
    return next((line[7:] for line in lines if line.startswith(b"run_id:")), b"")


class Fence:
    """The connections of one process that broke, and may deliver something yet. Any thread."""

    def __init__(self) -> None:
        self.is_permitted: bool = True
        """Whether connections may be closed, as far as this process knows."""
        self._broken: dict[bytes, bytes] = {}  # client id -> run of the server
        self._late_until = 0.0  # what cannot be closed may deliver something until then

    @property
    def is_closed(self) -> bool:
        """Whether nothing can arrive any more of what broke until now."""
        return not self._broken and time.monotonic() >= self._late_until

    def add(self, channel: Channel) -> None:
        """A channel was closed at this end, and what was sent over it may still arrive."""
        if self.is_permitted and channel.client_id and channel.run:
            self._broken[channel.client_id] = channel.run
        else:
            self._late_until = time.monotonic() + REPLY_CACHE_SECONDS

    def close(self, channel: Channel) -> None:
        """Have the server close what broke, over this channel. 1 round trip, none if there is
        nothing. Raises ConnectionBroken.
        """
        broken = list(self._broken.items())
        if not broken or not channel.run:
            return
        ids = [id_ for id_, run in broken if run == channel.run]
        if ids:
            commands = [(b"CLIENT", b"KILL", b"ID", id_) for id_ in ids]
            replies = channel.exchange_many(pack_all(commands), len(commands))
            refused = next((reply for reply in replies if type(reply) is ReplyError), None)
            if refused is not None:
                if refused.passes:  # the next connection tries again
                    return
                self.is_permitted = False
                self._late_until = time.monotonic() + REPLY_CACHE_SECONDS
        for id_, _ in broken:
            self._broken.pop(id_, None)
