"""Operations of a pool: a queue of tasks that workers take, and a queue of results for each client.

A task is an item that would be delivered again, and lies at the place of its worker until it is
done: :mod:`multihost.wire.ops.taking`. It ends with a :class:`Tag` that scripts can read. What
becomes of it is put where the client waits, in the script that removes it from there: once, and not
by a worker that others took for dead meanwhile. A result ends with the number of its task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from multihost.wire.ops import object as any_object
from multihost.wire.ops import queue as queue_ops
from multihost.wire.ops.ownership import without_flag
from multihost.wire.ops.taking import (
    Consumer,
    Delivery,
    InFlightList,
    QueueSettings,
    receive,
    requeue,
)
from multihost.wire.replies import pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.registration import SessionInfo
from multihost.wire.wait import start_watching

__all__ = [
    "LOST",
    "NUMBER",
    "TRAILER_SIZE",
    "SETTINGS",
    "TaskOutcome",
    "PoolState",
    "TaskTrailer",
    "Worker",
    "reap_worker",
    "create",
    "next_task",
    "get_or_set_settings",
    "return_task",
    "state",
    "wait_for_task",
    "watch",
]

SETTINGS = QueueSettings(0, "f", -1)
TRAILER_SIZE = 64
NUMBER = 36
LOST = ord("!")  # what a result starts with that says that there is none

_next = Script("pool/next")
_reap = Script("pool/reap")


class TaskTrailer(NamedTuple):
    """What a task says of itself at its end."""

    client: str  # ident of the queue of results, without what all have
    pickler: str  # one letter
    attempts: int
    job: int
    number: int

    def pack(self) -> bytes:
        client, letter = self.client.encode(), self.pickler.encode()
        return b"%b%b%05d%018d%018d" % (client, letter, self.attempts, self.job, self.number)

    @classmethod
    def unpack(cls, packed: bytes) -> TaskTrailer:
        text = packed.decode()
        return cls(text[:22], text[22], int(text[23:28]), int(text[28:46]), int(text[46:]))


class TaskOutcome(NamedTuple):
    """What became of a task."""

    in_flight: InFlightList
    trailer: bytes
    result: bytes


class Worker(NamedTuple):
    """A process that takes tasks, and how many it has now: none or one."""

    host: str
    pid: int
    running: int


class PoolState(NamedTuple):
    """What the server knows of a pool."""

    waiting: int
    workers: list[Worker]


def create(handle: Handle) -> None:
    """Create the pool, or attach to it. 1 round trip."""
    queue_ops.create(handle, "Pool", SETTINGS, (True, True))


def get_or_set_settings(handle: Handle, wanted: bytes | None = None) -> bytes | None:
    """What workers that join are to be told; ``wanted`` if nothing was said yet. 1 round trip."""
    key = handle.keys.data
    if wanted is None:
        exists, found = handle.link.pipeline([(b"EXISTS", key), (b"HGET", key, b"init")])
    else:
        exists, _, found = handle.link.pipeline(
            [(b"EXISTS", key), (b"HSETNX", key, b"init", wanted), (b"HGET", key, b"init")]
        )
    if not exists:
        if wanted is not None:
            handle.link.execute(b"DEL", key)
        raise any_object.object_gone(handle, "pool/join")
    return found  # type: ignore[no-any-return]


def next_task(
    handle: Handle, places: Consumer, done: TaskOutcome | None, more: bool
) -> Delivery | None:
    """Say what became of a task, and take the next one if there is one; does not wait.

    1 round trip. Raises ObjectGone for a pool that was deleted.
    """
    link, presence = handle.link, handle.session.registration
    while True:
        handle.session.ensure_registered(handle.keys)
        lapses = presence.expirations
        if done is not None and more and done.in_flight.expirations != lapses:
            next_task(handle, places, done, more=False)  # nobody looks after that place any more
            done = None
        place = places.new_list() if done is None else done.in_flight
        breaks, channel = link.disconnects, link.peek().channel
        args = (b"", b"") if done is None else (done.trailer, done.result)
        try:
            answer = _next.run_idempotent(handle, place.name, *args, b"%d" % more)
        except BaseException:
            places.quarantine(place)
            raise
        without_flag(handle, answer[0])
        broken = link.disconnects != breaks or (
            channel is not None and link.peek().channel is not channel
        )
        if broken or not places.is_unexpired(lapses):
            # An attempt may have come late, or twice: nobody knows what lies there.
            requeue(handle, place.name, counted=False)
            places.quarantine(place)
            done = None
            if more:
                continue
            return None
        if len(answer) > 1:
            return _item(place, answer[1])
        place.unacked = 0
        if place.expirations == presence.expirations:
            places.recycle(place)
        return None


def _item(place: InFlightList, raw: bytes) -> Delivery:
    place.unacked = 1
    if raw[:1] != b"*":
        return Delivery(raw, 1, place)
    times, _, value = raw.partition(b";")
    return Delivery(value, int(times[1:]) + 1, place)


def wait_for_task(handle: Handle, places: Consumer) -> Delivery:
    """Take the next task as soon as there is one. 1 round trip and the wait."""
    while True:
        items = receive(handle, places, 1, True, None)
        if items:
            return items[0]


def return_task(handle: Handle, places: Consumer, item: Delivery, begun: bool) -> None:
    """A task goes back, for another worker. 1 round trip."""
    requeue(handle, item.in_flight.name, counted=begun)
    item.in_flight.unacked = 0
    places.recycle(item.in_flight)


def reap_worker(handle: Handle, session: bytes) -> None:
    """A worker is known to be dead: what it had goes back, or is lost. 4 round trips.

    Its places stay known for a second: what it sent before it died may still arrive.
    """
    places, _ = handle.link.pipeline(
        [
            (b"HGET", handle.keys.refs, b"f:" + session),
            (b"PEXPIRE", b"%b:%b" % (handle.keys.sessions, session), b"1000"),
        ]
    )
    handle.session.janitor.watch_briefly(handle.keys, _reap)
    for number in range(1, int(places or 0) + 1):
        requeue(handle, b"%b.%d" % (session, number), counted=True)
    if places:
        _reap.run_idempotent(handle, b"", b"0")


def watch(handle: Handle, on_deleted: Callable[[], object]) -> None:
    """Look after the workers as long as this thread is among the ``waiters`` of ``handle``; call
    ``gone`` if there is no such pool any more.
    """
    start_watching(handle, _reap).on_deleted.add(on_deleted)


def state(handle: Handle) -> PoolState:
    """2 round trips, O(workers). Dead ones among them will be found soon."""
    link, keys = handle.link, handle.keys
    handle.session.janitor.watch_briefly(keys, _reap)
    exists, waiting, refs = link.pipeline(
        [(b"EXISTS", keys.data), (b"LLEN", keys.items), (b"HGETALL", keys.refs)]
    )
    if not exists:
        raise any_object.object_gone(handle, "pool/statistics")
    sessions = [field[2:] for field in pairs(refs) if field[:2] == b"f:"]
    if not sessions:
        return PoolState(int(waiting), [])
    notes = link.pipeline([(b"GET", b"%b:%b" % (keys.sessions, sid)) for sid in sessions])
    flights = keys.all_in_flight(pairs(refs))
    lengths = link.pipeline([(b"LLEN", flight) for flight in flights]) if flights else []
    running = dict.fromkeys(sessions, 0)
    for flight, length in zip(flights, lengths, strict=True):
        sid = flight[len(keys.in_flight(b"")) :].rpartition(b".")[0]
        running[sid] += int(length)
    workers = []
    for sid, packed in zip(sessions, notes, strict=True):
        if packed is not None:
            note = SessionInfo.unpack(packed)
            workers.append(Worker(note.host, note.pid, running[sid]))
    return PoolState(int(waiting), sorted(workers))
