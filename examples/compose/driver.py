"""Map a function over a pool whose workers are on other hosts, and tell which host did what."""

import sys
from collections import Counter

from work import primes_below

from multihost import RedisManager

STEP = 20_000


def main(step=STEP):
    limits = range(step, 25 * step, step)
    done = Counter()
    # The server is the one that MULTIHOST_URL names. No workers of our own; what a killed one had
    # begun is run again.
    with RedisManager() as manager, manager.Pool(0, name="primes", attempts=3) as pool:
        for limit, count, host, pid in pool.imap_unordered(primes_below, limits):
            print(f"{count:6} primes below {limit:7} by {host}/{pid}", flush=True)
            done[host] += 1
        pool.delete()  # a named pool lives until somebody deletes it; then the workers end, too
    for host, tasks in sorted(done.items()):
        print(f"{host} did {tasks} of {len(limits)} tasks")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
