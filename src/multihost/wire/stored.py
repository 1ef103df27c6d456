"""What is stored, read as what another program may have left there."""

from __future__ import annotations

import logging
import re
import threading

from multihost.wire.printable import printable
from multihost.wire.redaction import redacted

__all__ = ["MOST_LISTS", "number", "report_damage"]

logger: logging.Logger = logging.getLogger(__name__)

MOST_LISTS = 10_000
"""In-flight lists of one consumer that are counted: it has one for each thread, and some more."""

_NUMBER = rb"-?[0-9]{1,18}"  # scripts count up to 2**53
_REPORTED = 1000  # reports that are remembered, and not repeated

_reported: dict[str, None] = {}
_lock = threading.Lock()


def number(stored: object) -> int | None:
    """Return a number as scripts store it; None for anything else."""
    return int(stored) if isinstance(stored, bytes) and re.fullmatch(_NUMBER, stored) else None


def report_damage(where: str, what: bytes | str) -> None:
    """Log, once in a process, that something was left out that cannot be read."""
    text = f"{printable(where)}: left out what cannot be read: {redacted(printable(what, 200))!r}"
    with _lock:
        if text in _reported:
            return
        while len(_reported) >= _REPORTED:
            del _reported[next(iter(_reported))]
        _reported[text] = None
    logger.warning("%s", text)
