"""Tables of what must not change by accident: a test compares, one command writes them anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["differences", "read", "write"]


def read(path: Path) -> dict[str, str]:
    """Return the table that was committed."""
    table: dict[str, str] = json.loads(path.read_text("utf-8"))
    return table


def write(path: Path, table: Mapping[str, str]) -> None:
    """Write a table, one name a line, and print what changed."""
    before = read(path) if path.exists() else {}
    print(differences(before, table) or "nothing changed")
    path.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n", "utf-8")


def differences(table: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return one line for each name that changed, appeared or went; nothing if none did."""
    lines = []
    for name in sorted({*table, *found}):
        if name not in table:
            lines.append(f"appeared: {name}: {found[name]}")
        elif name not in found:
            lines.append(f"went:     {name}: {table[name]}")
        elif table[name] != found[name]:
            lines.append(f"changed:  {name}: {table[name]} -> {found[name]}")
    return "\n".join(lines)
