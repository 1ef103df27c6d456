"""A private server at a given address, from the side of the process that starts it."""

from __future__ import annotations

import os

from multihost.errors import LinkError, ServerUnfit
from multihost.wire.link.channel import ConnectionBroken
from multihost.wire.link.connect import open_private
from multihost.wire.link.proof import RANDOM, VISITOR, proof_for
from multihost.wire.replies import ReplyError

__all__ = ["Instance"]


class Instance:
    """What a server gets that is about to start: its password, and what it has to prove.

    ``authkey`` is a stretched one, ``scheme`` that of the address.
    """

    config = (VISITOR,)
    """Lines of its configuration."""

    def __init__(self, authkey: bytes, scheme: str) -> None:
        self._proof = proof_for(authkey, scheme)
        self._name = os.urandom(RANDOM).hex()

    @property
    def password(self) -> str:
        return self._proof.password(self._name)

    def prepare(self, path: str) -> None:
        """Let the server prove itself from now on; clients that have come already wait for that.
        ``path`` is a socket of it. 2 round trips.
        """
        try:
            channel = open_private(path, self.password)
            try:
                self._proof.prepare(channel, self._name)
            finally:
                channel.close()
        except LinkError:
            raise
        except (OSError, ConnectionBroken, ReplyError) as error:
            raise ServerUnfit(f"the private server does not do what it must: {error}") from None
