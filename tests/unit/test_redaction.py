"""What servers repeat of what they were sent."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest

from multihost.wire.link.redaction import NOT_SHOWN, Redactor

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
