"""``multihost ls``, ``locks`` and ``queues``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.inspection import ObjectInfo, objects, server_time
from multihost.wire.ops import kinds

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


@click.command()
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type, as dict.")
@click.option("--named", is_flag=True, help="Leave out unnamed objects.")
@click.option("--memory", is_flag=True, help="Show the memory of each object, too.")
@as_json
@server
def ls(target: Target, types: tuple[str, ...], named: bool, memory: bool, as_json: bool) -> None:
    """List all objects: types, lengths, leases, states, holders, and the number of waiters.

    Unnamed objects are listed as u:... An object without a lease is persistent.
    """
    with target.open() as session:
        found = list(objects(session, typeids=types, memory=memory, unnamed=not named))
    if as_json:
        output.print_json(found)
        return
    columns: tuple[str, ...] = OBJECT_COLUMNS
    rows = [row_of_object(info) for info in found]
    if memory:
        columns = (*columns, "memory")
        amounts = [output.amount(info.memory) for info in found]
        rows = [(*row, amount) for row, amount in zip(rows, amounts, strict=True)]
    output.print_table(columns, rows, f"no objects in namespace {target.namespace!r}")


@click.command()
@as_json
@server
def locks(target: Target, as_json: bool) -> None:
    """List locks, semaphores, conditions, events and barriers.

    A holder or waiter is shown as host:pid and thread. The waiters of an event are not counted.
    """
    with target.open() as session:
        now = server_time(session)
        found = list(objects(session, typeids=kinds.typeids("locks")))
    if as_json:
        output.print_json([document(info, time=now) for info in found])
    else:
        rows = [row_of_lock(info, now) for info in found]
        output.print_table(LOCK_COLUMNS, rows, f"no locks in namespace {target.namespace!r}")


@click.command()
@as_json
@server
def queues(target: Target, as_json: bool) -> None:
    """List queues and pools, with their consumers.

    Items that are ready, unfinished or in flight, dead letters, waiters for room. Waiters for an
    item are not counted, except in a PriorityQueue.
    """
    with target.open() as session:
        wanted = kinds.typeids("queues") | kinds.typeids("pools")
        found = list(objects(session, typeids=wanted))
    if as_json:
        output.print_json(found)
    else:
        rows = [row_of_queue(info) for info in found]
        output.print_table(QUEUE_COLUMNS, rows, f"no queues in namespace {target.namespace!r}")


def row_of_object(info: ObjectInfo) -> tuple[object, ...]:
    """Return one line of ``ls``."""
    return (
        _name(info),
        info.typeid,
        info.length,
        output.duration(info.lease),
        info.state,
        output.participants(info.holders),
        len(info.waiters) or None,
    )


def row_of_lock(info: ObjectInfo, now: float) -> tuple[object, ...]:
    """Return one line of ``locks``."""
    since = next((each.since for each in info.holders if each.since is not None), None)
    return (
        _name(info),
        info.typeid,
        info.state,
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
        info.state,
        output.participants(info.holders),
    )


def document(info: ObjectInfo, **more: Any) -> dict[str, Any]:
    """Return an object as JSON: its fields, and more."""
    return {each.name: getattr(info, each.name) for each in dataclasses.fields(info)} | more


def _name(info: ObjectInfo) -> str:
    return info.ident if info.name is None else info.name
