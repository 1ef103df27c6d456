"""The results of an examination of a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Verdict"]

Verdict = Literal["ok", "note", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    ``check``
        the name of the check.
    ``verdict``
        "ok"; "note" for a setting with a cost that may be intended; "problem" for one that breaks a
        guarantee; "unknown" if the server does not report it.
    ``found``
        what was found, for people.
    ``advice``
        what to change, empty if nothing.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
