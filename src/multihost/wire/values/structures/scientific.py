"""Keys of NumPy and pandas. Neither is imported: where there is such a key, it has been."""

from __future__ import annotations

import math
import sys
from typing import Any

from multihost.wire.values.structures.builtins import BASES, number
from multihost.wire.values.structures.moments import duration, instant, moment
from multihost.wire.values.structures.structure import Rule, Structure

__all__ = ["numpy_rule", "pandas_rule"]

_UNITS = {
    "W": 7 * 86400 * 10**18,
    "D": 86400 * 10**18,
    "h": 3600 * 10**18,
    "m": 60 * 10**18,
    "s": 10**18,
    "ms": 10**15,
    "us": 10**12,
    "ns": 10**9,
    "ps": 10**6,
    "fs": 10**3,
    "as": 1,
}
_MONTHS = {"Y": 12, "M": 1}
_NAT = -(1 << 63)


def numpy_rule(cls: type) -> Rule | None:
    """Return the rule for a class of NumPy, None if it has none."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    if issubclass(cls, numpy.dtype):
        return _unchanged
    for base in (str, bytes):
        if issubclass(cls, base):
            return BASES[base]
    for scalar, rule in (
        (numpy.datetime64, _datetime64),
        (numpy.timedelta64, _timedelta64),
        (numpy.void, _void),
        (numpy.generic, _number),
    ):
        if issubclass(cls, scalar):
            return rule
    return None


def _unchanged(key: object) -> object:
    return key


def _number(key: Any) -> object:
    item = key.item()
    if type(item) is not type(key):
        return item
    # A longdouble: no builtin number is as exact.
    if (simple := number(key)) is not None:
        return simple
    if math.isnan(key.real) or math.isnan(key.imag):
        return math.nan
    return Structure("longdouble", tuple(map(_exact, (key.real, key.imag))))


def _exact(part: Any) -> object:
    simple = number(part)
    return Structure("ratio", part.as_integer_ratio()) if simple is None else simple


def _void(key: Any) -> Structure:
    return Structure("numpy.void", (key.dtype.names, key.item() if key.dtype.names else bytes(key)))


def _counted(key: Any) -> tuple[int, str]:
    """Return the value of a datetime64 or timedelta64, and its unit."""
    unit, size = sys.modules["numpy"].datetime_data(key.dtype)
    value = int(key.view("i8"))
    return (value if value == _NAT else value * size), unit


def _datetime64(key: Any) -> object:
    value, unit = _counted(key)
    if value == _NAT:
        return math.nan
    if unit in _MONTHS:
        value, unit = _days_of_month(value * _MONTHS[unit]), "D"
    return moment(value * _UNITS[unit])


def _timedelta64(key: Any) -> object:
    value, unit = _counted(key)
    if value == _NAT:
        return math.nan
    if unit in _MONTHS:
        return value * _MONTHS[unit]  # equals that number of months, which has its hash
    return duration(value * _UNITS[unit]) if unit in _UNITS else value


def _days_of_month(months: int) -> int:
    """Return the number of days from the start of 1970 to that of another month."""
    # In years that begin in March, so that the leap day is the last.
    year, month = divmod(months + 1970 * 12 - 2, 12)
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 - 719468


def pandas_rule(cls: type) -> Rule | None:
    """Return the rule for a class of pandas, None if it has none."""
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return None
    if cls in (type(pandas.NaT), type(pandas.NA)):
        return _unchanged  # there is one of each
    for scalar, rule in (
        (pandas.Timestamp, _timestamp),
        (pandas.Timedelta, lambda key: _timedelta64(key.asm8)),
        (pandas.Period, lambda key: Structure("period", (key.freqstr, key.ordinal))),
        (
            pandas.Interval,
            lambda key: Structure("interval", (key.left, key.right, key.closed)),
        ),
    ):
        if issubclass(cls, scalar):
            return rule
    return None


def _timestamp(key: Any) -> object:
    value, unit = _counted(key.asm8)  # in UTC, if it has a zone
    attoseconds = value * _UNITS[unit]
    return moment(attoseconds) if key.tzinfo is None else instant(attoseconds)
