"""Who is compared, and how each of them does a row.

``managers`` are those with the standard library's surface; ``servers`` talk to a Redis server
themselves.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from bench.catalogue import Row

__all__ = ["Contender", "enter_all", "import_multihost"]


class Contender(Protocol):
    """What the sections ask of everybody."""

    def singles(self) -> Iterator[Row]:
        """Offer the rows of single calls."""

    def bulk(self, size: int) -> Iterator[Row]:
        """Offer the rows that move ``size`` entries at once."""

    def sized(self, size: int) -> Iterator[Row]:
        """Offer the rows whose cost should not depend on ``size``."""

    def mix(self) -> Callable[[], Callable[[int], object]]:
        """Return what a worker process calls once for its get-and-set call.

        An even index reads, an odd one writes.
        """

    def forget(self) -> None:
        """Give up the objects made so far, to free their memory."""


def import_multihost() -> str | None:
    """Try to import the package; the reason when it cannot be had."""
    try:
        import multihost

        multihost.Manager, multihost.RedisManager  # noqa: B018
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def enter_all(*, tcp: bool = True) -> Iterator[dict[str, Contender]]:
    """Start every contender, and end everything that was started."""
    from bench.contenders import managers

    with contextlib.ExitStack() as stack:
        # First of all, while this process is small: the standard library's server is a fork of
        # it, and would drag along what is imported later.
        contenders: dict[str, Contender] = {"stdlib": stack.enter_context(managers.stdlib())}

        from bench.contenders.servers import BareSocket, RedisPy
        from bench.server import run_server

        if reason := import_multihost():
            print(f"  multihost left out, it cannot be imported: {reason}", file=sys.stderr)
        else:
            contenders["multihost"] = stack.enter_context(managers.embedded())
            if tcp:
                url = stack.enter_context(run_server(tcp=True)).url
                contenders["multihost-tcp"] = stack.enter_context(managers.connected(url))
        server = stack.enter_context(run_server())
        contenders["redis-py"] = stack.enter_context(contextlib.closing(RedisPy(server.path)))
        contenders["socket"] = stack.enter_context(contextlib.closing(BareSocket(server.path)))
        yield contenders
