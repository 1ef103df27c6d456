"""What a session stores of itself for those of its host; what is not that is left out."""

from __future__ import annotations

import pytest

from multihost.wire.session.ring import LONGEST, Entry

ENTRY = Entry(
    12, 345, b"a" * 40, frozenset({b"7", b"8"}), frozenset({b"other", b"third"}), ((3, 1), (17, 22))
)


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ENTRY._replace(run=b"", connections=frozenset()),
        ENTRY._replace(watches=frozenset()),
        ENTRY._replace(records=()),
        ENTRY._replace(records=tuple((number, 10**9) for number in range(64))),
    ],
)
def test_what_is_stored_is_read(entry: Entry) -> None:
    stored = entry.packed()
    assert Entry.of(stored) == entry
    assert len(stored) <= LONGEST


@pytest.mark.parametrize(
    "stored",
    [
        None,
        5,
        b"",
        ENTRY.packed() + b"|",
        ENTRY.packed()[:-1] + b"x",
        ENTRY._replace(pid=2**31).packed(),
        ENTRY._replace(watches=frozenset({b"x:y"})).packed(),
        ENTRY._replace(records=((100, 1),)).packed(),
        b"0" * LONGEST + ENTRY.packed(),
    ],
)
def test_what_no_session_stores_is_none(stored: object) -> None:
    assert Entry.of(stored) is None
