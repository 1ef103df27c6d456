"""A worker process: it receives a task, runs it, and sends the result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import util
from typing import Any, NamedTuple, NoReturn

from multihost import errors
from multihost.errors import BadPayload, MultihostError, ObjectGone, ShutDown
from multihost.pooling import signals, stdlib
from multihost.pooling.counters import TaskCounters
from multihost.pooling.failures import FailureSender
from multihost.pooling.messages import (
    Result,
    Task,
    is_chunk,
    task_name,
    with_traceback,
)
from multihost.pooling.nesting import current
from multihost.pooling.outgoing import OutgoingResult
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import TRAILER_SIZE, TaskOutcome, TaskTrailer
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.ops.queue.put_aside import put_aside
from multihost.wire.session import Handle
from multihost.wire.session.wakeup import WakeupSender
from multihost.wire.values.codec import Codec
from multihost.wire.values.signing import Purpose

__all__ = ["POOL_DELETED", "SERVER_LOST", "INITIALIZER_FAILED", "WorkerConfig", "work"]

# Exit codes of a worker that does not exit normally.
INITIALIZER_FAILED = 70  # its initializer raised
SERVER_LOST = 71  # it lost its server
POOL_DELETED = 72  # the pool was deleted


class WorkerConfig(NamedTuple):
    """What a worker gets when it starts."""

    reference: PoolReference
    parent_watch: ParentWatch
    counters: TaskCounters
    progress: WakeupSender | None = None  # is woken when a task begins or ends
    failures: FailureSender | None = None  # is told which tasks fail
    initializer: Callable[..., object] | None = None
    initargs: Iterable[Any] = ()
    maxtasks: int | None = None
    initializer_logger: str | None = None  # for what the initializer raises; None: to stderr
    reads_setup: bool = (
        False  # initializer, initargs and maxtasks are read from the named pool instead
    )
    client: str = ""  # the one that started it: SIGTERM ends its tasks, not those of others
    graceful_sigterm: bool = False  # SIGTERM lets it finish the task it has begun
    ignore_sigint: bool = False  # Ctrl-C is for the process that started it


class _Stop(BaseException):
    """Raised by the handler of SIGTERM while the worker waits for a task."""


class _Worker:
    """The state of this worker process."""

    def __init__(self, config: WorkerConfig, slot: int) -> None:
        self.config = config
        self.slot = slot
        self.handle: Handle = config.reference.handle()
        self.task_codec: Codec = ops.codec_of(self.handle, Purpose.TASK)
        self.consumer: Consumer = Consumer.of(self.handle, ops.SETTINGS)
        self.consumer.is_of_proxies = False
        self.consumer.acknowledges = False  # its result may be lost with the acknowledgement
        self.consumer.ttl = self.handle.session.ttl_ms  # that of the pool, which its clients renew
        self.maxtasks = config.maxtasks
        self.is_prepared = False
        self.is_stopping = False
        self.is_waiting = False
        self.client = ""  # of the task that is running

    # signals

    def install_signal_handlers(self) -> None:
        """Handle SIGINT and SIGTERM as configured."""
        if self.config.ignore_sigint:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.config.graceful_sigterm:
            signal.signal(signal.SIGTERM, self.on_sigterm)
            signals.unblock()

    def on_sigterm(self, *_: object) -> None:
        """Handle the first SIGTERM: stop after the task. A second one kills, and so does the first
        if the task is one of the client that sends it, which has dropped its results.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.is_stopping = True
        if self.client and self.client == self.config.client:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.is_waiting:
            raise _Stop

    def on_parent_exit(self) -> None:
        """End: the process that started this worker has ended. Runs in a thread of its own.

        A process that is killed leaves the processes of its tasks behind, so they are killed first.
        """
        if not self.config.graceful_sigterm:
            for child in multiprocessing.active_children():
                child.kill()
        os.kill(os.getpid(), signal.SIGTERM if self.config.graceful_sigterm else signal.SIGKILL)

    # the initializer

    def prepare(self) -> None:
        """Call the initializer, if it is known: a named pool may get it with the first task."""
        initializer, initargs = self.config.initializer, self.config.initargs
        if self.config.reads_setup:
            packed = ops.get_or_set_settings(self.handle)
            if packed is None:
                return
            initializer, initargs, self.maxtasks = ops.codec_of(self.handle, Purpose.SETUP).load(
                packed
            )
        self.is_prepared = True
        if initializer is not None:
            initializer(*initargs)

    # tasks

    def run(self) -> None:
        """Run tasks until the worker is to stop, or has run as many as it may."""
        handle, places = self.handle, self.consumer
        completed, done = 0, None
        while not self.is_last(completed):
            try:
                item = ops.next_task(handle, places, done, more=True)
            except errors.LinkError as error:
                if done is not None or not self.survives(error):
                    raise
                item = None
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
        """Return True if the worker is to run no more tasks."""
        return self.is_stopping or (self.maxtasks is not None and completed >= self.maxtasks)

    def wait(self) -> Delivery | None:
        """Return the next task as soon as there is one; None if the worker is to stop."""
        try:
            self.is_waiting = True
            if self.is_stopping:
                return None
            try:
                return self.wait_for_task()
            finally:
                self.is_waiting = False
        except _Stop:
            self.consumer.requeue_all()  # a task may have arrived in that moment
            return None

    def wait_for_task(self) -> Delivery:
        """Return the next task as soon as there is one, also behind an outage of the server."""
        while True:
            try:
                return ops.wait_for_task(self.handle, self.consumer)
            except errors.LinkError as error:
                if not self.survives(error):
                    raise
                self.handle.link.back_off()

    def survives(self, error: errors.LinkError) -> bool:
        """Return whether a worker without a task waits for a lost server. One that is not of a
        ``Pool(n)`` ends: whoever started it hears of that.
        """
        return bool(self.config.client) and self.handle.link.may_come_back(error)

    def run_task(self, item: Delivery) -> TaskOutcome | None:
        """Run a task, and return its outcome: None if it was requeued, or is none.

        A task that was begun as often as it may is lost: it is not run again.
        """
        packed = item.value[-TRAILER_SIZE:]
        try:
            trailer = TaskTrailer.unpack(packed)
        except BadPayload as unreadable:  # nobody waits for its result
            self.report("a dead letter of the pool now", unreadable)
            put_aside(self.handle, self.consumer, Hand(), [item])
            return None
        if item.delivery_count > trailer.attempts:
            lost = b"!%d" % (item.delivery_count - 1) + b"%018d%018d" % (
                trailer.job,
                trailer.number,
            )
            return TaskOutcome(item.in_flight, packed, lost)
        if self.is_stopping:  # it arrived in that moment
            ops.return_task(self.handle, self.consumer, item, begun=False)
            return None
        counters, slot = self.config.counters, self.slot
        counters.begun(slot)
        self.signal_progress()
        self.client = trailer.client
        try:
            if not self.is_prepared:
                self.prepare_late(item, trailer)
            ok, value, in_parts = self.call(item, trailer)
        finally:
            self.client = ""
        counters.ended(slot, ok)
        self.signal_progress()
        outgoing = OutgoingResult(self.handle, item, trailer)
        result, error = outgoing.pack(ok, value, is_chunk=in_parts)
        if error is not None:
            self.report("a result that cannot be sent", error)
        return TaskOutcome(item.in_flight, packed, result)

    def call(self, item: Delivery, trailer: TaskTrailer) -> tuple[bool, Any, bool]:
        """Call the function of a task; return True and its value, or False and its exception; and
        whether the value is a list of results.

        That may be any: one that ends a program, such as SystemExit, ends the task only.
        """
        try:
            func, args, kwds = Task.unpack(self.task_codec, item.value, trailer)
        except BaseException as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            error.add_note("raised while a worker unpickled the task")
            self.report("a task that cannot be unpickled", error)
            return False, with_traceback(error), False
        try:
            current.name = task_name(func, args)
            return True, func(*args, **kwds), is_chunk(func)
        except BaseException as error:  # noqa: BLE001 - the client raises it
            if func is stdlib.reraise:
                return False, error, False
            self.report(task_name(func, args), error)
            return False, with_traceback(error), False

    def prepare_late(self, item: Delivery, trailer: TaskTrailer) -> None:
        """Call the initializer of a pool that was made after this worker was started."""
        try:
            self.prepare()
            self.is_prepared = True
        except BaseException as error:
            self.fail_task(item, trailer, error)
            if isinstance(error, MultihostError):
                raise
            self.exit_after_initializer(error)

    def exit_after_initializer(self, error: BaseException) -> NoReturn:
        """Show the exception of the initializer, and end the process."""
        if self.config.failures is not None:
            self.report("the initializer", error)
        elif self.config.initializer_logger is None:
            traceback.print_exception(error)
        else:
            import logging

            logger = logging.getLogger(self.config.initializer_logger)
            logger.critical("Exception in initializer:", exc_info=error)
        sys.exit(INITIALIZER_FAILED)

    def fail_task(self, item: Delivery, trailer: TaskTrailer, error: BaseException) -> None:
        """Requeue a task whose worker ends, or send its loss as the result."""
        self.config.counters.ended(self.slot, False)
        if item.delivery_count < trailer.attempts:
            ops.return_task(self.handle, self.consumer, item, begun=True)
            return
        lost = errors.WorkerLost(
            f"the initializer of the worker that was to run this task raised {error!r}"
        )
        codec = ops.codec_of(self.handle, Purpose.RESULT)
        result = Result(trailer.job, trailer.number, False, lost).pack(codec, trailer, "p")
        done = TaskOutcome(item.in_flight, item.value[-TRAILER_SIZE:], result)
        ops.next_task(self.handle, self.consumer, done, more=False)

    def report(self, task: str, error: BaseException) -> None:
        """Tell the process that wants to know which tasks fail, if there is one."""
        if self.config.failures is not None:
            self.config.failures.send(task, error)

    def signal_progress(self) -> None:
        """Wake the process that reports progress, if there is one."""
        if self.config.progress is not None:
            self.config.progress.wake()


def work(config: WorkerConfig, slot: int) -> None:
    """Run a worker: the target of its process."""
    worker = _Worker(config, slot)
    config.counters.attach(slot, worker.handle.session.registration.sid)
    current.enter(worker.handle)
    worker.install_signal_handlers()
    config.parent_watch.on_parent_exit(worker.on_parent_exit)
    try:
        worker.prepare()
    except (ObjectGone, ShutDown):
        sys.exit(POOL_DELETED)
    except MultihostError:
        traceback.print_exc()
        sys.exit(SERVER_LOST)
    except BaseException as error:  # noqa: BLE001 - the initializer is the user's
        worker.exit_after_initializer(error)
    config.counters.ready(slot)
    try:
        worker.run()
    except (ObjectGone, ShutDown):
        util.debug("the pool was deleted")
        sys.exit(POOL_DELETED)
    except MultihostError as error:
        util.info(f"the worker lost its server: {error}")
        sys.exit(SERVER_LOST)
