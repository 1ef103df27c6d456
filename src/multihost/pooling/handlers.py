"""What a pool has beside its methods: four threads, and what they share.

None of it refers to the pool, which can be forgotten and ends then.
"""

from __future__ import annotations

import multiprocessing.pool as stdlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from multihost.errors import ManagerClosed, MultihostError, ObjectGone, WorkerLost
from multihost.pooling.client import Client
from multihost.pooling.parent_watch import ParentWatch
from multihost.pooling.reference import PoolReference
from multihost.pooling.supervisor import WorkerSupervisor
from multihost.pooling.worker_loop import POOL_DELETED
from multihost.wire.ops import object as object_ops

__all__ = [
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
    "Cache",
    "Notifier",
    "PoolParts",
    "delete_pool",
    "start_threads",
    "terminate",
]

_stdlib: Any = stdlib
INIT, RUN, CLOSE, TERMINATE = _stdlib.INIT, _stdlib.RUN, _stdlib.CLOSE, _stdlib.TERMINATE


class Notifier:
    """Wakes the thread that looks after the workers."""

    def __init__(self) -> None:
        out, in_ = os.pipe()
        self.reader: Connection[Any, Any] = Connection(out, writable=False)
        self._writer = Connection(in_, readable=False)
        self.state = RUN

    def put(self, _: object) -> None:
        if not self._writer.closed:
            self._writer.send_bytes(b".")

    def close(self) -> None:
        self._writer.close()
        self.reader.close()


class Cache(dict[int, Any]):
    """The results that are waited for, by job. Says when the last one has come to a closed pool."""

    def __init__(self, notifier: Notifier) -> None:
        super().__init__()
        self._notifier = notifier

    def __delitem__(self, job: int) -> None:
        super().__delitem__(job)
        if not self and self._notifier.state != RUN:
            self._notifier.put(None)


class PoolParts(NamedTuple):
    """What the threads of a pool share; none of it refers to the pool."""

    client: Client
    supervisor: WorkerSupervisor
    cache: Cache
    tasks: queue.SimpleQueue[Any]
    notifier: Notifier
    parent_watch: ParentWatch
    threads: list[Any]  # that look after workers, make tasks, hear of results, send tasks
    manager: Any  # to shut down at the end, or None


def start_threads(parts: PoolParts) -> None:
    """Begin."""
    for target in (handle_workers, handle_tasks, handle_results, send_tasks):
        thread: Any = threading.Thread(
            target=target, args=(parts,), name=f"multihost-pool-{target.__name__}", daemon=True
        )
        thread._state = RUN
        parts.threads.append(thread)
    for thread in parts.threads:
        thread.start()


def handle_workers(parts: PoolParts) -> None:
    """Replace workers that have ended, until the pool has."""
    me: Any = threading.current_thread()
    crew, notifier, client = parts.supervisor, parts.notifier, parts.client
    while me._state == RUN or (parts.cache and me._state != TERMINATE):
        for process in crew.reap():
            util.debug("cleaning up worker")
            if process.exitcode == POOL_DELETED and client.failure is None:
                client.fail(ObjectGone("the pool was terminated or deleted by another process"))
        if client.failure is None and crew.failure is None:
            try:
                crew.ensure_workers()
            except OSError as error:
                crew.failure = f"no process can be started: {error}"
        if crew.failure is not None and client.failure is None:
            client.fail(WorkerLost(f"this pool has no workers: {crew.failure}"))
        if client.failure is not None:
            crew.terminate()
        for ready in wait([*crew.sentinels, notifier.reader]):
            if ready is notifier.reader:
                notifier.reader.recv_bytes()
    parts.tasks.put(None)
    if me._state != TERMINATE:
        _leave(parts)
        crew.join()
    util.debug("worker handler exiting")


def _leave(parts: PoolParts) -> None:
    """Leave the pool to others, or delete it."""
    ticket = parts.supervisor.config.reference
    parts.client.close()
    if parts.supervisor.config.graceful_sigterm:
        parts.supervisor.terminate()
    elif parts.supervisor.size:
        delete_pool(ticket)


def delete_pool(reference: PoolReference) -> None:
    """Delete the pool for everyone. 2 round trips."""
    try:
        object_ops.delete(reference.handle())
        reference.session.decref(reference.ident)
    except ManagerClosed:
        pass  # and so is the pool
    except MultihostError as error:
        util.debug("a pool expires: %s", error)


def handle_tasks(parts: PoolParts) -> None:
    """Send the tasks that maps are made of."""
    me: Any = threading.current_thread()
    client = parts.client

    def make(sequence: Iterable[Any], set_length: Callable[[int], object] | None) -> bool:
        """Whether to go on. What is local here is forgotten between two maps."""
        made = 0
        for task in sequence:
            if me._state != RUN or not client.post(task):
                return False
            made = task[1] + 1
            if set_length is not None and client.failure is not None:
                break  # it may go on for ever
        client.flush()
        if set_length is not None:
            set_length(made)
        return True

    while (entry := parts.tasks.get()) is not None and make(*entry):
        del entry
    util.debug("task handler exiting")


def handle_results(parts: PoolParts) -> None:
    """Hear of results."""
    parts.client.listen()
    if parts.client.failure is not None:
        parts.notifier.put(None)
    util.debug("result handler exiting")


def send_tasks(parts: PoolParts) -> None:
    """Send them together while more are made."""
    parts.client.send()


def terminate(parts: PoolParts) -> None:
    """End now, whatever is under way."""
    workers, *others = parts.threads
    for thread in parts.threads:
        thread._state = TERMINATE
    parts.notifier.put(None)
    here = threading.current_thread()
    if here is not workers:
        workers.join()  # it would replace those that are terminated
    parts.supervisor.terminate()
    parts.client.close()
    parts.tasks.put(None)
    parts.supervisor.join()
    if not parts.supervisor.config.graceful_sigterm and parts.supervisor.size:
        delete_pool(parts.supervisor.config.reference)
    for thread in others:
        if here is not thread:
            thread.join()
    parts.parent_watch.discard()
    parts.notifier.close()
    if parts.manager is not None:
        parts.manager.shutdown()
