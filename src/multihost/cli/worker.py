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
from multihost.cli.completion import complete_pools
from multihost.cli.options import Target, as_json, server
from multihost.pool import Progress, WorkerEvent, serve

__all__ = ["worker"]

logger: logging.Logger = logging.getLogger("multihost.worker")

REPORT_INTERVAL = 10.0  # seconds between two lines of progress in a log


@click.command()
@click.option(
    "--pool",
    required=True,
    metavar="NAME",
    help="The pool whose tasks to run.",
    shell_complete=complete_pools,
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of workers; default: the number of processors.",
)
@click.option("--until-deleted", is_flag=True, help="Exit when the pool is deleted.")
@as_json
@server
def worker(
    target: Target, pool: str, processes: int | None, until_deleted: bool, as_json: bool
) -> int:
    """Run tasks of a pool, until stopped by a signal.

    After SIGTERM or Ctrl-C running tasks are finished; after a second one they are killed.
    Functions are imported by their names, also from the current directory. With --json one
    document on one line for each event. Exits with 1 if tasks were killed.
    """
    if (directory := os.getcwd()) not in sys.path:
        sys.path.insert(0, directory)
    with _reporting(as_json, pool) as report:
        done = _serve(target, pool, processes, until_deleted, report)
        if not as_json:
            logger.info("stopped; %s", _summary(done))
    return 1 if done.lost else 0


def _serve(
    target: Target,
    pool: str,
    processes: int | None,
    until_deleted: bool,
    report: Callable[[WorkerEvent], object],
) -> Progress:
    """Run the workers, and return what they did."""
    with target.manager() as manager:
        return serve(manager, pool, processes, on_event=report, until_deleted=until_deleted)


@contextlib.contextmanager
def _reporting(as_json: bool, pool: str) -> Iterator[Callable[[WorkerEvent], object]]:
    """Yield the function that reports events."""
    if as_json:
        yield lambda event: click.echo(output.line(_document(event)))
        return
    on_terminal = sys.stderr.isatty()
    handler = _handler(on_terminal)
    logger.addHandler(handler)
    root = logging.getLogger("multihost")
    level, root.level = root.level, logging.INFO
    try:
        if on_terminal:
            from rich.console import Console

            with Console(stderr=True).status(f"pool {output.plain(pool)}") as status:
                yield _Reporter(lambda progress: status.update(_summary(progress)))
        else:
            yield _Reporter(_ThrottledReporter())
    finally:
        root.setLevel(level)
        logger.removeHandler(handler)


class _Reporter:
    """Logs events, and shows progress."""

    def __init__(self, show: Callable[[Progress], object]) -> None:
        self._show = show

    def __call__(self, event: WorkerEvent) -> None:
        match event.kind:
            case "started":
                logger.info("worker %d started", event.pid)
            case "ended":
                logger.info("worker %d exited", event.pid)
            case "lost":
                logger.warning("worker %d was lost, exit code %s", event.pid, event.exitcode)
            case "stopping":
                logger.info("stopping; %s", _summary(event.progress))
            case "progress":
                self._show(event.progress)


class _ThrottledReporter:
    """Logs progress, not too often."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + REPORT_INTERVAL
            logger.info("%s", _summary(progress))


def _handler(on_terminal: bool) -> logging.Handler:
    if on_terminal:
        from rich.logging import RichHandler

        return RichHandler(show_path=False)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _summary(progress: Progress) -> str:
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
