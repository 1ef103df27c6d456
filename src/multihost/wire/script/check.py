"""Check the header of every script: ``python -m multihost.wire.script.check``."""

from __future__ import annotations

import sys

from multihost.wire.script.script import BadScript, all_names, check

__all__ = ["main"]


def main() -> int:
    """Return 1 if a file breaks the contract of its header, else 0; report each on stderr."""
    problems = 0
    for name in all_names():
        try:
            check(name)
        except BadScript as problem:
            print(problem, file=sys.stderr)
            problems += 1
    print(f"{len(all_names())} scripts, {problems} with a broken header")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
