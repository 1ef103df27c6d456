"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from multihost.inspection import Who

__all__ = [
    "amount",
    "console",
    "duration",
    "line",
    "plain",
    "print_json",
    "print_rich",
    "print_table",
    "table",
    "who",
]

NUMBERS = frozenset(
    {
        "length",
        "memory",
        "size",
        "max",
        "waiters",
        "unfinished",
        "taken",
        "dead",
        "waiting",
        "running",
        "+/s",
    }
)
WIDE = 10_000  # columns: what reads a pipe does not want lines cut


def console() -> Console:
    """Where tables go. Colours, and the width of the terminal, only where there is one."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines."""
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        justify: Any = "right" if column in NUMBERS else "left"
        found.add_column(column.upper(), justify=justify, overflow="fold")
    for row in rows:
        found.add_row(*[Text(plain(cell)) for cell in row])
    return found


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print a table, or say that there is nothing."""
    if rows:
        print_rich(table(columns, rows))
    else:
        click.echo(empty, err=True)


def print_rich(thing: RenderableType) -> None:
    """Print what rich can draw, without spaces at the ends of lines."""
    screen = console()
    with screen.capture() as drawn:
        screen.print(thing)
    click.echo("\n".join(each.rstrip() for each in drawn.get().splitlines()))


def print_json(thing: Any) -> None:
    """Print one document, indented where people read it."""
    click.echo(json.dumps(_jsonable(thing), indent=2 if sys.stdout.isatty() else None))


def line(thing: Any) -> str:
    """One document on one line."""
    return json.dumps(_jsonable(thing))


def _jsonable(thing: Any) -> Any:
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return {f.name: _jsonable(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
    if isinstance(thing, Mapping):
        return {str(key): _jsonable(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_jsonable(each) for each in thing]
    return thing


# -- words


def plain(cell: object) -> str:
    """As text that does nothing to a terminal: names may hold anything."""
    if cell is None:
        return "-"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(cell)
    )


def who(parties: Sequence[Who], limit: int = 3) -> str:
    """Such as ``web1:312 MainThread, web2:9``."""
    shown = [_one(party) for party in parties[:limit]]
    if len(parties) > limit:
        shown.append(f"{len(parties) - limit} more")
    return ", ".join(shown) or "-"


def _one(party: Who) -> str:
    place = f"{party.host}:{party.pid}" if party.is_alive else "dead"
    times = f" x{party.count}" if party.count != 1 else ""
    return f"{place}{' ' + party.thread if party.thread else ''}{times}"


def amount(count: int | None) -> str | None:
    """Bytes, for people."""
    if count is None:
        return None
    size = float(count)
    for unit in ("B", "K", "M", "G"):
        if size < 1024:
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


def duration(seconds: float | None) -> str | None:
    """Such as ``3.2s``, ``4m``, ``7h``."""
    if seconds is None:
        return None
    if seconds < 100:
        return f"{seconds:.1f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.0f}h"
