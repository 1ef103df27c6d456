"""Text of others: of a server, or a name that somebody chose. Tables, errors and logs quote it by
this one function.
"""

from __future__ import annotations

__all__ = ["printable"]

LONGEST = 1000  # characters of it in an error or a log


def printable(text: object, longest: int = LONGEST) -> str:
    """Return a text as one line without control characters, which are written as in Python source:
    no escapes of terminals, line feeds, or marks that change the direction of writing. One that is
    longer is cut.
    """
    found = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    if len(found) > longest:
        found = found[:longest] + "..."
    if found.isprintable():
        return found
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in found
    )
