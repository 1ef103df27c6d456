"""The authkey: what can be one, where it shows, and what is derived from it.

Pickles of proxies, error messages and the server itself have a fingerprint of the key that signs.
Who sees it can try keys. A key that a person chose would be found within minutes, so one that may
be chosen is stretched: each try then takes as long as it takes here.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

from multihost.wire.caution import caution

if TYPE_CHECKING:
    AuthenticationString = bytes
else:
    from multiprocessing.process import AuthenticationString

__all__ = ["Secret", "check_authkey", "stretched"]

RANDOM = 32
"""The length of the keys that multiprocessing makes, in bytes."""
SHORT = 16
MAKE_ONE = "make one with secrets.token_bytes(32)"

_warned = False


class Secret(AuthenticationString):
    """Bytes that are not shown, and can be pickled only for a child that is being spawned."""

    def __repr__(self) -> str:
        return f"<{len(self)} secret bytes>"

    __str__ = __repr__


def check_authkey(key: Any) -> Secret:
    """Return a key that a user gave. Raises TypeError, or ValueError for an empty one; warns once
    of a short one.
    """
    try:
        data = bytes(memoryview(key))
    except TypeError:
        advice = "encode the text" if isinstance(key, str) else MAKE_ONE
        raise TypeError(f"an authkey is bytes, not {type(key).__name__}: {advice}") from None
    if not data:
        raise ValueError(f"the authkey is empty: {MAKE_ONE}, or pass None for the default")
    if len(data) < SHORT:
        _warn_of_a_short_key()
    return Secret(data)


def _warn_of_a_short_key() -> None:
    global _warned
    if _warned:
        return
    _warned = True
    caution(
        f"the authkey has less than {SHORT} bytes: it can be guessed by whoever sees a pickled "
        f"proxy, an error message or the server; {MAKE_ONE}"
    )


@functools.lru_cache(maxsize=16)
def stretched(key: bytes) -> Secret:
    """Return the key from which others derive. 45 ms and 16 MB once in a process, for a key that
    may have been chosen by a person: a text, or a short one.

    Random bytes are no text, and nobody finds 32 of them by trying.
    """
    if len(key) >= RANDOM and not _is_text(key):
        return Secret(key)
    # The parameters are part of the data format: all processes have to derive the same key.
    return Secret(hashlib.scrypt(key, salt=b"multihost authkey", n=1 << 14, r=8, p=1, dklen=32))


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
