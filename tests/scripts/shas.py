"""The SHA1 of each script: ``python -m tests.scripts.shas`` writes ``shas.json``.

A server knows scripts by their SHA1. A change of one is a change of what the server executes: it
is made on purpose, and not while something else is moved or renamed.
"""

from __future__ import annotations

from pathlib import Path

from multihost.wire.script import Script, source
from tests.support import tables

__all__ = ["COMMAND", "TABLE", "found"]

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.scripts.shas"


def found() -> dict[str, str]:
    """Return the SHA1 of each script by its name."""
    return {name: Script(name).sha.decode() for name in source.all_names()}


if __name__ == "__main__":
    tables.write(TABLE, found())
