"""The program ``multihost``: its commands, exit codes, and error messages without secrets.

Exit codes: 0 success, 1 problem found (``doctor`` found one, an object was not found, an operation
failed), 2 usage error, 3 server unreachable, or it refuses the user; 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import multihost
from multihost.cli.doctor import doctor
from multihost.cli.garbage import gc
from multihost.cli.listing import locks, ls, queues
from multihost.cli.objects import rm, show
from multihost.cli.top import top
from multihost.cli.worker import worker
from multihost.errors import LinkError, MultihostError, ServerUnfit
from multihost.wire.printable import printable

__all__ = ["commands", "run"]

PROBLEM, USAGE_ERROR, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


class _Commands(click.Group):
    """The commands. Those of click take an EOFError, or an OSError that is a broken pipe, for one
    of the terminal: an error of the server is reported before they see it.
    """

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except MultihostError as error:
            unreachable = isinstance(error, LinkError) and not isinstance(error, ServerUnfit)
            return _fail(printable(error), UNREACHABLE if unreachable else PROBLEM)


@click.group(
    cls=_Commands,
    name="multihost",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 success, 1 problem found, 2 usage error, 3 server unreachable.",
)
@click.version_option(multihost.__version__, message="multihost %(version)s")
def commands() -> None:
    """Inspect what processes share through a Redis or Valkey server, and run workers.

    The server is given as URL, as --url, or as MULTIHOST_URL; the last keeps its password out of
    the list of processes.
    """


for command in (worker, ls, show, locks, queues, rm, gc, doctor, top):
    commands.add_command(command)


def run(args: Sequence[str]) -> int:
    """Run a command, print its errors, and return the exit code."""
    try:
        code = commands.main(list(args), prog_name="multihost", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\ntry: {context.command_path} --help" if context is not None else ""
        return _fail(_without_secrets(error.format_message(), args) + hint, USAGE_ERROR)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    return int(code or 0)


def _fail(message: str, code: int) -> int:
    click.echo(f"multihost: {message}", err=True)
    return code


def _without_secrets(message: str, args: Sequence[str]) -> str:
    """Return an error message about arguments without those that may hold a password, printable
    line by line.
    """
    for before, arg in zip(["", *args], args, strict=False):
        _, scheme, secret = arg.partition("://")
        if not scheme and (before == "--url" or arg.startswith("--url=")):
            secret = arg.removeprefix("--url=")
        for form in (secret, repr(secret)[1:-1]) if secret else ():
            message = message.replace(form, "...")
    return "\n".join(map(printable, message.split("\n")))
