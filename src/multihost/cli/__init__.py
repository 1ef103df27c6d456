"""The command line: parsing, printing and exit codes, and nothing else.

Exit codes: 0 fine, 1 not as it should be (doctor found a problem, there is no such object), 2 wrong
usage, 3 the server cannot be reached or refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

import multihost
from multihost.cli.doctor import doctor
from multihost.cli.garbage import gc
from multihost.cli.listing import locks, ls, queues
from multihost.cli.objects import rm, show
from multihost.cli.top import top
from multihost.cli.worker import worker
from multihost.errors import LinkError, MultihostError

__all__ = ["commands", "run"]


@click.group(
    name="multihost",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine, 1 not as it should be, 2 wrong usage, 3 no way to the server.",
)
@click.version_option(multihost.__version__, message="multihost %(version)s")
def commands() -> None:
    """Look at what processes share through a Redis or Valkey server, and run workers.

    A server is given as URL, as --url, or as MULTIHOST_URL; the last keeps its password out of the
    list of processes.
    """


for command in (worker, ls, show, locks, queues, rm, gc, doctor, top):
    commands.add_command(command)


def run(args: Sequence[str]) -> int:
    """Run a command; what to exit with."""
    try:
        code = commands.main(list(args), prog_name="multihost", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\ntry: {context.command_path} --help" if context is not None else ""
        return _complain(_without_secrets(error.format_message(), args) + hint, 2)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except LinkError as error:
        return _complain(str(error), 3)
    except MultihostError as error:
        return _complain(str(error), 1)
    return int(code or 0)


def _complain(text: str, code: int) -> int:
    click.echo(f"multihost: {text}", err=True)
    return code


def _without_secrets(text: str, args: Sequence[str]) -> str:
    """A complaint about arguments, without those that may hold a password."""
    for arg in args:
        _, scheme, secret = arg.partition("://")
        if scheme and ("@" in secret or "password" in secret):
            for form in (secret, repr(secret)[1:-1]):
                text = text.replace(form, "...")
    return text
