"""Operations of a pool: a queue of tasks that workers receive, and one of results for each client.

A task is an item that would be delivered again, and is in flight to its worker until it is done:
:mod:`multihost.wire.ops.queue`. It ends with a :class:`TaskTrailer` that scripts can read. Its
result is put where the client waits, in the script that acknowledges the task: once, and not by a
worker that others declared dead meanwhile. A result ends with the number of its task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from multihost.errors import BadPayload, PayloadTooLarge
from multihost.wire.identity import name_of, sid_of
from multihost.wire.keys import colocated_ident
from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import without_flag
from multihost.wire.ops.queue import admin
from multihost.wire.ops.queue.constants import LISTS_OF
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery, InFlightList
from multihost.wire.ops.queue.quarantine import requeue
from multihost.wire.ops.queue.receive import receive
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from multihost.wire.replies import OK, ReplyError, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.session.record import SessionRecord
from multihost.wire.stored import number
from multihost.wire.values.codec import Codec
from multihost.wire.values.opcodes import LIMIT
from multihost.wire.values.signing import Purpose
from multihost.wire.wait import start_watching

__all__ = [
    "LEAST_LIMIT",
    "LOST",
    "NUMBER",
    "TRAILER_SIZE",
    "RESULTS",
    "SETTINGS",
    "TaskOutcome",
    "PoolStatistics",
    "TaskTrailer",
    "Worker",
    "check_size",
    "codec_of",
    "put_part",
    "reap_worker",
    "create",
    "create_results",
    "next_task",
    "get_or_set_settings",
    "lost_tasks",
    "return_task",
    "settle_call",
    "statistics",
    "wait_for_task",
    "watch",
    "withdraw",
]

SETTINGS = QueueSettings(0, FIFO, -1)
RESULTS = QueueSettings(0, FIFO, 0)  # of the queue of the results of a client
TRAILER_SIZE = 64
NUMBER = 36
_TRAILER = rb"([\w-]{22})([a-z])([0-9]{5})([0-9]{18})([0-9]{18})"
INITIALIZER = b"init"  # field of the hash: what workers that join have to prepare
LEAST_LIMIT = 1 << 20  # bytes: no server can be told to take less as one value
LOST = ord("!")  # first byte of a result that stands for a lost task

_next = Script("pool/next")
_reap = Script("pool/reap")
_part = Script("pool/part")
_withdraw = Script("pool/withdraw")
_settle = Script("pool/settle")


class TaskTrailer(NamedTuple):
    """The end of a task: who gets its result, and which task it is."""

    client: str
    """Ident of the queue of results, without the prefix that all have."""
    pickler: str
    """One letter."""
    attempts: int
    job: int
    number: int

    def pack(self) -> bytes:
        client, letter = self.client.encode(), self.pickler.encode()
        return b"%b%b%05d%018d%018d" % (client, letter, self.attempts, self.job, self.number)

    @classmethod
    def unpack(cls, packed: bytes) -> TaskTrailer:
        """Return what :meth:`pack` packed. Raises BadPayload for anything else."""
        found = re.fullmatch(_TRAILER, packed)
        if found is None:
            raise BadPayload("what stands in the place of a task is none")
        client, letter, *numbers = found.groups()
        return cls(client.decode(), letter.decode(), *map(int, numbers))


class TaskOutcome(NamedTuple):
    """The result of a task, for its client."""

    in_flight: InFlightList
    trailer: bytes
    result: bytes


class Worker(NamedTuple):
    """A process that runs tasks, and how many are in flight to it: none or one."""

    host: str
    pid: int
    running: int


class PoolStatistics(NamedTuple):
    """What the server has of a pool.

    ``waiting`` counts tasks that no worker has received yet, ``running`` those in flight to one.
    ``workers`` are the processes that run tasks, each with ``host``, ``pid`` and ``running``: 0 or
    1.
    """

    name: str | None
    waiting: int
    running: int
    workers: tuple[Worker, ...]


def codec_of(handle: Handle, purpose: Purpose) -> Codec:
    """Return the codec for tasks, results or the setup of workers of a pool."""
    return handle.codec.of(handle.keys.ident, purpose)


def create(handle: Handle) -> None:
    """Create the pool, or attach to it. 1 round trip."""
    admin.create(handle, "Pool", SETTINGS, (True, True))


def create_results(handle: Handle) -> Handle:
    """Create a queue for results in the partition of the pool; return its handle. 1 round trip."""
    results = handle.session.handle(colocated_ident(handle.keys.ident))
    admin.create(results, "SimpleQueue", RESULTS, (True, True))
    return results


def get_or_set_settings(handle: Handle, wanted: bytes | None = None) -> bytes | None:
    """Return the settings for workers that join; set them to ``wanted`` if there are none yet. 1
    round trip.

    Raises ObjectGone.
    """
    key = handle.keys.data
    found: bytes | None
    if wanted is None:
        exists, found = handle.link.pipeline([(b"EXISTS", key), (b"HGET", key, INITIALIZER)])
    else:
        exists, _, found = handle.link.pipeline(
            [
                (b"EXISTS", key),
                (b"HSETNX", key, INITIALIZER, wanted),
                (b"HGET", key, INITIALIZER),
            ]
        )
    if not exists:
        if wanted is not None:
            handle.link.execute(b"DEL", key)
        raise any_object.object_gone(handle, "pool/join")
    return found


def next_task(
    handle: Handle, consumer: Consumer, done: TaskOutcome | None, more: bool
) -> Delivery | None:
    """Send the outcome of a task, and receive the next one if there is ``more`` to do; None if
    there is none, without a wait. 1 round trip.

    Raises ObjectGone for a pool that was deleted.
    """
    link, membership = handle.link, consumer.membership
    while True:
        handle.session.ensure_registered(handle.keys)
        expirations = membership.expirations
        if done is not None and more and done.in_flight.expirations != expirations:
            # No next task to that list: the queue does not know it any more.
            next_task(handle, consumer, done, more=False)
            done = None
        in_flight = consumer.take_list(Hand()) if done is None else done.in_flight
        disconnects, channel = link.disconnects, link.peek().channel
        args = (b"", b"") if done is None else (done.trailer, done.result)
        try:
            answer = _next.run_idempotent(handle, in_flight.name, *args, b"%d" % more)
        except BaseException:
            consumer.quarantine(in_flight)
            raise
        without_flag(handle, answer[0])
        broken = link.disconnects != disconnects or (
            channel is not None and link.peek().channel is not channel
        )
        if broken or not consumer.is_unexpired(expirations):
            # An attempt may have arrived late, or twice: it is unknown what is in the list.
            requeue(handle, in_flight.name, delivered=False)
            consumer.quarantine(in_flight)
            done = None
            if more:
                continue
            return None
        if len(answer) > 1:
            return in_flight.delivery(answer[1])
        in_flight.unacked = 0
        if in_flight.expirations == membership.expirations:
            consumer.recycle(in_flight)
        return None


def wait_for_task(handle: Handle, consumer: Consumer) -> Delivery:
    """Receive the next task as soon as there is one. 1 round trip and the wait."""
    hand = Hand()
    try:
        while True:
            items = receive(handle, consumer, hand, 1, True, None)
            if items:
                return items[0]
    except BaseException:
        consumer.leave(hand)
        raise


def return_task(handle: Handle, consumer: Consumer, item: Delivery, begun: bool) -> None:
    """Requeue a task, for another worker. 1 round trip."""
    requeue(handle, item.in_flight.name, delivered=begun)
    item.in_flight.unacked = 0
    consumer.recycle(item.in_flight)


def put_part(handle: Handle, in_flight: InFlightList, trailer: TaskTrailer, part: bytes) -> bool:
    """Send a part of the result of a task ahead of the rest; return False if nobody wants it any
    more. 1 round trip.
    """
    return _part.run_once(handle, in_flight.name, trailer.pack(), part) is not None


def check_size(handle: Handle, size: int, what: str) -> None:
    """Raise PayloadTooLarge for so many bytes if the server does not take them as one value. 1
    round trip, none for less than a megabyte, which every server takes.

    Such a request would not be refused: the server closes the connection, often before its reply
    is read.
    """
    if size < LEAST_LIMIT:
        return
    try:
        reply = handle.link.execute_raw(b"CONFIG", b"GET", b"proto-max-bulk-len")
    except ReplyError:  # it is not permitted: assume what servers take by default
        reply = None
    found = reply and pairs(reply).get(b"proto-max-bulk-len")
    limit = number(found) or LIMIT
    if size > limit:
        raise PayloadTooLarge(
            f"{what} takes {size:,} bytes, and the server {limit:,} at most (proto-max-bulk-len): "
            "use smaller chunks or values, or pass a proxy of what is large"
        )


def withdraw(handle: Handle, trailer: TaskTrailer, *, take: bool) -> bool:
    """Take a task back that no worker has received; return False if one has. With ``take`` false
    only look. 1 round trip, O(waiting tasks).

    Raises ObjectGone for a pool that was deleted.
    """
    answer = _withdraw.run_once(handle, trailer.pack(), b"%d" % take)
    if answer is None:
        return False
    without_flag(handle, answer)
    return True


def settle_call(
    handle: Handle, client: str, numbers: Iterable[tuple[int, int]]
) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
    """Return the script by which a client settles, with its keys and arguments: the numbers of the
    tasks whose results it waits for. See :func:`lost_tasks`.
    """
    packed = [b"%018d%018d" % number for number in numbers]
    return _settle, [handle.keys.data, handle.keys.clients], [client.encode(), *packed]


def lost_tasks(handle: Handle, reply: Sequence[bytes] | None) -> list[tuple[int, int]]:
    """Return the numbers of the tasks that the server does not know any more, by the reply. No
    round trip.
    """
    if reply is None:
        return []
    code, *lost = reply
    if code != OK:
        handle.session.heartbeat.call_soon(lambda: without_flag(handle, code))
    return [(int(number[:18]), int(number[18:])) for number in lost]


def reap_worker(handle: Handle, sid: bytes) -> None:
    """Requeue the tasks of a worker that is known to be dead, or report them as lost. 3 round
    trips. What it sent before it died, and arrives now, is found later.
    """
    link, keys = handle.link, handle.keys
    names = [
        field[len(LISTS_OF) :]
        for field in link.execute(b"HKEYS", keys.refs)
        if field.startswith(LISTS_OF) and sid_of(field[len(LISTS_OF) :]) == sid
    ]
    handle.session.janitor.watch_briefly(keys, _reap)
    if names:
        link.execute(b"DEL", *[b"%b:%b" % (keys.sessions, name) for name in names])
        _reap.run_idempotent(handle, b"", b"0", b"")


def watch(handle: Handle, on_deleted: Callable[[], object]) -> None:
    """Reap dead workers as long as this thread is among the ``waiters`` of ``handle``; call
    ``on_deleted`` when the pool does not exist any more.
    """
    start_watching(handle, _reap).on_deleted.add(on_deleted)


def statistics(handle: Handle) -> PoolStatistics:
    """Return what the server has of the pool. 3 round trips, O(workers). Raises ObjectGone.

    Dead workers among them are found soon.
    """
    link, keys = handle.link, handle.keys
    handle.session.janitor.watch_briefly(keys, _reap)
    exists, waiting, reply = link.pipeline(
        [(b"EXISTS", keys.data), (b"LLEN", keys.items), (b"HGETALL", keys.refs)]
    )
    if not exists:
        raise any_object.object_gone(handle, "pool/statistics")
    refs = pairs(reply)
    size = len(LISTS_OF)
    sessions = [field[size:] for field in refs if field[:size] == LISTS_OF]
    commands = [SessionRecord.command(b"%b:%b" % (keys.sessions, name)) for name in sessions]
    records = map(SessionRecord.of, link.pipeline(commands))
    lists = keys.all_in_flight(refs)
    lengths = link.pipeline([(b"LLEN", key) for key in lists])
    running = dict.fromkeys(sessions, 0)
    for key, length in zip(lists, lengths, strict=True):
        sid = key[len(keys.in_flight(b"")) :].rpartition(b".")[0]
        running[sid] += int(length)
    workers = []
    for name, record in zip(sessions, records, strict=True):
        if record is not None:
            workers.append(Worker(record.hostname, record.pid, running[name]))
    return PoolStatistics(
        name_of(keys.ident),
        int(waiting),
        sum(worker.running for worker in workers),
        tuple(sorted(workers)),
    )
