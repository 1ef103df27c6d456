"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from multihost.wire.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from multihost.inspection import Participant

__all__ = [
    "amount",
    "console",
    "duration",
    "line",
    "participants",
    "plain",
    "print_json",
    "print_rich",
    "print_table",
    "table",
]

NUMBERS = frozenset(
    {
        "length",
        "memory",
        "size",
        "max",
        "unfinished",
        "in flight",
        "dead",
        "waiting",
        "running",
        "+/s",
    }
)
WIDE = 10_000  # columns: for a program that reads a pipe no line is cut
FITTED = 500  # rows that are fitted to the width of a terminal; more would take seconds


def console() -> Console:
    """Return the console for tables: with colours, and as wide as the terminal, if there is one."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table without borders."""
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
    """Print a table; if it has no rows, a message on stderr."""
    if not rows:
        click.echo(empty, err=True)
    elif sys.stdout.isatty() and len(rows) <= FITTED:
        print_rich(table(columns, rows))
    else:
        click.echo("\n".join(_lines(columns, rows)))


def _lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of the same table, however wide it is."""
    from rich.cells import cell_len

    cells = [[column.upper() for column in columns], *(list(map(plain, row)) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [
            " " * (width - cell_len(cell)) + cell
            if column in NUMBERS
            else cell + " " * (width - cell_len(cell))
            for column, width, cell in zip(columns, widths, row, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def print_rich(renderable: RenderableType) -> None:
    """Print a renderable of rich, without spaces at the ends of lines."""
    screen = console()
    with screen.capture() as drawn:
        screen.print(renderable)
    click.echo("\n".join(each.rstrip() for each in drawn.get().splitlines()))


def print_json(document: Any) -> None:
    """Print one document, indented on a terminal."""
    click.echo(json.dumps(_jsonable(document), indent=2 if sys.stdout.isatty() else None))


def line(document: Any) -> str:
    """Return one document on one line."""
    return json.dumps(_jsonable(document))


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(each) for each in value]
    return value


# -- words


def plain(cell: object) -> str:
    """Return printable text: a name may contain control characters."""
    return "-" if cell is None else printable(cell, sys.maxsize)


def participants(found: Sequence[Participant], limit: int = 3) -> str:
    """Return the first of them, such as ``web1:312 MainThread, web2:9``."""
    shown = [_participant(each) for each in found[:limit]]
    if len(found) > limit:
        shown.append(f"{len(found) - limit} more")
    return ", ".join(shown) or "-"


def _participant(participant: Participant) -> str:
    process = f"{participant.host}:{participant.pid}" if participant.is_alive else "dead"
    if participant.pid == 0:
        process = "(damaged)"
    thread = f" {participant.thread}" if participant.thread else ""
    count = f" x{participant.count}" if participant.count != 1 else ""
    return f"{process}{thread}{count}"


def amount(count: int | None) -> str | None:
    """Return a number of bytes, such as ``1.5K``."""
    if count is None:
        return None
    size = float(count)
    for unit in ("B", "K", "M", "G"):
        if size < 1024:
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


def duration(seconds: float | None) -> str | None:
    """Return seconds, such as ``3.2s``, ``4m``, ``7h``."""
    if seconds is None:
        return None
    if seconds < 100:
        return f"{seconds:.1f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.0f}h"
