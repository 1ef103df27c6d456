"""The kinds of objects of a campaign: how one is made and used, and what is left of it."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos import judges, lives
from tests.chaos.journal import Journal, Line
from tests.chaos.lives import PARTIES, PERMITS, Life
from tests.support.waiting import PATIENCE

__all__ = ["KINDS", "Kind"]


def _nothing(*_: Any) -> None:
    """For kinds of which nobody waits in vain, or nothing is left."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """``make`` returns the object; ``use`` is the life of a process with it; ``close`` lets those
    go on who wait at the end; ``look`` says whether what is left is right.
    """

    name: str
    make: Callable[[Any], Any]
    use: Callable[..., None]
    judge: Callable[[Sequence[Line]], list[str]]
    steps: tuple[str, ...]
    """What shows that they go on."""
    end: Callable[[Any, Journal], object] = _nothing
    look_at: Callable[[Any, Journal], object] = _nothing
    size: int = 4
    late: tuple[int, ...] = ()
    """Numbers of those who go on until the others have ended."""
    is_spared: bool = False
    """Only connections break."""

    def live(self, m: Any, life: Life) -> None:
        things = self.make(m)
        self.use(*(things if isinstance(things, tuple) else (things,)), life)

    def close(self, m: Any, journal: Journal) -> None:
        if self.end is not _nothing:
            self.end(self.make(m), journal)

    def look(self, m: Any, journal: Journal) -> None:
        if self.look_at is not _nothing:
            self.look_at(self.make(m), journal)


def _is_free(lock: Any, journal: Journal) -> None:
    assert lock.acquire(timeout=PATIENCE)
    journal.note("enter", lock.fencing_token)
    journal.note("leave")
    lock.release()
    assert not lock.locked()


def _has_all_permits(semaphore: Any, journal: Journal) -> None:
    for _ in range(PERMITS):
        assert semaphore.acquire(timeout=PATIENCE)
    assert not semaphore.acquire(blocking=False)
    semaphore.release(PERMITS)
    found = semaphore.statistics()
    assert (found.permits, found.holders) == (PERMITS, {}), found


def _give_all(things: Any, journal: Journal) -> None:
    condition, tickets = things
    with condition:
        journal.note("gives")
        tickets.value = 1
        condition.notify_all()


def _lets_somebody_in(things: Any, journal: Journal) -> None:
    condition, _ = things
    assert condition.acquire(timeout=PATIENCE)
    condition.release()


def _drain(q: Any, journal: Journal) -> None:
    """Get what is left, also what killed consumers had."""
    deadline = time.monotonic() + PATIENCE
    while q.statistics().size or q.statistics().in_flight:
        assert time.monotonic() < deadline, q.statistics()
        try:
            item = q.get(timeout=0.2)
        except queue.Empty:
            continue
        journal.note("got", item)
        if q._settings.max_deliveries:
            q.task_done()
    if q._settings.max_deliveries:
        assert q.statistics().unfinished == 0, q.statistics()
        q.join()


def _drain_in_order(q: Any, journal: Journal) -> None:
    while True:
        try:
            journal.note("got", q.get(timeout=1.0))
        except queue.Empty:
            return


def _can_be_used(barrier: Any, journal: Journal) -> None:
    if barrier.broken:
        barrier.reset()
    indexes: list[int] = []
    threads = [
        threading.Thread(target=lambda: indexes.append(barrier.wait(PATIENCE)))
        for _ in range(PARTIES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(indexes) == list(range(PARTIES)), indexes


def _abort(barrier: Any, journal: Journal) -> None:
    barrier.abort()


def _set(event: Any, journal: Journal) -> None:
    journal.note("sets")
    event.set()


def _condition(m: Any) -> tuple[Any, Any]:
    return m.Condition("condition"), m.Value("i", 0, name="tickets")


def _queue(name: str, typeid: str = "Queue", **options: Any) -> Kind:
    is_redelivered = bool(options.get("redeliver"))
    return Kind(
        name,
        lambda m: getattr(m, typeid)(name, **options),
        lives.put_and_get,
        judges.nothing_lost(is_redelivered),
        ("got",),
        look_at=_drain,
        late=(1, 3),
    )


def _named(typeid: str, *args: Any) -> Callable[[Any], Any]:
    return lambda m: getattr(m, typeid)(typeid, *args)


ONE = judges.never_more_than(1)
SOME = judges.never_more_than(PERMITS, tokens_rise=False)

KINDS = (
    Kind("Lock", _named("Lock"), lives.hold, ONE, ("enter",), look_at=_is_free),
    Kind("RLock", _named("RLock"), lives.hold, ONE, ("enter",), look_at=_is_free),
    Kind(
        "Semaphore",
        _named("Semaphore", PERMITS),
        lives.hold,
        SOME,
        ("enter",),
        look_at=_has_all_permits,
        size=PERMITS + 2,
    ),
    Kind(
        "BoundedSemaphore",
        _named("BoundedSemaphore", PERMITS),
        lives.hold,
        SOME,
        ("enter",),
        look_at=_has_all_permits,
        size=PERMITS + 2,
    ),
    Kind(
        "Condition",
        _condition,
        lives.take_tickets,
        judges.tickets_taken_once,
        ("took",),
        end=_give_all,
        look_at=_lets_somebody_in,
    ),
    _queue("plain"),
    _queue("bounded", maxsize=4),
    _queue("last in", "LifoQueue", maxsize=20),
    _queue("priority", "PriorityQueue"),
    _queue("redelivered", "JoinableQueue", redeliver=True, maxsize=10),
    _queue("redelivered by priority", "PriorityQueue", redeliver=True),
    Kind(
        "in order",
        lambda m: m.Queue("in order"),
        lives.keep_order,
        judges.in_order,
        ("got",),
        look_at=_drain_in_order,
        size=2,
        late=(1,),
        is_spared=True,
    ),
    Kind(
        "Event",
        lambda m: m.Event("event"),
        lives.set_and_wait,
        judges.woken_by_somebody,
        ("woken",),
        end=_set,
    ),
    Kind(
        "Barrier",
        lambda m: m.Barrier("barrier", PARTIES),
        lives.meet,
        judges.met(PARTIES),
        ("passed",),
        end=_abort,
        look_at=_can_be_used,
        size=PARTIES,
    ),
    Kind("dict", lambda m: m.dict("dict"), lives.count, judges.all_counted, ("added",)),
    Kind("hosted", lambda m: m, lives.call, judges.called_once, ("counted",), late=(0, 1)),
    Kind("pool", lambda m: m, lives.work_in_pool, judges.worked, ("result",), size=1),
)
