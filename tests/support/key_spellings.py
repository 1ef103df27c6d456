"""Equal keys in different spellings, and a program that says what fields they have.

``python -m tests.support.key_spellings`` reads one spelling a line and prints field and original
key in hexadecimal, or ``null`` for one that this Python does not know or cannot hash. It needs
nothing that is installed, so that any version of Python can run it.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import importlib.metadata
import inspect
import ipaddress
import json
import operator
import os
import pathlib
import plistlib
import re
import statistics
import sys
import types
import typing
import uuid
import zoneinfo
from collections.abc import Set as AbstractSet
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from xml.etree import ElementTree

from tests.support.procs import ROOT, Script

__all__ = ["GROUPS", "evaluate", "fields_of", "start"]


class Colour(enum.IntEnum):
    RED = 1


class Mood(enum.Enum):
    CALM = 1
    QUIET = 1  # noqa: PIE796 - an alias
    WILD = 2


class Way(enum.Flag):
    UP = 1
    LEFT = 2


class Word(enum.StrEnum):
    A = "a"


class Point(typing.NamedTuple):
    x: int
    y: int


class Name(str):
    __slots__ = ()


class Moment(dt.datetime):
    pass


class Day(dt.date):
    pass


class Span(dt.timedelta):
    pass


class Ident(uuid.UUID):
    pass


@dataclasses.dataclass(frozen=True)
class Job:
    name: str
    tags: frozenset[str] = frozenset()
    urgent: bool = False
    note: str = dataclasses.field(default="", compare=False)

    @functools.cached_property
    def title(self) -> str:
        return self.name.title()


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    key: object
    steps: object = dataclasses.field(default=None, hash=False)


@dataclasses.dataclass(frozen=True)
class Urgent(Job):
    level: int = 0


@dataclasses.dataclass(order=True, unsafe_hash=True)
class Loose:
    a: object
    b: object = None


class Version:
    """Compares as hand-written classes do, by its attributes."""

    def __init__(self, *parts: int) -> None:
        self.parts = parts
        self.letters = set(LETTERS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    @functools.cached_property
    def text(self) -> str:
        return ".".join(map(str, self.parts))


class Folded:
    """Says itself what it equals."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folded) and self.text.lower() == other.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())

    def __multihost_key__(self) -> str:
        return self.text.lower()


class FoldedMore(Folded):
    pass


class Frozen(dict):
    """A dict that can be a key, as many programs have one."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


class Members(AbstractSet):
    def __init__(self, members: object) -> None:
        self.members = list(members)  # type: ignore[call-overload]

    def __contains__(self, member: object) -> bool:
        return member in self.members

    def __iter__(self) -> typing.Any:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    __hash__ = AbstractSet._hash


def read(key: typing.Any, name: str) -> typing.Any:
    """Return the key after an attribute was read, which may have been cached in it."""
    getattr(key, name)
    return key


def zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


UTC = dt.UTC
EAST = dt.timezone(dt.timedelta(hours=2), "EAST")
LETTERS = "abcdefghij"

GROUPS: tuple[tuple[str, ...], ...] = (
    # numbers
    ("1", "1.0", "True", "Decimal(1)", "Fraction(1)", "1 + 0j", "Colour.RED", "Decimal('1.00')"),
    ("0", "-0.0", "False", "Decimal('-0')", "0j", "complex(-0.0, -0.0)"),
    ("2**70", "float(2**70)", "Decimal(2**70)", "Fraction(2**70)"),
    ("0.5", "Decimal('0.50')", "Fraction(2, 4)", "0.5 + 0j"),
    ("Decimal('0.1')", "Fraction(1, 10)", "Decimal('0.10')"),
    ("0.1", "Fraction(0.1)", "Decimal(0.1)"),
    ("float('inf')", "Decimal('Infinity')", "complex('inf')"),
    ("1 + 2j", "complex(Decimal(1), 2)"),
    # text and bytes
    ("'a'", "Name('a')", "Word.A", "collections.UserString('a')", "ElementTree.QName('a')"),
    ("b'a'",),
    ("None",),
    ("()",),
    ("frozenset()",),
    # containers
    ("(1, 2)", "(1.0, True + 1)", "Point(1, 2)", "Point(Decimal(1), 2.0)"),
    ("(uuid.UUID(int=1), 1)", "(uuid.UUID('0' * 31 + '1'), 1.0)"),
    (
        "frozenset(LETTERS)",
        "frozenset(reversed(LETTERS))",
        "frozenset(map(Name, LETTERS))",
        "Members(LETTERS)",
        "Members(reversed(LETTERS))",
    ),
    ("frozenset([frozenset(LETTERS)])", "frozenset([frozenset(LETTERS[::-1])])"),
    ("Frozen(a=1, b=[])", "Frozen(b=[], a=1.0)"),
    # what there is one of
    ("int",),
    ("type(None)",),
    ("...",),
    ("len",),
    ("read",),
    ("operator.add",),
    ("dict.fromkeys",),
    ("Mood",),
    ("Mood.CALM", "Mood.QUIET", "Mood(1)"),
    ("Mood.WILD",),
    ("Way.UP | Way.LEFT", "Way.LEFT | Way.UP", "Way(3)"),
    ("Way.UP",),
    # of the standard library
    ("uuid.UUID(int=1)", "uuid.UUID('0' * 31 + '1')",
     "uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe)", "Ident(int=1)"),
    ("range(0, 10, 3)", "range(0, 12, 3)"),
    ("range(0)", "range(5, 5)", "range(3, 1)"),
    ("range(1)", "range(0, 3, 5)", "range(0, -1, -1)"),
    ("slice(1, 2)", "slice(1.0, 2, None)"),
    ("int | str", "str | int", "typing.Union[int, str]", "typing.Union[str, int]"),
    ("int | None", "typing.Optional[int]", "None | int"),
    ("list[int]",),
    ("typing.List[int]",),
    ("typing.Literal[1, 2]", "typing.Literal[2, 1]"),
    ("typing.Literal[True, 2]",),
    ("dict[str, int | str]", "dict[str, str | int]"),
    ("typing.Annotated[int, 'a']", "typing.Annotated[int, Name('a')]"),
    ("re.compile('a', re.I)", "re.compile('a', re.I | re.U)"),
    ("re.compile(b'a')",),
    ("pathlib.PurePosixPath('a/b')", "pathlib.PurePosixPath('a', 'b')",
     "pathlib.PurePosixPath('a') / '.' / 'b'", "pathlib.PosixPath('a//b')",
     "pathlib.Path('a') / 'b'",
     "read(pathlib.PurePosixPath('a/b'), 'parts')", "read(pathlib.Path('a/b'), 'suffix')",
     "importlib.metadata.PackagePath('a/b')"),
    ("pathlib.PureWindowsPath('A/B')", "pathlib.PureWindowsPath('a', 'b')",
     r"pathlib.PureWindowsPath('a\\B')"),
    ("pathlib.PurePosixPath('A/B')",),
    ("ipaddress.ip_address('::1')", "ipaddress.IPv6Address(1)"),
    ("ipaddress.ip_address('0.0.0.1')", "ipaddress.ip_address(1)"),
    ("ipaddress.ip_network('10.0.0.0/8')",
     "read(ipaddress.ip_network('10.0.0.0/255.0.0.0'), 'broadcast_address')",
     "read(ipaddress.ip_network('10.0.0.0/8'), 'is_private')"),
    ("ipaddress.ip_interface('10.0.0.1/8')",
     "read(ipaddress.ip_interface('10.0.0.1/255.0.0.0'), 'network')"),
    ("ipaddress.IPv6Address('fe80::1%eth0')",),
    ("ipaddress.IPv6Interface('fe80::1/64')",),
    ("plistlib.UID(1)",),
    ("statistics.NormalDist(1, 2)", "statistics.NormalDist(1.0, 2.0)"),
    ("inspect.signature(zone)", "inspect.signature(zone, eval_str=False)"),
    ("inspect.Parameter('a', inspect.Parameter.KEYWORD_ONLY)",
     "inspect.Parameter('a', inspect._ParameterKind(3))"),
    # moments
    ("dt.datetime(2024, 7, 1, 12)", "dt.datetime(2024, 7, 1, 12, fold=1)",
     "Moment(2024, 7, 1, 12)"),
    (
        "dt.datetime(2024, 7, 1, 12, tzinfo=UTC)",
        "dt.datetime(2024, 7, 1, 14, tzinfo=EAST)",
        "dt.datetime(2024, 7, 1, 14, tzinfo=zone('Europe/Berlin'))",
        "dt.datetime(2024, 7, 1, 12, tzinfo=zone('UTC'))",
        "dt.datetime(2024, 7, 1, 12, fold=1, tzinfo=UTC)",
        "Moment(2024, 7, 1, 14, tzinfo=EAST)",
        "dt.datetime.fromisoformat('2024-07-01T12:00:00Z')",
    ),
    # An hour that comes twice equals no time of another zone.
    (
        "dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone('Europe/Berlin'))",
        "dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zone('Europe/Berlin'))",
    ),
    ("dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone('Europe/Paris'))",),
    ("dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC)",),
    ("dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC)",
     "dt.datetime(2024, 10, 27, 3, 30, tzinfo=EAST)"),
    ("dt.datetime(2024, 3, 31, 2, 30, tzinfo=zone('Europe/Berlin'))",),
    ("dt.datetime(1, 1, 1, tzinfo=EAST)",),
    ("dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(-dt.timedelta(hours=2)))",),
    ("dt.date(2024, 7, 1)", "Day(2024, 7, 1)"),
    ("dt.datetime(2024, 7, 1)",),
    ("dt.time(12)", "dt.time(12, fold=1)", "dt.time(12, tzinfo=zone('Europe/Berlin'))"),
    ("dt.time(12, tzinfo=UTC)", "dt.time(14, tzinfo=EAST)"),
    ("dt.time(1, tzinfo=EAST)",),
    ("dt.time(23, tzinfo=UTC)",),
    ("dt.timedelta(hours=2)", "dt.timedelta(seconds=7200)", "Span(hours=2)"),
    ("UTC", "dt.timezone(dt.timedelta(0), 'Z')", "dt.timezone.utc"),
    ("EAST", "dt.timezone(dt.timedelta(hours=2))"),
    ("zone('UTC')",),
    ("zone('Europe/Berlin')",),
    # classes of users
    (
        "Job('a', frozenset(LETTERS))",
        "Job('a', frozenset(reversed(LETTERS)), False, 'left out')",
        "Job(Name('a'), frozenset(LETTERS), 0)",
        "read(Job('a', frozenset(LETTERS)), 'title')",
        "dataclasses.replace(read(Job('b', frozenset(LETTERS)), 'title'), name='a')",
    ),
    ("Urgent('a', frozenset(LETTERS))", "Urgent('a', frozenset(LETTERS), level=False)"),
    ("Slotted(dt.datetime(2024, 7, 1, 12, tzinfo=UTC))",
     "Slotted(dt.datetime(2024, 7, 1, 14, tzinfo=EAST))"),
    ("Slotted(1, [1, {'a': {1}, 'b': bytearray(b'x')}])",
     "Slotted(1.0, [True, {'b': b'x', 'a': frozenset([1.0])}])"),
    ("Slotted(1, [1, 2])",),
    ("Slotted(1, (1, 2))", "Slotted(1, Point(1, 2))"),
    ("Slotted(1, (1, [2]))", "Slotted(1, Point(1.0, [2]))"),
    ("Loose(1)", "Loose(True, None)"),
    ("Version(1, 0)", "read(Version(1, 0), 'text')", "Version(True, 0)"),
    ("Version(1, 1)",),
    ("Folded('a')", "Folded('A')", "FoldedMore('A')"),
)  # fmt: skip
"""Expressions; those of one group are equal, those of two groups are not."""


def evaluate(spelling: str) -> object:
    """Return the key. Raises if this Python does not know it."""
    return eval(spelling, globals())


def hashable(spelling: str) -> bool:
    """Return whether this Python has the key, and it is one."""
    with suppress(TypeError, AttributeError):  # no hash, or not known to this Python
        hash(evaluate(spelling))
        return True
    return False


def start(program: str = sys.executable, seed: int = 0) -> Script:
    """Start the program with an interpreter and a hash seed."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "src")))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(seed)}
    return Script([program, "-W", "ignore", "-m", __name__], environment)


def fields_of(script: Script, spellings: list[str]) -> list[tuple[bytes, bytes] | None]:
    """Return field and original key of each spelling, None for one that the Python there lacks."""
    script.tell(json.dumps(spellings))
    return [found and tuple(map(bytes.fromhex, found)) for found in json.loads(script.line())]


def main() -> None:
    # The package itself imports a client library, which other Pythons need not have.
    package = types.ModuleType("multihost")
    package.__path__ = [str(ROOT / "src" / "multihost")]
    sys.modules["multihost"] = package
    from multihost.wire.values.canonical import canonical

    for line in sys.stdin:
        found = [
            [part.hex() for part in canonical(evaluate(spelling))] if hashable(spelling) else None
            for spelling in json.loads(line)
        ]
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    # Classes are known by the name of this module, as in the test.
    from tests.support import key_spellings

    key_spellings.main()
