"""Dates, times and durations: equal ones are one key, in whatever zone and class they are written.

``datetime`` compares two moments by their instants, but for one in an hour that a change of the
clocks repeats or skips: that equals only what has the same clock time in the same zone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from multihost.wire.values.structures.structure import Pickled, Rule, Structure

__all__ = ["MOMENTS", "duration", "instant", "moment"]

_FIRST = dt.datetime(1, 1, 1)  # noqa: DTZ001 - without a zone, as the keys that are compared with it
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the same
_MICROSECOND = dt.timedelta(microseconds=1)
ATTOSECONDS = 10**12
"""How many are a microsecond. NumPy may count in them."""


def moment(attoseconds: int) -> object:
    """Return the key of a moment without a zone, so many attoseconds after the start of 1970."""
    microseconds, rest = divmod(attoseconds, ATTOSECONDS)
    if not rest:
        try:
            return _EPOCH + microseconds * _MICROSECOND
        except OverflowError:
            pass  # before the year 1 or after 9999
    return Structure("moment", (microseconds, rest))


def instant(attoseconds: int) -> Structure:
    """Return the key of an instant, so many attoseconds after the start of 1970 in UTC."""
    microseconds, rest = divmod(attoseconds, ATTOSECONDS)
    return Structure("instant", (microseconds, rest) if rest else (microseconds,))


def duration(attoseconds: int) -> object:
    """Return the key of a duration in attoseconds."""
    microseconds, rest = divmod(attoseconds, ATTOSECONDS)
    if not rest:
        try:
            return microseconds * _MICROSECOND
        except OverflowError:
            pass  # more than 10^9 days
    return Structure("duration", (microseconds, rest))


def _datetime(key: dt.datetime) -> object:
    offset = key.utcoffset()
    clock = dt.datetime(  # noqa: DTZ001 - the time that the clocks of its zone show
        key.year, key.month, key.day, key.hour, key.minute, key.second, key.microsecond
    )
    if offset is None:
        plain = type(key) is dt.datetime and key.tzinfo is None and not key.fold
        return key if plain else clock
    other_fold = clock.replace(tzinfo=key.tzinfo, fold=not key.fold).utcoffset()
    if other_fold != offset:
        return Structure("clock time", (clock, Pickled(key.tzinfo)))
    return instant((clock - _EPOCH - offset) // _MICROSECOND * ATTOSECONDS)


def _date(key: dt.date) -> object:
    return key if type(key) is dt.date else dt.date(key.year, key.month, key.day)


def _time(key: dt.time) -> object:
    offset = key.utcoffset()
    if offset is None:
        plain = type(key) is dt.time and key.tzinfo is None and not key.fold
        return key if plain else dt.time(key.hour, key.minute, key.second, key.microsecond)
    seconds = key.hour * 3600 + key.minute * 60 + key.second
    # Parts of a second in an offset do not count, and nothing wraps around at midnight.
    seconds -= offset.days * 86400 + offset.seconds
    return Structure("time", (seconds, key.microsecond))


def _timedelta(key: dt.timedelta) -> object:
    if type(key) is dt.timedelta:
        return key
    return dt.timedelta(key.days, key.seconds, key.microseconds)


def _timezone(key: dt.timezone) -> Structure:
    return Structure("timezone", (key.utcoffset(None),))


MOMENTS: Mapping[str, Rule] = {
    "datetime.datetime": _datetime,
    "datetime.date": _date,
    "datetime.time": _time,
    "datetime.timedelta": _timedelta,
    "datetime.timezone": _timezone,
}
"""By the class that defines ``__eq__``."""
