"""The public names, and where each is defined: ``python -m tests.unit.public_names`` writes
``public_names.json``.

Programs import these names, and pickles of what they stand for say where they are defined.
"""

from __future__ import annotations

import importlib
import queue
from pathlib import Path
from typing import Any

from tests.support import tables

__all__ = ["COMMAND", "MODULES", "TABLE", "describe", "found"]

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.unit.public_names"
MODULES = (
    "multihost",
    "multihost.errors",
    "multihost.executor",
    "multihost.inspection",
    "multihost.managers",
    "multihost.pool",
)


def found() -> dict[str, str]:
    """Return kind, module and qualified name of everything in ``__all__`` of a public module."""
    return {
        f"{module}.{name}": describe(getattr(importlib.import_module(module), name))
        for module in MODULES
        for name in importlib.import_module(module).__all__
    }


def describe(thing: Any) -> str:
    """Return what a name stands for, and where that is defined."""
    if thing is getattr(queue, "ShutDown", None):  # Python 3.13 has it: ours is for those before
        return "class multihost.errors:ShutDown"
    kind = "class" if isinstance(thing, type) else type(thing).__name__
    if not hasattr(thing, "__qualname__"):
        return kind
    return f"{kind} {thing.__module__}:{thing.__qualname__}"


if __name__ == "__main__":
    tables.write(TABLE, found())
