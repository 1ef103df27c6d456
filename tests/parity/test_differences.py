"""The deliberate differences: each is still one, and works as it says."""

from __future__ import annotations

import multiprocessing
import operator
import os
from fractions import Fraction

import pytest

from tests.parity.differences import DIFFERENCES
from tests.parity.samples import IntSubclass
from tests.parity.transcript import bodies, compare, plain, write
from tests.support.procs import run_all


class ByIdentity:
    pass


class IgnoresCase(str):
    def __eq__(self, other):
        return self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


def update_in_place(s, other):
    s |= other
    return s.copy()


def body_creation_errors(m, t):
    t(m.dict, 5)
    t(m.dict, [1])
    t(m.dict, [([], 1)])
    t(m.list, 5)
    t(m.set, 5)
    t(m.set, [[]])
    t(m.Namespace, 5)
    t(m.Value)
    t(m.Array, "z", [1])
    t(m.Array, "i", 5)
    t(m.Array, "i", ["a"])
    t(m.Array, "b", [1000])
    # On some releases the standard library makes some of these.
    t(lambda: m.Lock(1) and None)
    t(lambda: m.Event(1) and None)
    t(lambda: m.Semaphore(-1) and None)
    t(lambda: m.BoundedSemaphore(-1) and None)
    t(lambda: m.Semaphore(1.5) and None)
    t(lambda: m.Semaphore(1, 2) and None)
    t(lambda: m.Condition(1) and None)
    t(lambda: m.Barrier() and None)
    t(lambda: m.Barrier(0) and None)
    t(lambda: m.Barrier(1, 1) and None)
    t(lambda: m.Barrier(1, None, "1s") and None)
    t(lambda: m.Barrier(1, None, None, None) and None)


def body_iteration_is_a_snapshot(m, t):
    def grow(l):
        for number in l:
            if len(l) < 9:
                l.append(number)
        return len(l)

    def change(d):
        for key in d:
            d[key + 10] = 1
        return len(d)

    t(grow, m.list([1, 2]))
    t(change, m.dict({1: 1, 2: 2}))
    s = m.set([1, 2])
    t(lambda: [s.add(x + 10) for x in s])


def body_iterating_a_proxy_argument(m, t):
    t(m.list().extend, m.dict(a=1))
    t(m.set([1]).union, m.set([2]))
    t(m.set([1]).update, m.dict(a=1))
    t(m.set([1]).issubset, m.set([2]))
    t(m.dict().fromkeys, m.dict(a=1))


def body_arguments_need_not_be_picklable(m, t):
    def shared(kind, *content):
        return getattr(m, kind)(*content)

    t(shared("list").extend, (x for x in "ab"))
    t(shared("list", [2, 1]).sort, key=lambda x: x)
    t(shared("dict").update, ((k, 1) for k in "ab"))
    t(shared("set").update, {"a": 1}.keys())
    t(shared("set", ["a"]).union, {"a": 1}.keys())
    t(operator.setitem, shared("list", [1]), slice(0, 1), (x for x in "ab"))
    t(m.list, (x for x in "ab"))
    t(m.set, {"a": 1}.keys())


def body_a_failed_update_changes_nothing(m, t):
    d, s = m.dict(), m.set()
    with pytest.raises(ValueError):
        d.update([("a", 1), ("b",)])
    t(d.items)
    with pytest.raises(TypeError):
        s.update([1, []])
    t(s.copy)


def body_a_failed_sort_changes_nothing(m, t):
    l = m.list([1, 3, 2, "a"])
    with pytest.raises(TypeError):
        l.sort()
    t(l.copy)


def body_equal_bytes_are_one_key(m, t):
    key = ByIdentity()
    d = m.dict()
    d[key] = 1
    t(lambda: key in d)
    t(lambda: d[ByIdentity()])
    t(lambda: ByIdentity() in m.set([key]))


def body_a_class_that_replaces_equality(m, t):
    t(lambda: m.dict({IgnoresCase("One"): 1}))


def body_unhashable_keys_of_an_empty_dict(m, t):
    t(m.dict().pop, [])
    t(m.dict().pop, [], "default")


def body_a_proxy_is_no_key(m, t):
    d, s, l = m.dict(), m.set(), m.list()
    t(lambda: operator.setitem(d, l, 1))
    t(s.add, l)
    t(lambda: l in d)


def body_sets_take_proxies_in_place(m, t):
    t(update_in_place, m.set([1]), m.set([2]))
    t(operator.le, m.set([1]), m.set([1, 2]))
    t(operator.gt, m.set([1]), m.set([1, 2]))


def body_namespace_own_methods(m, t):
    ns = m.Namespace(x=1)
    t(lambda: ns._name)
    t(lambda: ns._statistics().length)
    t(lambda: ns._delete())


def body_namespace_empty_name(m, t):
    ns = m.Namespace()
    t(setattr, ns, "", 1)
    t(getattr, ns, "")
    t(delattr, ns, "")


def body_generic_aliases(m, t):
    for proxy in (m.Value("i", 0), m.list(), m.dict(), m.set(), m.Array("i", [])):
        t(lambda proxy=proxy: type(type(proxy)[int]))


def body_extra_methods(m, t):
    d = m.dict()
    t(lambda: d.name)
    t(lambda: d.increment("a", 2))
    t(lambda: d.statistics().length)
    t(lambda: m.Value("i", 1).add(2))
    t(lambda: m.list().delete())
    t(lambda: m.names() is not None)
    for typeid in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        lock = getattr(m, typeid)()
        lock.acquire()
        t(lambda lock=lock: lock.fencing_token > 0)
        t(lambda lock=lock: lock.statistics().typeid)
    t(lambda: m.Lock().holder())
    for semaphore in (m.Semaphore(2), m.BoundedSemaphore(2)):
        semaphore.acquire()
        t(lambda semaphore=semaphore: semaphore.locked())
        semaphore.acquire()
        t(lambda semaphore=semaphore: semaphore.locked())
        t(semaphore.release, 2)
        t(semaphore.acquire, False)
    t(lambda: m.Condition().statistics().waiters)
    t(lambda: m.Event().statistics().is_set)
    t(lambda: m.Barrier(2).statistics().parties)


def body_wrong_arguments(m, t):
    t(m.dict().get)
    t(m.dict().pop, 1, 2, 3)
    t(m.list().append)
    t(m.set().add, 1, 2)
    t(m.Value("i", 1).set)
    t(m.list().sort, len)


def body_classes_of_locks(m, t):
    for typeid in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        t(lambda typeid=typeid: type(getattr(m, typeid)()).__name__)


def take(lock):
    return lock.acquire(False)


def body_a_dead_holder(m, t):
    for lock in (m.Lock(), m.RLock(), m.Condition(), m.BoundedSemaphore()):
        t(run_all, multiprocessing.get_context("fork"), take, [[lock]])
        t(lock.acquire, False)


def body_condition_with_an_rlock(m, t):
    lock = m.RLock()
    c = m.Condition(lock)
    with lock:
        t(c.wait, 0.01)
        t(c.notify)
        t(c.acquire, True, 0.01)
        t(c.release)
    with c:
        t(c.wait, 0.01)
        t(c.notify_all)
        t(lock.acquire, True, 0.01)
        t(lock.release)


class ProcessID:
    def __init__(self, l):
        self.l = l

    def __call__(self):
        self.l.append(os.getpid())


def body_the_action_of_a_barrier(m, t):
    l = m.list()
    t(m.Barrier(1, ProcessID(l)).wait)
    t(lambda: l[0] == os.getpid())


def body_timeouts_are_checked_first(m, t):
    event, semaphores = m.Event(), [m.Semaphore(3), m.BoundedSemaphore(3)]
    event.set()
    barrier = m.Barrier(1)
    for timeout in (1e10, "1", Fraction(1, 100)):
        for semaphore in semaphores:
            t(semaphore.acquire, True, timeout)
        t(event.wait, timeout)
        t(barrier.wait, timeout)


@pytest.mark.parametrize("body", bodies(globals()))
def test_it_still_differs(body, expected, ours):
    theirs, here = expected(body), write(body, ours)
    assert len(theirs) == len(here)
    assert compare(theirs, here), "remove it from the differences"


def test_every_difference_is_listed_and_shown():
    shown = {parameter.id for parameter in bodies(globals())}
    assert shown == set(DIFFERENCES)
    assert all(DIFFERENCES.values())


# What they do instead.


def outcomes(body, manager):
    return [outcome for _, outcome in write(body, manager)]


def test_creation_raises_the_original(ours):
    assert [outcome[0] for outcome in outcomes(body_creation_errors, ours)] == [
        f"raises builtins.{name}"
        for name in (
            *("TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError"),
            *("TypeError", "TypeError", "ValueError", "TypeError", "TypeError", "OverflowError"),
            *("TypeError", "TypeError", "ValueError", "ValueError", "TypeError", "TypeError"),
            *("TypeError", "TypeError", "ValueError", "TypeError", "ValueError", "TypeError"),
        )
    ]


@pytest.mark.parametrize(
    "body",
    [
        body_iterating_a_proxy_argument,
        body_arguments_need_not_be_picklable,
        body_extra_methods,
        body_condition_with_an_rlock,
    ],
)
def test_it_works_here(body, ours):
    assert not [line for line in outcomes(body, ours) if str(line[0]).startswith("raises")]


def test_growing_while_iterating(ours):
    assert outcomes(body_iteration_is_a_snapshot, ours) == [
        plain(4),
        plain(4),
        plain([None, None]),
    ]


def test_failures_change_nothing(ours):
    assert outcomes(body_a_failed_update_changes_nothing, ours) == [plain([]), plain(set())]
    assert outcomes(body_a_failed_sort_changes_nothing, ours) == [plain([1, 3, 2, "a"])]


def test_equal_bytes(ours):
    assert outcomes(body_equal_bytes_are_one_key, ours) == [plain(True), plain(1), plain(True)]
    # A subclass that leaves equality alone meets its base.
    assert 1 in ours.dict({IntSubclass(1): 0})


@pytest.mark.parametrize(
    "body",
    [
        body_a_proxy_is_no_key,
        body_unhashable_keys_of_an_empty_dict,
        body_a_class_that_replaces_equality,
    ],
)
def test_what_cannot_be_a_key_is_refused(body, ours):
    for name, *_ in outcomes(body, ours):
        assert name == "raises builtins.TypeError"


def test_what_a_dead_process_held(ours):
    assert outcomes(body_a_dead_holder, ours) == [plain([True]), plain(True)] * 4


def test_who_runs_the_action(ours):
    assert outcomes(body_the_action_of_a_barrier, ours) == [plain(0), plain(True)]


def test_timeouts(ours):
    got = [name for name, *_ in outcomes(body_timeouts_are_checked_first, ours)]
    wrong = (
        "raises builtins.OverflowError",
        "raises builtins.TypeError",
        "raises builtins.TypeError",
    )
    assert got == [name for name in wrong for _ in range(4)]


def test_set_operators_with_proxies(ours):
    assert outcomes(body_sets_take_proxies_in_place, ours) == [
        plain({1, 2}),
        plain(True),
        plain(False),
    ]


class Meddler:
    """Changes the list that it is looked for in."""

    def __init__(self, l):
        self.l = l

    def __eq__(self, other):
        self.l.append(0)
        return True

    __hash__ = None


def test_a_list_that_is_changed_by_its_own_comparison(embedded):
    """There would be no end to looking again."""
    l = embedded.list([1])
    with pytest.raises(ValueError, match="list modified during remove"):
        l.remove(Meddler(l))
    with pytest.raises(ValueError, match="list modified during sort"):
        l.sort(key=lambda x: l.append(x) or x)


def test_lists_that_take_themselves(ours):
    """The standard library's server never ends: it reads the list while it grows."""
    l = ours.list([1, 2])
    l.extend(l)
    assert l[:] == [1, 2] * 2
    l += l
    assert l[:] == [1, 2] * 4
    s = ours.set([1, 2])
    s.update(s)
    s &= s
    assert s.copy() == {1, 2}
    s ^= s
    assert s.copy() == set()
