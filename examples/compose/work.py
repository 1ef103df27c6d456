"""What is done in the worker containers, and by whom. Every container can import it."""

import os
import socket


def primes_below(limit):
    """How many there are, and which host and process counted them."""
    count = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))
    return limit, count, socket.gethostname(), os.getpid()
