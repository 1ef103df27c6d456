"""The encoding of a manager with an authkey: every value and key is signed for its place."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from multihost.wire.values.codec import Codec, Serializer, pickle_value
from multihost.wire.values.nesting import Home
from multihost.wire.values.opcodes import SIMPLE
from multihost.wire.values.signing import Conversation, Purpose, Signer, SigningKey

__all__ = ["SignedCodec", "codec_for"]


class SignedCodec(Codec):
    """Signs what it writes for one object, and reads nothing else.

    A value of another object, of another field, or of another namespace is refused as one that
    nobody signed. An older one of the same place is not: that the server keeps the newest, and
    elements and items in their order, is not signed.
    """

    counts_on_server = False
    signs = True

    def __init__(
        self, key: SigningKey, unsigned: Codec, ident: str = "", purpose: Purpose = Purpose.VALUE
    ) -> None:
        super().__init__(unsigned.serializer)
        self.ident = f"{unsigned.ident}/{key.fingerprint}"
        self._key = key
        self._unsigned = unsigned
        self._object = ident
        self._purpose = purpose

    def of(self, ident: str, purpose: Purpose = Purpose.VALUE) -> Codec:
        """Return the codec of one object or pool, for its values or for another purpose."""
        return SignedCodec(self._key, self._unsigned, ident, purpose)

    @property
    def home(self) -> Home | None:
        """The server of the containers, see the base class."""
        return self._unsigned.home

    @home.setter
    def home(self, home: Home | None) -> None:
        self._unsigned.home = home

    @property
    def unsigned(self) -> Codec:
        """The same without signatures, for the parts of what is signed as a whole."""
        return self._unsigned

    def conversation(self, host: str, channel: bytes) -> Conversation:
        """Return what signs on an RPC channel."""
        return Conversation(self._key, host, channel)

    # Each is derived with its first use: most objects need one or two.

    @functools.cached_property
    def _values(self) -> Signer:
        return self._key.signer(self._purpose, self._object)

    @functools.cached_property
    def _linked(self) -> Signer:
        return self._key.signer(Purpose.LINKED, self._purpose.value, self._object)

    @functools.cached_property
    def _fields(self) -> Signer:
        return self._key.signer(Purpose.FIELD, self._object)

    @functools.cached_property
    def _originals(self) -> Signer:
        return self._key.signer(Purpose.ORIGINAL, self._object)

    # keys of a dict, members of a set

    def field(self, key: object) -> bytes:
        """Return the canonical field of ``key``, for look-ups."""
        return self._fields.sign(self._unsigned.canonical_field(key)[0])

    def canonical_field(self, key: object) -> tuple[bytes, bytes]:
        """Return the canonical field of ``key`` and its original form, empty where the field is
        enough.
        """
        plain, original = self._unsigned.canonical_field(key)
        field = self._fields.sign(plain)
        return field, self._originals.sign(original, field) if original else b""

    def canonical_fields(self, keys: Collection[object]) -> tuple[list[bytes], list[bytes]]:
        """Return the fields of many keys, and field and original form in turn of those that have
        one.
        """
        pairs = [self.canonical_field(key) for key in keys]
        return [field for field, _ in pairs], [part for pair in pairs if pair[1] for part in pair]

    def keys(self, fields: Sequence[bytes], originals: Sequence[bytes] = ()) -> list[Any]:
        """Return the keys of fields; ``originals`` has the original form of each, or its field.
        Raises BadPayload.
        """
        verified = list(map(self._fields.verified, fields))
        if originals and originals != fields:
            for at, (field, original) in enumerate(zip(fields, originals, strict=True)):
                if original != field:
                    verified[at] = self._originals.verified(original, field)
        return self._unsigned.keys(verified)

    # values

    def dump(self, value: object, place: bytes = b"") -> bytes:
        """Return the stored form of ``value``. Raises the errors of the pickler, or
        :class:`PayloadTooLarge`.
        """
        if self.serializer is None and type(value) not in SIMPLE:
            return self.pickle(value, place=place)
        return self._values.sign(self._unsigned.dump(value), place)

    def pickle(
        self,
        value: object,
        dumps: Callable[[Any], bytes] = pickle_value,
        place: bytes = b"",
    ) -> bytes:
        """Return the stored form of ``value`` as a whole pickle, made by ``dumps``. Not for a codec
        with a serializer.
        """
        links, data = self._unsigned.pickled(value, dumps)
        if not links:
            return self._values.sign(data, place)
        links += b";"
        return b"@" + links + self._linked.sign(data, links + place)

    def dump_many(self, values: Sequence[object], places: Sequence[bytes] = ()) -> list[bytes]:
        """Return the stored forms of many values; without ``places`` all are elements."""
        if self.serializer is None and not set(map(type, values)) <= SIMPLE.keys():
            return list(map(self.dump, values, places or itertools.repeat(b"")))
        plain = self._unsigned.dump_many(values)
        return list(map(self._values.sign, plain, places or itertools.repeat(b"")))

    def load(self, stored: bytes, place: bytes = b"") -> Any:
        """Return a stored value. Raises :class:`BadPayload` for what was not signed for this
        place.
        """
        return self._unsigned.load(self.unsealed(stored, place))

    def load_many(self, stored: Sequence[bytes], places: Sequence[bytes] = ()) -> list[Any]:
        """Return stored values; without ``places`` all are elements."""
        verified = list(map(self.unsealed, stored, places or itertools.repeat(b"")))
        return self._unsigned.load_many(verified)

    def load_dict(
        self, fields: Sequence[bytes], originals: Sequence[bytes], stored: Sequence[bytes]
    ) -> dict[Any, Any]:
        """Return a dict of keys, as :meth:`keys`, and the values of ``stored``, in their order."""
        values = self.load_many(stored, fields)
        return dict(zip(self.keys(fields, originals), values, strict=True))

    def unsealed(self, stored: bytes, place: bytes = b"") -> bytes:
        """Return a value without its links and signature, unread. Raises BadPayload if it was not
        signed for this place.
        """
        if stored[:1] != b"@":
            return self._values.verified(stored, place)
        links, end, signed = stored[1:].partition(b";")
        return self._linked.verified(signed, links + end + place)

    def unsealed_field(self, field: bytes) -> bytes:
        """Return the same of a key or member."""
        return self._fields.verified(field)


def codec_for(authkey: bytes, serializer: Serializer | None, namespace: str) -> Codec:
    """Return the codec of a manager, which signs if there is an ``authkey``."""
    codec = Codec(serializer)
    if not authkey:
        return codec
    return SignedCodec(SigningKey(authkey, namespace), codec)
