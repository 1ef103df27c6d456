"""Idents of objects and hosts, ids of waiters and holds."""

from __future__ import annotations

import re

import pytest

from multihost.wire import identity

SESSION = b"abc-DEF_123"


def test_a_named_object_has_its_name_in_its_ident() -> None:
    ident = identity.named("stock:a")
    assert ident == "n:stock:a"
    assert identity.name_of(ident) == identity.label(ident) == "stock:a"
    assert not identity.is_unnamed(ident)


def test_an_unnamed_object_is_called_by_its_whole_ident() -> None:
    ident = identity.new_unnamed()
    assert re.fullmatch(r"u:[\w-]{22}", ident)
    assert identity.new_unnamed() != ident
    assert identity.is_unnamed(ident)
    assert identity.name_of(ident) is None
    assert identity.label(ident) == ident


def test_a_host_has_no_name() -> None:
    ident = identity.new_host()
    assert re.fullmatch(r"h:[\w-]{22}", ident)
    assert identity.name_of(ident) is None
    assert not identity.is_unnamed(ident)


@pytest.mark.parametrize(
    "thread", ["MainThread", "a.b", "100%", "%2E", "%252E", "..", "", "n 1", "ü\ud800"]
)
def test_a_waiter_and_its_hold_are_read_as_they_were_written(thread: str) -> None:
    waiter = identity.waiter_id(SESSION, 7, thread)
    assert identity.unpack(waiter) == (SESSION.decode(), 7, thread, None)
    hold = waiter + b".1700000000250000"
    assert identity.unpack(hold) == (SESSION.decode(), 7, thread, 1_700_000_000.25)
    assert identity.session_of(waiter) == identity.session_of(hold) == SESSION


def test_a_session_alone_is_a_participant() -> None:
    assert identity.unpack(SESSION) == (SESSION.decode(), 0, "", None)


@pytest.mark.parametrize("delimiter", [".", ":", " "])
@pytest.mark.parametrize("text", ["", "plain", ".", "a:b", "a b", "%", "%25", "%3A", "%2e:%2E. "])
def test_escaped_text_has_no_delimiter_and_comes_back(text: str, delimiter: str) -> None:
    escaped = identity.escape(text, delimiter)
    assert delimiter not in escaped
    assert identity.unescape(escaped, delimiter) == text
