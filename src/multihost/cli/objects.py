"""``multihost show`` and ``multihost rm``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from multihost.cli import output
from multihost.cli.completion import complete_names
from multihost.cli.listing import document
from multihost.cli.options import Target, as_json, server_behind_names
from multihost.inspection import ObjectInfo, delete, find, preview, server_time

__all__ = ["rm", "show"]


@click.command()
@click.argument(
    "names", nargs=-1, required=True, metavar="[URL] NAME", shell_complete=complete_names
)
@click.option("--items", default=10, show_default=True, help="The number of first entries to show.")
@as_json
@server_behind_names
def show(target: Target, names: tuple[str, ...], items: int, as_json: bool) -> int:
    """Show one object, by its name or as ls lists it (u:...), and its first entries.

    No code is run to show an entry: of an instance of a class, and of what has more than 20,000
    parts, only the size is shown.
    """
    if len(names) != 1:
        raise click.UsageError("pass one name")
    with target.open() as session:
        info = find(session, names[0])
        if info is None:
            click.echo(f"multihost: object {output.plain(names[0])!r} not found", err=True)
            return 1
        entries = preview(session, info, items)
        now = server_time(session)
    if as_json:
        shown = [{"key": key, "value": value} for key, value in entries]
        output.print_json(document(info, time=now, entries=shown))
    else:
        output.print_rich(output.table(("property", "value"), list(_properties(info, now))))
        if entries:
            click.echo()
            output.print_rich(output.table(("key", "value"), entries))
    return 0


def _properties(info: ObjectInfo, now: float) -> Iterator[tuple[str, object]]:
    yield "name", info.name
    yield "ident", info.ident
    yield "type", info.typeid
    if info.parameters:
        yield "parameters", info.parameters
    if info.codec is not None:
        yield "encoding", info.codec
    if info.length is not None:
        yield "length", info.length
    yield "memory", output.amount(info.memory)
    yield "lease", output.duration(info.lease) or "none, it is persistent"
    if info.state is not None:
        yield "state", info.state
    for place in info.damage:
        yield "damaged", place
    if info.fencing_token is not None:
        yield "last fencing token", info.fencing_token
    if (queue := info.queue) is not None:
        yield "maxsize", queue.maxsize or "none"
        yield "unfinished", queue.unfinished
        yield "in flight", queue.in_flight
        yield "dead letters", queue.dead_letters
    role = "holder" if info.queue is None else "consumer"
    for each in info.holders:
        age = "" if each.since is None else f" for {output.duration(max(0.0, now - each.since))}"
        yield role, output.participants([each]) + age
    for each in info.waiters:
        yield "waiter", output.participants([each])
    for ident in info.contains:
        yield "contains", ident


@click.command()
@click.argument(
    "names", nargs=-1, required=True, metavar="[URL] NAME...", shell_complete=complete_names
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
@server_behind_names
def rm(target: Target, names: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Delete objects. Processes that use one or wait for it get ObjectGone."""
    with target.open() as session:
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("no terminal to ask for confirmation: pass --yes to delete")
            for name in names:
                info = find(session, name, memory=False)
                if info is not None:
                    holder = output.participants(info.holders)
                    held = f", holder: {holder}" if info.holders else ""
                    click.echo(f"{output.plain(name)}: {info.typeid}{held}")
            if not click.confirm("delete?"):
                click.echo("nothing deleted", err=True)
                return 1
        done = {name: delete(session, name) for name in names}
    if as_json:
        output.print_json(done)
    else:
        for name, existed in done.items():
            click.echo(f"{output.plain(name)}: {'deleted' if existed else 'not found'}")
    return 0 if all(done.values()) else 1
