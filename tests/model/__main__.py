"""Explore the large configurations of both models: ``make model``. Or those of one: ``python -m
tests.model lifetimes``; or one of your own: ``python -m tests.model holds fence=0 "leave_out=no
settling"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from tests.model import configurations as holds
from tests.model import search as search_holds
from tests.model.lifetimes import configurations as lifetimes
from tests.model.lifetimes import search as search_lifetimes

Search = Callable[..., search_holds.Found]

LIMIT = 4_000_000
MODELS: dict[str, tuple[Search, Iterable[holds.Configuration], int]] = {
    "holds": (search_holds.search, [*holds.SMALL, *holds.LARGE], LIMIT),
    "lifetimes": (
        search_lifetimes.search,
        [*lifetimes.SMALL, *lifetimes.LARGE],
        lifetimes.LIMIT,
    ),
}


def one_of_your_own(search: Search, arguments: list[str]) -> int:
    """Return 1 if a state is wrong with these settings."""
    rules = [a.partition("=")[2] for a in arguments if a.startswith("leave_out=")]
    settings = [a for a in arguments if not a.startswith("leave_out=")]
    found = search(" ".join(settings), leave_out=",".join(rules))
    print(found.way or f"{found.states} states in {found.seconds:.1f} s: {found.wrong}")
    return int(found.wrong != "right")


def all_of(model: str) -> int:
    """Return in how many configurations of a model a state is wrong, or too few were found."""
    search, configurations, limit = MODELS[model]
    wrong = 0
    for name, settings, states in configurations:
        found = search(settings, limit=limit)
        is_right = found.wrong == "right" and found.states >= states
        wrong += not is_right
        end = ", up to the limit" if found.is_cut_short else ""
        print(f"{name}: {found.states} states in {found.seconds:.0f} s{end}: {found.wrong}")
        print(found.way, end="", flush=True)
    return wrong


def main() -> int:
    """Return 1 if a state is wrong."""
    chosen = [model for model in sys.argv[1:] if model in MODELS]
    settings = [a for a in sys.argv[1:] if a not in MODELS]
    if settings:
        return one_of_your_own(MODELS[chosen[0] if chosen else "holds"][0], settings)
    return int(sum(all_of(model) for model in chosen or MODELS) > 0)


if __name__ == "__main__":
    sys.exit(main())
