"""Print what the workers wrote into the shared dict, and delete it."""

from collections import Counter

from multihost import RedisManager


def main() -> None:
    with RedisManager() as manager:  # the server that MULTIHOST_URL names
        primes = manager.dict("primes")
        found = primes.copy()
        primes.delete()  # a named object lives until somebody deletes it
    found.pop("taken", None)
    for limit, (count, worker) in sorted(found.items()):
        print(f"{count:6} primes below {limit:7} by {worker}")
    for worker, jobs in Counter(worker for _, worker in found.values()).most_common():
        print(f"{worker} did {jobs} of {len(found)} jobs")


if __name__ == "__main__":
    main()
