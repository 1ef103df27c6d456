"""The records of an object that the inspection returns and ``--json`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from multihost.wire.ops import kinds

__all__ = ["ObjectInfo", "Participant", "QueueInfo"]


@dataclass(frozen=True, slots=True)
class Participant:
    """A process, or a thread of one, that holds an object or waits for it.

    ``session``
        the id of its session.
    ``host``, ``pid``
        the name of its host and its process id, None for a process that is dead; ``(damaged)`` and
        0 for one that is alive and has left no such record.
    ``thread``
        the name of the thread, empty where a process takes part as a whole.
    ``since``
        when it asked for what it holds: the server's time, in seconds since the epoch. None where
        the server does not store it.
    ``count``
        how many permits it holds, or how many items it has in flight; else 1.
    """

    session: str
    host: str | None
    pid: int | None
    thread: str
    since: float | None
    count: int

    @property
    def is_alive(self) -> bool:
        """True unless its session is dead."""
        return self.host is not None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """The part of a record that only queues and pools have.

    ``maxsize``
        the most items that are ready, 0 for any number.
    ``max_deliveries``
        how often an item is delivered that is not acknowledged: 0 once and without acknowledgement,
        -1 any number of times.
    ``size``
        items that are ready.
    ``unfinished``
        items that were put and are not done.
    ``in_flight``
        items that a consumer has and has not acknowledged.
    ``dead_letters``
        items that were delivered too often.
    ``is_shut_down``
        True if the queue accepts no more items.
    """

    maxsize: int
    max_deliveries: int
    size: int
    unfinished: int
    in_flight: int
    dead_letters: int
    is_shut_down: bool


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object on the server.

    ``ident``
        its identity: ``n:<name>`` or ``u:<22 characters>``.
    ``name``
        None for an unnamed object.
    ``typeid``
        its type, such as ``RLock``.
    ``parameters``, ``codec``
        its parameters, and how its values are encoded: empty and None for an unnamed object.
    ``length``
        entries, elements or items; None for a type that has none, and for an unnamed Array.
    ``memory``
        bytes on the server; None if they were not asked for, or the server does not report them.
    ``lease``
        seconds until it expires unless a holder of a proxy renews it; None for a persistent object.
    ``state``
        in a word or two, such as ``locked``, ``1 of 2 free`` or ``shut down``; None for containers.
    ``holders``
        its holders; of a queue its consumers.
    ``waiters``
        those that the server stores. It stores none for an Event, and none for an item of a queue
        other than PriorityQueue.
    ``contains``
        the idents of the unnamed objects in it.
    ``fencing_token``
        the last one of a lock, semaphore or condition.
    ``queue``
        the part that only queues and pools have, None for other types.
    ``damage``
        places that cannot be read, since another program has altered them on the server: what
        stands there is left out, a number is 0. Empty for an object that is well.
    """

    ident: str
    name: str | None
    typeid: str
    parameters: str
    codec: str | None
    length: int | None
    memory: int | None
    lease: float | None
    state: str | None
    holders: tuple[Participant, ...]
    waiters: tuple[Participant, ...]
    contains: tuple[str, ...]
    fencing_token: int | None
    queue: QueueInfo | None
    damage: tuple[str, ...]

    @property
    def listing(self) -> str:
        """The command that lists it, besides ``ls``: locks, queues or pools; else empty."""
        return kinds.of(self.typeid).listing
