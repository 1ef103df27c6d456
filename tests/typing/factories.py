"""The types of what factories return, and of what its methods return."""

from array import array  # noqa: F401 - in quotes, for Python 3.11
from typing import Any, assert_type

from multihost import BadPayload, Manager, RedisManager, SyncManager
from multihost.managers import (
    ArrayProxy,
    BarrierProxy,
    BarrierStatistics,
    BoundedSemaphoreProxy,
    ConditionProxy,
    ConditionStatistics,
    DictProxy,
    EventProxy,
    EventStatistics,
    Holder,
    JoinableQueueProxy,
    LifoQueueProxy,
    ListProxy,
    LockProxy,
    LockStatistics,
    NamespaceProxy,
    PriorityQueueProxy,
    QueueProxy,
    QueueStatistics,
    RLockProxy,
    SemaphoreProxy,
    SemaphoreStatistics,
    SetProxy,
    SimpleQueueProxy,
    Statistics,
    ValueProxy,
)


def managers() -> None:
    with Manager() as m:
        assert_type(m, SyncManager)
    with RedisManager("redis://host:6379/0", lease=10) as r:
        assert_type(r, RedisManager)
        assert_type(r.names(), list[str])
        assert_type(r.delete("x"), bool)
    with SyncManager(("host", 50000), authkey=b"sixteen bytes and more") as s:
        assert_type(s, SyncManager)
        assert_type(s.start(), None)
        assert_type(s.connect(), None)


def dicts(m: SyncManager) -> None:
    assert_type(m.dict(), DictProxy[Any, Any])
    assert_type(m.dict("results"), DictProxy[Any, Any])
    assert_type(m.dict({1: 2}), DictProxy[int, int])
    pairs = [("a", 1)]
    assert_type(m.dict(pairs), DictProxy[str, int])
    assert_type(m.dict(a=1), DictProxy[str, int])
    assert_type(m.dict("results", a=1), DictProxy[str, int])
    assert_type(m.dict("results", {1: "x"}), DictProxy[int, str])
    assert_type(m.dict({"a": 1}, b=2), DictProxy[str, int])
    assert_type(m.dict(m.dict({1: 2.0})), DictProxy[int, float])
    declared: DictProxy[int, str] = m.dict()
    d = m.dict({1: "x"})
    assert_type(declared, DictProxy[int, str])
    assert_type(d[1], str)
    assert_type(d.get(1), str | None)
    assert_type(d.get(1, "y"), str)
    assert_type(d.get(1, 2), str | int)
    assert_type(d.pop(1), str)
    assert_type(d.pop(1, None), str | None)
    assert_type(d.popitem(), tuple[int, str])
    assert_type(d.setdefault(1, "z"), str)
    assert_type(d.keys(), list[int])
    assert_type(d.values(), list[str])
    assert_type(d.items(), list[tuple[int, str]])
    assert_type(d.copy(), dict[int, str])
    assert_type(list(d), list[int])
    assert_type(len(d), int)
    assert_type(1 in d, bool)
    assert_type(d | {2: 1.5}, dict[int, str | float])
    assert_type(d.name, str | None)
    assert_type(d.statistics(), Statistics)
    assert_type(d.delete(), None)
    d.update({2: "y"})
    d.update([(2, "y")])
    m.dict(a=1).update(b=2)
    d |= {3: "z"}
    assert_type(d, DictProxy[int, str])
    assert_type(d.add_new(4, "x"), bool)
    assert_type(d.update_new({4: "x"}), list[int])
    assert_type(d.update_new([(4, "x")]), list[int])
    assert_type(m.dict(a=1).update_new(b=2), list[str])
    hits = m.dict({"page": 1})
    assert_type(hits.increment("page"), int)
    assert_type(hits.increment("page", 2), int)
    anything = m.dict()
    anything[1] = "x"
    anything["x"] = 1.0
    nested = m.dict({"child": m.dict({1: 2})})
    assert_type(nested["child"][1], int)


def lists(m: SyncManager, r: RedisManager) -> None:
    assert_type(m.list(), ListProxy[Any])
    assert_type(m.list(name="jobs"), ListProxy[Any])
    assert_type(m.list([1]), ListProxy[int])
    assert_type(m.list("abc"), ListProxy[str])
    assert_type(m.list([1], name="jobs"), ListProxy[int])
    assert_type(m.list(m.list([1])), ListProxy[int])
    assert_type(r.list("jobs"), ListProxy[Any])
    assert_type(r.list("jobs", [1]), ListProxy[int])
    assert_type(r.list([1], name="jobs"), ListProxy[int])
    assert_type(r.list(), ListProxy[Any])
    items = m.list([1])
    assert_type(items[0], int)
    assert_type(items[:], list[int])
    assert_type(items.pop(), int)
    assert_type(items.copy(), list[int])
    assert_type([i for i in items], list[int])  # noqa: C416
    assert_type(items + [2], list[int])  # noqa: RUF005
    assert_type(items * 2, list[int])
    assert_type(items.index(1), int)
    assert_type(items.count(1), int)
    items.append(1)
    items.extend([2])
    items.sort(key=lambda i: -i, reverse=True)
    items += [3]
    items[0] = 4
    items[:] = [1, 2]
    del items[0]
    assert_type(items, ListProxy[int])


def sets(m: SyncManager, r: RedisManager) -> None:
    assert_type(m.set(), SetProxy[Any])
    assert_type(m.set([1]), SetProxy[int])
    assert_type(m.set("abc", name="letters"), SetProxy[str])
    assert_type(r.set("seen"), SetProxy[Any])
    assert_type(r.set("seen", [1]), SetProxy[int])
    s = m.set([1])
    assert_type(s.pop(), int)
    assert_type(s.add_new(4), bool)
    assert_type(s.update_new([4], {5}), list[int])
    assert_type(s.copy(), set[int])
    assert_type(s & {1}, set[int])
    assert_type(s <= {1}, bool)
    assert_type(s.issubset([1]), bool)
    s.add(1)
    s |= {2}
    assert_type(s, SetProxy[int])


def values(m: SyncManager) -> None:
    assert_type(m.Value("i", 1), ValueProxy[int])
    assert_type(m.Value("d", 0), ValueProxy[float])
    assert_type(m.Value("d", 0.5, name="share"), ValueProxy[float])
    assert_type(m.Value("u", "x"), ValueProxy[str])
    assert_type(m.Value("anything", b"x"), ValueProxy[bytes])
    v = m.Value("i", 1)
    assert_type(v.value, int)
    assert_type(v.get(), int)
    assert_type(v.add(), int)
    assert_type(v.add(2), int)
    v.value = 2
    v.value += 1
    v.set(3)
    assert_type(m.Array("i", [1]), ArrayProxy[int])
    assert_type(m.Array("d", [1, 2.5]), ArrayProxy[float])
    assert_type(m.Array("u", "abc"), ArrayProxy[str])
    a = m.Array("d", range(3), name="weights")
    assert_type(a, ArrayProxy[float])
    assert_type(a[0], float)
    assert_type(a[:], "array[float]")
    assert_type(list(a), list[float])
    a[0] = 1
    ns = m.Namespace(x=1)
    assert_type(ns, NamespaceProxy)
    assert_type(m.Namespace("settings", x=1), NamespaceProxy)
    ns.y = ns.x + 1
    ns.name = "mine"
    del ns.y


def locks(m: SyncManager) -> None:
    assert_type(m.Lock(), LockProxy)
    assert_type(m.Lock("report"), LockProxy)
    assert_type(m.RLock(name="report"), RLockProxy)
    lock = m.Lock()
    assert_type(lock.acquire(timeout=1), bool)
    assert_type(lock.locked(), bool)
    assert_type(lock.holder(), Holder | None)
    assert_type(lock.fencing_token, int)
    assert_type(lock.statistics(), LockStatistics)
    with lock as held:
        assert_type(held, bool)
    assert_type(m.Semaphore(), SemaphoreProxy)
    assert_type(m.Semaphore(2), SemaphoreProxy)
    assert_type(m.Semaphore("gpu", 2), SemaphoreProxy)
    assert_type(m.Semaphore("gpu", value=2), SemaphoreProxy)
    assert_type(m.Semaphore(2, name="gpu"), SemaphoreProxy)
    assert_type(m.BoundedSemaphore(value=2), BoundedSemaphoreProxy)
    assert_type(m.Semaphore(2).statistics(), SemaphoreStatistics)


def rendezvous(m: SyncManager) -> None:
    assert_type(m.Condition(), ConditionProxy)
    assert_type(m.Condition(m.Lock()), ConditionProxy)
    assert_type(m.Condition("ready", m.RLock()), ConditionProxy)
    assert_type(m.Condition("ready", lock=m.RLock()), ConditionProxy)
    condition = m.Condition(name="ready")
    with condition:
        assert_type(condition.wait(1), bool)
        assert_type(condition.wait_for(lambda: 3), int)
    assert_type(condition.statistics(), ConditionStatistics)
    assert_type(m.Event("stop"), EventProxy)
    assert_type(m.Event().wait(1), bool)
    assert_type(m.Event().statistics(), EventStatistics)
    assert_type(m.Barrier(8), BarrierProxy)
    assert_type(m.Barrier("start", 8, print, 60), BarrierProxy)
    assert_type(m.Barrier(parties=8, timeout=60, name="start"), BarrierProxy)
    assert_type(m.Barrier(8).wait(), int)
    assert_type(m.Barrier(8).statistics(), BarrierStatistics)


def queues(m: SyncManager) -> None:
    assert_type(m.Queue(), QueueProxy[Any])
    assert_type(m.Queue(100), QueueProxy[Any])
    assert_type(m.Queue("jobs"), QueueProxy[Any])
    assert_type(m.Queue("jobs", 100), QueueProxy[Any])
    assert_type(m.Queue("jobs", maxsize=100), QueueProxy[Any])
    assert_type(m.Queue(100, name="jobs"), QueueProxy[Any])
    assert_type(m.Queue("jobs", redeliver=True, max_deliveries=5), QueueProxy[Any])
    assert_type(m.JoinableQueue(), JoinableQueueProxy[Any])
    assert_type(m.LifoQueue(5), LifoQueueProxy[Any])
    assert_type(m.PriorityQueue("todo"), PriorityQueueProxy[Any])
    assert_type(m.SimpleQueue("log"), SimpleQueueProxy[Any])
    jobs: QueueProxy[int] = m.Queue()
    assert_type(jobs.get(timeout=1), int)
    assert_type(jobs.get_nowait(), int)
    assert_type(jobs.get_many(10), list[int])
    assert_type(jobs.reopen(), None)
    assert_type(jobs.dead_letters(), list[int | BadPayload])
    assert_type(jobs.qsize(), int)
    assert_type(jobs.statistics(), QueueStatistics)
    jobs.put(1)
    jobs.put_many([1, 2])
    jobs.prefetch = 50
