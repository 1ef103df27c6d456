"""A map over a pool whose workers may be on any host.

Here it starts two of its own, on a private server. On several machines, with a server that all of
them reach:

    python pool_map.py work redis://server:6379/0     # on each, until Ctrl-C
    python pool_map.py map redis://server:6379/0      # on any
"""

import hashlib
import sys

# from multiprocessing import Manager
from multihost import Manager, RedisManager
from multihost.pool import serve

NAME = "digests"


def digest(number):
    return hashlib.pbkdf2_hmac("sha256", b"%d" % number, b"salt", 20_000).hex()


def use(pool):
    digests = pool.map(digest, range(20))
    print(f"{len(digests)} digests, the last one is {digests[-1][:16]}")


def show(event):
    print(event.kind, event.pid or "", f"{event.progress.done} done")


def main():
    match sys.argv[1:]:
        case ["work", url]:
            with RedisManager(url) as manager:
                serve(manager, NAME, on_event=show)
        case ["map", url]:
            with RedisManager(url) as manager, manager.Pool(0, name=NAME) as pool:
                use(pool)
        case _:
            with Manager() as m, m.Pool(2) as pool:
                use(pool)


if __name__ == "__main__":
    main()
