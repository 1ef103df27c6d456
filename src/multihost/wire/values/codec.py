"""Encoding of objects as bytes and back.

The first byte of a stored value is its form:

===========  ====================================================================================
digit, ``-`` a plain ``int`` of at most 64 bits as decimal text, so that the server can add to it
``0x80``     a whole pickle
``@``        ``@<ident>,<ident>;`` in front of a value that contains proxies of unnamed objects
``#``        the same, when the references were counted before the value was stored
``S``        16 bytes of keyed BLAKE2 and the signed form, in a manager with an ``authkey``
``=``        the output of a ``serializer=``
other        one opcode of a pickle with its argument: ``str``, ``bytes``, ``float``, ``bool``, None
===========  ====================================================================================

The last form makes a long run of values one pickle: joined, they are read by a single C call.

The key of a dict and the member of a set become a **canonical field**: equal keys give equal bytes
(``1``, ``1.0`` and ``True``; equal tuples), which no pickle does. Where the field is not enough to
restore the first of the equal keys, its **original** form is stored beside the field.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import operator
import pickle
from collections.abc import Callable, Collection, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from multihost.errors import BadPayload
from multihost.wire.authkey import Secret
from multihost.wire.values.canonical import canonical
from multihost.wire.values.nesting import Home, pickle_for, unpickle_for
from multihost.wire.values.opcodes import HEADER, INT64, PLAIN, SIMPLE, check_size, encode_str
from multihost.wire.values.plain import read_key, read_keys

__all__ = ["LINKED", "Codec", "JsonSerializer", "Serializer", "XmlSerializer", "first_byte"]

PICKLE = 0x80
SIGNED = 0x53
SERIALIZED = 0x3D
LINKED = 0x40
COUNTED = 0x23
DIGITS = frozenset(b"-0123456789")
MAC_SIZE = 16

_dumps = functools.partial(pickle.dumps, protocol=5)
first_byte: operator.itemgetter[int] = operator.itemgetter(0)
_DAMAGED = (pickle.UnpicklingError, EOFError, ValueError, IndexError, OverflowError)


class Serializer(Protocol):
    """Turns values into bytes and back. ``loads(dumps(x))`` must equal ``x``."""

    def dumps(self, value: Any, /) -> bytes: ...

    def loads(self, data: bytes, /) -> Any: ...


class JsonSerializer:
    """JSON, so that programs in other languages can read the values. It keeps only the types of
    JSON.
    """

    def dumps(self, value: Any, /) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def loads(self, data: bytes, /) -> Any:
        return json.loads(data)


class XmlSerializer:
    """XML-RPC, as in the standard library's managers. A tuple comes back as a list."""

    def dumps(self, value: Any, /) -> bytes:
        import xmlrpc.client

        return xmlrpc.client.dumps((value,), None, None, None, True).encode()

    def loads(self, data: bytes, /) -> Any:
        import xmlrpc.client

        return xmlrpc.client.loads(data.decode())[0][0]


class Codec:
    """The encoding of one manager: pickle or a serializer, signed or not.

    Every byte of a signed manager is verified before it is unpickled, in constant time. The
    signature proves that a holder of the key wrote these bytes, not where or when.
    """

    def __init__(self, authkey: bytes = b"", serializer: Serializer | None = None) -> None:
        self.serializer = serializer
        self.home: Home | None = None
        """The server of the containers: proxies of objects there are stored without its address."""
        self.counts_on_server: bool = not authkey
        """True if the server can add to a stored int. It could not sign the sum."""
        secret = hashlib.blake2b(authkey, digest_size=32, person=b"multihost sign").digest()
        self._secret = Secret(secret if authkey else b"")
        name = "pickle" if serializer is None else type(serializer).__qualname__
        self.ident: str = f"{name}/{self._mac(b'').hex()[:12]}" if authkey else name
        """The stored values that this codec reads: serializer and a fingerprint of the authkey."""

    # keys of a dict, members of a set

    def field(self, key: object) -> bytes:
        """Return the canonical field of ``key``, for look-ups."""
        return self.canonical_field(key)[0]

    def canonical_field(self, key: object) -> tuple[bytes, bytes]:
        """Return the canonical field of ``key`` and its original form, empty where the field is
        enough.
        """
        if type(key) is str and not self._secret:
            return encode_str(key), b""
        field, original = canonical(key)
        check_size(len(field))
        if self.serializer is not None:
            original = self._plain_original(field, original)
        if self._secret:
            return self._sign(field), self._sign(original) if original else b""
        return field, original

    def canonical_fields(self, keys: Collection[object]) -> tuple[list[bytes], list[bytes]]:
        """Return the fields of many keys, and field and original form in turn of those that have
        one.
        """
        if not self._secret and set(map(type, keys)) == {str}:
            return list(map(encode_str, keys)), []  # type: ignore[arg-type]
        pairs = [self.canonical_field(key) for key in keys]
        return [field for field, _ in pairs], [part for pair in pairs if pair[1] for part in pair]

    def key(self, field: bytes) -> Any:
        """Return the key of a field or an original form."""
        return self.keys((field,))[0]

    def keys(self, fields: Sequence[bytes]) -> list[Any]:
        """Return the keys of fields or original forms. Raises BadPayload."""
        fields = self._verified(fields)
        if self.serializer is not None:
            return read_keys(fields)
        try:
            return list(pickle.loads(HEADER + b"(" + b"".join(fields) + b"l."))
        except BadPayload:
            raise
        except _DAMAGED as error:
            raise BadPayload(f"a stored key cannot be read: {error}") from error

    def _plain_original(self, field: bytes, original: bytes) -> bytes:
        """Return the original form, or none for a key that can be read back only as one of a
        builtin type, as an ``IntEnum`` in JSON. Raises BadPayload for what cannot be read back.
        """
        try:
            read_key(original or field)
        except BadPayload as error:
            try:
                read_key(field)
            except BadPayload:
                raise error from None
            return b""
        return original

    # values

    def dump(self, value: object) -> bytes:
        """Return the stored form of ``value``. Raises the errors of the pickler, or
        :class:`PayloadTooLarge`.
        """
        if self._secret or self.serializer is not None:
            return self._dump_guarded(value)
        encode = SIMPLE.get(type(value))
        return encode(value) if encode is not None else self._pickle(value, self._identity)

    def dump_call(self, ident: str, method: str, args: Any, kwds: Any) -> bytes:
        """Return a method call as a value. Most have few and simple arguments."""
        if not (self._secret or self.serializer or kwds):
            for arg in args:
                if type(arg) not in SIMPLE:
                    break
            else:
                return pickle.dumps((ident, method, args), 5)
        return self.dump((ident, method, args, kwds))

    def pickle(self, value: object, dumps: Callable[[Any], bytes] = _dumps) -> bytes:
        """Return the stored form of ``value`` as a whole pickle, made by ``dumps``. Not for a codec
        with a serializer.
        """
        return self._pickle(value, self._sign if self._secret else self._identity, dumps)

    def dump_many(self, values: Sequence[object]) -> list[bytes]:
        if self._secret or self.serializer is not None:
            return [self._dump_guarded(value) for value in values]
        types = set(map(type, values))
        if len(types) == 1 and (encode := SIMPLE.get(types.pop())) is not None:
            return list(map(encode, values))
        find, pickled, same = SIMPLE.get, self._pickle, self._identity
        return [
            encode(v) if (encode := find(type(v))) is not None else pickled(v, same) for v in values
        ]

    def load(self, stored: bytes) -> Any:
        """Return a stored value. Raises :class:`BadPayload` for bytes that no such codec wrote."""
        try:
            if self._secret or self.serializer is not None:
                return self._load_guarded(stored)
            head = stored[0]
            if head == PICKLE:
                return self._unpickle(stored)
            if head == 0x8C:
                return stored[2:].decode("utf-8", "surrogatepass")
            return self._load_other(stored, head)
        except BadPayload:
            raise
        except _DAMAGED as error:
            raise BadPayload(f"the stored value cannot be read: {error}") from error

    def load_many(self, stored: Sequence[bytes]) -> list[Any]:
        body = self._joined(stored)
        if body is None:
            return [self.load(item) for item in stored]
        return list(self._unpickle(HEADER + b"(" + b"".join(body) + b"l."))

    def load_dict(self, fields: Sequence[bytes], stored: Sequence[bytes]) -> dict[Any, Any]:
        """Return a dict of the keys of ``fields`` and the values of ``stored``, in their order."""
        body = self._joined(stored)
        if body is None or self._secret:
            return dict(zip(self.keys(fields), self.load_many(stored), strict=True))
        flat = [b""] * (2 * len(body))
        flat[0::2] = fields
        flat[1::2] = body
        result: dict[Any, Any] = self._unpickle(HEADER + b"}(" + b"".join(flat) + b"u.")
        return result

    def _joined(self, stored: Sequence[bytes]) -> Sequence[bytes] | None:
        """Return the values as pieces of one pickle, None if some need a pickle of their own."""
        if self._secret or self.serializer is not None:
            return None
        try:
            heads = set(map(first_byte, stored))
        except IndexError:
            return None  # one is empty: load() reports it
        if heads <= PLAIN:
            return stored
        if heads <= PLAIN | DIGITS:
            return [b"I%b\n" % item if item[0] in DIGITS else item for item in stored]
        return None

    def unsealed(self, stored: bytes) -> bytes:
        """Return the signed form, unread. Raises BadPayload if the signature is not that of this
        codec.
        """
        if not self._secret and stored[:1] == b"S":
            return stored[1 + MAC_SIZE :]  # not verified: this codec has no key
        return self._verified((stored,))[0]

    @staticmethod
    def is_linked(stored: bytes) -> bool:
        """Return True if the value contains proxies of unnamed objects."""
        return stored[0] == LINKED

    @staticmethod
    def any_linked(stored: Sequence[bytes]) -> bool:
        return LINKED in set(map(first_byte, stored))

    @staticmethod
    def counted(stored: bytes) -> bytes:
        """Return a value with proxies as one whose references were counted before it is stored."""
        return b"#" + stored[1:]

    @staticmethod
    def uncounted(stored: bytes) -> bytes:
        """Return a value as one whose references are counted when it is stored, if it has any:
        damaged bytes name no objects.
        """
        if stored[:1] not in (b"@", b"#"):
            return stored
        return (b"@" if b";" in stored else b"#") + stored[1:]

    @staticmethod
    def links(stored: bytes) -> list[str]:
        """Return the unnamed objects that a value contains."""
        return stored[1 : stored.index(b";")].decode().split(",")

    # inner forms

    def _pickle(
        self,
        value: object,
        seal: Callable[[bytes], bytes],
        dumps: Callable[[Any], bytes] = _dumps,
    ) -> bytes:
        try:
            data, links, _ = pickle_for(self.home, dumps, value)
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            data, links = self._pickle_for_processes(value, error)
        check_size(len(data) + 32 * len(links))
        return b"@%b;%b" % (",".join(links).encode(), seal(data)) if links else seal(data)

    def _pickle_for_processes(self, value: object, error: Exception) -> tuple[bytes, Any]:
        """Pickle a value that only the pickler of multiprocessing can: the views of a dict."""
        try:
            data, links, _ = pickle_for(self.home, ForkingPickler.dumps, value)
        except Exception:  # noqa: BLE001 - as above
            raise error from None
        return bytes(data), links

    @staticmethod
    def _identity(data: bytes) -> bytes:
        return data

    def _load_other(self, stored: bytes, head: int) -> Any:
        if head == PICKLE:
            return self._unpickle(stored)
        if head in DIGITS:
            return int(stored)
        if head in PLAIN:
            return self._unpickle(HEADER + stored + b".")
        if head in (LINKED, COUNTED):
            return self.load(stored[stored.index(b";") + 1 :])
        if head == SIGNED:
            raise BadPayload(
                "the stored value is signed: open the manager with the authkey it was written with"
            )
        if head == SERIALIZED:
            raise BadPayload(
                "the stored value was written with another serializer: open the manager with that"
            )
        raise BadPayload(
            f"the stored value starts with {stored[:1]!r}, which multihost never writes"
        )

    def _unpickle(self, data: bytes) -> Any:
        try:
            return unpickle_for(self.home, pickle.loads, data)
        except _DAMAGED as error:
            raise BadPayload(f"the stored value cannot be unpickled: {error}") from error

    def _dump_guarded(self, value: object) -> bytes:
        seal = self._sign if self._secret else self._identity
        if self.serializer is not None:
            if type(value) is int and -INT64 <= value < INT64:
                return seal(b"%d" % value)
            data = b"=" + self.serializer.dumps(value)
            check_size(len(data))
            return seal(data)
        encode = SIMPLE.get(type(value))
        return seal(encode(value)) if encode is not None else self._pickle(value, seal)

    def _load_guarded(self, stored: bytes) -> Any:
        if stored[0] in (LINKED, COUNTED):
            stored = stored[stored.index(b";") + 1 :]
        if self._secret:
            (stored,) = self._verified((stored,))
        if self.serializer is None:
            return self._load_other(stored, stored[0])
        if stored[0] == SERIALIZED:
            try:
                return self.serializer.loads(stored[1:])
            except Exception as error:  # damaged bytes may raise anything there
                raise BadPayload(
                    f"the serializer cannot read the stored value: {type(error).__name__}: {error}"
                ) from error
        if stored[0] in DIGITS:
            return int(stored)
        raise BadPayload(
            "the stored value was not written with this serializer: open the manager with the same"
        )

    def _mac(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=MAC_SIZE, key=self._secret).digest()

    def _sign(self, data: bytes) -> bytes:
        return b"S" + self._mac(data) + data

    def _verified(self, signed: Sequence[bytes]) -> Sequence[bytes]:
        if not self._secret:
            return signed
        bodies = []
        for item in signed:
            body = item[1 + MAC_SIZE :]
            if item[:1] != b"S" or not hmac.compare_digest(item[1 : 1 + MAC_SIZE], self._mac(body)):
                raise BadPayload(
                    "a stored key or value is unsigned, altered, or signed with another authkey"
                )
            bodies.append(body)
        return bodies
