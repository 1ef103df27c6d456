"""What clients do: an object, and for each client a few calls of it.

To add one: a row in :data:`SCENARIOS`. Its calls are looked up in the table of its kind below, and
in the specification of its object, by the same name.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from multihost.errors import LeaseLost
from multihost.managers import BaseManager, RedisManager
from tests.explore import objects
from tests.explore.clients import Work
from tests.explore.histories import Specification

__all__ = ["SCENARIOS", "Scenario", "Step"]

NAME = "explored"
SECONDS = 30.0  # for what comes last, when all others have ended
IN_FLIGHT = 10.0  # for items that somebody has, who may be dead

Step = tuple[Any, ...]
"""Name and arguments of one call."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of objects: how one is made, what its calls are."""

    make: Callable[[Any], Any]
    calls: dict[str, Callable[..., Any]]
    warm: Callable[[Any], object]
    """Done by each client before it is watched, so that connections and scripts are there."""
    serve: Work | None = None
    """What another process does meanwhile, whose requests pass at once."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """``clients``: what each does, in the order of their letters; ``last``: what is called by
    another one when they have ended.
    """

    name: str
    kind: Kind
    specification: Specification
    clients: tuple[tuple[Step, ...], ...]
    last: tuple[Step, ...]

    def work(self, steps: tuple[Step, ...], **settings: Any) -> Work:
        """Return what a client does."""

        def work(url: str, report: Callable[..., None], await_start: Callable[[], None]) -> object:
            manager = RedisManager(url, **settings)
            thing = self.kind.make(manager)
            self.kind.warm(thing)
            report("ready")
            await_start()
            for number, (name, *args) in enumerate(steps):
                report("call", number)
                try:
                    result = self.kind.calls[name](thing, *args)
                except Exception as error:
                    report("raise", number, type(error).__name__, str(error))
                    if not isinstance(error, LeaseLost):
                        break  # what follows relies on it
                else:
                    report("return", number, result)
            return manager, thing

        return work


def _acquire(lock: Any) -> int:
    assert lock.acquire() is True
    return int(lock.fencing_token)


def _try_acquire(lock: Any) -> int | None:
    return int(lock.fencing_token) if lock.acquire(False) else None


def _acquire_last(lock: Any) -> int | None:
    return int(lock.fencing_token) if lock.acquire(timeout=SECONDS) else None


def _announce(things: Any) -> None:
    condition, flag = things
    with condition:
        flag.value = 1
        condition.notify_all()


def _await_announcement(things: Any) -> bool:
    condition, flag = things
    with condition:
        while not flag.value:
            condition.wait()
    return True


def _drain(q: Any) -> tuple[Any, ...]:
    """Return all that is left. What a killed consumer had comes back within moments: who asks waits
    for it while something is in flight, and gives up if that is with somebody who lives.
    """
    found = []
    deadline = time.monotonic() + IN_FLIGHT
    while time.monotonic() < deadline:
        try:
            found.append(q.get(timeout=0.1))
        except queue.Empty:
            left = q.statistics()
            if not (left.size or left.in_flight):
                break
    return tuple(found)


def _passed(barrier: Any) -> str:
    """Can it still be used?"""
    if barrier.broken:
        barrier.reset()
        return "broken"
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(barrier.wait(SECONDS))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "all" if sorted(results) == [0, 1] else f"{results}"


LOCK_CALLS = {
    "acquire": _acquire,
    "try_acquire": _try_acquire,
    "release": lambda lock: lock.release(),
    "locked": lambda lock: lock.locked(),
}


def _warm_lock(lock: Any) -> None:
    lock.locked()
    lock.acquire(False) and lock.release()  # others may be at it: they have it for a moment


LOCK = Kind(lambda m: m.Lock(NAME), LOCK_CALLS, _warm_lock)
RLOCK = Kind(lambda m: m.RLock(NAME), LOCK_CALLS, _warm_lock)

SEMAPHORE_CALLS = {
    "acquire": lambda s: s.acquire(),
    "try_acquire": lambda s: s.acquire(False),
    "release": lambda s: s.release(),
}


def _semaphore(value: int) -> Kind:
    return Kind(lambda m: m.Semaphore(NAME, value), SEMAPHORE_CALLS, lambda s: s.locked())


def _bounded(value: int) -> Kind:
    return Kind(lambda m: m.BoundedSemaphore(NAME, value), SEMAPHORE_CALLS, lambda s: s.locked())


EVENT = Kind(
    lambda m: m.Event(NAME),
    {
        "set": lambda e: e.set(),
        "clear": lambda e: e.clear(),
        "wait": lambda e: e.wait(),
        "is_set": lambda e: e.is_set(),
    },
    lambda e: e.is_set(),
)

CONDITION = Kind(
    lambda m: (m.Condition(NAME), m.Value("i", 0, name="flag")),
    {
        "announce": _announce,
        "await_announcement": _await_announcement,
        "is_set": lambda things: bool(things[1].value),
    },
    lambda things: things[1].value,
)

BARRIER = Kind(
    lambda m: m.Barrier(NAME, 2),
    {"wait": lambda b: b.wait(), "passed": _passed},
    lambda b: b.n_waiting,
)


def _queue(**options: Any) -> Kind:
    return Kind(
        lambda m: m.JoinableQueue(NAME, **options),
        {
            "put": lambda q, item: q.put(item),
            "get": lambda q: q.get(),
            "task_done": lambda q: q.task_done(),
            "join": lambda q: q.join(),
            "drain": _drain,
        },
        lambda q: q.qsize(),
    )


def _filled_queue(*items: str) -> Kind:
    """A queue with items in it: whoever makes it first puts them there."""
    plain = _queue()

    def make(manager: Any) -> Any:
        q = manager.JoinableQueue(NAME)
        if manager.Value("i", 0, name="filled").add(1) == 1:
            q.put_many(items)
        return q

    return dataclasses.replace(plain, make=make)


def _dict(**items: int) -> Kind:
    return Kind(
        lambda m: m.dict(NAME, items),
        {
            "set": lambda d, key, value: d.__setitem__(key, value),
            "pop": lambda d, key: d.pop(key, None),
            "setdefault": lambda d, key, value: d.setdefault(key, value),
            "update": lambda d, *pairs: d.update(dict(pairs)),
            "increment": lambda d, key: d.increment(key),
            "look": lambda d: tuple(sorted(d.copy().items())),
        },
        len,
    )


def _list(*items: int) -> Kind:
    return Kind(
        lambda m: m.list(NAME, list(items)),
        {
            "append": lambda l, item: l.append(item),
            "pop": lambda l: l.pop(),
            "look": lambda l: tuple(l[:]),
        },
        len,
    )


class _Counter:
    """Lives in the memory of a process."""

    def __init__(self) -> None:
        self._count = 0

    def add(self) -> int:
        self._count += 1
        return self._count

    def look(self) -> int:
        return self._count


class _Hosting(BaseManager):
    pass


_Hosting.register("Counter", _Counter)


def _serve(url: str, report: Callable[..., None], await_start: Callable[[], None]) -> None:
    server = _Hosting(url).get_server()
    report("ready")
    server.serve_forever()


def _hosted_counter(manager: RedisManager) -> Any:
    hosting = _Hosting(manager.address)
    hosting.connect()
    return hosting.Counter(name=NAME)


HOSTED = Kind(
    _hosted_counter,
    {"add": lambda c: c.add(), "look": lambda c: c.look()},
    lambda c: c.look(),
    _serve,
)

HOLD = (("acquire",), ("release",))
TWICE = (("acquire",), ("acquire",), ("release",), ("release",))
TRY = (("try_acquire",), ("locked",))
SET, POP = ("set", "k", 5), ("pop", "k")
SETDEFAULT, UPDATE = ("setdefault", "k", 6), ("update", ("k", 7), ("l", 8))

_free = (("acquire",), ("release",))
_look = (("look",),)

SCENARIOS: dict[str, Scenario] = {}


def _add(
    name: str,
    kind: Kind,
    specification: Any,
    *clients: tuple[Step, ...],
    last: tuple[Step, ...],
) -> None:
    SCENARIOS[name] = Scenario(name, kind, specification, clients, last)


_add("lock", LOCK, objects.Lock(), HOLD, last=_free)
_add("lock twice", LOCK, objects.Lock(), HOLD + HOLD, last=_free)
_add("lock hold+hold", LOCK, objects.Lock(), HOLD, HOLD, last=_free)
_add("lock hold+try", LOCK, objects.Lock(), HOLD, (("locked",),), last=_free)
_add("rlock", RLOCK, objects.Lock(True), TWICE, last=_free)
_add("rlock hold+hold", RLOCK, objects.Lock(True), TWICE, HOLD, last=_free)
_add("semaphore hold+hold", _semaphore(1), objects.Semaphore(1), HOLD, HOLD, last=_free)
_add(
    "semaphore wait+signal",
    _semaphore(0),
    objects.Semaphore(0),
    (("acquire",),),
    (("release",),),
    last=(("release",), ("acquire",)),
)
_add("bounded hold+hold", _bounded(1), objects.Semaphore(1, True), HOLD, HOLD, last=_free)
_add("event wait+set", EVENT, objects.Event(), (("wait",),), (("set",),), last=(("is_set",),))
_add(
    "event set+clear",
    EVENT,
    objects.Event(),
    (("set",), ("is_set",)),
    (("clear",), ("is_set",)),
    last=(("is_set",),),
)
_add(
    "condition wait+notify",
    CONDITION,
    objects.Event(),
    (("await_announcement",),),
    (("announce",),),
    last=(("is_set",),),
)
_add("barrier", BARRIER, objects.Barrier(), (("wait",),), (("wait",),), last=(("passed",),))

PUT, PUT_TWO = (("put", "x"),), (("put", "x"), ("put", "y"))
GET, GET_DONE = (("get",),), (("get",), ("task_done",))
_drained = (("drain",),)
_add("queue put", _queue(), objects.Queue(), PUT_TWO, last=_drained)
_add("queue get", _filled_queue("p", "q"), objects.Queue("p", "q"), GET + GET, last=_drained)
_add("queue put+get", _queue(), objects.Queue(), PUT_TWO, GET + GET, last=_drained)
_add("queue put+put", _queue(), objects.Queue(), PUT, (("put", "z"),), last=_drained)
_add("queue get+get", _filled_queue("p", "q"), objects.Queue("p", "q"), GET, GET, last=_drained)
_add(
    "queue done+join",
    _filled_queue("p"),
    objects.Queue("p"),
    GET_DONE,
    (("join",),),
    last=_drained,
)
_add(
    "queue bounded put+get",
    _queue(maxsize=1),
    objects.Queue(maxsize=1),
    PUT_TWO,
    GET + GET,
    last=_drained,
)


def _with_other_values(step: Step) -> Step:
    """Return the same call with values that nobody else writes."""
    name, *args = step
    pairs = [(arg[0], arg[1] + 10) if isinstance(arg, tuple) else arg for arg in args]
    return name, *(arg + 10 if isinstance(arg, int) else arg for arg in pairs)


_changes = (SET, POP, SETDEFAULT, UPDATE)
for _place, _left in enumerate(_changes):
    _add(f"dict {_left[0]}", _dict(k=1), objects.Dict(k=1), (_left,), last=_look)
    for _right in _changes[_place:]:
        _pair = f"dict {_left[0]}+{_right[0]}"
        _other = _with_other_values(_right)
        _add(_pair, _dict(k=1), objects.Dict(k=1), (_left,), (_other,), last=_look)
_add(
    "dict increment+increment",
    _dict(),
    objects.Dict(),
    (("increment", "k"),) * 2,
    (("increment", "k"),),
    last=_look,
)
_add("list append", _list(1), objects.List(1), (("append", 2), ("append", 3)), last=_look)
_add("list append+append", _list(), objects.List(), (("append", 1),), (("append", 2),), last=_look)
_add("list append+pop", _list(1), objects.List(1), (("append", 2),), (("pop",),), last=_look)
_add("list pop+pop", _list(1, 2), objects.List(1, 2), (("pop",),), (("pop",),), last=_look)

_adds = (("add",), ("add",))
_add("hosted call", HOSTED, objects.Counter(), _adds, last=_look)
_add("hosted call+call", HOSTED, objects.Counter(), _adds, (("add",),), last=_look)
