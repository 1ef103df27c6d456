"""Signatures: 16 bytes of keyed BLAKE2 in front of what they sign, for one purpose and one place.

A signed form is ``S``, the number of the format, the signature, and the bytes themselves. Each
purpose has a key of its own in each namespace, and most have one for each object or conversation:
what was signed for one is refused everywhere else. What changes from call to call, as the field of
a value or the number of a call, is hashed in front of the bytes.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import NoReturn

from multihost.errors import BadPayload
from multihost.wire.authkey import Secret

__all__ = ["FORMAT", "HEAD", "OVERHEAD", "Conversation", "Purpose", "Signer", "SigningKey"]

FORMAT = b"2"
"""The number of the signed form, one character. Readers of another one say so."""

HEAD: bytes = b"S" + FORMAT
MAC_SIZE = 16
OVERHEAD: int = len(HEAD) + MAC_SIZE
"""How much longer the signed form is."""


class Purpose(enum.Enum):
    """What bytes are signed for; and in brackets what its keys are bound to, and after the
    semicolon what is hashed with each of them.
    """

    VALUE = "value"
    """A value, element or item (object; the field that it stands in, nothing in lists, queues)."""
    LINKED = "linked"
    """The same with proxies of unnamed objects (object; their idents and the field)."""
    FIELD = "field"
    """A key of a dict, or a member of a set (object)."""
    ORIGINAL = "original"
    """The original form of one (object; its field)."""
    ACTION = "action"
    """The action of a barrier (object)."""
    SETUP = "setup"
    """How the workers of a pool are set up (pool)."""
    TASK = "task"
    """A task (pool; client, job, number and the rest of the trailer)."""
    RESULT = "result"
    """The result of a task (pool; the same)."""
    OPENING = "opening"
    """The first request on an RPC channel (host, channel; number)."""
    GREETING = "greeting"
    """The reply to that (host, channel; number)."""
    CALL = "call"
    """A call (host, channel, the nonce of the greeting; number)."""
    ANSWER = "answer"
    """The answer to a call (host, channel, nonce; number)."""


class Signer:
    """Signs and verifies for one purpose, in constant time."""

    __slots__ = ("_begin", "_begin_nowhere")

    def __init__(self, key: bytes) -> None:
        # A copy costs less than to begin with the key each time.
        begun = hashlib.blake2b(digest_size=MAC_SIZE, key=key)
        self._begin = begun.copy
        nowhere = begun.copy()
        nowhere.update(len(b"").to_bytes(4, "big"))
        self._begin_nowhere = nowhere.copy

    def sign(self, data: bytes, place: bytes = b"") -> bytes:
        """Return the signed form of ``data`` at this place."""
        if place:
            mac = self._begin()
            mac.update(len(place).to_bytes(4, "big") + place)
        else:
            mac = self._begin_nowhere()
        mac.update(data)
        return HEAD + mac.digest() + data

    def verified(self, signed: bytes, place: bytes = b"") -> bytes:
        """Return what was signed. Raises BadPayload unless it was for this purpose and place."""
        data = signed[OVERHEAD:]
        if place:  # as above: a function for both would be one call more for each value
            mac = self._begin()
            mac.update(len(place).to_bytes(4, "big") + place)
        else:
            mac = self._begin_nowhere()
        mac.update(data)
        if signed[:2] != HEAD or not hmac.compare_digest(signed[2:OVERHEAD], mac.digest()):
            _refuse(signed)
        return data


def _refuse(signed: bytes) -> NoReturn:
    number = signed[1:2]
    if signed[:1] == b"S" and number.isdigit() and number != FORMAT:
        raise BadPayload(
            f"a stored key or value, a call or a task is signed in format {number.decode()}, and "
            f"this release of multihost reads format {FORMAT.decode()}: use the release that wrote "
            "it, or write it again"
        )
    raise BadPayload(
        "a stored key or value, a call or a task is unsigned, altered, signed with another "
        "authkey, or was signed for another place"
    )


class SigningKey:
    """The key of one namespace, from which those of all purposes derive."""

    def __init__(self, authkey: bytes, namespace: str) -> None:
        root = hashlib.blake2b(authkey, digest_size=32, person=b"multihost sign").digest()
        self.fingerprint: str = _derived(root, "fingerprint").hex()[:12]
        """Which authkey it is, for people and for those who compare."""
        self._key = Secret(_derived(root, "namespace", namespace))

    def signer(self, purpose: Purpose, *bound_to: str | bytes) -> Signer:
        """Return what signs for a purpose, and for what that is bound to. 3 us."""
        return Signer(_derived(self._key, purpose.value, *bound_to))


class Conversation:
    """What signs the requests on one RPC channel, and the replies: the opening and the greeting of
    the host, and with the nonce of that the calls and their answers.
    """

    __slots__ = ("_channel", "_key", "replies", "requests")

    def __init__(self, key: SigningKey, host: str, channel: bytes) -> None:
        self._key = key
        self._channel = host, channel
        self.requests: Signer = key.signer(Purpose.OPENING, host, channel)
        self.replies: Signer = key.signer(Purpose.GREETING, host, channel)

    def behind(self, nonce: bytes) -> Conversation:
        """Return what signs behind the greeting with that nonce."""
        key, bound_to = self._key, (*self._channel, nonce)
        conversation = Conversation(key, *self._channel)
        conversation.requests = key.signer(Purpose.CALL, *bound_to)
        conversation.replies = key.signer(Purpose.ANSWER, *bound_to)
        return conversation


def _derived(key: bytes, *parts: str | bytes) -> bytes:
    """Return the key that derives from another one. Its length alone keeps it apart from a
    signature.
    """
    encoded = [
        each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each for each in parts
    ]
    described = b"".join([b"%d:%b" % (len(each), each) for each in encoded])
    return hashlib.blake2b(described, digest_size=32, key=key).digest()
