"""Runs the model of lifetimes on one configuration."""

from __future__ import annotations

from pathlib import Path

from tests.model.build import program
from tests.model.search import Found, run

__all__ = ["HERE", "search"]

HERE = Path(__file__).parent


def search(settings: str, leave_out: str = "", limit: int = 20_000_000) -> Found:
    """Explore a configuration breadth first; or, with ``walks``, at random."""
    return run(program(HERE, "lifetimes"), f"limit={limit} {settings}", leave_out)
