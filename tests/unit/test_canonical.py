"""Equal keys have one field, whatever they are made of, in every process."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import itertools
import numbers
import pathlib
import pkgutil
import subprocess
import sys
import threading
import uuid
from collections import UserString
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihost.wire.values.canonical import canonical
from multihost.wire.values.codec import Codec
from multihost.wire.values.structures.rules import _rule_by_owner
from tests.support import key_spellings
from tests.support.key_spellings import GROUPS, Point, Slotted, evaluate, fields_of, hashable
from tests.support.procs import interpreters

PLAIN = Codec()
KNOWN = [[spelling for spelling in group if hashable(spelling)] for group in GROUPS]
KEYS = [[evaluate(spelling) for spelling in group] for group in KNOWN]
SPELLINGS = [spelling for group in GROUPS for spelling in group]


def one_key(one: Any, other: Any) -> bool:
    """Return whether a dict takes the two for one key."""
    try:
        return one is other or (hash(one) == hash(other) and bool(one == other))
    except BytesWarning:  # text and bytes, under ``python -bb``
        return False


# -- one process


@pytest.mark.parametrize("group", KNOWN, ids=lambda group: group[0] if group else "not here")
def test_equal_keys_have_one_field_and_keep_their_spelling(group: list[str]) -> None:
    fields = set()
    for spelling in group:
        key = evaluate(spelling)
        field, original = PLAIN.canonical_field(key)
        fields.add(field)
        found = PLAIN.key(original or field)
        assert type(found) is type(key), spelling
        assert canonical(found)[0] == field, f"{spelling} has another field when it is read back"
        assert one_key(key, evaluate(group[0])), spelling
    assert len(fields) == min(1, len(group)), group


def test_fields_are_equal_exactly_when_keys_are() -> None:
    pool = [(spelling, evaluate(spelling)) for group in KNOWN for spelling in group]
    fields = {spelling: PLAIN.field(key) for spelling, key in pool}
    wrong = [
        (one, other)
        for (one, a), (other, b) in itertools.product(pool, repeat=2)
        if one_key(a, b) != (fields[one] == fields[other])
    ]
    assert not wrong
    assert b"" not in fields.values(), "the empty field is the head of the object"


@st.composite
def leaves(draw: Any) -> tuple[Any, Any]:
    """Draw two keys, often equal ones in different spellings."""
    group = draw(st.sampled_from([group for group in KEYS if group]))
    other = group if draw(st.integers(0, 9)) else draw(st.sampled_from([g for g in KEYS if g]))
    return draw(st.sampled_from(group)), draw(st.sampled_from(other))


def nested(inner: Any) -> Any:
    """Draw two keys of the same shape."""
    many = st.lists(inner, max_size=3)
    return st.one_of(
        many.map(lambda pairs: (tuple(a for a, _ in pairs), tuple(b for _, b in pairs))),
        many.map(
            lambda pairs: (
                frozenset(a for a, _ in pairs),
                frozenset(b for _, b in reversed(pairs)),
            )
        ),
        inner.map(lambda pair: (Slotted(pair[0]), Slotted(pair[1]))),
        inner.map(lambda pair: (Slotted(1, [pair[0]]), Slotted(1, [pair[1]]))),
        st.tuples(inner, inner).map(
            lambda two: ((two[0][0], two[1][0]), Point(two[0][1], two[1][1]))
        ),
    )


@given(st.recursive(leaves(), nested, max_leaves=6))
def test_nested_keys(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert (PLAIN.field(one) == PLAIN.field(other)) == one_key(one, other)


moments = st.datetimes(
    timezones=st.none() | st.timezones() | st.just(dt.timezone(dt.timedelta(hours=2))),
    allow_imaginary=True,
).flatmap(lambda moment: st.sampled_from((moment, moment.replace(fold=1))))
zones = st.sampled_from([dt.UTC, *map(key_spellings.zone, ("Europe/Berlin", "America/New_York"))])


@given(moments, moments, zones)
def test_moments(one: dt.datetime, unrelated: dt.datetime, zone: dt.tzinfo) -> None:
    near = [one, one.replace(fold=0), one.replace(tzinfo=zone), unrelated]
    with contextlib.suppress(OverflowError, ValueError):
        near += [one.astimezone(zone), one.astimezone(zone).astimezone(dt.UTC)]
    for a, b in itertools.product(near, repeat=2):
        assert (PLAIN.field(a) == PLAIN.field(b)) == one_key(a, b), (a, b)
        assert (PLAIN.field(a.timetz()) == PLAIN.field(b.timetz())) == one_key(
            a.timetz(), b.timetz()
        ), (a, b)


@given(st.builds(range, *[st.integers(-4, 4)] * 2, st.sampled_from((-2, -1, 1, 2, 3))).map(str))
def test_ranges(text: str) -> None:
    one = eval(text)
    for end in range(-5, 6):
        other = range(one.start, end, one.step)
        assert (PLAIN.field(one) == PLAIN.field(other)) == (one == other)


# -- many processes


def test_fields_are_the_same_in_every_python_and_with_every_hash_seed() -> None:
    found: dict[str, dict[bytes, list[str]]] = {spelling: {} for spelling in SPELLINGS}
    programs = interpreters()
    for (version, program), seed in itertools.product(programs.items(), (0, 1)):
        with key_spellings.start(program, seed) as script:
            for spelling, pair in zip(SPELLINGS, fields_of(script, SPELLINGS), strict=True):
                if pair is not None:
                    found[spelling].setdefault(pair[0], []).append(f"{version}, seed {seed}")
    assert {spelling: fields for spelling, fields in found.items() if len(fields) > 1} == {}
    by_group = [{field for s in group for field in found[s]} for group in GROUPS]
    assert [
        group[0] for group, fields in zip(GROUPS, by_group, strict=True) if len(fields) > 1
    ] == []
    if len(programs) == 1:
        pytest.skip(f"compared hash seeds; needs another Python than {', '.join(programs)}")


# -- what cannot be a key, and what a class says itself


class Loud(str):
    """Equals what is written in capitals, or not."""

    def __eq__(self, other: object) -> bool:
        return str(self).lower() == str(other).lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Hashed(int):
    def __hash__(self) -> int:
        return 7


class ByName(uuid.UUID):
    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


@dataclasses.dataclass(frozen=True)
class Approximate:
    value: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Approximate) and round(self.value) == round(other.value)

    def __hash__(self) -> int:
        return hash(round(self.value))


class Level(enum.IntEnum):
    LOW = 1

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "key",
    [Loud("a"), Hashed(1), ByName(int=1), Approximate(1.1), Level.LOW, (1, Loud("a"))],
    ids=lambda key: type(key).__name__,
)
def test_keys_that_override_the_equality_of_their_base_are_refused(key: Any) -> None:
    named = key[1] if isinstance(key, tuple) else key
    with pytest.raises(TypeError) as caught:
        PLAIN.field(key)
    message = str(caught.value)
    assert type(named).__name__ in message
    assert "a tuple, a NamedTuple, a frozen dataclass or a str instead" in message
    assert "__multihost_key__()" in message


class Declared(Loud):
    def __multihost_key__(self) -> str:
        return self.lower()


def test_a_class_may_say_what_its_keys_equal() -> None:
    assert PLAIN.field(Declared("A")) == PLAIN.field(Declared("a")) != PLAIN.field("a")
    found = PLAIN.key(PLAIN.canonical_field(Declared("A"))[1])
    assert type(found) is Declared
    assert str(found) == "A"


class Plain:
    """Equals itself only, and is found by its state."""

    def __init__(self) -> None:
        self.names = set(key_spellings.LETTERS)
        self.inner: Any = {"b": [1], "a": {2}}


def test_other_objects_are_found_by_their_state() -> None:
    one, other = Plain(), Plain()
    other.names = {*"jihgfedcba"}
    other.inner = {"a": {2.0}, "b": [True]}
    assert PLAIN.field(one) == PLAIN.field(other)
    other.inner["b"].append(2)
    assert PLAIN.field(one) != PLAIN.field(other)
    one.inner = one
    with pytest.raises((ValueError, RecursionError)):
        PLAIN.field(one)
    one.inner = threading.Lock()
    with pytest.raises(TypeError, match="pickle"):
        PLAIN.field(one)


@numbers.Integral.register
class Exact:
    """A number of another library, which equals the builtin ones."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, Exact) else other)

    def __hash__(self) -> int:
        return hash(self.value)


class Precise(Fraction):
    pass


def test_numbers_of_other_libraries() -> None:
    assert PLAIN.field(Exact(5)) == PLAIN.field(5)
    assert PLAIN.field(Precise(1, 3)) == PLAIN.field(Fraction(1, 3))
    assert PLAIN.key(PLAIN.canonical_field(Exact(5))[1]) == Exact(5)


def test_a_dataclass_is_known_by_its_fields_also_without_a_hash() -> None:
    @dataclasses.dataclass
    class Inner:
        a: int

    assert canonical_parts(Slotted(1, [Inner(1)])) == canonical_parts(Slotted(1, [Inner(True)]))


def canonical_parts(key: Any) -> Any:
    """Return the field of a key that cannot be pickled."""
    from multihost.wire.values.structures.rules import simpler

    return canonical(simpler(key))[0]


# -- nothing of the standard library is forgotten

UNPICKLABLE = {
    "InterpreterID", "ChannelID", "Interpreter", "Certificate", "Row", "ReferenceType",
    "WeakMethod", "Path", "ForwardRef", "FoldedCase", "_HashedSeq",
}  # fmt: skip
BY_STATE = {
    "ExtensionFileLoader", "FileLoader", "TimerHandle", "DocTest", "DocTestCase", "Example",
    "FunctionTestCase", "TestCase", "Statistic", "StatisticDiff", "Trace",
}  # fmt: skip
STANDARD = sys.stdlib_module_names - {"_pydatetime", "_pydecimal", "builtins", "test"}

FIND_CLASSES = """
import contextlib, importlib, io, pkgutil, sys, warnings
warnings.simplefilter("ignore")
SKIPPED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "turtle", "tkinter", "antigravity",
           "this", "__main__", "ensurepip", "pydoc_data", "_pyrepl"}

def import_all(names):
    for name in names:
        if SKIPPED.isdisjoint(name.split(".")):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    module = importlib.import_module(name)
            except BaseException:
                continue
            inner = pkgutil.iter_modules(getattr(module, "__path__", ()))
            import_all(f"{name}.{found.name}" for found in inner)

import_all(sorted(sys.stdlib_module_names))
pending, seen = [object], set()
while pending:
    for cls in type.__subclasses__(pending.pop()):
        if cls not in seen:
            seen.add(cls)
            pending.append(cls)
for cls in seen:
    if "__eq__" in vars(cls) and cls.__hash__ is not None:
        print(cls.__module__, cls.__qualname__)
"""


def test_every_class_of_the_standard_library_that_compares_has_a_rule() -> None:
    found = subprocess.run(
        [sys.executable, "-I", "-c", FIND_CLASSES], capture_output=True, text=True, check=True
    )
    names = [tuple(line.split()) for line in found.stdout.splitlines()]
    assert ("uuid", "UUID") in names
    missing = []
    for module, name in names:
        if module.partition(".")[0] not in STANDARD or name in UNPICKLABLE | BY_STATE:
            continue
        cls: Any = pkgutil.resolve_name(f"{module}:{name}")
        if _rule_by_owner(cls, cls) is None:
            missing.append(f"{module}.{name}")
    assert missing == []


def test_a_path_is_pickled_by_a_name_that_every_python_knows() -> None:
    _, original = PLAIN.canonical_field(pathlib.Path("a/b"))
    assert b"pathlib" in original
    assert b"_local" not in original
    assert PLAIN.key(original) == pathlib.Path("a/b")
    assert PLAIN.field(UserString("a")) == PLAIN.field("a")
