"""How the two sides of a private server at a given address prove to each other that they have the
authkey: first the server, and then the client.

The key is not sent, and a client sends no password to somebody who may only have taken the place of
the server. It asks as a *visitor*, a user without a password who may do just that: the server
answers a fresh random number by a script whose source has a secret that derives from the authkey,
and which nobody can read there. The answer names the *instance*, a random number that each server
gets when it starts. The password derives from the authkey and that: what somebody may have recorded
on the way is of no use at another server, nor at the next one of the same address.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os

from multihost.errors import ServerUnproven
from multihost.wire.address import Address, Credentials
from multihost.wire.authkey import Secret
from multihost.wire.link.channel import ConnectionRefused, refused
from multihost.wire.link.resp import pack_all
from multihost.wire.link.socket import SocketChannel
from multihost.wire.replies import ReplyError

__all__ = ["RANDOM", "VISITOR", "Proof", "proof_for"]

_KEY = "multihost:instance"
_WAIT = 2  # seconds, for a server that listens and is not prepared yet

VISITOR = f"user visitor on nopass ~{_KEY} +evalsha +brpoplpush +rpoplpush"
"""The line of the server's configuration that lets clients ask it for a proof."""

# HMAC, with two independent keys of one block each instead of the two that pad one key.
_SCRIPT = b"""\
local instance = redis.call('rpoplpush', KEYS[1], KEYS[1])
return instance .. redis.sha1hex('%(outer)b' .. redis.sha1hex('%(inner)b' .. instance .. ARGV[1]))
"""
RANDOM = 16
"""Bytes of the name of an instance, and of the random number of a client."""
_SHA1 = functools.partial(hashlib.sha1, usedforsecurity=False)  # it is all that scripts have


class Proof:
    """What derives from one authkey, for servers that are reached by one kind of address."""

    def __init__(self, authkey: bytes, scheme: str) -> None:
        self._authkey = Secret(authkey)
        # A socket proves nothing about a port: whoever listens on one may reach the other.
        self._inner = Secret(self._derive(f"inner {scheme}").encode())
        self._outer = Secret(self._derive(f"outer {scheme}").encode())
        self._script = Secret(_SCRIPT % {b"inner": self._inner, b"outer": self._outer})
        self._sha = _SHA1(self._script).hexdigest().encode()

    def password(self, instance: str) -> str:
        """Return the password of the default user of a server."""
        return self._derive(f"password {instance}")

    def prepare(self, channel: SocketChannel, instance: str) -> None:
        """Have a server answer visitors: it knows the secret from now on. 1 round trip."""
        commands = [
            (b"SCRIPT", b"LOAD", self._script),
            (b"RPUSH", _KEY.encode(), instance.encode()),
        ]
        for reply in channel.exchange_many(pack_all(commands), len(commands)):
            if type(reply) is ReplyError:
                raise reply

    def ask(self, channel: SocketChannel, address: Address) -> Credentials:
        """Return the credentials for the server at the other end, which has proved that it has the
        authkey. 1 round trip. Raises ServerUnproven.
        """
        number, key = os.urandom(RANDOM).hex(), _KEY.encode()
        commands = [
            (b"AUTH", b"visitor", b"-"),
            (b"BRPOPLPUSH", key, key, b"%d" % _WAIT),
            (b"EVALSHA", self._sha, b"1", key, number.encode()),
        ]
        replies = channel.exchange_many(pack_all(commands), len(commands))
        for reply in replies:
            if type(reply) is ReplyError and reply.refusal is not None and reply.passes:
                raise refused(reply, address)
        if replies[0] == b"OK" and replies[1] is None:
            raise ConnectionRefused("the server is not prepared yet")
        answer = replies[2]
        if isinstance(answer, bytes):
            instance = answer[: 2 * RANDOM].decode("latin-1")
            if hmac.compare_digest(answer, self._answer(instance, number)):
                return Credentials(password=self.password(instance))
        raise ServerUnproven(
            f"who listens at {address} did not prove to have the authkey: it is another server, or "
            "was started with another authkey. No password was sent there"
        )

    def _answer(self, instance: str, number: str) -> bytes:
        """Return what the script does."""
        inner = _SHA1(self._inner + (instance + number).encode()).hexdigest()
        outer = _SHA1(self._outer + inner.encode()).hexdigest()
        return (instance + outer).encode()

    def _derive(self, purpose: str) -> str:
        return hmac.new(self._authkey, f"multihost {purpose}".encode(), hashlib.sha256).hexdigest()


@functools.lru_cache(maxsize=16)
def proof_for(authkey: bytes, scheme: str) -> Proof:
    """Return the proof of an authkey, which is a stretched one, for addresses of that scheme."""
    return Proof(authkey, scheme)
