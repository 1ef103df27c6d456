"""What the server knows of a pool."""

from __future__ import annotations

from typing import Any, NamedTuple

from multihost.pooling.reference import ident_of, session_of
from multihost.wire.identity import name_of
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import Worker
from multihost.wire.session import Session

__all__ = ["PoolStatistics", "Worker", "statistics", "statistics_of"]


class PoolStatistics(NamedTuple):
    """What the server knows of a pool.

    ``waiting`` counts tasks that no worker has yet, ``running`` those that one has. ``workers`` are
    the processes that take tasks, each with ``host``, ``pid`` and ``running``: 0 or 1.
    """

    name: str | None
    waiting: int
    running: int
    workers: tuple[Worker, ...]


def statistics(session: Session, ident: str) -> PoolStatistics:
    """What the server knows of a pool. 3 round trips, O(workers)."""
    state = ops.state(session.handle(ident))
    return PoolStatistics(
        name_of(ident),
        state.waiting,
        sum(worker.running for worker in state.workers),
        tuple(state.workers),
    )


def statistics_of(manager: Any, name: str) -> PoolStatistics:
    """What the server of a manager knows of the pool of that name. 3 round trips, O(workers).

    Raises ObjectGone if there is none.
    """
    return statistics(session_of(manager), ident_of(name))
