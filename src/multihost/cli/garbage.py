"""``multihost gc``."""

from __future__ import annotations

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.inspection import GARBAGE_KINDS, find_garbage, remove

__all__ = ["gc"]

COLUMNS = ("name", "kind", "detail", "removed")
ROUNDS = 3  # what is removed may leave others


@click.command(
    epilog="\b\nThe kinds of garbage, and why removing them is safe:\n"
    + "\n".join(f"  {kind:<18} {why}" for kind, why in GARBAGE_KINDS.items())
)
@click.option("--dry-run", is_flag=True, help="Only list what would be removed: the default.")
@click.option("--yes", is_flag=True, help="Remove it.")
@as_json
@server
def gc(target: Target, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Find what no client can reach or use any more, and remove it with --yes.

    Objects in use are never removed: each script checks again in the same step in which it removes.
    Of unnamed objects the collector of the namespace is asked; what a container let go less than
    the longest lease ago stays until then.
    """
    if dry_run and yes:
        raise click.UsageError("pass --dry-run or --yes, not both")
    rows = []
    with target.open() as session:
        for _ in range(ROUNDS if yes else 1):
            found = find_garbage(session)
            done = list(remove(session, found)) if yes else [(each, False) for each in found]
            rows += done
            if not any(existed for _, existed in done):
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
    words = {True: "yes", False: "already gone" if yes else "no"}
    output.print_table(
        COLUMNS,
        [(each.name, each.kind, each.detail, words[removed]) for each, removed in rows],
        "no garbage",
    )
    if rows and not yes:
        click.echo(f"{len(rows)} to remove: pass --yes", err=True)
