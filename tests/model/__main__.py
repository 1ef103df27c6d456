"""Explore the large configurations: ``make model``. Or one of your own:
``python -m tests.model fence=0 "leave_out=no settling"``.
"""

from __future__ import annotations

import sys

from tests.model.configurations import LARGE, SMALL
from tests.model.search import search

LIMIT = 4_000_000


def main() -> int:
    """Return 1 if a state is wrong."""
    wrong = 0
    if sys.argv[1:]:
        rules = [a.partition("=")[2] for a in sys.argv[1:] if a.startswith("leave_out=")]
        settings = [a for a in sys.argv[1:] if not a.startswith("leave_out=")]
        found = search(" ".join(settings), leave_out=",".join(rules))
        print(found.way or f"{found.states} states: {found.wrong}")
        return int(found.wrong != "right")
    for name, settings, states in [*SMALL, *LARGE]:
        found = search(settings, limit=LIMIT)
        is_right = found.wrong == "right" and found.states >= states
        wrong += not is_right
        end = ", up to the limit" if found.is_cut_short else ""
        print(f"{name}: {found.states} states in {found.seconds:.0f} s{end}: {found.wrong}")
        print(found.way, end="", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
