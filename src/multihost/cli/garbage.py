"""``multihost gc``."""

from __future__ import annotations

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.inspection import GARBAGE_KINDS, HOUR, find_garbage, remove

__all__ = ["gc"]

COLUMNS = ("name", "what", "detail", "done")
ROUNDS = 3  # what is let go may let others go


@click.command(
    epilog="\b\nWhat it looks for, and why that is safe:\n"
    + "\n".join(f"  {kind:<13} {why}" for kind, why in GARBAGE_KINDS.items())
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed: the default.")
@click.option("--yes", is_flag=True, help="Remove it.")
@click.option(
    "--lease",
    default=HOUR,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="For objects that nothing keeps; at least the longest RedisManager(lease=) in use.",
)
@as_json
@server
def gc(target: Target, dry_run: bool, yes: bool, lease: float, as_json: bool) -> None:
    """Find what belongs to nobody, and remove it with --yes.

    It never removes what is in use: each script looks again in the moment in which it removes.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run or --yes, not both")
    rows = []
    with target.open(lease) as session:
        for _ in range(ROUNDS if yes else 1):
            found = find_garbage(session)
            done = list(remove(session, found)) if yes else [(each, False) for each in found]
            rows += done
            if not any(was_there for _, was_there in done):
                break
    if as_json:
        output.print_json(
            [
                {
                    "name": each.name,
                    "ident": each.ident,
                    "kind": each.kind,
                    "detail": each.detail,
                    "removed": removed,
                }
                for each, removed in rows
            ]
        )
        return
    words = {True: "yes", False: "not any more" if yes else "no"}
    output.print_table(
        COLUMNS,
        [(each.name, each.kind, each.detail, words[removed]) for each, removed in rows],
        "nothing to remove",
    )
    if rows and not yes:
        click.echo(f"{len(rows)} to remove: say --yes", err=True)
