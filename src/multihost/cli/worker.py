"""``multihost worker``."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from multihost.cli import output
from multihost.cli.completion import complete_pools
from multihost.cli.options import Target, as_json, server
from multihost.pool import Progress, WorkerEvent, serve

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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
    Functions are imported by their names, also from the current directory. Tasks that raise are
    logged with their tracebacks. With --json one document on one line for each event. Exits with 1
    if tasks were killed.
    """
    if (directory := os.getcwd()) not in sys.path:
        sys.path.insert(0, directory)
    with target.manager() as manager:
        server = str(manager.runtime.session.link.address)
        with _reporting(as_json, pool, server) as report:
            done = serve(manager, pool, processes, on_event=report, until_deleted=until_deleted)
            if not as_json:
                logger.info("stopped; %s", _summary(done))
    return 1 if done.lost else 0


@contextlib.contextmanager
def _reporting(as_json: bool, pool: str, server: str) -> Iterator[Callable[[WorkerEvent], object]]:
    """Yield the function that reports events."""
    if as_json:
        yield lambda event: click.echo(output.line(_document(event, pool, server)))
        return
    with contextlib.ExitStack() as stack:
        if sys.stderr.isatty():
            from rich.console import Console

            # One console for both: it moves the spinner out of the way of each line of the log.
            console = Console(stderr=True, markup=False, highlight=False, emoji=False)
            stack.enter_context(_logged(_terminal_handler(console)))
            _log_start(pool, server)
            title = f"pool {output.plain(pool)} at {server}"
            status = stack.enter_context(console.status(_text(title)))
            show = lambda progress: status.update(_text(f"{title}: {_summary(progress)}"))
        else:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            stack.enter_context(_logged(handler))
            _log_start(pool, server)
            show = _ThrottledReporter()
        yield _Reporter(show)


@contextlib.contextmanager
def _logged(handler: logging.Handler) -> Iterator[None]:
    """Let the handler show what this program and the library log."""
    root = logging.getLogger("multihost")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def _log_start(pool: str, server: str) -> None:
    logger.info("runs tasks of the pool %s at %s", output.plain(pool), server)


def _terminal_handler(console: Console) -> logging.Handler:
    from rich.logging import RichHandler

    return RichHandler(console=console, show_path=False, markup=False, highlighter=None)


def _text(line: str) -> Text:
    from rich.text import Text

    return Text(line, no_wrap=True, overflow="ellipsis")


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
            case "failed" if event.failure is not None:
                task, text = event.failure.task, event.failure.traceback.splitlines()
                shown = "\n".join(map(output.plain, [f"{task} raised {text[-1]}", *text]))
                logger.error("worker %d: %s", event.pid, shown)
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


def _summary(progress: Progress) -> str:
    lost = f", {progress.lost} lost" if progress.lost else ""
    return f"{progress.done} done, {progress.failed} raised{lost}, {progress.running} running"


def _document(event: WorkerEvent, pool: str, server: str) -> dict[str, object]:
    failure = {} if event.failure is None else event.failure._asdict()
    return {
        "event": event.kind,
        "time": time.time(),
        "pool": pool,
        "server": server,
        "exitcode": event.exitcode,
        **event.progress._asdict(),
        **failure,
        "pid": event.pid,
    }
