"""What servers say, without the secrets that they were sent: some repeat the arguments of a command
that they do not know.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable

from multihost.weak import WeakMembers

__all__ = ["NOT_SHOWN", "Redactor", "as_logged", "redacted"]

NOT_SHOWN = "(what the server says is not shown, for it repeats the password)"

LONG = 6  # characters: a shorter secret may be a part of a word by chance
CUT = 4  # characters of a secret that may be left where a server ended its text
_CODE = r"[A-Z][A-Z0-9_]{2,}\b"
_QUOTED = r"""(?s)[`'"](.+?)(?=[`'"])"""


def _forms(secret: str) -> set[str]:
    """Return how a secret may be spelled."""
    import json
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogateescape")
    return {
        form.casefold()
        for form in (
            secret,
            re.sub(r"[\r\n]", " ", secret),  # as servers do: an error is one line
            quote(raw),
            quote(raw, safe=""),
            quote_plus(raw),
            repr(raw)[2:-1],  # as CLIENT LIST and MONITOR do
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            raw.decode("utf-8", "replace"),
            raw.decode("latin-1"),
            raw.hex(),
        )
    }


class Redactor:
    """Returns a text of a server unchanged, or, if any secret is in it, its error code alone: what
    is left around a secret may tell what stood there.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: list[str] = [
            form for secret in secrets if secret for form in _forms(secret) if form
        ]
        bounded = (
            re.escape(form) if len(form) >= LONG else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in self._forms
        )
        self._whole = re.compile("|".join(bounded)) if self._forms else None
        self._longest = max(map(len, self._forms), default=0)
        if self._forms:
            _redactors.add(self)

    def __call__(self, text: str) -> str:
        if self._whole is None or not self._reveals(text.casefold()):
            return text
        code = re.match(_CODE, text)
        if code is None or self._reveals(code[0].casefold()):
            return NOT_SHOWN
        return f"{code[0]} {NOT_SHOWN}"

    def _reveals(self, text: str) -> bool:
        """Return True if a secret is in the text, or the beginning of one: servers cut what they
        repeat.
        """
        assert self._whole is not None
        if self._whole.search(text):
            return True
        ends = (text[-size:] for size in range(CUT, min(self._longest, len(text)) + 1))
        parts = (*re.findall(_QUOTED, text), *ends)
        return any(form.startswith(part) for part in parts for form in self._forms)


_redactors: WeakMembers[Redactor] = WeakMembers()


def redacted(text: str) -> str:
    """Return a text that may be of any server that this process uses."""
    for redact in _redactors:
        text = redact(text)
    return text


def as_logged(error: BaseException) -> BaseException:
    """Return an exception that nobody expected, for the log: Python may have quoted what a server
    said. Then it is another one, whose text is the traceback without that.
    """
    lines = "".join(traceback.format_exception(error)).splitlines()
    shown = [redacted(line) for line in lines]
    return error if shown == lines else RuntimeError("\n".join(shown))
