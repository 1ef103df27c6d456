"""``multihost top``."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from multihost.cli import output
from multihost.cli.listing import (
    LOCK_COLUMNS,
    QUEUE_COLUMNS,
    document,
    row_of_lock,
    row_of_queue,
)
from multihost.cli.options import Target, as_json, server
from multihost.inspection import Activity, Monitor, ObjectInfo

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["top"]

ROWS = 15  # of each table


@click.command()
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Seconds between two refreshes.",
)
@click.option("--once", is_flag=True, help="Print once, and exit.")
@as_json
@server
def top(target: Target, interval: float, once: bool, as_json: bool) -> None:
    """Watch a server live; q or Ctrl-C exits.

    Shows clients, operations, objects by type, locks, queues and pools. With --json one document on
    one line for each refresh.
    """
    live = sys.stdout.isatty() and not (once or as_json)
    with target.open() as session, contextlib.suppress(KeyboardInterrupt), _keys() as pressed:
        before: Activity | None = None
        monitor = Monitor(session, wait=once)
        with _screen(live) as show:
            while True:
                started = time.monotonic()
                now = monitor.look()
                show(_document(now, before) if as_json else _view(now, before))
                before = now
                if once or pressed(max(0.0, started + interval - time.monotonic())):
                    return


@contextlib.contextmanager
def _screen(live: bool) -> Iterator[Any]:
    """Yield the function that shows each refresh."""
    if not live:
        yield (
            lambda shown: click.echo(shown) if isinstance(shown, str) else output.print_rich(shown)
        )
        return
    from rich.live import Live

    with Live(console=output.console(), screen=True, auto_refresh=False) as screen:
        yield lambda shown: screen.update(shown, refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Yield a function that waits some seconds for the key that exits; it returns whether that was
    pressed.
    """
    if not sys.stdin.isatty():
        yield lambda seconds: bool(select.select([], [], [], seconds)[0])
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    settings = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            typed = os.read(terminal, 64)
            if not typed or b"q" in typed.lower():
                return True
        return False

    tty.setcbreak(terminal)
    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, settings)


def _rates(now: Activity, before: Activity | None) -> dict[str, float]:
    """Return by how many items a second each queue grew."""
    if before is None or now.time <= before.time:
        return {}
    sizes = {info.ident: info.length for info in before.objects if info.queue is not None}
    return {
        info.ident: (info.length - length) / (now.time - before.time)
        for info in now.objects
        if info.length is not None and (length := sizes.get(info.ident)) is not None
    }


def _listed(now: Activity, listing: str) -> list[ObjectInfo]:
    """Return the objects that ``multihost locks``, ``queues`` or the table of pools lists."""
    return [info for info in now.objects if info.listing == listing]


def _document(now: Activity, before: Activity | None) -> str:
    rates = _rates(now, before)
    return output.line(
        {
            "time": now.time,
            "clients": now.clients,
            "operations_per_second": now.operations_per_second,
            "memory": now.memory,
            "types": now.types,
            "is_whole": now.is_whole,
            "locks": _listed(now, "locks"),
            "queues": [
                document(info, growth_per_second=rates.get(info.ident))
                for info in _listed(now, "queues")
            ],
            "pools": [
                {
                    "name": info.name,
                    "waiting": info.length,
                    "running": sum(each.count for each in info.holders),
                    "growth_per_second": rates.get(info.ident),
                    "workers": info.holders,
                }
                for info in _listed(now, "pools")
            ],
        }
    )


def _view(now: Activity, before: Activity | None) -> Group:
    from rich.console import Group
    from rich.text import Text

    rates = _rates(now, before)
    locks = _listed(now, "locks")
    locks.sort(key=lambda info: (-len(info.waiters), -len(info.holders)))
    queues = sorted(_listed(now, "queues"), key=lambda info: -(info.length or 0))
    parts: list[Any] = [
        Text(_headline(now), style="bold"),
        Text(_census(now.types, now.is_whole)),
    ]
    if locks:
        rows = [row_of_lock(info, now.time) for info in locks[:ROWS]]
        parts += [Text(), output.table(LOCK_COLUMNS, rows)]
    if queues:
        columns = (*QUEUE_COLUMNS[:3], "+/s", *QUEUE_COLUMNS[3:])
        table = [(info, row_of_queue(info)) for info in queues[:ROWS]]
        rated = [(*row[:3], _signed(rates.get(info.ident)), *row[3:]) for info, row in table]
        parts += [Text(), output.table(columns, rated)]
    if pools := _listed(now, "pools"):
        rows = [
            (
                info.name,
                info.length,
                _signed(rates.get(info.ident)),
                sum(each.count for each in info.holders),
                output.participants(info.holders),
            )
            for info in pools[:ROWS]
        ]
        parts += [Text(), output.table(("pool", "waiting", "+/s", "running", "workers"), rows)]
    return Group(*parts)


def _signed(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:+.1f}"


def _headline(now: Activity) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(now.time))
    return (
        f"{clock}  clients {output.plain(now.clients)}  "
        f"operations/s {output.plain(now.operations_per_second)}  "
        f"memory {output.plain(output.amount(now.memory))}"
    )


def _census(types: Mapping[str, int], is_whole: bool) -> str:
    counted = [f"{typeid} {count}" for typeid, count in sorted(types.items())]
    note = "" if is_whole else "  (and more: there are too many to look at all of them)"
    return f"objects  {output.plain('  '.join(counted)) or 'none'}{note}"
