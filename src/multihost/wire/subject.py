"""What messages say of an operation: the method that a program called, and the name of the object,
instead of the script and the ident, which are ours.
"""

from __future__ import annotations

import re
import sys
from types import FrameType

from multihost.wire.identity import HOST, NAMED, UNNAMED, label, unescape
from multihost.wire.printable import printable

__all__ = ["describe"]

# A key: namespace, kind and name of its object, if it has one.
_KEY = r"(?s)\{(.*):\d\d\}:(?:([nuh]:)([^:]*)(?::.*)?|.*)"
_WITHOUT_OBJECT = ("hosted", "server", "session")  # of scripts
_PACKAGE = __name__.partition(".")[0] + "."


def describe(operation: str, subject: str) -> str:
    """Return what users know of an operation on a subject, which is an ident, a key, or text:
    ``dict.update() of 'results'``, or, outside of a method of a proxy, ``the dict 'results'``.
    """
    kind, _, verb = operation.partition("/")
    if not verb or kind in _WITHOUT_OBJECT:
        kind = "object"
    key = re.fullmatch(_KEY, subject)
    if key is not None:
        subject = key[2] + unescape(key[3], ":") if key[2] else f"the namespace {key[1]!r}"
    method = _called_method()
    if subject.startswith(NAMED):
        what = f"the {kind} {label(subject)!r}" if method is None else repr(label(subject))
    elif subject.startswith(UNNAMED):
        what = f"an unnamed {kind if method is None else 'object'}"
    else:
        what = "a host of objects" if subject.startswith(HOST) else printable(subject)
    return what if method is None else f"{method}() of {what}"


def _called_method() -> str | None:
    """Return type and name of the method of a proxy that the program has called, such as
    ``dict.update``, and not of one that this calls; None outside of such a method.

    It is read from the stack, where it costs nothing until there is something to say.
    """
    found = None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented name
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        typeid = getattr(type(frame.f_locals.get("self")), "_typeid_", None)
        if typeid:
            found = f"{typeid}.{frame.f_code.co_name}"
        frame = frame.f_back
    return found
