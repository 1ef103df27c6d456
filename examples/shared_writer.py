"""One of two programs that share a dict by its name; start it on one host ..."""

import socket
import sys

from multihost import RedisManager

if __name__ == "__main__":
    with RedisManager(sys.argv[1] if len(sys.argv) > 1 else None) as manager:
        visits = manager.dict("visits")
        total = visits.increment("total")
        visits[f"{socket.gethostname()} {total}"] = "was here"
        print(f"visit {total}")
