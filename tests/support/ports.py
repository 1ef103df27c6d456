"""Ports for servers, and an address where nobody listens: nobody else gets them meanwhile.

A port that is free when looked at may be taken at the moment of its use. So each one is reserved
first, by the UDP port of the same number: no server of ours uses that, and the kernel gives it to
one process only. All tests of this machine, in whichever parallel worker, take ports from here.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

__all__ = ["Port", "closed_address"]

# Below the range from which the kernel draws ports for outgoing connections: there, a client that
# retries while the server restarts could connect to itself.
PORTS = range(20000, 32000)

ATTEMPTS = 500

# Not the generator of the module: pytest-randomly seeds that before each test, and all workers
# would want the same ports.
_random = random.SystemRandom()


class Port:
    """A port for a server at ``host``, ours until ``release``; ``number`` is what it is.

    ``look=False``: on another host, where we cannot see whether somebody has it.
    """

    def __init__(self, host: str = "127.0.0.1", *, look: bool = True) -> None:
        for _ in range(ATTEMPTS):
            number = _random.choice(PORTS)
            reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                reservation.bind(("127.0.0.1", number))
                if look:
                    _look(host, number)
            except OSError:
                reservation.close()
            else:
                self.number = number
                self._reservation = reservation
                return
        raise RuntimeError(f"no free port on {host}")

    def __enter__(self) -> Port:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def release(self) -> None:
        self._reservation.close()


def _look(host: str, number: int) -> None:
    """Raise OSError if somebody who knows nothing of reservations listens there."""
    with socket.socket() as sock:
        # As a server does: a port in TIME_WAIT is free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, number))


@contextlib.contextmanager
def closed_address() -> Iterator[tuple[str, int]]:
    """Yield an address where nobody listens, nor can until the end: connections are refused."""
    with socket.socket() as held:  # bound without SO_REUSEADDR, and it never listens
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()
