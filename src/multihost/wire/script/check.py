"""Check the header of every script: ``python -m multihost.wire.script.check``."""

from __future__ import annotations

import sys

from multihost.wire.script.header import check
from multihost.wire.script.source import BadScript, all_names

__all__ = ["main"]


def main() -> int:
    """Return 1 if a file breaks the contract of its header, else 0; report each on stderr."""
    names, problems = all_names(), 0
    for name in names:
        try:
            check(name)
        except BadScript as problem:
            print(problem, file=sys.stderr)
            problems += 1
    print(f"{len(names)} scripts, {problems} with a broken header")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
