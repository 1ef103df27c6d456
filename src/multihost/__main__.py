"""``python -m multihost``, and the program ``multihost``."""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]

NEEDED = ("click", "rich")


def main() -> int:
    """Run the command line, and return the exit code."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"multihost: the command line needs {' and '.join(missing)}: "
            "pip install 'multihost[cli]'",
            file=sys.stderr,
        )
        return 2
    from multihost.cli.main import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
