"""Take numbers off a shared counter and write what they give into the dict that holds it."""

import os
import socket

from multihost import RedisManager

JOBS = 24


def primes_below(limit: int) -> int:
    """Count them, slowly enough for another worker to take a turn."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


def main() -> None:
    me = f"{socket.gethostname()}/{os.getpid()}"
    with RedisManager() as manager:  # the server that MULTIHOST_URL names
        primes = manager.dict("primes")  # the same dict for everybody who asks for this name
        while (job := primes.increment("taken")) <= JOBS:  # atomic: nobody else gets this number
            primes[job * 10_000] = (primes_below(job * 10_000), me)
            print(f"{me}: job {job} done")


if __name__ == "__main__":
    main()
