"""A signal handler raises at any bytecode of ``put``, ``task_done`` and ``join``.

Each item is in the queue once, or not at all; what is put behind it is there; the room for it, and
the number of unfinished items, are right; nobody waits who has gone.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from queue import Empty, Full
from typing import Any, NamedTuple

import pytest

from multihost import RedisManager
from tests.interrupts.steps import ALL, SECONDS, explore, until_blocked
from tests.support.interrupts import Outcome
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class Scene(NamedTuple):
    """A put to be interrupted: into which queue, and how."""

    kind: str = "Queue"
    options: dict[str, Any] = {}
    limit: dict[str, Any] = {}
    count: int = 1
    is_full: bool = False
    is_in_vain: bool = False
    is_cold: bool = False
    has_proxies: bool = False


ONE, TWO = {"maxsize": 1}, {"maxsize": 2}
FOR_A_TIME = {"timeout": SECONDS}
SCENES = {
    "put": Scene(),
    "put, SimpleQueue": Scene("SimpleQueue"),
    "put, by priority": Scene("PriorityQueue"),
    "put, bounded": Scene(options=TWO),
    "put, bounded, for a time": Scene(options=TWO, limit=FOR_A_TIME),
    "put, to be done": Scene(options={"redeliver": True}),
    "put of a proxy": Scene(has_proxies=True),
    "put, disconnected": Scene(is_cold=True),
    "put, waiting": Scene(options=ONE, is_full=True),
    "put, waiting, for a time": Scene(options=ONE, limit=FOR_A_TIME, is_full=True),
    "put, waiting, by priority": Scene("PriorityQueue", ONE, is_full=True),
    "put, in vain": Scene(options=ONE, limit={"timeout": 0.01}, is_full=True, is_in_vain=True),
    "put_many": Scene(count=3),
    "put_many, waiting": Scene(options=TWO, count=2, is_full=True),
}
if not ALL:
    SCENES = {
        name: scene
        for name, scene in SCENES.items()
        if name in ("put", "put of a proxy", "put, disconnected", "put, waiting", "put, in vain")
    }


class Shared:
    """One queue as both processes have it, and what was put."""

    def __init__(self, mine: RedisManager, theirs: RedisManager, scene: Scene) -> None:
        self._make = lambda name: [
            getattr(each, scene.kind)(name, **scene.options) for each in (mine, theirs)
        ]
        self._manager = mine
        self.scene = scene
        self._numbers = itertools.count()
        self._queues = itertools.count()
        self.renew()

    def renew(self) -> None:
        """Forget the queue for another one."""
        self.mine: Any
        self.theirs: Any
        self.mine, self.theirs = self._make(f"shared {next(self._queues)}")
        self.interrupted: set[int] = set()  # may be there, once
        self.wanted: set[int] = set()  # must be there

    def next_items(self, count: int) -> list[int]:
        return [next(self._numbers) for _ in range(count)]

    def take_one(self) -> None:
        """Get an item in the other process, and say that it is done."""
        try:
            item = self.theirs.get(timeout=SECONDS)
        except Empty:
            raise AssertionError(f"{self.wanted} were put, and are not there") from None
        number = item[0] if self.scene.has_proxies else item
        for numbers in (self.wanted, self.interrupted):
            if number in numbers:
                numbers.remove(number)
                break
        else:
            raise AssertionError(f"{number} was got again, or never put")
        if self.scene.kind != "SimpleQueue":
            self.theirs.task_done()

    def fill(self) -> None:
        """Leave no room."""
        items = self.next_items(self.scene.options["maxsize"])
        self.wanted.update(items)
        self.theirs.put_many(items, timeout=SECONDS)

    def put_and_take(self) -> None:
        """What is put next arrives, and all that was put before: there is room for it."""
        [item] = self.next_items(1)
        value = self._manager.list([item]) if self.scene.has_proxies else item
        self.wanted.add(item)
        if self.scene.options.get("maxsize"):
            while self.theirs.statistics().size >= self.scene.options["maxsize"]:
                self.take_one()
        self.mine.put(value, timeout=SECONDS)
        while self.wanted:
            self.take_one()

    def is_empty(self) -> bool:
        state = self.theirs.statistics()
        counts = state.size, state.waiters, state.in_flight, state.dead_letters
        return counts == (0, 0, 0, 0) and (
            self.scene.kind == "SimpleQueue" or state.unfinished == 0
        )


@pytest.mark.parametrize("name", SCENES)
def test_put(name: str, server: AnyServer, mine: RedisManager, theirs: RedisManager) -> None:
    scene = SCENES[name]
    shared = Shared(mine, theirs, scene)
    values: list[Any] = []
    is_blocked = until_blocked(server)

    def before() -> None:
        items = shared.next_items(scene.count)
        values[:] = [mine.list([n]) for n in items] if scene.has_proxies else items
        if scene.is_full:
            shared.fill()
        if scene.is_cold:
            mine.runtime.session.link.disconnect_current()
        shared.interrupted.update(items)

    def make_room(ended: threading.Event) -> None:
        """Once the call waits, or has ended."""
        is_blocked(ended)
        for _ in range(scene.count):
            shared.take_one()

    def put() -> None:
        if scene.count > 1:
            shared.mine.put_many(values, **scene.limit)
        elif scene.is_in_vain:
            with contextlib.suppress(Full):
                shared.mine.put(values[0], **scene.limit)
        else:
            shared.mine.put(values[0], **scene.limit)

    def after(outcome: Outcome) -> None:
        items = {item[0] if scene.has_proxies else item for item in values}
        if outcome.has_returned:
            shared.interrupted -= items
            if not scene.is_in_vain:
                shared.wanted |= items
        if scene.is_in_vain:
            shared.take_one()
        shared.put_and_take()

    meanwhile = make_room if scene.is_full and not scene.is_in_vain else None
    explore(mine, put, after, shared.renew, before, meanwhile)
    wait_until(shared.is_empty, SECONDS, f"{shared.theirs.statistics()} should be empty")


class Work:
    """A queue with items that were got, and are to be done."""

    def __init__(self, mine: RedisManager, theirs: RedisManager, options: dict[str, Any]) -> None:
        self._make = lambda name: [each.Queue(name, **options) for each in (mine, theirs)]
        self._queues = itertools.count()
        self.renew()

    def renew(self) -> None:
        """Forget the queue for another one."""
        self.mine: Any
        self.theirs: Any
        self.mine, self.theirs = self._make(f"shared {next(self._queues)}")

    def begin(self) -> None:
        self.theirs.put_many(range(2))
        assert [self.mine.get(timeout=SECONDS) for _ in range(2)] == [0, 1]

    def must_be_done(self, possible: set[int]) -> None:
        """So many items are still to be done; they can be, no more, and nobody gets them again."""
        done = 0
        with contextlib.suppress(ValueError):
            while True:
                self.mine.task_done()
                done += 1
        assert done in possible, f"{done} items were still to be done"
        self.theirs.join()
        state = self.theirs.statistics()
        counts = state.size, state.unfinished, state.waiters, state.dead_letters
        assert counts == (0, 0, 0, 0), state
        wait_until(lambda: not self.theirs.statistics().in_flight, SECONDS, "nothing is in flight")


REDELIVER = {"redeliver": True}


@pytest.mark.parametrize("options", [{}, REDELIVER], ids=["Queue", "Queue, redeliver"])
def test_task_done(options: dict[str, Any], mine: RedisManager, theirs: RedisManager) -> None:
    work = Work(mine, theirs, options)

    def after(outcome: Outcome) -> None:
        work.must_be_done({1} if outcome.has_returned else {1, 2})

    explore(mine, lambda: work.mine.task_done(), after, work.renew, work.begin)


@pytest.mark.parametrize("options", [{}, REDELIVER], ids=["Queue", "Queue, redeliver"])
def test_join(
    options: dict[str, Any], server: AnyServer, mine: RedisManager, theirs: RedisManager
) -> None:
    work = Work(theirs, mine, options)  # the others do it
    is_blocked = until_blocked(server)

    def do(ended: threading.Event) -> None:
        """Once the call waits, or has ended."""
        is_blocked(ended)
        for _ in range(2):
            work.mine.task_done()

    def after(_: Outcome) -> None:
        work.must_be_done({0})

    explore(mine, lambda: work.theirs.join(), after, work.renew, work.begin, do)
