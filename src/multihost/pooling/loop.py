"""What a worker process does: take a task, run it, say what became of it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import util
from multiprocessing.pool import (  # type: ignore[attr-defined]
    MaybeEncodingError,
    _helper_reraises_exception,
)
from typing import Any, NamedTuple

from multihost.errors import MultihostError, ObjectGone, ShutDown, WorkerLost
from multihost.pooling import signals
from multihost.pooling.lifeline import Lifeline
from multihost.pooling.messages import Result, Task, with_traceback
from multihost.pooling.tally import Tally
from multihost.pooling.ticket import Ticket
from multihost.wire.codec import Codec
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import TAG, Done, Tag
from multihost.wire.ops.taking import Item, Places
from multihost.wire.session import Handle

__all__ = ["GONE", "UNLINKED", "UNPREPARED", "Orders", "work"]

# How a worker ends that does not simply end.
UNPREPARED = 70  # its initializer raised
UNLINKED = 71  # it lost its server
GONE = 72  # the pool was deleted


class Orders(NamedTuple):
    """What a worker is told when it starts."""

    ticket: Ticket
    lifeline: Lifeline
    tally: Tally
    bell: Any = None  # a Connection that is written to when a task begins or ends, or None
    initializer: Callable[..., object] | None = None
    initargs: Iterable[Any] = ()
    maxtasks: int | None = None
    joins: bool = False  # it reads what the pool's record says of the last three
    client: str = ""  # whose tasks end with that client: a named pool has those of others, too
    patient: bool = False  # SIGTERM lets it finish what it has begun
    deaf: bool = False  # Ctrl-C is for who started it


class _Stop(BaseException):
    """The worker is to end while it waits."""


class _Worker:
    """The state of this worker process."""

    def __init__(self, orders: Orders, slot: int) -> None:
        self.orders = orders
        self.slot = slot
        self.handle: Handle = orders.ticket.handle()
        self.codec: Codec = self.handle.codec
        self.places: Places = Places.of(self.handle, ops.TERMS)
        self.places.life = self.handle.session.lease_ms  # a client renews the pool
        self.maxtasks = orders.maxtasks
        self.is_prepared = False
        self.is_stopping = False
        self.is_waiting = False
        self.client = ""  # whose task is running

    # signals

    def heed_signals(self) -> None:
        """Ctrl-C and SIGTERM, as ordered."""
        if self.orders.deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.orders.patient:
            signal.signal(signal.SIGTERM, self.terminated)
            signals.arrive()

    def terminated(self, *_: object) -> None:
        """The first SIGTERM. The second one kills, and so does the first if nobody is interested in
        the task any more.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.is_stopping = True
        if self.client and self.client == self.orders.client:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.is_waiting:
            raise _Stop

    def abandoned(self) -> None:
        """Who started this worker is gone. In a thread of its own."""
        os.kill(os.getpid(), signal.SIGTERM if self.orders.patient else signal.SIGKILL)

    # the initializer

    def prepare(self) -> None:
        """Call the initializer, which for one that joins may not be known before the first task."""
        initializer, initargs = self.orders.initializer, self.orders.initargs
        if self.orders.joins:
            packed = ops.record(self.handle)
            if packed is None:
                return
            initializer, initargs, self.maxtasks = self.codec.load(packed)
        self.is_prepared = True
        if initializer is not None:
            initializer(*initargs)

    # tasks

    def run(self) -> None:
        """Until it was told to stop, or has run as many tasks as it may."""
        handle, places = self.handle, self.places
        completed, done = 0, None
        while not self.is_last(completed):
            item = ops.next_task(handle, places, done, more=True)
            done = None
            if item is None:
                item = self.wait()
            if item is None:
                return
            done = self.perform(item)
            completed += done is not None
        if done is not None:
            ops.next_task(handle, places, done, more=False)

    def is_last(self, completed: int) -> bool:
        """Whether to take no more tasks."""
        return self.is_stopping or (self.maxtasks is not None and completed >= self.maxtasks)

    def wait(self) -> Item | None:
        """The next task; None if the worker is to stop."""
        try:
            self.is_waiting = True
            if self.is_stopping:
                return None
            try:
                return ops.wait_for_task(self.handle, self.places)
            finally:
                self.is_waiting = False
        except _Stop:
            self.places.return_all()  # a task may have come in the very moment
            return None

    def perform(self, item: Item) -> Done | None:
        """Run a task, unless it was begun too often already; what became of it, None if it went
        back.
        """
        packed = item.value[-TAG:]
        tag = Tag.unpack(packed)
        if item.times > tag.attempts:
            lost = b"!%d" % (item.times - 1) + b"%018d%018d" % (tag.job, tag.number)
            return Done(item.place, packed, lost)
        if self.is_stopping:  # it came in the very moment
            ops.return_task(self.handle, self.places, item, begun=False)
            return None
        tally, slot = self.orders.tally, self.slot
        tally.begun(slot)
        self.ring()
        self.client = tag.client
        try:
            ok, value = self.call(item, tag)
        except BaseException as error:
            self.end_with(item, tag, error)
            raise
        finally:
            self.client = ""
        tally.ended(slot, ok)
        self.ring()
        return Done(item.place, packed, self.packed(tag, ok, value))

    def call(self, item: Item, tag: Tag) -> tuple[bool, Any]:
        """Whether the task returned, and what, or what it raised."""
        if not self.is_prepared:
            self.prepare()
            self.is_prepared = True
        try:
            func, args, kwds = Task.unpack(self.codec, item.value, tag)
        except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            error.add_note("raised while a worker unpickled the task")
            return False, with_traceback(error)
        try:
            return True, func(*args, **kwds)
        except Exception as error:  # noqa: BLE001 - it is raised by whoever gets the result
            if func is _helper_reraises_exception:
                return False, error
            return False, with_traceback(error)

    def packed(self, tag: Tag, ok: bool, value: Any) -> bytes:
        """The result as it is sent; if it cannot be pickled, an error that says so."""
        try:
            return Result(tag.job, tag.number, ok, value).pack(self.codec, tag.pickler)
        except Exception as error:  # noqa: BLE001 - as in multiprocessing
            wrapped = MaybeEncodingError(error, value)
            return Result(tag.job, tag.number, False, wrapped).pack(self.codec, "p")

    def end_with(self, item: Item, tag: Tag, error: BaseException) -> None:
        """A task ends its worker: it is run again by another one, or reported."""
        self.orders.tally.ended(self.slot, False)
        if item.times < tag.attempts:
            ops.return_task(self.handle, self.places, item, begun=True)
            return
        lost = WorkerLost(f"the task ended the worker that ran it: {error!r}")
        result = Result(tag.job, tag.number, False, lost).pack(self.codec, "p")
        done = Done(item.place, item.value[-TAG:], result)
        ops.next_task(self.handle, self.places, done, more=False)

    def ring(self) -> None:
        """Somebody may want to know."""
        bell = self.orders.bell
        if bell is not None:
            bell.ring()


def work(orders: Orders, slot: int) -> None:
    """The target of a worker process."""
    worker = _Worker(orders, slot)
    orders.tally.enter(slot, worker.handle.session.presence.sid)
    worker.heed_signals()
    orders.lifeline.at_end(worker.abandoned)
    try:
        worker.prepare()
    except (ObjectGone, ShutDown):
        sys.exit(GONE)
    except MultihostError:
        traceback.print_exc()
        sys.exit(UNLINKED)
    except Exception:  # noqa: BLE001 - the initializer is the user's
        traceback.print_exc()
        sys.exit(UNPREPARED)
    orders.tally.ready(slot)
    try:
        worker.run()
    except (ObjectGone, ShutDown):
        util.debug("the pool was deleted")
        sys.exit(GONE)
    except MultihostError as error:
        util.info(f"the worker lost its server: {error}")
        sys.exit(UNLINKED)
