"""``multihost ls``, ``locks`` and ``queues``."""

from __future__ import annotations

from typing import Any

import click

from multihost.cli import output
from multihost.cli.options import Target, as_json, server
from multihost.inspection import ObjectInfo, objects, queue_of, server_time

__all__ = ["locks", "ls", "queues", "row_of_lock", "row_of_object", "row_of_queue"]

LOCKS = (
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Barrier",
)
OBJECT_COLUMNS = ("name", "type", "length", "lease", "state", "held by", "waiters")
LOCK_COLUMNS = ("name", "type", "state", "held by", "for", "token", "waiters", "who waits")
QUEUE_COLUMNS = (
    "name",
    "type",
    "size",
    "max",
    "unfinished",
    "taken",
    "dead",
    "waiters",
    "state",
    "consumers",
)


@click.command()
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only those, such as dict.")
@click.option("--named", is_flag=True, help="Leave out objects without a name.")
@click.option("--memory", is_flag=True, help="Ask for the bytes that each one takes, too.")
@as_json
@server
def ls(target: Target, types: tuple[str, ...], named: bool, memory: bool, as_json: bool) -> None:
    """List the objects: types, sizes, who holds them and who waits.

    Objects without a name are listed as u:...; the server does not know more than their family (an
    RLock is shown as Lock, a JoinableQueue as Queue), and whether something keeps them (no lease).
    """
    with target.open() as session:
        found = list(objects(session, typeids=types, memory=memory, unnamed=not named))
    if as_json:
        output.print_json([described(info) for info in found])
    else:
        rows = [row_of_object(info) for info in found]
        columns: tuple[str, ...] = OBJECT_COLUMNS
        if memory:
            columns = (*columns, "memory")
            weights = [output.amount(info.memory) for info in found]
            rows = [(*row, weight) for row, weight in zip(rows, weights, strict=True)]
        output.print_table(columns, rows, f"no objects in namespace {target.namespace!r}")


@click.command()
@as_json
@server
def locks(target: Target, as_json: bool) -> None:
    """List what can be held or waited for.

    That is locks, semaphores, conditions, events and barriers. Who holds one shows as host:pid and
    thread. Who waits for an event is not counted.
    """
    with target.open() as session:
        now = server_time(session)
        found = list(objects(session, typeids=LOCKS))
    if as_json:
        output.print_json([described(info, now) for info in found])
    else:
        rows = [row_of_lock(info, now) for info in found]
        output.print_table(LOCK_COLUMNS, rows, f"no locks in namespace {target.namespace!r}")


@click.command()
@as_json
@server
def queues(target: Target, as_json: bool) -> None:
    """List the queues, with what their consumers have.

    Items that are ready, unfinished or taken, dead letters, who waits for room. Consumers that wait
    for an item are not counted, except in a PriorityQueue.
    """
    with target.open() as session:
        found = [info for info in objects(session) if queue_of(info) is not None]
    if as_json:
        output.print_json([described(info) for info in found])
    else:
        rows = [row_of_queue(info) for info in found]
        output.print_table(QUEUE_COLUMNS, rows, f"no queues in namespace {target.namespace!r}")


def row_of_object(info: ObjectInfo) -> tuple[object, ...]:
    """One line of ``ls``."""
    return (
        info.name if info.name is not None else info.ident,
        info.typeid,
        info.length,
        output.duration(info.lease),
        info.state,
        output.who(info.holders),
        len(info.waiters) or None,
    )


def row_of_lock(info: ObjectInfo, now: float) -> tuple[object, ...]:
    """One line of ``locks``."""
    since = next((who.since for who in info.holders if who.since is not None), None)
    return (
        info.name if info.name is not None else info.ident,
        info.typeid,
        info.state,
        output.who(info.holders),
        output.duration(None if since is None else max(0.0, now - since)),
        info.fencing_token,
        len(info.waiters) or None,
        output.who(info.waiters),
    )


def row_of_queue(info: ObjectInfo) -> tuple[object, ...]:
    """One line of ``queues``."""
    queue = queue_of(info)
    assert queue is not None
    return (
        info.name if info.name is not None else info.ident,
        info.typeid,
        queue.size,
        queue.maxsize or None,
        queue.unfinished,
        queue.in_flight,
        queue.dead_letters,
        len(info.waiters),
        info.state,
        output.who(info.holders),
    )


def described(info: ObjectInfo, now: float | None = None) -> dict[str, Any]:
    """An object as JSON."""
    found: dict[str, Any] = {
        "name": info.name,
        "ident": info.ident,
        "type": info.typeid,
        "parameters": info.parameters,
        "codec": info.codec,
        "length": info.length,
        "memory": info.memory,
        "lease": info.lease,
        "state": info.state,
        "holders": info.holders,
        "waiters": info.waiters,
        "contains": info.contains,
    }
    if info.fencing_token is not None:
        found["fencing_token"] = info.fencing_token
    if now is not None:
        found["time"] = now
    if (queue := queue_of(info)) is not None:
        found["queue"] = queue
    return found
