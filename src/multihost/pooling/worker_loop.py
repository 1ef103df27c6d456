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
from multihost.pooling.counters import TaskCounters
from multihost.pooling.messages import Result, Task, with_traceback
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import TRAILER_SIZE, TaskOutcome, TaskTrailer
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.session import Handle
from multihost.wire.values.codec import Codec

__all__ = ["POOL_DELETED", "SERVER_LOST", "INITIALIZER_FAILED", "WorkerConfig", "work"]

# How a worker ends that does not simply end.
INITIALIZER_FAILED = 70  # its initializer raised
SERVER_LOST = 71  # it lost its server
POOL_DELETED = 72  # the pool was deleted


class WorkerConfig(NamedTuple):
    """What a worker is told when it starts."""

    reference: PoolReference
    parent_watch: ParentWatch
    counters: TaskCounters
    progress_pipe: Any = None  # a Connection that is written to when a task begins or ends, or None
    initializer: Callable[..., object] | None = None
    initargs: Iterable[Any] = ()
    maxtasks: int | None = None
    reads_settings: bool = False  # it reads what the pool's record says of the last three
    client: str = ""  # whose tasks end with that client: a named pool has those of others, too
    graceful_sigterm: bool = False  # SIGTERM lets it finish what it has begun
    ignore_sigint: bool = False  # Ctrl-C is for who started it


class _Stop(BaseException):
    """The worker is to end while it waits."""


class _Worker:
    """The state of this worker process."""

    def __init__(self, orders: WorkerConfig, slot: int) -> None:
        self.config = orders
        self.slot = slot
        self.handle: Handle = orders.reference.handle()
        self.codec: Codec = self.handle.codec
        self.consumer: Consumer = Consumer.of(self.handle, ops.SETTINGS)
        self.consumer.ttl = self.handle.session.lease_ms  # a client renews the pool
        self.maxtasks = orders.maxtasks
        self.is_prepared = False
        self.is_stopping = False
        self.is_waiting = False
        self.client = ""  # whose task is running

    # signals

    def install_signal_handlers(self) -> None:
        """Ctrl-C and SIGTERM, as ordered."""
        if self.config.ignore_sigint:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.config.graceful_sigterm:
            signal.signal(signal.SIGTERM, self.on_sigterm)
            signals.unblock()

    def on_sigterm(self, *_: object) -> None:
        """The first SIGTERM. The second one kills, and so does the first if nobody is interested in
        the task any more.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.is_stopping = True
        if self.client and self.client == self.config.client:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.is_waiting:
            raise _Stop

    def on_parent_exit(self) -> None:
        """Who started this worker is gone. In a thread of its own."""
        os.kill(os.getpid(), signal.SIGTERM if self.config.graceful_sigterm else signal.SIGKILL)

    # the initializer

    def prepare(self) -> None:
        """Call the initializer, which for one that joins may not be known before the first task."""
        initializer, initargs = self.config.initializer, self.config.initargs
        if self.config.reads_settings:
            packed = ops.get_or_set_settings(self.handle)
            if packed is None:
                return
            initializer, initargs, self.maxtasks = self.codec.load(packed)
        self.is_prepared = True
        if initializer is not None:
            initializer(*initargs)

    # tasks

    def run(self) -> None:
        """Until it was told to stop, or has run as many tasks as it may."""
        handle, places = self.handle, self.consumer
        completed, done = 0, None
        while not self.is_last(completed):
            item = ops.next_task(handle, places, done, more=True)
            done = None
            if item is None:
                item = self.wait()
            if item is None:
                return
            done = self.run_task(item)
            completed += done is not None
        if done is not None:
            ops.next_task(handle, places, done, more=False)

    def is_last(self, completed: int) -> bool:
        """Whether to take no more tasks."""
        return self.is_stopping or (self.maxtasks is not None and completed >= self.maxtasks)

    def wait(self) -> Delivery | None:
        """The next task; None if the worker is to stop."""
        try:
            self.is_waiting = True
            if self.is_stopping:
                return None
            try:
                return ops.wait_for_task(self.handle, self.consumer)
            finally:
                self.is_waiting = False
        except _Stop:
            self.consumer.requeue_all()  # a task may have come in the very moment
            return None

    def run_task(self, item: Delivery) -> TaskOutcome | None:
        """Run a task, unless it was begun too often already; what became of it, None if it went
        back.
        """
        packed = item.value[-TRAILER_SIZE:]
        tag = TaskTrailer.unpack(packed)
        if item.delivery_count > tag.attempts:
            lost = b"!%d" % (item.delivery_count - 1) + b"%018d%018d" % (tag.job, tag.number)
            return TaskOutcome(item.in_flight, packed, lost)
        if self.is_stopping:  # it came in the very moment
            ops.return_task(self.handle, self.consumer, item, begun=False)
            return None
        tally, slot = self.config.counters, self.slot
        tally.begun(slot)
        self.signal_progress()
        self.client = tag.client
        try:
            ok, value = self.call(item, tag)
        except BaseException as error:
            self.fail_task_and_exit(item, tag, error)
            raise
        finally:
            self.client = ""
        tally.ended(slot, ok)
        self.signal_progress()
        return TaskOutcome(item.in_flight, packed, self.packed(tag, ok, value))

    def call(self, item: Delivery, tag: TaskTrailer) -> tuple[bool, Any]:
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

    def packed(self, tag: TaskTrailer, ok: bool, value: Any) -> bytes:
        """The result as it is sent; if it cannot be pickled, an error that says so."""
        try:
            return Result(tag.job, tag.number, ok, value).pack(self.codec, tag.pickler)
        except Exception as error:  # noqa: BLE001 - as in multiprocessing
            wrapped = MaybeEncodingError(error, value)
            return Result(tag.job, tag.number, False, wrapped).pack(self.codec, "p")

    def fail_task_and_exit(self, item: Delivery, tag: TaskTrailer, error: BaseException) -> None:
        """A task ends its worker: it is run again by another one, or reported."""
        self.config.counters.ended(self.slot, False)
        if item.delivery_count < tag.attempts:
            ops.return_task(self.handle, self.consumer, item, begun=True)
            return
        lost = WorkerLost(f"the task ended the worker that ran it: {error!r}")
        result = Result(tag.job, tag.number, False, lost).pack(self.codec, "p")
        done = TaskOutcome(item.in_flight, item.value[-TRAILER_SIZE:], result)
        ops.next_task(self.handle, self.consumer, done, more=False)

    def signal_progress(self) -> None:
        """Somebody may want to know."""
        bell = self.config.progress_pipe
        if bell is not None:
            bell.wake()


def work(config: WorkerConfig, slot: int) -> None:
    """The target of a worker process."""
    worker = _Worker(config, slot)
    config.counters.attach(slot, worker.handle.session.registration.sid)
    worker.install_signal_handlers()
    config.parent_watch.on_parent_exit(worker.on_parent_exit)
    try:
        worker.prepare()
    except (ObjectGone, ShutDown):
        sys.exit(POOL_DELETED)
    except MultihostError:
        traceback.print_exc()
        sys.exit(SERVER_LOST)
    except Exception:  # noqa: BLE001 - the initializer is the user's
        traceback.print_exc()
        sys.exit(INITIALIZER_FAILED)
    config.counters.ready(slot)
    try:
        worker.run()
    except (ObjectGone, ShutDown):
        util.debug("the pool was deleted")
        sys.exit(POOL_DELETED)
    except MultihostError as error:
        util.info(f"the worker lost its server: {error}")
        sys.exit(SERVER_LOST)
