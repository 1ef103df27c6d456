"""The threads of a pool, and what they share.

None of it refers to the pool, which ends when it is garbage collected.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from multiprocessing import util
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from multihost import errors
from multihost.errors import ManagerClosed, MultihostError, ObjectGone
from multihost.pooling import stdlib
from multihost.pooling.client import Client
from multihost.pooling.notices import WorkerNotice
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference
from multihost.pooling.stdlib import RUN, TERMINATE, handler_thread, set_state, state_of
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import POOL_DELETED
from multihost.runtime import RuntimeOwner
from multihost.wire.ops import object as object_ops
from multihost.wire.session.wakeup import WakeupPipe

__all__ = [
    "Notifier",
    "PoolParts",
    "ResultCache",
    "delete_pool",
    "start_threads",
    "terminate",
]


FED: Any = object()  # in the queue of maps: those before it are in the client


class Notifier(WakeupPipe):
    """Wakes the thread that supervises the workers. The standard library's pool calls ``put``."""

    state = RUN  # of the pool

    def on_idle(self) -> None:
        """Wake the thread of a closed pool, which may be done."""
        if self.state != RUN:
            self.wake()

    def put(self, _: object) -> None:
        self.wake()


class ResultCache(dict[int, Any]):
    """The results that are not complete, by job. They enter themselves when they are made."""

    def __setitem__(self, job: int, result: Any) -> None:
        stdlib.make_interruptible(result)
        super().__setitem__(job, result)


class PoolParts(NamedTuple):
    """What the threads of a pool share; none of it refers to the pool."""

    client: Client
    supervisor: WorkerSupervisor
    cache: ResultCache
    tasks: queue.SimpleQueue[Any]  # those of maps; None ends their thread
    are_fed: threading.Event  # all maps that were made before the pool was closed are in the client
    notifier: Notifier
    parent_watch: ParentWatch
    threads: list[threading.Thread]  # in the order of start_threads
    manager: RuntimeOwner | None  # of which this pool alone makes use: it is closed with the pool

    def close(self) -> None:
        """Close the pipes."""
        self.parent_watch.discard()
        self.notifier.close()


def start_threads(parts: PoolParts) -> None:
    """Start all threads."""
    for target in (handle_workers, handle_tasks, handle_results, send_tasks):
        name = f"multihost-pool-{target.__name__}"
        parts.threads.append(handler_thread(target, (parts,), name))
    for thread in parts.threads:
        thread.start()


def handle_workers(parts: PoolParts) -> None:
    """Replace workers that have ended, until the pool ends."""
    thread = threading.current_thread()
    try:
        _supervise(parts, thread)
    except BaseException as error:  # noqa: BLE001 - without workers all tasks would wait
        parts.client.fail(error)
    parts.tasks.put(None)
    if state_of(thread) != TERMINATE:
        _leave(parts)
        parts.supervisor.join()
    util.debug("worker handler exiting")


def _supervise(parts: PoolParts, thread: threading.Thread) -> None:
    supervisor, notifier, client = parts.supervisor, parts.notifier, parts.client
    notice = None if supervisor.size else WorkerNotice(client)  # others have the workers
    is_closing = False
    while state_of(thread) != TERMINATE:
        if state_of(thread) != RUN:
            # Not: until no result is incomplete. Ctrl-C may have left one whose tasks nobody sends.
            if not is_closing:
                is_closing = True
                parts.tasks.put(FED)
            if parts.are_fed.is_set() and client.outbox.is_idle:
                return
        for process in supervisor.reap():
            util.debug("cleaning up worker")
            if process.exitcode == POOL_DELETED and client.failure is None:
                client.fail(ObjectGone("the pool was terminated or deleted by another process"))
        if client.failure is None and supervisor.failure is None:
            try:
                supervisor.ensure_workers()
            except Exception as error:  # noqa: BLE001 - whatever the start of a process raises
                supervisor.failure = f"no process can be started: {error}"
        if supervisor.failure is not None and client.failure is None:
            client.fail(errors.WorkerLost(f"this pool has no workers: {supervisor.failure}"))
        if client.failure is not None:
            supervisor.terminate()
        seconds = None if notice is None else notice.seconds
        if not wait([*supervisor.sentinels, notifier.fileno()], seconds) and notice is not None:
            notice.look()
        notifier.drain()


def _leave(parts: PoolParts) -> None:
    """Leave a named pool to its other clients, or delete an unnamed one."""
    parts.client.close()
    if parts.supervisor.config.graceful_sigterm:
        parts.supervisor.terminate()
    elif parts.supervisor.size:
        delete_pool(parts.supervisor.config.reference)


def delete_pool(reference: PoolReference) -> None:
    """Delete an unnamed pool for all clients. 2 round trips."""
    try:
        object_ops.delete(reference.handle())
        reference.session.references.decref(reference.ident)
    except ManagerClosed:
        pass  # which has deleted it
    except MultihostError as error:
        util.debug("cannot delete a pool, it will expire: %s", error)


def handle_tasks(parts: PoolParts) -> None:
    """Send the tasks that maps consist of."""
    thread = threading.current_thread()
    client = parts.client

    def post_all(sequence: Iterable[Any], set_length: Callable[[int], object] | None) -> bool:
        """Return False if the pool ends. A function, so that nothing is referred to after it."""
        count = 0
        for task in sequence:
            if state_of(thread) != RUN or not client.post(task):
                return False
            count = task[1] + 1
            if set_length is not None and client.failure is not None:
                break  # the sequence may be infinite
        client.flush()
        if set_length is not None:
            set_length(count)
        return True

    try:
        while (entry := parts.tasks.get()) is not None:
            if entry is FED:
                parts.are_fed.set()
                parts.notifier.wake()
            elif not post_all(*entry):
                break
            del entry
    except BaseException as error:  # noqa: BLE001 - maps would wait
        client.fail(error)
    finally:
        parts.are_fed.set()
        parts.notifier.wake()
    util.debug("task handler exiting")


def handle_results(parts: PoolParts) -> None:
    """Receive results."""
    client = parts.client
    client.receive_results()
    if client.failure is not None:
        parts.notifier.wake()
    elif state_of(threading.current_thread()) != TERMINATE:
        # What a thread submitted while another one closed the pool: it is too late.
        for result in list(parts.cache.values()):
            stdlib.fail(result, ValueError("Pool not running"))
    util.debug("result handler exiting")


def send_tasks(parts: PoolParts) -> None:
    """Send tasks in batches while others are made."""
    try:
        parts.client.send_posted()
    except BaseException as error:  # noqa: BLE001 - tasks would not be sent
        parts.client.fail(error)


def terminate(parts: PoolParts) -> None:
    """End now, whatever is in flight."""
    workers, *others = parts.threads
    for thread in parts.threads:
        set_state(thread, TERMINATE)
    parts.notifier.wake()
    current = threading.current_thread()
    if current is not workers:
        workers.join()  # or it would replace the workers that are terminated
    parts.supervisor.terminate()
    parts.client.close()
    parts.tasks.put(None)
    parts.supervisor.join()
    if not parts.supervisor.config.graceful_sigterm and parts.supervisor.size:
        delete_pool(parts.supervisor.config.reference)
    for thread in others:
        if current is not thread:
            thread.join()
    parts.close()
    if parts.manager is not None:
        parts.manager.runtime.close()
