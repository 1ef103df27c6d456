"""The picture for the README: how long a call takes, relative to the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.catalogue import BULK, SINGLES
from bench.report import Cells, lock_rows, queue_rows, ratio, workers

__all__ = ["draw"]

MODES = {"pinned": "everything on one core", "unpinned": "all cores"}
PROCESSES = "get and set"
#: Bars and marks end here.
EDGE = 3.0
#: The number stands in a bar that is longer than this, and behind a shorter one.
INSIDE = 0.3
FASTER, SLOWER = "#2f7d6d", "#c9762b"
MARKS = {
    "multihost-tcp": ("multihost over TCP", "|", "#1d1d1d"),
    "redis-py": ("redis-py", "o", "#b3261e"),
    "redis-lock": ("python-redis-lock", "^", "#5b4a9e"),
    "socket": ("bare socket", "D", "#7a7a7a"),
}


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw both modes side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    modes = {mode: pick(sections) for mode, sections in document["modes"].items()}
    names = list(dict.fromkeys(name for rows in modes.values() for name in rows))
    positions = spread(names)
    pyplot.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans"})
    figure, axes = pyplot.subplots(
        1,
        len(modes),
        figsize=(8.3, 0.185 * len(names) + 1.9),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (mode, rows) in zip(axes[0], modes.items(), strict=True):
        draw_mode(axis, rows, positions)
        axis.set_title(MODES[mode], fontsize=9.5)
    first = axes[0][0]
    first.set_yticks(list(positions.values()), list(positions))
    first.set_ylim(max(positions.values()) + 0.7, -0.7)
    bars = [
        Patch(color=FASTER, label="multihost, faster"),
        Patch(color=SLOWER, label="multihost, slower"),
    ]
    figure.legend(
        handles=[*bars, *first.get_legend_handles_labels()[0]],
        loc="outside lower center",
        ncols=5,
        columnspacing=1.2,
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(
        "Time per call relative to multiprocessing.Manager (1.0; shorter is faster)", fontsize=10.5
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the metadata the file would name the version of matplotlib.
    figure.savefig(path, dpi=200, metadata={"Software": None})
    pyplot.close(figure)


def pick(sections: Mapping[str, Any]) -> dict[str, Cells]:
    """Choose the rows to show: single calls, the biggest bulk calls, processes, locks, queues."""
    rows: dict[str, Cells] = {}
    singles = sections.get("singles", {})
    rows.update({name: singles[name] for name in SINGLES if name in singles})
    for size, label in (("1000", "10³"), ("100000", "10⁵")):
        bulk = sections.get("bulk", {}).get(size, {})
        for name in BULK:
            # The rows of one value tell their story once.
            if name in bulk and not (size == "1000" and "one value" in name):
                rows[f"{name}, {label}"] = bulk[name]
    for count, cells in sections.get("processes", {}).items():
        rows[workers(count)] = cells[PROCESSES]
    if "locks" in sections:
        rows |= lock_rows(sections["locks"])
    if "queues" in sections:
        rows |= queue_rows(sections["queues"])
    return rows


def spread(names: list[str]) -> dict[str, float]:
    """Place the rows, with a gap between the groups."""
    positions: dict[str, float] = {}
    place, previous = 0.0, None
    for name in names:
        group = group_of(name)
        if previous not in (None, group):
            place += 0.6
        positions[name] = place
        place, previous = place + 1, group
    return positions


def group_of(name: str) -> str:
    """Name the group a row belongs to."""
    for label in ("Lock", "Queue", "10³", "10⁵", "process"):
        if label in name:
            return label
    kind = name.split(maxsplit=1)[0]
    return kind if kind in ("dict", "list", "set") else "values"


def draw_mode(axis: Any, rows: Mapping[str, Cells], positions: Mapping[str, float]) -> None:
    """Draw one mode: a bar for multihost, marks for the others."""
    ours = {name: value for name, cells in rows.items() if (value := ratio(cells))}
    axis.barh(
        [positions[name] for name in ours],
        [min(value, EDGE) for value in ours.values()],
        height=0.72,
        color=[FASTER if value <= 1 else SLOWER for value in ours.values()],
    )
    for name, value in ours.items():
        # Inside the bar if that is long enough.
        place, colour = (0.03, "white") if value > INSIDE else (value + 0.03, "black")
        axis.text(place, positions[name], f"{value:.2f}", va="center", fontsize=7, color=colour)
    for who, (label, mark, colour) in MARKS.items():
        theirs = {
            name: min(value, EDGE) for name, cells in rows.items() if (value := ratio(cells, who))
        }
        if not theirs:
            continue
        axis.plot(
            list(theirs.values()),
            [positions[name] for name in theirs],
            mark,
            color=colour,
            markersize=8 if mark == "|" else 4,
            markeredgewidth=1.5 if mark == "|" else 0.5,
            markeredgecolor=colour if mark == "|" else "white",
            linestyle="none",
            clip_on=False,
            label=label,
        )
    axis.axvline(1, color="black", linewidth=1)
    axis.set_xlim(0, EDGE)
    axis.set_xticks([0, 0.5, 1, 1.5, 2, 2.5, EDGE], ["0", "0.5", "1", "1.5", "2", "2.5", "≥ 3"])
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0, labelsize=8)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
