"""Keys of NumPy and pandas are one with those of Python that they equal."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihost.wire.values.codec import Codec, JsonSerializer

PLAIN = Codec()
UTC = dt.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
TENTH = np.longdouble("0.1")  # more exact than a float, on most machines
HALF_PAST = pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin")


def row() -> Any:
    rows = np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
    rows.flags.writeable = False  # others have no hash
    return rows[0]


GROUPS: list[tuple[Any, ...]] = [
    (1, True, 1.0, np.True_, np.bool_(1), np.complex64(1), np.clongdouble(1),
     *(cls(1) for cls in (*INTEGERS, *FLOATS))),
    (0, False, np.False_, np.float64(-0.0), np.int16(0)),
    (2**64 - 1, np.uint64(2**64 - 1), Decimal(2**64 - 1)),
    (0.5, Fraction(1, 2), *(cls(0.5) for cls in FLOATS), np.complex128(0.5)),
    (0.1, np.float64(0.1), np.complex128(0.1), Fraction(0.1)),
    (float(np.float32(0.1)), np.float32(0.1), np.float64(np.float32(0.1)), np.complex64(0.1)),
    (float("inf"), np.float32("inf"), np.longdouble("inf")),
    (1 + 2j, np.complex64(1 + 2j), np.complex128(1 + 2j), np.clongdouble(1 + 2j)),
    ("a", np.str_("a")),
    ("a\0", np.str_("a\0")),
    (b"a", np.bytes_(b"a")),
    (("a", 1), (np.str_("a"), np.int32(1)), tuple(np.array(["a", 1], dtype=object))),
    (frozenset([1, 2]), frozenset(np.arange(1, 3))),
    # moments without a zone
    (dt.datetime(2024, 7, 1), np.datetime64("2024-07-01T00", "s"), np.datetime64("2024-07-01", "D"),
     np.datetime64("2024-07", "M"), np.datetime64("2024-07-01", "ns"), pd.Timestamp("2024-07-01"),
     pd.Timestamp("2024-07-01").as_unit("s")),
    (dt.datetime(1969, 1, 1), np.datetime64("1969", "Y"), np.datetime64("1969-01", "M")),
    (np.datetime64("12024-07-01", "D"), np.datetime64("12024-07", "M"),
     np.datetime64("12024-07-01T00", "s")),
    (np.datetime64("-0044-03-15", "D"), np.datetime64("-0044-03-15T00", "h")),
    (np.datetime64("1970-02-01T00:00:00.000000001", "ns"),
     np.datetime64("1970-02-01T00:00:00.000000001000", "ps"),
     pd.Timestamp("1970-02-01T00:00:00.000000001")),
    # instants
    (dt.datetime(2024, 7, 1, 12, tzinfo=UTC), pd.Timestamp("2024-07-01 12:00", tz="UTC"),
     pd.Timestamp("2024-07-01 14:00", tz="Europe/Berlin"),
     dt.datetime(2024, 7, 1, 14, tzinfo=BERLIN)),
    (pd.Timestamp("2024-07-01 12:00:00.000000001", tz="UTC"),
     pd.Timestamp("2024-07-01 14:00:00.000000001", tz="Europe/Berlin")),
    (HALF_PAST, pd.Timestamp("2024-10-27 00:30", tz="UTC"),
     dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
    (HALF_PAST + pd.Timedelta(1, "h"), dt.datetime(2024, 10, 27, 1, 30, tzinfo=UTC)),
    # durations
    (dt.timedelta(seconds=1), np.timedelta64(1, "s"), np.timedelta64(1000, "ms"),
     pd.Timedelta(1, "s"), pd.Timedelta(1, "s").as_unit("s")),
    (dt.timedelta(7), np.timedelta64(1, "W"), np.timedelta64(7, "D"), np.timedelta64(168, "h")),
    (np.timedelta64(1, "ns"), np.timedelta64(1000, "ps"), pd.Timedelta(1, "ns")),
    (12, np.timedelta64(12, "M"), np.timedelta64(1, "Y")),
    # of one library only
    (TENTH, np.clongdouble(TENTH)) if TENTH != 0.1 else (),
    (row(), row()),
    (np.dtype("i8"), np.dtype("int64")),
    (np.int64,),
    (np.add,),
    (pd.NaT,),
    (pd.NA,),
    (pd.Interval(1, 2), pd.Interval(1.0, np.int64(2))),
    (pd.Interval(1, 2, closed="left"),),
    (pd.Period("2024", "Y"), pd.Period("2024-05", "Y")),
    (pd.Period("2024", "M"),),
    (pd.offsets.Day(2), pd.offsets.Day(2)),
]  # fmt: skip


@pytest.mark.parametrize(
    "group", GROUPS, ids=lambda group: type(group[0]).__name__ if group else "none"
)
def test_equal_keys_have_one_field_and_keep_their_class(group: tuple[Any, ...]) -> None:
    fields = set()
    for key in group:
        field, original = PLAIN.canonical_field(key)
        fields.add(field)
        found = PLAIN.key(original or field)
        assert type(found) is type(key)
        assert repr(found) == repr(key) or isinstance(key, (float, frozenset))
    assert len(fields) == min(1, len(group))


def test_what_a_dict_takes_for_one_key_is_one_key() -> None:
    pool = [(number, key) for number, group in enumerate(GROUPS) for key in group]
    for (_, one), (_, other) in itertools.combinations(pool, 2):
        if hash(one) != hash(other):
            continue
        try:
            same = one is other or bool(one == other)
        except (TypeError, ValueError, OverflowError, BytesWarning):  # which a dict raises, too
            continue
        assert not same or PLAIN.field(one) == PLAIN.field(other), (one, other)
    fields = {number: PLAIN.field(group[0]) for number, group in enumerate(GROUPS) if group}
    assert len(set(fields.values())) == len(fields)


@pytest.mark.parametrize(
    "nothing", [np.datetime64("NaT"), np.timedelta64("NaT"), np.float32("nan")]
)
def test_what_equals_nothing(nothing: Any) -> None:
    assert PLAIN.field(nothing) != PLAIN.field(nothing)


@given(st.integers(-(2**40), 2**40), st.sampled_from(("Y", "M", "W", "D", "h", "m", "s")))
def test_units_of_datetime64(value: int, unit: str) -> None:
    value >>= {"Y": 28, "M": 24, "W": 22, "D": 19}.get(unit, 0)
    key = np.datetime64(value, unit)
    if abs(int(key.astype("M8[s]").view("i8"))) < 2**62:
        assert PLAIN.field(key) == PLAIN.field(key.astype("M8[s]"))
    assert PLAIN.field(key) != PLAIN.field(np.datetime64(value + 1, unit))


@pytest.mark.parametrize("cls", [*INTEGERS, *FLOATS, np.bool_, np.str_, np.bytes_, np.complex64])
def test_every_element_of_an_array_finds_the_plain_key(cls: Any) -> None:
    array = np.array([1, 0, 3]).astype(cls)
    assert [PLAIN.field(key) for key in array] == [PLAIN.field(key) for key in array.tolist()]


def test_a_json_manager_takes_them_for_what_they_equal() -> None:
    json = Codec(JsonSerializer())
    for key, plain in ((np.int64(1), 1), (np.float32(0.5), 0.5), (np.str_("a"), "a")):
        field, original = json.canonical_field(key)
        assert type(json.key(original or field)) is type(plain)
        assert field == json.field(plain)


def test_numpy_and_pandas_are_not_imported() -> None:
    program = (
        "import sys, uuid\nfrom multihost.wire.values.canonical import canonical\n"
        "canonical(uuid.uuid4())\nprint({'numpy', 'pandas'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"set()"
