"""Objects to bytes and back: exact types, canonical keys, and what is refused."""

from __future__ import annotations

import collections
import datetime
import enum
import math
import pickle
import re
import threading
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multihost import BadPayload, PayloadTooLarge
from multihost.wire.values import opcodes
from multihost.wire.values.codec import Codec, JsonSerializer, Serializer
from multihost.wire.values.nesting import home, pickled
from multihost.wire.values.signed import codec_for

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")


def signing(authkey: bytes, serializer: Serializer | None = None) -> Codec:
    return codec_for(authkey, serializer, "namespace").of("n:name")


PLAIN, SIGNED = Codec(), signing(b"secret")
JSON, SIGNED_JSON = Codec(JsonSerializer()), signing(b"secret", JsonSerializer())
ALL = {"plain": PLAIN, "signed": SIGNED, "JSON": JSON, "signed JSON": SIGNED_JSON}
PICKLING = {"plain": PLAIN, "signed": SIGNED}


class Colour(enum.IntEnum):
    RED = 1


class Mood(enum.Enum):
    CALM = 1


class Name(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")

VALUES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**400, 0.0, -0.0, 1.5,
    math.inf, -math.inf, 1j, "", "a", "x" * 255, "x" * 256, "é\0\n", "\ud800", "€" * 100, b"", b"a",
    b"x" * 255, b"x" * 256, b"\x80\x05", bytearray(b"b"), (), (1, "a"), [], [1, [2]], {},
    {"a": {1}},
    set(), {1, 2}, frozenset(), Decimal("1.10"), Fraction(1, 3), Colour.RED, Mood.CALM, Name("n"),
    Point(1, 2), datetime.date(2024, 2, 29), uuid.UUID(int=5), ..., NotImplemented, range(3),
    slice(1, 2), int, len, collections.OrderedDict(a=1), collections.deque([1]), "12", "-", b"12",
]  # fmt: skip


# -- values


@pytest.mark.parametrize("codec", PICKLING.values(), ids=PICKLING)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:25])
def test_a_value_comes_back_with_its_type(value: Any, codec: Codec) -> None:
    stored = codec.dump(value)
    assert type(stored) is bytes
    assert stored
    found = codec.load(stored)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value), "down to the sign of a zero"
    assert codec.dump_many([value, value]) == [stored, stored]
    assert codec.load_many([stored, stored]) == [value, value]


@pytest.mark.parametrize("codec", PICKLING.values(), ids=PICKLING)
def test_many_values_are_encoded_as_one_by_one(codec: Codec) -> None:
    stored = codec.dump_many(VALUES)
    assert stored == [codec.dump(value) for value in VALUES]
    assert list(map(repr, codec.load_many(stored))) == list(map(repr, VALUES))
    for chosen in ([], [1, 2], ["a"], [1, "a", None], [2**70, 1], [1.5, True], [[1], 2], ["é"] * 9):
        assert list(map(repr, codec.load_many(codec.dump_many(chosen)))) == list(map(repr, chosen))


def test_nan_stays_nan() -> None:
    for codec in PICKLING.values():
        assert math.isnan(codec.load(codec.dump(math.nan)))


@pytest.mark.parametrize("codec", ALL.values(), ids=ALL)
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_every_json_value_passes_every_codec(codec: Codec, value: Any) -> None:
    if codec.serializer is not None:
        # No surrogates within keys either: JSON is text.
        try:
            stored = codec.dump(value)
        except UnicodeEncodeError:
            return
    else:
        stored = codec.dump(value)
    assert repr(codec.load(stored)) == repr(value)


@given(st.lists(st.integers() | st.text() | st.binary() | st.floats() | st.booleans() | st.none()))
def test_runs_of_simple_values(values: list[Any]) -> None:
    for codec in PICKLING.values():
        assert list(map(repr, codec.load_many(codec.dump_many(values)))) == list(map(repr, values))


def test_an_int_is_text_that_the_server_can_add_to() -> None:
    assert PLAIN.dump(-5) == b"-5"
    assert PLAIN.dump(2**63 - 1) == b"9223372036854775807"
    assert not PLAIN.dump(2**63).isdigit()
    assert PLAIN.dump(True) != b"1"
    assert JSON.dump(7) == b"7"
    assert PLAIN.counts_on_server
    assert JSON.counts_on_server
    assert not SIGNED.counts_on_server, "the server could not sign the sum"


def test_the_first_byte_is_the_form() -> None:
    heads = {
        5: b"5", -5: b"-", "a": b"\x8c", "x" * 300: b"X", b"a": b"C", b"x" * 300: b"B", None: b"N",
        True: b"\x88", False: b"\x89", 1.5: b"G", (): b"\x80", 2**64: b"\x8a",
    }  # fmt: skip
    for value, head in heads.items():
        assert PLAIN.dump(value)[: len(head)] == head
        assert SIGNED.dump(value)[:1] == b"S"
    assert JSON.dump([1]) == b"=[1]"


def test_json_keeps_only_json_types() -> None:
    assert JSON.load(JSON.dump((1, 2))) == [1, 2]
    assert JSON.load(JSON.dump({1: 2})) == {"1": 2}
    assert JSON.dump("é") == b'="\xc3\xa9"'
    for bad in ({1}, b"x", object(), 1j):
        with pytest.raises(TypeError):
            JSON.dump(bad)


@pytest.mark.parametrize("bad", [lambda: 0, threading.Lock(), (n for n in ())])
def test_an_unpicklable_value_raises_the_error_of_pickle(bad: Any) -> None:
    with pytest.raises(Exception) as ours:
        PLAIN.dump(bad)
    with pytest.raises(Exception) as theirs:
        pickle.dumps(bad, 5)
    assert type(ours.value) is type(theirs.value)


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "LIMIT", 1000)
    for codec in ALL.values():
        for value in ("x" * 1000, "é" * 500):
            with pytest.raises(PayloadTooLarge, match=r"1,000 at most.*nothing was changed"):
                codec.dump(value)
            with pytest.raises(PayloadTooLarge):
                codec.dump_many([1, value])
            with pytest.raises(PayloadTooLarge):
                codec.canonical_field(value)
        assert codec.load(codec.dump("x" * 900)) == "x" * 900
    for codec in PICKLING.values():
        for big in (b"x" * 1000, [b"x" * 1000], [256**1000]):
            with pytest.raises(PayloadTooLarge):
                codec.dump(big)


# -- bytes that are not ours


@pytest.mark.parametrize("damaged", [b"-", b"1x", b"9" * 5000, b"", b"1-"])
def test_a_damaged_number_among_others_is_reported_as_by_itself(damaged: bytes) -> None:
    with pytest.raises(BadPayload) as alone:
        PLAIN.load(damaged)
    with pytest.raises(BadPayload, match=re.escape(str(alone.value))):
        PLAIN.load_many([b"1", damaged, b"-2"])


@given(st.binary(max_size=40))
@example(b"\x8f\x98")  # a read-only buffer of a set
@example(b"]]b")  # a list with a state
def test_no_bytes_break_a_reader(data: bytes) -> None:
    """Whatever is stored: a value, BadPayload, or what the pickle itself raises."""
    for codec in (SIGNED, SIGNED_JSON):
        for read in (codec.load, codec.key, lambda d, c=codec: c.load_many([d])):
            with pytest.raises(BadPayload):
                read(data)
    for read in (JSON.load, JSON.key):
        try:
            read(data)
        except BadPayload:
            pass
    try:
        PLAIN.load_many([data])
    except (BadPayload, AttributeError, ImportError, TypeError, KeyError, MemoryError):
        pass


@given(st.data())
def test_every_altered_byte_of_a_signed_value_is_found(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([5, "text", None, [1, {"a": b"x"}], 1.5]))
    codec = data.draw(st.sampled_from([SIGNED, signing(b"other")]))
    stored = bytearray(codec.dump(value))
    position = data.draw(st.integers(0, len(stored) - 1))
    stored[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadPayload):
        codec.load(bytes(stored))
    with pytest.raises(BadPayload):
        codec.load(bytes(stored[:position]))


def test_signatures_are_for_one_key() -> None:
    stored = SIGNED.dump([1])
    assert SIGNED.dump([1]) == stored, "equal keys give equal fields"
    assert signing(b"secret").load(stored) == [1]
    with pytest.raises(BadPayload, match="authkey"):
        signing(b"Secret").load(stored)
    with pytest.raises(BadPayload, match="signed"):
        PLAIN.load(stored)
    assert signing(b"k").dump(None) != signing(b"k\0").dump(None)
    assert len(SIGNED.dump(None)) == 2 + 16 + 1


@pytest.mark.parametrize(
    ("writer", "reader", "why"),
    [
        (JSON, PLAIN, "another serializer"),
        (PLAIN, JSON, "serializer"),
        (SIGNED, JSON, "serializer"),
        (JSON, SIGNED, "unsigned"),
        (SIGNED_JSON, SIGNED, "another serializer"),
        (SIGNED, SIGNED_JSON, "serializer"),
    ],
)
def test_one_codec_does_not_read_another(writer: Codec, reader: Codec, why: str) -> None:
    with pytest.raises(BadPayload, match=why):
        reader.load(writer.dump(["text"]))


# -- keys

EQUAL = [
    (1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j, Colour.RED, Decimal("1.00")),
    (0, 0.0, -0.0, False, Decimal("-0"), 0j),
    (2**70, float(2**70), Decimal(2**70), Fraction(2**70)),
    (0.5, Decimal("0.5"), Fraction(1, 2), 0.5 + 0j),
    (Decimal("0.1"), Fraction(1, 10)),
    (math.inf, Decimal("Infinity"), complex(math.inf, 0)),
    ("n", Name("n")),
    ((1, 2.0, "x"), (1.0, 2, "x"), (True, Fraction(2), Name("x"))),
    (Point(1, 2), (1, 2), (1.0, 2.0)),
    (frozenset([1, 2]), frozenset([2.0, 1.0]), frozenset([True, 2])),
    (((1,), frozenset([(2,)])), ((1.0,), frozenset([(2.0,)]))),
    (b"x",),
    (None,),
    ("",),
    (b"",),
    ((),),
    (frozenset(),),
    (1.5 + 2j,),
    (complex(0.0, 1), complex(-0.0, 1)),
    (Decimal("1e400"), 10**400),
    ("1",),
    (b"1",),
    ("I1\n",),
    (Mood.CALM,),
    (datetime.date(2024, 1, 1),),
    (2.5,),
    (Decimal("-Infinity"), -math.inf),
    (2**63, float(2**63)),
    (-(2**63), float(-(2**63))),
    (range(3), range(3)),
]


@pytest.mark.parametrize("codec", PICKLING.values(), ids=PICKLING)
@pytest.mark.parametrize("group", EQUAL, ids=lambda group: repr(group[0])[:20])
def test_equal_keys_have_one_field_and_keep_their_original(
    group: tuple[Any, ...], codec: Codec
) -> None:
    fields = set()
    for key in group:
        assert key == group[0]
        assert hash(key) == hash(group[0])
        field, original = codec.canonical_field(key)
        fields.add(field)
        found = codec.key(field, original)
        assert found == key
        if type(key) is not float or key:  # -0.0 is the one original that is allowed to be lost
            assert type(found) is type(key)
            assert repr(found) == repr(key) or isinstance(key, frozenset)
        assert codec.field(key) == field
    assert len(fields) == 1


def test_different_keys_have_different_fields() -> None:
    for codec in PICKLING.values():
        fields = [codec.field(group[0]) for group in EQUAL]
        assert len(set(fields)) == len(EQUAL)
        assert b"" not in fields, "the empty field is the head of the object"


@given(
    st.lists(
        st.recursive(
            st.integers()
            | st.floats(allow_nan=False)
            | st.text(max_size=3)
            | st.binary(max_size=3)
            | st.booleans()
            | st.none()
            | st.fractions()
            | st.decimals(allow_nan=False)
            | st.complex_numbers(allow_nan=False),
            lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
            max_leaves=4,
        ),
        max_size=6,
    )
)
def test_fields_are_equal_exactly_when_keys_are(keys: list[Any]) -> None:
    for one in keys:
        try:
            hash(one)
        except TypeError:
            with pytest.raises(TypeError):
                PLAIN.field(one)
            continue
        for other in keys:
            try:
                hash(other)
            except TypeError:
                continue
            assert (PLAIN.field(one) == PLAIN.field(other)) == (one == other), (one, other)


def test_a_nan_equals_nothing() -> None:
    for nan in (math.nan, Decimal("NaN"), complex(math.nan, 1)):
        assert PLAIN.field(nan) != PLAIN.field(nan)
        field, original = PLAIN.canonical_field(nan)
        assert str(PLAIN.key(field, original)) == str(nan)
    with pytest.raises(TypeError):
        PLAIN.field(Decimal("sNaN"))


@pytest.mark.parametrize("bad", [[], {}, set(), ([],), frozenset, bytearray()])
def test_unhashable_keys(bad: Any) -> None:
    if bad is frozenset:
        assert PLAIN.key(PLAIN.field(bad)) is frozenset
        return
    with pytest.raises(TypeError) as ours:
        PLAIN.field(bad)
    with pytest.raises(TypeError) as theirs:
        hash(bad)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("codec", PICKLING.values(), ids=PICKLING)
def test_many_keys_and_whole_dicts(codec: Codec) -> None:
    keys = [group[-1] for group in EQUAL]
    fields, spellings = codec.canonical_fields(keys)
    assert fields == [codec.field(key) for key in keys]
    first = dict(zip(spellings[::2], spellings[1::2], strict=True))
    spelled = [first.get(field, field) for field in fields]
    assert codec.keys(fields, spelled) == keys
    assert codec.canonical_fields(["a", "b"]) == ([codec.field("a"), codec.field("b")], [])
    values = VALUES[: len(keys)]
    found = codec.load_dict(fields, spelled, codec.dump_many(values, fields))
    assert repr(found) == repr(dict(zip(keys, values, strict=True)))
    assert codec.load_dict([], [], []) == {}


def test_json_keys_are_data_only() -> None:
    for codec in (JSON, SIGNED_JSON):
        for key in ("a", 1, 1.5, None, True, b"x", (1, "a"), frozenset([1])):
            field, original = codec.canonical_field(key)
            assert codec.key(field, original) == key
        for key, plain in ((Colour.RED, 1), (Point(1, 2), (1, 2)), (Name("a"), "a")):
            field, original = codec.canonical_field(key)
            found = codec.key(field, original)
            assert found == plain
            assert type(found) is type(plain)
        for key in (Decimal("0.1"), Mood.CALM, (Mood.CALM,), datetime.date(2024, 1, 1), 1j):
            with pytest.raises(BadPayload, match="does not read"):
                codec.canonical_field(key)
        for bad in (b"cbuiltins\neval\n", b"garbage", b"\x8c\x04eval\x93", b"P1\n", b"\x82\x01"):
            with pytest.raises(BadPayload):
                codec.key(codec._fields.sign(bad) if codec is SIGNED_JSON else bad)


# -- proxies inside values


class Here:
    server = "here"


class Reference:
    """Pickles as a proxy does."""

    def __init__(self, ident: str, place: str = "here", unnamed: bool = True) -> None:
        self.ident, self.place, self.unnamed = ident, place, unnamed
        self.made_at = home()

    def __reduce__(self) -> Any:
        pickled(self.ident, self.unnamed, self.place)
        return Reference, (self.ident, self.place)


U, V, W = ("u:" + letter * 22 for letter in "abc")


def at_home(authkey: bytes) -> Codec:
    codec = signing(authkey)
    codec.home = Here()
    return codec


@pytest.mark.parametrize("codec", [at_home(b""), at_home(b"secret")], ids=PICKLING)
def test_references_stand_in_front(codec: Codec) -> None:
    named, elsewhere = Reference("n:x", unnamed=False), Reference(W, place="elsewhere")
    stored = codec.dump([Reference(U), {"x": Reference(V)}, Reference(U), named, elsewhere])
    assert codec.is_linked(stored)
    assert codec.links(stored) == [U, V], "what is named or elsewhere is not ours to keep"
    assert codec.any_linked([b"5", stored])
    assert not codec.any_linked([b"5"])
    assert codec.stamped(stored, 17) == b"#17," + stored[1:]
    found = codec.load(stored)
    assert (found[0].ident, found[1]["x"].ident) == (U, V)
    assert found[0].made_at is codec.home
    both = codec.load_many([codec.dump(5), stored])
    assert [type(item) for item in both] == [int, list]
    assert home() is None
    assert not codec.is_linked(codec.dump([1]))


def test_a_reference_is_no_key() -> None:
    for codec in (PLAIN, at_home(b"")):
        for key in (Reference(U), (1, Reference(U)), Reference("n:x", unnamed=False)):
            with pytest.raises(TypeError, match="cannot be a key"):
                codec.field(key)


def test_references_of_one_pickle_do_not_reach_another() -> None:
    codec = at_home(b"")

    class Nosy:
        def __reduce__(self) -> Any:
            inner = codec.dump([Reference(V)])  # a pickle within a pickle, as a user's class may
            assert codec.links(inner) == [V]
            return bytes, (inner,)

    stored = codec.dump([Nosy(), Reference(U)])
    assert codec.links(stored) == [U]
    assert not pickled(U, True, "here"), "outside of any"
    assert not codec.is_linked(codec.dump([1]))


def test_references_are_forgotten_when_pickling_fails() -> None:
    codec = at_home(b"")
    with pytest.raises(TypeError):
        codec.dump([Reference(U), threading.Lock()])
    assert not pickled(U, True, "here")
    assert not codec.is_linked(codec.dump([1]))
    with pytest.raises(BadPayload):
        codec.load(b"\x80\x05garbage")
    assert home() is None
