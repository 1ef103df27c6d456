"""What a look at damaged data may take at most."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["MEGABYTES", "soon"]

SECONDS = 40.0  # for a listing, of which most take 20 ms
MEGABYTES = 150  # that all listings of a row of keys may take


class TookTooLong(BaseException):
    """A listing did not end."""


@contextlib.contextmanager
def soon(seconds: float = SECONDS) -> Iterator[None]:
    """Whatever is in it ends within so many seconds."""

    def interrupt(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
