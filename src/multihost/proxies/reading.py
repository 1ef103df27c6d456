"""Reading stored values for a caller. What cannot be read is named in the error: the method, the
object, and which of its values.
"""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from multihost.errors import BadPayload
from multihost.proxies.base import BaseProxy, handle_of, token_of
from multihost.wire.identity import label
from multihost.wire.printable import printable

__all__ = [
    "call_on",
    "explain",
    "explained",
    "load_entries",
    "load_keys",
    "load_many",
    "load_values",
    "put_back",
    "shown_field",
    "value_of_field",
    "value_of_key",
]


def call_on(proxy: BaseProxy, method: str) -> str:
    """Return what messages call a method of a shared object: ``pop() of list 'jobs'``."""
    token = token_of(proxy)
    return f"{method}() of {token.typeid} {label(token.ident)!r}"


def explain(error: Exception, proxy: BaseProxy, method: str, what: str) -> NoReturn:
    """Raise the error for something stored that could not be read, saying what that is.

    BadPayload says it in its text; an exception of the unpickler, or of a class of the user, stays
    the same one and says it in a note.
    """
    where = f"{call_on(proxy, method)}: {what}"
    if isinstance(error, BadPayload):
        raise BadPayload(f"{where}: {printable(error)}") from None
    error.add_note(f"raised while a stored value was read; {where}")
    raise error


@contextlib.contextmanager
def explained(proxy: BaseProxy, method: str, what: Callable[[], str]) -> Iterator[None]:
    """Explain an error of the block."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
        explain(error, proxy, method, what())


def put_back(
    error: BaseException,
    proxy: BaseProxy,
    method: str,
    what: Callable[[], str],
    restore: Callable[[], object],
) -> NoReturn:
    """Put back what was removed to be returned and could not be read; raise the error."""
    fate = "which was put back"
    try:
        restore()
    except Exception as problem:  # noqa: BLE001 - damaged bytes are not worth another error
        fate = f"which is lost, for it could not be put back ({problem})"
    if isinstance(error, Exception):
        explain(error, proxy, method, f"{what()}, {fate}")
    raise error


def load_many(
    proxy: BaseProxy,
    stored: Sequence[bytes],
    method: str,
    what: Callable[[int], str],
    places: Sequence[bytes] = (),
) -> list[Any]:
    """Return the values, which stand in the fields ``places``, or are elements. ``what`` says what
    one of them is, by its index.
    """
    codec = handle_of(proxy).codec
    try:
        return codec.load_many(stored, places)
    except Exception:
        for index, value in enumerate(stored):
            with explained(proxy, method, lambda index=index: what(index)):  # type: ignore[misc]
                codec.load(value, places[index] if places else b"")
        raise


def load_keys(
    proxy: BaseProxy, fields: Sequence[bytes], originals: Sequence[bytes], method: str
) -> list[Any]:
    """Return the keys of a dict, or the members of a set."""
    codec = handle_of(proxy).codec
    try:
        return codec.keys(fields, originals)
    except Exception:
        for field, original in zip(fields, originals, strict=True):
            with explained(proxy, method, lambda field=original: f"the key {shown_field(field)}"):  # type: ignore[misc]
                codec.key(field, original)
        raise


def load_values(
    proxy: BaseProxy,
    fields: Sequence[bytes],
    originals: Sequence[bytes],
    stored: Sequence[bytes],
    method: str,
) -> list[Any]:
    """Return the values of a dict, whose keys are needed to say which one cannot be read."""

    def what(index: int) -> str:
        return value_of_field(proxy, fields[index], originals[index])

    return load_many(proxy, stored, method, what, fields)


def load_entries(
    proxy: BaseProxy,
    fields: Sequence[bytes],
    originals: Sequence[bytes],
    stored: Sequence[bytes],
    method: str,
) -> dict[Any, Any]:
    """Return the entries of a dict."""
    try:
        return handle_of(proxy).codec.load_dict(fields, originals, stored)
    except Exception:
        load_keys(proxy, fields, originals, method)
        load_values(proxy, fields, originals, stored, method)
        raise


def value_of_key(key: object) -> str:
    """Return what messages call the value of a key."""
    return f"the value of key {reprlib.repr(key)}"


def shown_field(field: bytes) -> str:
    """Return the bytes of a key or a member that cannot be read, the first ones of many."""
    return repr(field) if len(field) <= 60 else f"{field[:60]!r}... ({len(field)} bytes)"


def value_of_field(proxy: BaseProxy, field: bytes, original: bytes) -> str:
    """Return the same for a stored key, which may be unreadable, too."""
    try:
        return value_of_key(handle_of(proxy).codec.key(field, original))
    except Exception:  # noqa: BLE001 - as above; the field says it, too
        return f"the entry of the key {shown_field(original or field)}"
