"""What was signed for one purpose and one place is refused by every other reader."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from multihost import BadPayload
from multihost.wire.values.codec import Codec, JsonSerializer
from multihost.wire.values.nesting import pickled
from multihost.wire.values.signed import codec_for
from multihost.wire.values.signing import FORMAT, OVERHEAD, Conversation, Purpose, SigningKey

KEY = b"a key of the tests, of 32 bytes."
HOST, CHANNEL, NONCE = "h:" + "a" * 22, b"session.1", b"n" * 16
NUMBER, TRAILER = b"%012d" % 2, b"c" * 22 + b"p00001" + b"%036d" % 7


class Here:
    server = "here"


class Reference:
    """Pickles as the proxy of an unnamed object does."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    def __reduce__(self) -> Any:
        pickled("u:" + self.letter * 22, True, "here")
        return Reference, (self.letter,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.letter == self.letter

    def __hash__(self) -> int:
        return hash(self.letter)


class Place(NamedTuple):
    """Where something is signed: everything that a purpose may be bound to."""

    key: bytes = KEY
    namespace: str = "ours"
    ident: str = "n:name"
    field: bytes = b"field"
    host: str = HOST
    channel: bytes = CHANNEL
    nonce: bytes = NONCE
    number: bytes = NUMBER
    trailer: bytes = TRAILER
    key_of_original: float = 1.0

    def codec(self, purpose: Purpose = Purpose.VALUE) -> Codec:
        codec = codec_for(self.key, None, self.namespace)
        codec.home = Here()  # type: ignore[assignment]
        return codec.of(self.ident, purpose)

    def conversation(self, *, is_open: bool) -> Conversation:
        opening = Conversation(SigningKey(self.key, self.namespace), self.host, self.channel)
        return opening.behind(self.nonce) if is_open else opening


HERE = Place()


class Use(NamedTuple):
    """How bytes are written and read for a purpose, and what they are bound to."""

    write: Callable[[Place], bytes]
    read: Callable[[Place, bytes], Any]
    means: Any
    bound_to: tuple[str, ...]


def original(place: Place) -> bytes:
    return place.codec().canonical_field(place.key_of_original)[1]


def key_of(place: Place, stored: bytes) -> Any:
    codec = place.codec()
    return codec.key(codec.field(place.key_of_original), stored)


def valued(purpose: Purpose, value: Any, place_of: str | None, bound_to: tuple[str, ...]) -> Use:
    def inside(place: Place) -> bytes:
        return getattr(place, place_of) if place_of else b""  # type: ignore[no-any-return]

    return Use(
        lambda place: place.codec(purpose).dump(value, inside(place)),
        lambda place, stored: place.codec(purpose).load(stored, inside(place)),
        value,
        bound_to,
    )


def spoken(side: str, *, is_open: bool, bound_to: tuple[str, ...]) -> Use:
    def signer(place: Place) -> Any:
        return getattr(place.conversation(is_open=is_open), side)

    return Use(
        lambda place: signer(place).sign(b"payload", place.number),
        lambda place, signed: signer(place).verified(signed, place.number),
        b"payload",
        bound_to,
    )


OBJECT = "ident"
TALK = "host", "channel", "number"

USES: dict[Purpose, list[Use]] = {
    Purpose.VALUE: [
        valued(Purpose.VALUE, ("n:name", "withdraw", (500,)), "field", (OBJECT, "field")),
        valued(Purpose.VALUE, "an element", None, (OBJECT,)),
    ],
    Purpose.LINKED: [valued(Purpose.VALUE, [Reference("a")], "field", (OBJECT, "field"))],
    Purpose.FIELD: [
        Use(
            lambda place: place.codec().field("key"),
            lambda place, stored: place.codec().key(stored),
            "key",
            (OBJECT,),
        )
    ],
    Purpose.ORIGINAL: [Use(original, key_of, 1.0, (OBJECT, "key_of_original"))],
    Purpose.ACTION: [valued(Purpose.ACTION, print, None, (OBJECT,))],
    Purpose.SETUP: [valued(Purpose.SETUP, (None, (), None), None, (OBJECT,))],
    Purpose.TASK: [valued(Purpose.TASK, (0, 7, print, (), {}), "trailer", (OBJECT, "trailer"))],
    Purpose.RESULT: [valued(Purpose.RESULT, (0, 7, True, 1), "trailer", (OBJECT, "trailer"))],
    Purpose.OPENING: [spoken("requests", is_open=False, bound_to=TALK)],
    Purpose.GREETING: [spoken("replies", is_open=False, bound_to=TALK)],
    Purpose.CALL: [spoken("requests", is_open=True, bound_to=(*TALK, "nonce"))],
    Purpose.ANSWER: [spoken("replies", is_open=True, bound_to=(*TALK, "nonce"))],
}

OTHERS = Place(
    b"another key of 32 bytes, as long",
    "theirs",
    "n:other",
    b"fiel",
    "h:" + "b" * 22,
    b"session.11",
    b"m" * 16,
    b"%012d" % 3,
    b"d" * 22 + TRAILER[22:],
    2.0,
)


def each_use() -> Iterator[Any]:
    for purpose, uses in USES.items():
        for number, use in enumerate(uses):
            yield pytest.param(purpose, use, id=f"{purpose.value} {number}")


each = pytest.mark.parametrize(("purpose", "use"), list(each_use()))


def test_every_purpose_is_among_them() -> None:
    assert set(USES) == set(Purpose)


@each
def test_it_is_read_where_it_was_written(purpose: Purpose, use: Use) -> None:
    assert use.read(HERE, use.write(HERE)) == use.means
    assert use.write(HERE) == use.write(Place()), "the same bytes in every process"


@each
def test_bytes_of_every_other_purpose_are_refused(purpose: Purpose, use: Use) -> None:
    # Values with and without references stand in the same places: one reader for both.
    same = (
        {Purpose.VALUE, Purpose.LINKED} if purpose in (Purpose.VALUE, Purpose.LINKED) else {purpose}
    )
    others = [(other, w) for other, ws in USES.items() for w in ws if other not in same]
    assert len(others) >= len(Purpose) - len(same)
    for other, writer in others:
        with pytest.raises(BadPayload):
            pytest.fail(f"{other} is {use.read(HERE, writer.write(HERE))!r} as {purpose}")


@each
def test_an_unsigned_form_is_refused(purpose: Purpose, use: Use) -> None:
    signed = use.write(HERE)
    nothing = b"" if purpose is not Purpose.ORIGINAL else b"S2"  # without one the field is the key
    for forged in (nothing, b"S", signed[OVERHEAD:], b"S" + FORMAT, Codec().dump(use.means)):
        with pytest.raises(BadPayload):
            use.read(HERE, forged)


@each
@pytest.mark.parametrize("bound", Place._fields)
def test_it_is_refused_at_another_place(purpose: Purpose, use: Use, bound: str) -> None:
    elsewhere = HERE._replace(**{bound: getattr(OTHERS, bound)})
    if bound in ("key", "namespace", *use.bound_to):
        with pytest.raises(BadPayload):
            use.read(elsewhere, use.write(HERE))
        with pytest.raises(BadPayload):
            use.read(HERE, use.write(elsewhere))
    elif not (purpose is Purpose.VALUE and bound == "field"):
        assert use.read(elsewhere, use.write(HERE)) == use.means


@each
def test_every_flipped_byte_is_found(purpose: Purpose, use: Use) -> None:
    signed = use.write(HERE)
    for at in range(len(signed)):
        for bit in (1, 0x10, 0x80):
            altered = bytearray(signed)
            altered[at] ^= bit
            with pytest.raises(BadPayload):
                use.read(HERE, bytes(altered))
        if at or purpose is not Purpose.ORIGINAL:
            with pytest.raises(BadPayload):
                use.read(HERE, signed[:at])
    with pytest.raises(BadPayload):
        use.read(HERE, signed + b"\0")


@pytest.mark.parametrize("use", [*USES[Purpose.TASK], *USES[Purpose.RESULT]])
def test_every_byte_of_a_trailer_is_signed(use: Use) -> None:
    signed = use.write(HERE)
    for at in range(len(TRAILER)):
        altered = bytearray(TRAILER)
        altered[at] ^= 1
        with pytest.raises(BadPayload):
            use.read(HERE._replace(trailer=bytes(altered)), signed)


def test_the_end_of_a_place_is_not_the_beginning_of_the_value() -> None:
    signer = SigningKey(KEY, "ours").signer(Purpose.VALUE, "n:name")
    tag = slice(2, OVERHEAD)
    assert signer.sign(b"bc", b"a")[tag] != signer.sign(b"c", b"ab")[tag]
    assert signer.sign(b"", b"abc")[tag] != signer.sign(b"abc")[tag]


def test_bound_parts_do_not_run_together() -> None:
    key = SigningKey(KEY, "ours")
    places = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("1:a",), ("1:a", "bc")]
    assert len({key.signer(Purpose.VALUE, *each).sign(b"x") for each in places}) == len(places)


@pytest.mark.parametrize("place", [b"", b"field"])
def test_what_a_reference_names_is_signed(place: bytes) -> None:
    codec = HERE.codec()
    stored = codec.dump([Reference("a")], place)
    assert codec.load(stored, place) == [Reference("a")]
    for forged in (
        stored.replace(b"aaaaaaa", b"bbbbbbb", 1),
        stored.replace(b";", b",u:" + b"a" * 22 + b";", 1),
        stored[: stored.index(b";") + 1] + codec.dump("text", place),
        b"@" + codec.dump("text", place),
        b"@;" + codec.dump("text", place),
        stored[stored.index(b";") + 1 :],
    ):
        with pytest.raises(BadPayload):
            codec.load(forged, place)


@pytest.mark.parametrize("purpose", [Purpose.TASK, Purpose.RESULT, Purpose.SETUP, Purpose.ACTION])
def test_references_do_not_join_purposes(purpose: Purpose) -> None:
    stored = HERE.codec().dump([Reference("a")])
    with pytest.raises(BadPayload):
        HERE.codec(purpose).load(stored)


def test_another_format_is_named() -> None:
    codec = HERE.codec()
    stored = codec.dump("text")
    newer = b"S3" + stored[2:]
    with pytest.raises(BadPayload, match=r"format 3.*reads format 2.*release"):
        codec.load(newer)
    with pytest.raises(BadPayload, match=r"format 3"):
        codec.key(b"S3" + codec.field("key")[2:])
    older = b"S" + stored[2:]  # the first format had no number
    with pytest.raises(BadPayload, match="another"):
        codec.load(older)


def test_a_manager_without_a_key_says_that_it_is_signed() -> None:
    for stored in (HERE.codec().dump("text"), HERE.codec().dump([1])):
        with pytest.raises(BadPayload, match="authkey"):
            Codec().load(stored)
        with pytest.raises(BadPayload, match="serializer|authkey"):
            Codec(JsonSerializer()).load(stored)


def test_many_are_as_one_by_one() -> None:
    codec = HERE.codec()
    values: list[Any] = [1, "a", [1], None, 2.5]
    fields = [codec.field(number) for number in range(5)]
    assert codec.dump_many(values) == list(map(codec.dump, values))
    assert codec.dump_many(values, fields) == list(map(codec.dump, values, fields))
    stored = codec.dump_many(values, fields)
    assert codec.load_many(stored, fields) == values
    with pytest.raises(BadPayload):
        codec.load_many(stored)
    swapped = [stored[1], stored[0], *stored[2:]]
    with pytest.raises(BadPayload):
        codec.load_many(swapped, fields)
    with pytest.raises(BadPayload):
        codec.load_dict(fields, fields, swapped)


def test_unsigned_codecs_are_one_for_all_objects() -> None:
    codec = codec_for(b"", None, "ours")
    assert codec.of("n:name") is codec.of("n:other", Purpose.TASK) is codec.unsigned is codec
    assert codec.conversation(HOST, CHANNEL) is None
    dumped = functools.partial(codec.dump, "text")
    assert dumped() == dumped(b"field") == b"\x8c\x04text"
