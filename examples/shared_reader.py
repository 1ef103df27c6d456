"""... and this one on another."""

import sys

from multihost import RedisManager

if __name__ == "__main__":
    with RedisManager(sys.argv[1] if len(sys.argv) > 1 else None) as manager:
        for who, what in manager.dict("visits").items():
            print(who, what)
