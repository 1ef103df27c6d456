"""``multihost ls``, ``locks`` and ``queues``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click

from multihost.cli import output
from multihost.cli.completion import complete_names, complete_types
from multihost.cli.options import Target, as_json, server
from multihost.inspection import ObjectInfo, objects, server_time, typeids_in_use
from multihost.wire.ops import kinds
from multihost.wire.session import Session

__all__ = [
    "LOCK_COLUMNS",
    "QUEUE_COLUMNS",
    "document",
    "locks",
    "ls",
    "queues",
    "row_of_lock",
    "row_of_object",
    "row_of_queue",
    "state",
]

OBJECT_COLUMNS = ("name", "type", "length", "lease", "state", "holder", "waiting")
LOCK_COLUMNS = ("name", "type", "state", "holder", "held for", "token", "waiting", "waiters")
QUEUE_COLUMNS = (
    "name",
    "type",
    "size",
    "max",
    "unfinished",
    "in flight",
    "dead",
    "waiting",
    "state",
    "consumers",
)

LISTED = 500  # objects in a table
PAGED = "pass --after {last!r}, --limit or --match"
SORT_KEYS: dict[str, Callable[[ObjectInfo], int]] = {
    "length": lambda info: info.length or 0,
    "memory": lambda info: info.memory or 0,
    "waiting": lambda info: len(info.waiters),
}


class Choice(NamedTuple):
    """Which objects to list."""

    match: str
    after: str
    limit: int | None  # None for all

    def read(self, session: Session, **more: Any) -> list[ObjectInfo]:
        """Return them, and one more if there are more."""
        limit = None if self.limit is None else self.limit + 1
        return list(objects(session, match=self.match, after=self.after, limit=limit, **more))

    def cut(self, found: list[ObjectInfo], hint: str) -> list[ObjectInfo]:
        """Return as many as were asked for; say if there are more."""
        shown = found[: self.limit]
        if len(shown) < len(found):
            last = output.plain(_name(shown[-1])) if shown else ""
            more = hint.format(last=last)
            click.echo(f"multihost: there are more than {len(shown)} objects: {more}", err=True)
        return shown


def choice(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose what is listed, and pass a :class:`Choice`."""

    @functools.wraps(command)
    def call(*, match: str, after: str, limit: int | None, as_json: bool, **kwds: Any) -> Any:
        if limit is None and not as_json:
            limit = LISTED
        return command(choice=Choice(match, after, limit or None), as_json=as_json, **kwds)

    for option in (
        click.option("--match", default="", metavar="PATTERN", help="Only such names, as 'job-*'."),
        click.option(
            "--limit",
            type=click.IntRange(min=0),
            help=f"At most so many, 0 for all; default: {LISTED}, all with --json.",
        ),
        click.option(
            "--after",
            default="",
            metavar="NAME",
            help="Only what is listed after this one.",
            shell_complete=complete_names,
        ),
    ):
        call = option(call)
    return call


@click.command()
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only this type, as dict.",
    shell_complete=complete_types,
)
@click.option("--named", is_flag=True, help="Leave out unnamed objects.")
@click.option("--memory", is_flag=True, help="Show the memory of each object, too.")
@click.option(
    "--sort",
    type=click.Choice(sorted(SORT_KEYS)),
    help="The largest first; reads all objects, however few are listed.",
)
@choice
@as_json
@server
def ls(
    target: Target,
    types: tuple[str, ...],
    named: bool,
    memory: bool,
    sort: str | None,
    choice: Choice,
    as_json: bool,
) -> None:
    """List objects: types, lengths, leases, states, holders, and the number of waiters.

    Unnamed objects are listed as u:... after all others. An object without a lease is persistent.
    """
    memory = memory or sort == "memory"
    with target.open() as session:
        _check_types(session, types)
        wanted = choice if sort is None else choice._replace(limit=None)
        found = wanted.read(session, typeids=types, memory=memory, unnamed=not named)
    if sort is not None:
        found.sort(key=SORT_KEYS[sort], reverse=True)
    found = choice.cut(found, PAGED if sort is None else "pass --limit or --match")
    if as_json:
        output.print_json(found)
        return
    columns: tuple[str, ...] = OBJECT_COLUMNS
    rows = [row_of_object(info) for info in found]
    if memory:
        columns = (*columns, "memory")
        amounts = [output.amount(info.memory) for info in found]
        rows = [(*row, amount) for row, amount in zip(rows, amounts, strict=True)]
    output.print_table(columns, rows, _nothing("objects", target, choice))


def _check_types(session: Session, types: Iterable[str]) -> None:
    """Raise UsageError for a type that does not exist."""
    unknown = set(types) - kinds.KINDS.keys()
    if unknown and (unknown := unknown - (in_use := typeids_in_use(session))):
        known = ", ".join(sorted({*kinds.KINDS, *in_use}, key=str.lower))
        raise click.UsageError(f"no type {min(unknown)!r}: there are {output.plain(known)}")


def _nothing(what: str, target: Target, choice: Choice) -> str:
    chosen = " such" if choice.match or choice.after else ""
    return f"no{chosen} {what} in namespace {target.namespace!r}"


@click.command()
@choice
@as_json
@server
def locks(target: Target, choice: Choice, as_json: bool) -> None:
    """List locks, semaphores, conditions, events and barriers.

    A holder or waiter is shown as host:pid and thread. The waiters of an event are not counted.
    """
    with target.open() as session:
        found = choice.read(session, typeids=kinds.typeids("locks"))
        now = server_time(session)
    found = choice.cut(found, PAGED)
    if as_json:
        output.print_json([document(info, time=now) for info in found])
    else:
        rows = [row_of_lock(info, now) for info in found]
        output.print_table(LOCK_COLUMNS, rows, _nothing("locks", target, choice))


@click.command()
@choice
@as_json
@server
def queues(target: Target, choice: Choice, as_json: bool) -> None:
    """List queues and pools, with their consumers.

    Items that are ready, unfinished or in flight, dead letters, waiters for room. Waiters for an
    item are not counted, except in a PriorityQueue.
    """
    with target.open() as session:
        wanted = kinds.typeids("queues") | kinds.typeids("pools")
        found = choice.read(session, typeids=wanted)
    found = choice.cut(found, PAGED)
    if as_json:
        output.print_json(found)
    else:
        rows = [row_of_queue(info) for info in found]
        output.print_table(QUEUE_COLUMNS, rows, _nothing("queues", target, choice))


def state(info: ObjectInfo) -> str | None:
    """Return its state in a few words; of a damaged object that it is, and where."""
    if not info.damage:
        return info.state
    return f"damaged: {', '.join(info.damage)}"


def row_of_object(info: ObjectInfo) -> tuple[object, ...]:
    """Return one line of ``ls``."""
    return (
        _name(info),
        info.typeid,
        info.length,
        output.duration(info.lease),
        state(info),
        output.participants(info.holders),
        len(info.waiters) or None,
    )


def row_of_lock(info: ObjectInfo, now: float) -> tuple[object, ...]:
    """Return one line of ``locks``."""
    since = next((each.since for each in info.holders if each.since is not None), None)
    return (
        _name(info),
        info.typeid,
        state(info),
        output.participants(info.holders),
        output.duration(None if since is None else max(0.0, now - since)),
        info.fencing_token,
        len(info.waiters) or None,
        output.participants(info.waiters),
    )


def row_of_queue(info: ObjectInfo) -> tuple[object, ...]:
    """Return one line of ``queues``."""
    queue = info.queue
    assert queue is not None
    return (
        _name(info),
        info.typeid,
        queue.size,
        queue.maxsize or None,
        queue.unfinished,
        queue.in_flight,
        queue.dead_letters,
        len(info.waiters),
        state(info),
        output.participants(info.holders),
    )


def document(info: ObjectInfo, **more: Any) -> dict[str, Any]:
    """Return an object as JSON: its fields, and more."""
    return {each.name: getattr(info, each.name) for each in dataclasses.fields(info)} | more


def _name(info: ObjectInfo) -> str:
    return info.ident if info.name is None else info.name
