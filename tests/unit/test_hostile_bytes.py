"""What is read without pickle: any bytes are a value or BadPayload, in bounded time and memory.

``make fuzz`` runs the same with many more cases.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multihost.errors import BadPayload
from multihost.inspection.plain_pickles import read
from multihost.proxies.array import Packing
from multihost.wire.values.codec import Codec, JsonSerializer, XmlSerializer
from multihost.wire.values.opcodes import encode_long
from tests.support.hostile import SEED, altered, bounded, cases, scattered
from tests.support.key_spellings import GROUPS, evaluate, hashable

FUZZ = cases(150)

PLAIN, JSON, XML = Codec(), Codec(JsonSerializer()), Codec(XmlSerializer())


def show(data: bytes) -> str:
    return repr(read(data))


READERS: dict[str, Callable[[bytes], Any]] = {
    "key": JSON.key,
    "json": JSON.load,
    "xml": XML.load,
    "show": show,
}


def outcome(reader: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the value, or the error if it is one that callers expect."""
    try:
        return reader(data)
    except BadPayload as error:
        return error
    except ValueError as error:
        assert reader is show, "another error than BadPayload"
        return error


def attempt(reader: Callable[[bytes], Any], data: bytes) -> Any:
    """Return the outcome, once its time and its memory are known to be bounded."""
    return bounded(lambda: outcome(reader, data), len(data))


# -- real encodings, altered

VALUES = [
    None,
    [1, -1, 300, 1 << 20, 1 << 80, 2.5, "text", "ü" * 300, b"bytes" * 60, True, None],
    {"a": [1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11)], (1, 2): {"b": {1, 2}, "c": frozenset([3])}},
    [bytearray(b"x"), "\udc80", [[[[]]]], {}, set(), ()],
    [[0] * 3] * 3,
    {"host": "web-1", "since": 1.5, "jobs": ["a", "b"]},
    range(3),
]
KEYS = [evaluate(text) for group in GROUPS for text in group if hashable(text)]
KEYS += [(), (1, "x", (2.5, None)), frozenset([1, frozenset([b"y"])]), 1 << 100, "k" * 300]


def encodings() -> dict[str, list[bytes]]:
    """Return what each reader reads, written by the codecs themselves."""
    fields = {part for key in KEYS for part in PLAIN.canonical_field(key) if part}
    texts = ["", 5, "text", [1, [2.5, None]], {"a": {"b": [True, "ü"]}}]
    return {
        "key": sorted(fields),
        "json": [JSON.dump(value) for value in texts],
        "xml": [XML.dump(value) for value in texts],
        "show": [pickle.dumps(value, protocol) for value in VALUES for protocol in (4, 5)]
        + [PLAIN.dump(value) for value in VALUES]
        + sorted(fields),
    }


SEEDS = encodings()


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(SEED)
def test_altered_encodings(kind: str, seed: int) -> None:
    attempt(READERS[kind], altered(SEEDS[kind], Random(seed)))


HEADS = (b"", b"=", b"\x80\x05", b"(", b"@;", b"#;=")


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(SEED)
def test_any_bytes(kind: str, seed: int) -> None:
    attempt(READERS[kind], scattered(HEADS, (), Random(seed)))


# -- bytes made to do harm

COLLIDING = [encode_long(number * (2**61 - 1)) for number in range(1, 6_600)]
LONG_TUPLE = b"(" + b"N" * 9_000 + b"t\x94"
BOMBS = {
    "a memo of 60,000,000 entries": b"Nr\x00\x87\x93\x03",
    "doubled 60 times": b"N" + b"2\x86" * 60,
    "doubled by the memo": b"]\x94" + b"".join(b"]\x94(h%ch%ce" % (n, n) for n in range(60)),
    "doubled tuples": b"N\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(60)),
    "300,000 levels": b"(" * 300_000 + b"t" * 300_000,
    "300,000 levels without marks": b")" + b"\x85" * 300_000,
    "300,000 lists": b"]" * 300_000 + b"a" * 299_999,
    "equal hashes": b"(" + b"".join(COLLIDING) + b"\x91",
    "a set of equal hashes": b"\x8f(" + b"".join(COLLIDING) + b"\x90",
    "keys of equal hashes, one by one": b"}" + b"".join(key + b"Ns" for key in COLLIDING),
    "hashed again and again": LONG_TUPLE + b"\x8f(h\0\x90\x85" * 2_000,
    "filled afterwards": b"(]\x94" + b"h\0" * 9_000 + b"(" + b"N" * 9_900 + b"et",
    "itself": b"]\x94h\0a",
    "a length of 4 GB": b"X\xff\xff\xff\xff",
    "a length of 16 EB": b"\x8e" + b"\xff" * 8,
    "600,000 values": b"(" + b"N" * 600_000 + b"t",
    "marks": b"(" * 600_000,
    "a number of 600,000 digits": b"I" + b"9" * 600_000 + b"\n",
    "half a key": b"\x8c",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_keys_made_to_do_harm(bomb: str) -> None:
    assert isinstance(attempt(JSON.key, BOMBS[bomb]), BadPayload)


def test_a_dict_of_keys_made_to_do_harm() -> None:
    fields = [encode_long(number * (2**61 - 1)) for number in range(1, 20_000)]
    with pytest.raises(BadPayload, match="the same hash"):
        JSON.keys(fields)
    assert len(JSON.keys(fields[:100])) == 100


@pytest.mark.parametrize("bomb", BOMBS)
def test_shown_values_made_to_do_harm(bomb: str) -> None:
    assert isinstance(attempt(show, b"\x80\x05" + BOMBS[bomb] + b"."), ValueError)
    assert isinstance(outcome(show, BOMBS[bomb]), ValueError)  # the same, but for its ends


@pytest.mark.parametrize(
    ("codec", "stored"),
    [
        (JSON, b"=" + b"[" * 300_000),
        (JSON, b"=" + b'{"a":' * 100_000),
        (JSON, b"=" + b"9" * 600_000),
        (JSON, b"9" * 600_000),
        (JSON, b"=\xff"),
        (XML, b"=<params><param>"),
        (XML, b"=" + b"<array>" * 80_000),
        (XML, b"=<params><param><value><i4>x</i4></value></param></params>"),
        (XML, b"=<fault><value><int>5</int></value></fault>"),
        (XML, b"=\0"),
    ],
)
def test_values_made_to_do_harm(codec: Codec, stored: bytes) -> None:
    assert isinstance(attempt(codec.load, stored), BadPayload)


@pytest.mark.parametrize(
    ("typecode", "stored"),
    [("i", b"abc"), ("l", b"x" * 9), ("u", b"\xff" * 4), ("u", b"abc"), ("d", b"x")],
)
def test_items_of_an_array_that_are_none(typecode: str, stored: bytes) -> None:
    with pytest.raises(BadPayload, match="the stored items cannot be read"):
        Packing(typecode).unpack(stored)


# -- what is read all the same


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("value", VALUES[:1] + VALUES[1:3] + VALUES[4:6], ids=repr)
def test_values_of_builtin_types_are_shown(value: object, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


def test_a_part_that_is_used_twice_is_shown_twice() -> None:
    part: list[Any] = []
    assert read(pickle.dumps([part, part, {"k": part}], 5)) == [[], [], {"k": []}]


keys = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=12,
)


@FUZZ
@given(keys)
@example((1 << 100, "x" * 300, b"y" * 300))
@example("\udc80")
def test_keys_come_back(key: Any) -> None:
    field, original = JSON.canonical_field(key)
    found = JSON.key(original or field)
    assert found == key
    assert type(found) is type(key)


def test_keys_that_cannot_be_read_back_are_refused_when_they_are_written() -> None:
    deep: Any = 1
    for _ in range(99):
        deep = (deep,)
    assert JSON.key(JSON.field(deep)) == deep
    with pytest.raises(BadPayload, match="more than 100 levels"):
        JSON.canonical_field((deep,))
    with pytest.raises(BadPayload, match="more than 10,000 parts"):
        JSON.canonical_field(tuple(range(10_000)))
    with pytest.raises(BadPayload, match=r"refers to decimal\.Decimal"):
        JSON.canonical_field((1, evaluate("Decimal('0.1')")))
