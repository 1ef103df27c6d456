"""Encoding of objects as bytes and back.

The first byte of a stored value is its form:

===========  ====================================================================================
digit, ``-`` a plain ``int`` of at most 64 bits as decimal text, so that the server can add to it
``0x80``     a whole pickle
``@``        ``@<ident>,<ident>;`` in front of a value that contains proxies of unnamed objects
``#``        the same with an epoch as its first part, the stamp: so it is sent, never stored
``S``        the signed form, in a manager with an ``authkey``: :mod:`multihost.wire.values.signing`
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
import operator
import pickle
from collections.abc import Callable, Collection, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from multihost.errors import BadPayload
from multihost.wire.values.canonical import canonical
from multihost.wire.values.nesting import Home, pickle_for, unpickle_for
from multihost.wire.values.opcodes import (
    HEADER,
    INT64,
    PLAIN,
    SIMPLE,
    check_size,
    encode_str,
    spellings,
)
from multihost.wire.values.plain import read_key, read_keys
from multihost.wire.values.signing import OVERHEAD, Conversation, Purpose

__all__ = [
    "DAMAGED",
    "LINKED",
    "Codec",
    "JsonSerializer",
    "Serializer",
    "XmlSerializer",
    "first_byte",
    "pickle_value",
]

PICKLE = 0x80
SIGNED = 0x53
SERIALIZED = 0x3D
LINKED = 0x40
DIGITS = frozenset(b"-0123456789")

SIMPLE_FIRST = PLAIN | DIGITS

pickle_value = functools.partial(pickle.dumps, protocol=5)
first_byte: operator.itemgetter[int] = operator.itemgetter(0)
DAMAGED = (pickle.UnpicklingError, EOFError, ValueError, IndexError, OverflowError)
"""What damaged bytes raise."""


class Serializer(Protocol):
    """Turns values into bytes and back. ``loads(dumps(x))`` must equal ``x``."""

    def dumps(self, value: Any, /) -> bytes: ...

    def loads(self, data: bytes, /) -> Any: ...


class JsonSerializer:
    """JSON, so that programs in other languages can read the values. It keeps only the types of
    JSON.
    """

    def dumps(self, value: Any, /) -> bytes:
        import json

        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def loads(self, data: bytes, /) -> Any:
        import json

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
    """The encoding of one manager: pickle or a serializer. A signed one derives from this class.

    Where a method takes a ``place``, that is the field of a hash in which the value stands, and
    empty for an element or an item: it is part of what is signed.
    """

    counts_on_server: bool = True
    """True if the server can add to a stored int. It could not sign the sum."""

    signs: bool = False
    """True if there is a key."""

    home: Home | None = None
    """The server of the containers: proxies of objects there are stored without its address."""

    def __init__(self, serializer: Serializer | None = None) -> None:
        self.serializer = serializer
        self.ident: str = "pickle" if serializer is None else type(serializer).__qualname__
        """The stored values that this codec reads: serializer and a fingerprint of the authkey."""

    def of(self, ident: str, purpose: Purpose = Purpose.VALUE) -> Codec:  # noqa: ARG002
        """Return the codec of one object or pool, for its values or for another purpose."""
        return self

    @property
    def unsigned(self) -> Codec:
        """The same without signatures, for the parts of what is signed as a whole."""
        return self

    def conversation(self, host: str, channel: bytes) -> Conversation | None:  # noqa: ARG002
        """Return what signs on an RPC channel, None if nothing does."""
        return None

    # keys of a dict, members of a set

    def field(self, key: object) -> bytes:
        """Return the canonical field of ``key``, for look-ups."""
        return self.canonical_field(key)[0]

    def canonical_field(self, key: object) -> tuple[bytes, bytes]:
        """Return the canonical field of ``key`` and its original form, empty where the field is
        enough.
        """
        if type(key) is str:
            return encode_str(key), b""
        field, original = canonical(key)
        check_size(len(field))
        if self.serializer is not None:
            original = self._plain_original(field, original)
        return field, original

    def canonical_fields(self, keys: Collection[object]) -> tuple[list[bytes], list[bytes]]:
        """Return the fields of many keys, and field and original form in turn of those that have
        one.
        """
        if set(map(type, keys)) == {str}:
            return list(map(encode_str, keys)), []  # type: ignore[arg-type]
        pairs = [self.canonical_field(key) for key in keys]
        return [field for field, _ in pairs], [part for pair in pairs if pair[1] for part in pair]

    def key(self, field: bytes, original: bytes = b"") -> Any:
        """Return the key of a field and its original form."""
        return self.keys((field,), (original or field,))[0]

    def keys(self, fields: Sequence[bytes], originals: Sequence[bytes] = ()) -> list[Any]:
        """Return the keys of fields; ``originals`` has the original form of each, or its field.
        Raises BadPayload.
        """
        originals = originals or fields
        if self.serializer is not None:
            return read_keys(originals)
        try:
            return list(pickle.loads(HEADER + b"(" + b"".join(originals) + b"l."))
        except BadPayload:
            raise
        except DAMAGED as error:
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

    def dump(self, value: object, place: bytes = b"") -> bytes:  # noqa: ARG002
        """Return the stored form of ``value``. Raises the errors of the pickler, or
        :class:`PayloadTooLarge`.
        """
        if self.serializer is not None:
            return self._serialized(value, self.serializer)
        encode = SIMPLE.get(type(value))
        return encode(value) if encode is not None else self.pickle(value)

    def dump_call(self, ident: str, method: str, args: Any, kwds: Any) -> bytes:
        """Return a method call as a value. Most have few and simple arguments."""
        if not (self.serializer or kwds):
            for arg in args:
                if type(arg) not in SIMPLE:
                    break
            else:
                return pickle.dumps((ident, method, args), 5)
        return self.dump((ident, method, args, kwds))

    def pickle(
        self,
        value: object,
        dumps: Callable[[Any], bytes] = pickle_value,
        place: bytes = b"",  # noqa: ARG002
    ) -> bytes:
        """Return the stored form of ``value`` as a whole pickle, made by ``dumps``. Not for a codec
        with a serializer.
        """
        links, data = self.pickled(value, dumps)
        return b"@%b;%b" % (links, data) if links else data

    def dump_many(
        self,
        values: Sequence[object],
        places: Sequence[bytes] = (),  # noqa: ARG002
    ) -> list[bytes]:
        """Return the stored forms of many values; without ``places`` all are elements."""
        if self.serializer is not None:
            return [self._serialized(value, self.serializer) for value in values]
        types = set(map(type, values))
        if len(types) == 1 and (encode := SIMPLE.get(types.pop())) is not None:
            return list(map(encode, values))
        find, pickled = SIMPLE.get, self.pickle
        return [encode(v) if (encode := find(type(v))) is not None else pickled(v) for v in values]

    def equal_bytes(self, value: object, stored: Sequence[bytes]) -> tuple[bytes, ...] | None:
        """Return the bytes of which those among the stored values equal ``value``, and no others;
        None if only Python can compare some of them.
        """
        forms = None if self.signs or self.serializer is not None else spellings(value)
        if forms is None:
            return None
        try:
            return forms if SIMPLE_FIRST.issuperset(map(first_byte, stored)) else None
        except IndexError:
            return None  # one is empty: load() reports it

    def load(self, stored: bytes, place: bytes = b"") -> Any:  # noqa: ARG002
        """Return a stored value. Raises :class:`BadPayload` for bytes that no such codec wrote."""
        try:
            head = stored[0]
            if self.serializer is not None:
                return self._deserialized(stored, head, self.serializer)
            if head == PICKLE:
                return self._unpickle(stored)
            if head == 0x8C:
                return stored[2:].decode("utf-8", "surrogatepass")
            return self._load_other(stored, head)
        except BadPayload:
            raise
        except DAMAGED as error:
            raise BadPayload(f"the stored value cannot be read: {error}") from error
        except (KeyError, TypeError):
            if isinstance(stored, bytes):
                raise  # a class of the value did that
            raise BadPayload("the stored value cannot be read: it is none") from None

    def load_many(self, stored: Sequence[bytes], places: Sequence[bytes] = ()) -> list[Any]:  # noqa: ARG002
        """Return stored values; without ``places`` all are elements."""
        try:
            if self.serializer is None and DIGITS.issuperset(map(first_byte, stored)):
                return list(map(int, stored))
            body = self._joined(stored)
        except DAMAGED:
            body = None  # load() reports which is damaged
        if body is None:
            return [self.load(item) for item in stored]
        return list(self._unpickle(HEADER + b"(" + b"".join(body) + b"l."))

    def load_dict(
        self, fields: Sequence[bytes], originals: Sequence[bytes], stored: Sequence[bytes]
    ) -> dict[Any, Any]:
        """Return a dict of keys, as :meth:`keys`, and the values of ``stored``, in their order."""
        body = self._joined(stored)
        if body is None:
            values = self.load_many(stored, fields)
            return dict(zip(self.keys(fields, originals), values, strict=True))
        flat = [b""] * (2 * len(body))
        flat[0::2] = originals
        flat[1::2] = body
        result: dict[Any, Any] = self._unpickle(HEADER + b"}(" + b"".join(flat) + b"u.")
        return result

    def _joined(self, stored: Sequence[bytes]) -> Sequence[bytes] | None:
        """Return the values as pieces of one pickle, None if some need a pickle of their own."""
        if self.serializer is not None:
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

    def unsealed(self, stored: bytes, place: bytes = b"") -> bytes:  # noqa: ARG002
        """Return a value without its links and signature, unread. Raises BadPayload if this codec
        has a key and did not sign it; without one it cannot tell.
        """
        if stored[:1] == b"@":
            stored = stored[stored.index(b";") + 1 :]
        return self.unsealed_field(stored)

    def unsealed_field(self, field: bytes) -> bytes:
        """Return the same of a key or member."""
        return field[OVERHEAD:] if field[:1] == b"S" else field

    @staticmethod
    def is_linked(stored: bytes) -> bool:
        """Return True if the value contains proxies of unnamed objects."""
        return stored[0] == LINKED

    @staticmethod
    def any_linked(stored: Sequence[bytes]) -> bool:
        return LINKED in set(map(first_byte, stored))

    @staticmethod
    def stamped(stored: bytes, epoch: int) -> bytes:
        """Return a value with proxies as one to be sent: what it refers to was kept in that
        epoch.
        """
        return b"#%d,%b" % (epoch, stored[1:])

    @staticmethod
    def links(stored: bytes) -> list[str]:
        """Return the unnamed objects that a value contains."""
        return stored[1 : stored.index(b";")].decode().split(",")

    def pickled(self, value: object, dumps: Callable[[Any], bytes]) -> tuple[bytes, bytes]:
        """Return the unnamed objects that a value contains, and its pickle."""
        try:
            data, links, _ = pickle_for(self.home, dumps, value)
        except Exception as error:  # noqa: BLE001 - a __reduce__ may raise anything
            data, links = self._pickle_for_processes(value, error)
        check_size(len(data) + 32 * len(links))
        return ",".join(links).encode(), data

    # inner forms

    def _pickle_for_processes(self, value: object, error: Exception) -> tuple[bytes, Any]:
        """Pickle a value that only the pickler of multiprocessing can: the views of a dict."""
        try:
            data, links, _ = pickle_for(self.home, ForkingPickler.dumps, value)
        except Exception:  # noqa: BLE001 - as above
            raise error from None
        return bytes(data), links

    def _load_other(self, stored: bytes, head: int) -> Any:
        if head == PICKLE:
            return self._unpickle(stored)
        if head in DIGITS:
            return int(stored)
        if head in PLAIN:
            return self._unpickle(HEADER + stored + b".")
        if head == LINKED:
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
        except DAMAGED as error:
            raise BadPayload(f"the stored value cannot be unpickled: {error}") from error

    def _serialized(self, value: object, serializer: Serializer) -> bytes:
        if type(value) is int and -INT64 <= value < INT64:
            return b"%d" % value
        data = b"=" + serializer.dumps(value)
        check_size(len(data))
        return data

    def _deserialized(self, stored: bytes, head: int, serializer: Serializer) -> Any:
        if head == LINKED:
            stored = stored[stored.index(b";") + 1 :]
        if stored[0] == SERIALIZED:
            try:
                return serializer.loads(stored[1:])
            except Exception as error:  # damaged bytes may raise anything there
                raise BadPayload(
                    f"the serializer cannot read the stored value: {type(error).__name__}: {error}"
                ) from error
        if stored[0] in DIGITS:
            return int(stored)
        raise BadPayload(
            "the stored value was not written with this serializer: open the manager with the same"
        )
