"""``multihost show`` and ``multihost rm``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from multihost.cli import output
from multihost.cli.listing import described
from multihost.cli.options import Target, as_json, server_behind_names
from multihost.inspection import ObjectInfo, delete, find, preview, queue_of, server_time

__all__ = ["rm", "show"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="[URL] NAME")
@click.option("--items", default=10, show_default=True, help="So many of its first entries.")
@as_json
@server_behind_names
def show(target: Target, names: tuple[str, ...], items: int, as_json: bool) -> int:
    """Show one object: by its name, or as ls lists it (u:...).

    Entries are shown as far as that takes no code: of instances of classes only their size.
    """
    if len(names) != 1:
        raise click.UsageError("show takes one name")
    with target.open() as session:
        info = find(session, names[0])
        if info is None:
            click.echo(f"multihost: no object {output.plain(names[0])!r}", err=True)
            return 1
        entries = preview(session, info, items)
        now = server_time(session)
    if as_json:
        shown = [{"key": key, "value": value} for key, value in entries]
        output.print_json(described(info, now) | {"entries": shown})
    else:
        output.print_rich(output.table(("what", "is"), list(_facts(info, now))))
        if entries:
            click.echo()
            output.print_rich(output.table(("key", "value"), entries))
    return 0


def _facts(info: ObjectInfo, now: float) -> Iterator[tuple[str, object]]:
    yield "name", info.name
    yield "ident", info.ident
    yield "type", info.typeid
    if info.parameters:
        yield "parameters", info.parameters
    if info.codec is not None:
        yield "written as", info.codec
    if info.length is not None:
        yield "length", info.length
    yield "memory", output.amount(info.memory)
    yield "lease", output.duration(info.lease) or "none, it is kept"
    if info.state is not None:
        yield "state", info.state
    if info.fencing_token is not None:
        yield "last fencing token", info.fencing_token
    if (queue := queue_of(info)) is not None:
        yield "maxsize", queue.maxsize or "none"
        yield "unfinished", queue.unfinished
        yield "taken, not done", queue.in_flight
        yield "dead letters", queue.dead_letters
    for who in info.holders:
        age = "" if who.since is None else f" for {output.duration(max(0.0, now - who.since))}"
        yield "held by", output.who([who]) + age
    for who in info.waiters:
        yield "waits", output.who([who])
    for ident in info.contains:
        yield "contains", ident


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="[URL] NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@server_behind_names
def rm(target: Target, names: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Delete objects. Whoever uses or waits for one gets ObjectGone."""
    with target.open() as session:
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("nobody can be asked here: say --yes to delete")
            for name in names:
                info = find(session, name, memory=False)
                if info is not None:
                    held = f", held by {output.who(info.holders)}" if info.holders else ""
                    click.echo(f"{output.plain(name)}: {info.typeid}{held}")
            click.confirm("delete?", abort=True)
        done = {name: delete(session, name) for name in names}
    if as_json:
        output.print_json(done)
    else:
        for name, was_there in done.items():
            click.echo(f"{output.plain(name)}: {'deleted' if was_there else 'no such object'}")
    return 0 if all(done.values()) else 1
