"""Whatever the keys of an object hold, asking for its state returns something or raises an error of
ours, soon, and takes no part of the program along.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

import pytest

from multihost import MultihostError
from tests.damage.bounds import MEGABYTES, soon
from tests.damage.harm import batches
from tests.damage.world import TYPEIDS, World, proxy_of

View = Callable[[Any], object]

VIEWS: dict[str, tuple[View, ...]] = {
    "dict": (len, lambda d: d.keys(), lambda d: d.get("a"), lambda d: "a" in d),
    "list": (len, lambda each: each.count("two")),
    "set": (len, lambda each: "two" in each),
    "Namespace": (lambda n: n._statistics(),),
    "Value": (lambda v: v.value,),
    "Array": (len, lambda a: a[:]),
    "Lock": (lambda lock: lock.holder(), lambda lock: lock.locked()),
    "RLock": (lambda lock: lock.holder(), lambda lock: lock.locked()),
    "Semaphore": (lambda s: s.locked(),),
    "BoundedSemaphore": (lambda s: s.locked(),),
    "Condition": (lambda c: c.locked(),),
    "Event": (lambda e: e.is_set(),),
    "Barrier": (lambda b: b.n_waiting, lambda b: b.broken),
    "Queue": (lambda q: q.qsize(), lambda q: q.dead_letters()),
    "JoinableQueue": (lambda q: q.empty(), lambda q: q.full()),
    "LifoQueue": (lambda q: q.qsize(),),
    "PriorityQueue": (lambda q: q.qsize(), lambda q: q.dead_letters()),
    "SimpleQueue": (lambda q: q.empty(),),
    "Pool": (),
}
COMMON: tuple[View, ...] = (str, repr, lambda each: each.statistics())
ROWS = [
    "{namespace:NN}:names",
    "{namespace:NN}:s:<session>",
    "{namespace:NN}:n:<name>",
    "data:index",
    "data:refs",
    "data:contains",
    "data:items",
    "data:dead",
    "data:inflight:<session>.<n>",
    "data:free",
    "data:held:<session>.<n>",
]


@pytest.mark.parametrize("row", ROWS)
def test_views_of_a_damaged_object(world: World, row: str) -> None:
    typeids = [typeid for typeid in TYPEIDS if typeid != "Pool"]
    ill = {typeid: proxy_of(world.manager, typeid, f"ill {typeid}") for typeid in typeids}
    well = {typeid: proxy_of(world.manager, typeid, f"well {typeid}") for typeid in typeids}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _, done in batches(world.server, world.ill_keys(row)):
        for harm in done:
            world.server.commands(*harm.commands)
        try:
            with soon():
                for typeid in typeids:
                    common = COMMON[: 2 if typeid == "Namespace" else 3]
                    for view in (*common, *VIEWS[typeid]):
                        try:
                            view(ill[typeid])
                        except MultihostError:
                            pass
                        view(well[typeid])
                    attach(world, typeid)
        except BaseException as error:
            error.add_note("\n".join(f"{harm.commands[0][1]!r}: {harm.what}" for harm in done))
            raise
        world.restore()
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert used < MEGABYTES


def attach(world: World, typeid: str) -> None:
    """Somebody asks for the object, by its name."""
    try:
        proxy_of(world.manager, typeid, f"ill {typeid}")
    except (MultihostError, TypeError, ValueError):
        pass  # of another type, or with other parameters, for all that is stored
