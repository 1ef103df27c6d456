"""What servers repeat of what they were sent."""

from __future__ import annotations

import logging
from urllib.parse import quote, quote_plus

import pytest

from multihost.wire.redaction import NOT_SHOWN, Redactor, as_logged, redacted
from multihost.wire.stored import report_damage

PASSWORD = "h\u00fcsh/h+ush 50%\r\n'x"
redact = Redactor([PASSWORD, "", "xyz"])

FORMS = [
    PASSWORD,
    PASSWORD.replace("\r", " ").replace("\n", " "),
    quote(PASSWORD),
    quote(PASSWORD, safe="").lower(),
    quote_plus(PASSWORD),
    repr(PASSWORD),
    repr(PASSWORD.encode()),
    PASSWORD.encode().decode("latin-1"),
    PASSWORD.encode().hex(),
    PASSWORD.upper(),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "said",
    [
        "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `{}`, ",
        "ERR {}",
        "ERR Syntax error in HELLO option '{}'",
        "ERR {} and more",
    ],
)
def test_a_password_is_found_in_any_spelling(said: str, form: str) -> None:
    assert redact(said.format(form)) == f"ERR {NOT_SHOWN}"


@pytest.mark.parametrize("length", range(1, len(PASSWORD)))
def test_one_that_was_cut_is_found_in_quotes(length: int) -> None:
    for mark in "`'\"":
        assert redact(f"ERR args: {mark}{PASSWORD[:length]}{mark}, ") == f"ERR {NOT_SHOWN}"
    if length >= 4:
        assert redact(f"ERR args: {PASSWORD[:length]}") == f"ERR {NOT_SHOWN}"


def test_the_code_is_hidden_if_it_is_the_password() -> None:
    assert Redactor(["WRONGPASS"])("WRONGPASS is wrong") == NOT_SHOWN
    assert redact("no code, xyz") == NOT_SHOWN


def test_what_has_no_secret_is_as_it_was() -> None:
    for said in (
        "ERR wrong type of 'argument'",
        "NOPERM User bob has no permissions to run the 'get' command",
        "ERR a wxyz word",
        "",
    ):
        assert redact(said) == said
        assert Redactor()(said) == said


def unexpected(said: bytes) -> ValueError:
    try:
        int(said)
    except ValueError as error:
        return error
    raise AssertionError(said)


def test_what_python_quotes_of_a_server_is_not_logged() -> None:
    error = unexpected(f"42 {PASSWORD}".encode())
    logged = as_logged(error)
    assert NOT_SHOWN in str(logged)
    assert "in unexpected" in str(logged), "and where it was"
    assert PASSWORD[:4] not in str(logged)
    harmless = unexpected(b"not a number")
    assert as_logged(harmless) is harmless


def test_what_an_exception_came_from_is_not_logged_either() -> None:
    error = RuntimeError("not expected")
    error.__cause__ = unexpected(PASSWORD.encode())
    assert PASSWORD[:4] not in str(as_logged(error))


def test_what_was_left_out_as_damaged_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report_damage("a key", f"damaged by {PASSWORD}".encode())
    assert NOT_SHOWN in caplog.text
    assert PASSWORD[:4] not in caplog.text


def test_any_server_of_the_process_may_have_said_it() -> None:
    other = Redactor(["another secret"])
    assert redacted(f"{PASSWORD} is known, and another secret") == NOT_SHOWN
    del other
    assert redacted("another secret") == "another secret"
