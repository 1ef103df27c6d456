"""``multihost worker``."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.pool import Progress, WorkerEvent, serve

__all__ = ["worker"]

logger: logging.Logger = logging.getLogger("multihost.worker")

REPORT_INTERVAL = 10.0  # seconds between two lines of progress, where nobody watches


@click.command()
@click.option("--pool", required=True, metavar="NAME", help="The pool to work for.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many workers; as many as there are processors unless told otherwise.",
)
@click.option("--until-deleted", is_flag=True, help="End when the pool is deleted.")
@as_json
@server
def worker(
    target: Target, pool: str, processes: int | None, until_deleted: bool, as_json: bool
) -> int:
    """Run tasks of a pool, until it is told to stop.

    SIGTERM or Ctrl-C lets the tasks end that have begun, a second time ends them at once. Functions
    are imported by their names, also from the current directory. With --json one document a line,
    for each thing that happens. Exits with 1 if tasks were cut off.
    """
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    with _reporting(as_json, pool) as report:
        done = _serve(target, pool, processes, until_deleted, report)
        if not as_json:
            logger.info("the end; %s", _words(done))
    return 1 if done.lost else 0


def _serve(
    target: Target,
    pool: str,
    processes: int | None,
    until_deleted: bool,
    report: Callable[[WorkerEvent], object],
) -> Progress:
    """The one place that knows what runs workers."""
    with target.manager() as manager:
        return serve(manager, pool, processes, on_event=report, until_deleted=until_deleted)


@contextlib.contextmanager
def _reporting(as_json: bool, pool: str) -> Iterator[Callable[[WorkerEvent], object]]:
    """Who is told what happens."""
    if as_json:
        yield lambda event: click.echo(output.line(_document(event)))
        return
    watched = sys.stderr.isatty()
    handler = _handler(watched)
    logger.addHandler(handler)
    root = logging.getLogger("multihost")
    level, root.level = root.level, logging.INFO
    try:
        if watched:
            from rich.console import Console

            with Console(stderr=True).status(f"pool {output.plain(pool)}") as status:
                yield _Reporter(lambda progress: status.update(_words(progress)))
        else:
            yield _Reporter(_ThrottledReporter())
    finally:
        root.setLevel(level)
        logger.removeHandler(handler)


class _Reporter:
    """Logs what happens, and gives what was done to somebody."""

    def __init__(self, show: Callable[[Progress], object]) -> None:
        self._show = show

    def __call__(self, event: WorkerEvent) -> None:
        match event.kind:
            case "started":
                logger.info("worker %d started", event.pid)
            case "ended":
                logger.info("worker %d ended", event.pid)
            case "lost":
                logger.warning("worker %d is lost, exit code %s", event.pid, event.exitcode)
            case "stopping":
                logger.info("stopping; %s", _words(event.progress))
            case "progress":
                self._show(event.progress)


class _ThrottledReporter:
    """Logs what was done, not too often."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + REPORT_INTERVAL
            logger.info("%s", _words(progress))


def _handler(watched: bool) -> logging.Handler:
    if watched:
        from rich.logging import RichHandler

        return RichHandler(show_path=False)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _words(progress: Progress) -> str:
    lost = f", {progress.lost} lost" if progress.lost else ""
    return f"{progress.done} done, {progress.failed} raised{lost}, {progress.running} running"


def _document(event: WorkerEvent) -> dict[str, object]:
    return {
        "event": event.kind,
        "time": time.time(),
        "pid": event.pid,
        "exitcode": event.exitcode,
        **event.progress._asdict(),
    }
