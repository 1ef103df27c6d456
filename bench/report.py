"""Tables of ratios: a contender's time divided by the standard library's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.catalogue import CONTENDERS

__all__ = [
    "both_ways",
    "lock_rows",
    "print_results",
    "print_table",
    "queue_rows",
    "ratio",
    "workers",
]

Cells = Mapping[str, Mapping[str, float]]


def ratio(cells: Cells, contender: str = "multihost") -> float | None:
    """Divide a contender's median by the standard library's; ``None`` where one is missing."""
    if contender in cells and "stdlib" in cells:
        return cells[contender]["us"] / cells["stdlib"]["us"]
    return None


def print_results(document: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    print("Machine: " + ", ".join(f"{name} {it}" for name, it in document["facts"].items()))
    print("Numbers are times divided by the standard library's: below 1 is faster.")
    for mode, sections in document["modes"].items():
        print_sections(sections, mode)
    if "memory" in document:
        print_memory("a dict entry", document["memory"], "plain hash")


def print_sections(sections: Mapping[str, Any], mode: str) -> None:
    """Print what was measured in one mode."""
    if "singles" in sections:
        print_ratios(f"Single calls, {mode}", sections["singles"])
    for size, cells in sections.get("bulk", {}).items():
        print_ratios(f"{int(size):,} entries at once, {mode}", cells)
    if "processes" in sections:
        rows = {workers(n): it["get and set"] for n, it in sections["processes"].items()}
        print_ratios(f"Get and set on one dict, time per call of all, {mode}", rows)
    if "locks" in sections:
        print_locks(sections["locks"], mode)
    if "queues" in sections:
        print_queues(sections["queues"], mode)
    if "hosted" in sections:
        print_ratios(f"Objects in a process, {mode}", sections["hosted"])
    if "signed" in sections:
        print_signed(sections["signed"], mode)
    if "pools" in sections:
        print_ratios(f"Pools of two processes, {mode}", sections["pools"])
    if "sizes" in sections:
        print_sizes(f"Microseconds a call by entries, {mode}", sections["sizes"])
    if "start" in sections:
        print_ratios(f"Start, {mode}", sections["start"])


def print_ratios(title: str, rows: Mapping[str, Cells]) -> None:
    """Print one section: a row each, a column per contender."""
    present = [who for who in CONTENDERS if any(who in cells for cells in rows.values())]
    others = [who for who in present if who != "stdlib"]
    header = ["", "stdlib, \N{MICRO SIGN}s", *(CONTENDERS[who] for who in others)]
    lines = []
    for name, cells in rows.items():
        base = f"{cells['stdlib']['us']:,.1f}" if "stdlib" in cells else ""
        lines.append([name, base, *(number(ratio(cells, who)) for who in others)])
    print_table(title, header, lines)


def print_signed(found: Mapping[str, Any], mode: str) -> None:
    """Print the section on signatures: what a key costs, in time and in bytecodes."""
    lines = []
    for name, counts in found.get("bytecodes", {}).items():
        cells = found["calls"][name]
        if not {"multihost", "multihost-signed"} <= cells.keys():
            continue
        plain, signed = cells["multihost"]["us"], cells["multihost-signed"]["us"]
        before, after = counts["multihost"], counts["multihost-signed"]
        lines.append(
            [name, f"{plain:,.1f}", f"{signed / plain:.2f}", f"{before:,}", f"{after / before:.2f}"]
        )
    header = ["", "no key, \N{MICRO SIGN}s", "signed", "no key, bytecodes", "signed"]
    print_table(f"With an authkey, {mode}", header, lines)


def lock_rows(locks: Mapping[str, Any]) -> dict[str, Cells]:
    """Choose what of the section on locks is a time to be divided by another."""
    rows: dict[str, Cells] = dict(locks["calls"])
    rows |= {f"Lock, {workers(count)}": cells for count, cells in locks["contended"].items()}
    rows |= {f"Lock, wake-up {name}": cells for name, cells in locks["wake-up"].items()}
    return rows


def print_locks(locks: Mapping[str, Any], mode: str) -> None:
    """Print the section on locks."""
    print_ratios(f"acquire() and release(), {mode}", lock_rows(locks))
    rows = {
        f"{workers(count)}, least to most served": shares
        for count, shares in locks["fairness"].items()
    }
    rows["commands of a re-entry"] = locks["commands"]
    print_by_contender(f"Fairness, and round trips spared, {mode}", rows, "{:.2f}".format)
    for title, table in (
        ("Percent of a core while waiting: clients + server", locks["waiting"]),
        ("Percent of a core while holding: client + server", by_count(locks.get("held", {}))),
    ):
        if table:
            print_by_contender(f"{title}, {mode}", table, both_sides)


def queue_rows(queues: Mapping[str, Any]) -> dict[str, Cells]:
    """Choose what of the section on queues is a time to be divided by another."""
    rows: dict[str, Cells] = dict(queues["calls"])
    rows |= {f"Queue, {both_ways(count)}": cells for count, cells in queues["passed"].items()}
    rows |= {f"Queue, wake-up {name}": cells for name, cells in queues["wake-up"].items()}
    for cells in queues["sorting"].values():
        rows |= cells
    return rows


def print_queues(queues: Mapping[str, Any], mode: str) -> None:
    """Print the section on queues."""
    sizes = ", ".join(f"{int(size):,}" for size in queues["sorting"])
    print_ratios(f"Queues (priority queues of {sizes} items), {mode}", queue_rows(queues))
    print_sizes(f"Microseconds a call by items in the queue, {mode}", queues["sizes"])
    print_memory("a queue's item", queues["memory"], "plain list")


def by_count(held: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn the table of held locks: a row for each number of them."""
    counts = dict.fromkeys(count for cells in held.values() for count in cells)
    return {
        f"{int(count):,} held": {who: cells[count] for who, cells in held.items() if count in cells}
        for count in counts
    }


def both_sides(used: Mapping[str, float]) -> str:
    """Write the CPU time of clients and server."""
    return f"{used['clients']:.2f} + {used['server']:.2f}"


def print_by_contender(
    title: str, rows: Mapping[str, Mapping[str, Any]], write: Callable[[Any], str]
) -> None:
    """Print numbers as they are: a row each, a column per contender."""
    present = [who for who in CONTENDERS if any(who in cells for cells in rows.values())]
    header = ["", *(CONTENDERS[who] for who in present)]
    lines = [
        [name, *(write(cells[who]) if who in cells else "" for who in present)]
        for name, cells in rows.items()
    ]
    print_table(title, header, lines)


def print_sizes(title: str, by_size: Mapping[str, Mapping[str, Cells]]) -> None:
    """Print times, not ratios: whether they grow is the question."""
    lines = []
    for name in next(iter(by_size.values())):
        for who, label in CONTENDERS.items():
            cells = [by_size[size].get(name, {}).get(who) for size in by_size]
            if any(cells):
                lines.append([name, label, *(f"{it['us']:.1f}" if it else "" for it in cells)])
    print_table(title, ["", "", *(f"{int(size):,}" for size in by_size)], lines)


def print_memory(what: str, used: Mapping[str, float], base: str) -> None:
    """Print the bytes that something takes on the server."""
    plain = used[base]
    lines = [[who, f"{size:.0f}", f"{size / plain:.2f}"] for who, size in used.items()]
    print_table(f"Server memory of {what}", ["", "bytes", f"to {base}"], lines)


def workers(count: str) -> str:
    """Name a row of the section of many processes."""
    return f"{count} process" if count == "1" else f"{count} processes"


def both_ways(count: str) -> str:
    """Name a row of so many producers and as many consumers."""
    return f"{count} + {count} processes"


def number(value: float | None) -> str:
    """Write a ratio, or nothing."""
    return "" if value is None else f"{value:.2f}"


def print_table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich when it is installed, in plain text otherwise."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print_plainly(title, header, lines)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    # Into a file or a pipe a table is as wide as it is.
    width = None if os.isatty(1) else 160
    console = Console(width=width, highlight=False)
    console.print(title, style="bold")
    console.print(table)


def print_plainly(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table with spaces."""
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    print(f"\n{title}")
    for line in (header, ["-" * width for width in widths], *lines):
        first, *rest = line
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip())
