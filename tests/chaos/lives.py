"""What those do who may be killed at any moment: one function for each kind of objects, which uses
one of them in a loop and notes in the journal what it does, and what came of it.

A step is noted before it begins where others may see it before it has returned.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any, NamedTuple

from multihost import HostLost, LeaseLost, LinkError, ObjectGone, WorkerLost
from multihost.pool import Pool
from tests.chaos.journal import Journal
from tests.chaos.killers import FORK, StopSignal
from tests.chaos.till import Remote, Serving
from tests.pool import work
from tests.support.procs import send_signal
from tests.support.waiting import PATIENCE

__all__ = ["PARTIES", "PERMITS", "Life", "open_manager"]

PERMITS = 3
PARTIES = 4
WAIT = 0.5  # seconds that somebody waits who may wait in vain
PAUSE = 0.05
TASKS = 100


def open_manager(url: str, **settings: Any) -> Any:
    """Return a manager. A connection that ends while it is opened is an error of the address, as
    far as the manager can know: who has just called it sees that. We know better.
    """
    return _opened(lambda: Remote(url, **settings))


def _opened(open_it: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return open_it()
        except LinkError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


class Life(NamedTuple):
    """Of one process: its number in the group, what it may use, and when it is to end."""

    number: int
    url: str
    settings: dict[str, Any]
    journal: Journal
    chance: random.Random
    stop: StopSignal

    def note(self, what: str, value: int = 0, text: str = "") -> None:
        self.journal.note(what, value, text)

    def pause(self, seconds: float = PAUSE) -> None:
        self.stop.wait(self.chance.random() * seconds)

    def goes_on(self) -> bool:
        return not self.stop.is_set()


def hold(lock: Any, life: Life) -> None:
    """Have it for a moment, again and again; who loses it is told so."""
    while life.goes_on():
        depth = 0
        try:
            if not _take(lock, life):
                life.pause()
                continue
            depth = 1
            while type(lock).__name__ == "RLockProxy" and life.chance.random() < 0.3:
                assert lock.acquire()
                depth += 1
            token = lock.fencing_token
            life.note("enter", token)
            life.pause()
            life.note("leave", token)
        except LeaseLost as lost:
            life.note("lost", text=str(lost))
        for _ in range(depth):
            try:
                lock.release()
            except LeaseLost as lost:
                life.note("lost", text=str(lost))


def _take(lock: Any, life: Life) -> bool:
    way = life.chance.random()
    if way > 0.3:
        return bool(lock.acquire())
    try:
        if way > 0.15:
            return bool(lock.acquire(timeout=life.chance.random() * 0.1))
        return bool(lock.acquire(blocking=False))
    except LinkError as outage:  # who is not patient is told so at once
        life.note("unsure", text=str(outage))
        return False


def take_tickets(condition: Any, tickets: Any, life: Life) -> None:
    """Half of them hand out tickets and notify one, the others wait for one and take it."""
    is_giver = life.number % 2 == 0
    while life.goes_on():
        try:
            with condition:
                life.note("enter")
                if is_giver:
                    life.note("gives")
                    tickets.value += 1
                    condition.notify()
                else:
                    _take_ticket(condition, tickets, life)
                life.note("leave")
        except LeaseLost as lost:
            life.note("leave")
            life.note("lost", text=str(lost))
        life.pause()


def _take_ticket(condition: Any, tickets: Any, life: Life) -> None:
    while not tickets.value:
        life.note("leave")
        condition.wait(None if life.goes_on() else WAIT)
        life.note("enter")
        if not life.goes_on():
            return
    tickets.value -= 1
    life.note("took")


def put_and_get(q: Any, life: Life) -> None:
    """Half of them put numbers that nobody else puts, the others get them."""
    if life.number % 2 == 0:
        _put(q, life)
        return
    is_done = bool(q._settings.max_deliveries)
    while life.goes_on():
        try:
            many = life.chance.random() < 0.3
            items = q.get_many(3, timeout=WAIT) if many else [q.get(timeout=WAIT)]
        except queue.Empty:
            continue
        except LinkError as outage:
            life.note("unsure", text=str(outage))
            continue
        for item in items:
            life.note("got", item)
        life.pause()
        for item in items:
            try:
                if is_done:
                    q.task_done()
                life.note("done", item)
            except LeaseLost as lost:
                life.note("lost", item, str(lost))


def _put(q: Any, life: Life) -> None:
    for item in _numbers():
        if not life.goes_on():
            return
        life.note("puts", item)
        try:
            q.put(item, timeout=None if life.chance.random() < 0.8 else WAIT)
        except queue.Full:
            life.note("full", item)
        except LinkError as outage:
            life.note("unsure", item, str(outage))
        else:
            life.note("put", item)
        life.pause()


def _numbers() -> Any:
    first = os.getpid() * 1_000_000
    while True:
        yield first
        first += 1


def keep_order(q: Any, life: Life) -> None:
    """One puts numbers in their order, one gets them."""
    item = 0
    while life.goes_on():
        if life.number == 0:
            q.put_many(range(item, item + 5))
            item += 5
            life.pause(0.01)
            continue
        with contextlib.suppress(queue.Empty, LinkError):
            many = life.chance.random() < 0.5
            for got in q.get_many(3, timeout=WAIT) if many else [q.get(timeout=WAIT)]:
                life.note("got", got)


def set_and_wait(event: Any, life: Life) -> None:
    """One sets and clears, the others wait."""
    while life.goes_on():
        if life.number == 0:
            life.note("sets")
            event.set()
            life.note("set")
            life.pause()
            life.note("clears")
            event.clear()
            life.note("cleared")
            life.pause()
        else:
            life.note("waits")
            if life.chance.random() < 0.7:
                woken = event.wait()
            else:
                woken = False
                with contextlib.suppress(LinkError):
                    woken = event.wait(life.chance.random() * WAIT)
            life.note("woken" if woken else "in vain")
            life.pause()


def meet(barrier: Any, life: Life) -> None:
    """Come to the barrier again and again; who finds it broken mends it."""
    while life.goes_on():
        life.note("comes")
        try:
            index = barrier.wait()
        except BrokenBarrierError:
            life.note("broken")
            with contextlib.suppress(BrokenBarrierError):
                if barrier.broken:
                    barrier.reset()
        else:
            life.note("passed", index)
        life.pause()


def count(shared: Any, life: Life) -> None:
    """Add one to a number that all share."""
    while life.goes_on():
        life.note("adds")
        life.note("added", shared.increment("n"))
        life.pause(0.01)


def call(m: Any, life: Life) -> None:
    """The first two serve an object, the others call it."""
    if life.number < 2:
        server = _opened(lambda: Serving(life.url, **life.settings).get_server())
        threading.Thread(target=_end_with, args=(life.stop,), daemon=True).start()
        server.serve_forever()
    till: Any = None
    while life.goes_on():
        try:
            if till is None:
                till = m.Till(name="till")
            life.note("calls")
            pid, number = till.add()
            life.note("counted", number, str(pid))
        except (HostLost, ObjectGone) as lost:
            life.note("host lost", text=str(lost))
            till = None  # as the error says: ask for the name again
            life.pause()
        life.pause(0.01)


def _end_with(stop: StopSignal) -> None:
    while not stop.wait(PATIENCE):
        pass
    os._exit(0)


def work_in_pool(m: Any, life: Life) -> None:
    """Have workers of its own do tasks, and kill some of them."""
    try:
        _work_in_pool(m, life)
    except ObjectGone as gone:  # a server that went back may not know the pool
        life.note("gone", text=str(gone))


def _work_in_pool(m: Any, life: Life) -> None:
    pool = Pool(2, manager=m, name="pool", context=FORK, attempts=50)
    stop = threading.Event()
    killer = threading.Thread(target=_kill_workers, args=(pool, life, stop), daemon=True)
    killer.start()
    while life.goes_on():
        results: Any = pool.imap(work.double, range(TASKS))
        for index in range(TASKS):
            try:
                result = results.next(PATIENCE)
            except WorkerLost:
                life.note("worker lost", index)
            else:
                life.note("result" if result == 2 * index else "wrong result", index)
        life.note("mapped")
    stop.set()
    killer.join()
    pool.terminate()
    pool.join()


def _kill_workers(pool: Any, life: Life, stop: threading.Event) -> None:
    while not stop.wait(0.2 + life.chance.random()):
        pids = [worker.pid for worker in pool.statistics().workers]
        if pids:
            victim = life.chance.choice(pids)
            life.journal.note("kill", pid=victim)
            send_signal(victim, signal.SIGKILL)
