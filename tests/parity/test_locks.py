"""Locks, semaphores, conditions, events and barriers against the standard library's."""

from __future__ import annotations

import contextlib
import copy
import math
import multiprocessing
import operator
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.parity.transcript import bodies
from tests.support.procs import run_all
from tests.support.waiting import wait_until

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

FORK = multiprocessing.get_context("fork")
SPAWN = multiprocessing.get_context("spawn")

BLOCKING = [True, False, 1, 0, 2, -1]
NEGATIVE = [-1, -1.0, -0.5, -2, -1e-9, -1e100, -math.inf]
SHORT = [0, 0.0, -0.0, 1e-9, 0.001, 0.02, False]
LONG = [True, 1, 1e5, threading.TIMEOUT_MAX]
GOOD = [None, *NEGATIVE, *SHORT, *LONG, math.nan]
TOO_LONG = [threading.TIMEOUT_MAX + 1, 1e10, 1e100, 2**70, math.inf]
BAD = ["1", "", b"1", [], (), {}, 1j, Decimal("0.01"), object]

LOCKS = ("Lock", "RLock", "Condition")
SEMAPHORES = ("Semaphore", "BoundedSemaphore")


def elsewhere(function, *args, **kwds):
    """Call it in another thread, which ends."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **kwds).result()


def together(*functions):
    """Call them all at once, each in a thread of its own: what each returns or raises, by name."""
    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(function) for function in functions]
    return [f.exception() or f.result() for f in futures]


@contextlib.contextmanager
def held(lock):
    """While another thread holds it."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.acquire).result()
        yield
        pool.submit(lock.release).result()


def taken(lock):
    """Whether another thread finds it taken."""
    return not elsewhere(lock.acquire, False)


def enter(thing):
    with thing as what:
        return what


def fail_within(thing):
    with thing:
        raise KeyError("within")


# -- acquire and release


def body_acquire_a_free_one(m, t):
    for typeid in LOCKS + SEMAPHORES:
        lock = getattr(m, typeid)()
        # Those of semaphores are a deliberate difference.
        wrong = [*TOO_LONG, *BAD, Fraction(1, 100)] if typeid in LOCKS else []
        for blocking in BLOCKING:
            for timeout in (*GOOD, *wrong):
                if t(lock.acquire, blocking, timeout):
                    t(lock.release)
        t(lock.acquire)
        t(lock.release)


def body_acquire_a_held_lock(m, t):
    for typeid in LOCKS:
        lock = getattr(m, typeid)()
        with held(lock):
            for blocking in BLOCKING:
                for timeout in (*GOOD, *TOO_LONG, *BAD, Fraction(1, 100)):
                    if not blocking or timeout not in (None, -1, *LONG):
                        t(lock.acquire, blocking, timeout)
        t(lock.acquire, False)


def body_acquire_a_permit_that_is_not_there(m, t):
    for typeid in SEMAPHORES:
        semaphore = getattr(m, typeid)(0)
        for blocking in BLOCKING:
            # NaN is for ever, and not idle.
            for timeout in (None, *NEGATIVE, *SHORT, *LONG, *TOO_LONG):
                if not blocking or timeout not in (None, *LONG):
                    t(semaphore.acquire, blocking, timeout)
            for timeout in BAD:
                t.type_only(semaphore.acquire, blocking, timeout)
        t(semaphore.acquire, False)


def body_spellings_of_acquire(m, t):
    for typeid in LOCKS + SEMAPHORES:
        lock = getattr(m, typeid)()
        t(lock.acquire, blocking=True)
        t(elsewhere, lock.acquire, blocking=False)
        t(elsewhere, lock.acquire, timeout=0.01)
        t(elsewhere, lock.acquire, True, timeout=0.01)
        t(elsewhere, lock.acquire, blocking=True, timeout=0)
        t(elsewhere, lock.acquire, timeout=0, blocking=True)
        t(elsewhere, lock.acquire, blocking=False, timeout=None)
        t(elsewhere, lock.acquire, blocking=False, timeout=1)
        t.type_only(lock.acquire, True, 0.01, None)
        t.type_only(lock.acquire, wait=True)
        t(lock.release)
        t(lock.release)


def body_release_what_is_not_held(m, t):
    for typeid in LOCKS:
        lock = getattr(m, typeid)()
        t(lock.release)
        t(lock.acquire)
        t(lock.release)
        t(lock.release)
        t(elsewhere, lock.release)
        t(lock.acquire, False)


def body_with(m, t):
    for typeid in LOCKS + SEMAPHORES:
        lock = getattr(m, typeid)()
        t(enter, lock)
        t(fail_within, lock)
        t(enter, lock)
        t(lock.acquire, False)
        t(lock.__exit__, None, None, None)
        t(lock.__enter__)
        t(lock.release)


def body_locked(m, t):
    for typeid in LOCKS:
        lock = getattr(m, typeid)()
        t(lock.locked)
        t(lock.acquire)
        t(lock.locked)
        t(elsewhere, lock.locked)
        t(lock.release)
        t(lock.locked)
        with held(lock):
            t(lock.locked)
        t(lock.locked)
        t(lock._callmethod, "locked")
        t.type_only(lock.locked, 1)


def body_anybody_releases_a_lock(m, t):
    lock = m.Lock()
    t(lock.acquire)
    t(elsewhere, lock.release)
    t(lock.acquire, False)
    t(elsewhere, lock.acquire, False)
    t(copy.copy(lock).release)
    t(elsewhere, lock.acquire, False)
    t(lock.release)
    t(lock.release)


def body_who_waits_gets_it(m, t):
    for typeid in LOCKS + SEMAPHORES:
        lock = getattr(m, typeid)()
        lock.acquire()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lock.acquire, True, 30)
            t(lock.release)
            t(waiting.result)
            t(lock.acquire, False)
            t(lock.acquire, True, 0.01)
            t(pool.submit(lock.release).result)
        t(lock.acquire, False)


def body_rlock(m, t):
    # The standard library takes a copy that goes for the last proxy of its object. When that was
    # the last one here it hangs up, and for its server this thread is another one from then on.
    keeps_the_connection = m.Event()
    lock = m.RLock()
    with ThreadPoolExecutor(1) as pool:

        def other(function, *args):
            return pool.submit(function, *args).result()

        for _ in range(3):
            t(lock.acquire)
        t(lock.acquire, False)
        t(lock.acquire, True, 0.01)
        t(other, lock.acquire, False)
        t(other, lock.release)
        t(copy.copy(lock).acquire)
        t(pickle.loads(pickle.dumps(lock)).release)
        for _ in range(5):
            t(other, lock.acquire, False)
            t(lock.release)
        t(lock.release)
        t(other, lock.acquire, False)
        t(other, lock.acquire, False)
        t(lock.acquire, False)
        t(lock.release)
        t(other, lock.release)
        t(lock.acquire, False)
        t(other, lock.release)
        t(lock.acquire, False)
        t(lock.acquire, False, 1)
        t(lock.acquire, True, -2)
        t(lock.acquire, True, "1")
        t(lock.release)
        t(lock.release)
    t(keeps_the_connection.is_set)


def body_an_rlock_of_a_thread_that_ended(m, t):
    lock = m.RLock()
    lock.acquire(False)
    lock.release()
    t(elsewhere, lock.acquire)
    t(lock.acquire, False)
    t(lock.release)
    t(lock.locked)


# -- semaphores


def body_semaphores(m, t):
    for typeid in SEMAPHORES:
        make = getattr(m, typeid)
        for args in [(), (0,), (1,), (3,), (True,), (False,)]:
            semaphore = make(*args)
            for _ in range(4):
                t(semaphore.acquire, False)
            for _ in range(5):
                t(semaphore.release)
            for _ in range(6):
                t(semaphore.acquire, False)
        t(make(value=2).acquire)


def body_semaphores_of_threads(m, t):
    for typeid in SEMAPHORES:
        semaphore = getattr(m, typeid)(2)
        t(elsewhere, semaphore.acquire)
        t(semaphore.acquire)
        t(semaphore.acquire, False)
        t(elsewhere, semaphore.release)
        t(elsewhere, semaphore.release)
        t(elsewhere, semaphore.release)
        t(semaphore.acquire)


def body_many_permits(m, t):
    for typeid in SEMAPHORES:
        for value in (1000, 2**31, 2**40):
            semaphore = getattr(m, typeid)(value)
            t(semaphore.acquire)
            t(semaphore.release)
            t(semaphore.release)


def body_who_waits_for_permits_gets_them(m, t):
    semaphore = m.Semaphore(0)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(semaphore.acquire, True, 30) for _ in range(3)]
        for _ in range(3):
            t(semaphore.release)
        t(lambda: [each.result() for each in waiting])
    t(semaphore.acquire, False)


# -- conditions


def body_condition_without_its_lock(m, t):
    c = m.Condition()
    for timeout in (None, 0, -1, 0.01, "1"):
        t(c.wait, timeout)
    t(c.wait)
    t(c.notify)
    t(c.notify, 3)
    t(c.notify, 0)
    t(c.notify_all)
    t(c.release)
    t(c.wait_for, lambda: True)
    t(c.wait_for, lambda: "yes", 0)
    t(c.wait_for, lambda: 0, 0)
    t(c.wait_for, lambda: 0, -1)
    t(c.wait_for, lambda: 0)
    t(c.wait_for, lambda: 0, 5)
    with held(c):
        t(c.wait, 0)
        t(c.notify)
        t(c.release)


def body_condition_alone(m, t):
    c = m.Condition()
    with c:
        for timeout in (*NEGATIVE, *SHORT, *TOO_LONG, *BAD, Fraction(1, 100), math.nan):
            t(c.wait, timeout)
        t(c.wait, timeout=0)
        t.type_only(c.wait, 0, 0)
        for n in (1, 2, 0, -1, True, 1000, 2**70):
            t(c.notify, n)
        t(c.notify, n=2)
        t(c.notify)
        t(c.notify_all)
        t.type_only(c.notify_all, 1)
        t(taken, c)
    t(taken, c)
    t(c.release)


def body_condition_is_reentrant(m, t):
    c = m.Condition()
    for _ in range(3):
        t(c.acquire)
    t(c.wait, 0.01)
    t(c.wait, 0)
    for _ in range(3):
        t(taken, c)
        t(c.release)
    t(elsewhere, c.acquire, False)


def body_notify(m, t):
    c = m.Condition()

    def wait_for_it():
        with c:
            ready.release()
            woken.append(c.wait(30))

    ready = threading.Semaphore(0)
    for wake in [c.notify_all, lambda: c.notify(4), lambda: [c.notify() for _ in range(4)]]:
        woken = []
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(wait_for_it)
            for _ in range(4):
                ready.acquire()
            with c:
                t(list, woken)
                t(wake)
        t(list, woken)


def body_notify_some(m, t):
    c = m.Condition()
    ready, woken = threading.Semaphore(0), threading.Semaphore(0)

    def wait_for_it():
        with c:
            ready.release()
            result = c.wait(30)
        woken.release()
        return result

    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(wait_for_it) for _ in range(5)]
        for _ in range(5):
            ready.acquire()
        for n in (2, 1, 2):
            with c:
                t(c.notify, n)
            t(lambda n=n: [woken.acquire(timeout=30) for _ in range(n)])
            t(woken.acquire, False)
        t(lambda: [each.result() for each in waiting])


def body_a_notification_does_not_wait(m, t):
    c = m.Condition()
    with c:
        t(c.notify)
        t(c.notify_all)
        t(c.wait, 0.01)


def body_wait_releases_all(m, t):
    c = m.Condition()
    ready = threading.Event()

    def notify():
        ready.wait(30)
        with c:
            c.notify()

    with ThreadPoolExecutor(1) as pool:
        c.acquire()
        c.acquire()
        other = pool.submit(notify)
        ready.set()
        t(c.wait, 30)
        t(other.result)
        t(taken, c)
        t(c.release)
        t(taken, c)
        t(c.release)
        t(taken, c)


def body_wait_for(m, t):
    c = m.Condition()
    calls = []

    def never():
        calls.append(1)
        return []

    def fail():
        raise KeyError("no")

    with c:
        t(c.wait_for, lambda: 5)
        t(c.wait_for, lambda: "now", timeout=0)
        t(c.wait_for, lambda: "now", -5)
        for timeout in (0, -1, -0.5):
            t(c.wait_for, never, timeout)
            t(len, calls)
        t(c.wait_for, never, 0.02)
        t(c.wait_for, never, timeout=0.01)
        t(c.wait_for, fail)
        t(c.wait_for, fail, 1)
        t(c.wait_for, never, "1")
        t.type_only(c.wait_for)
        t(taken, c)

    state = []

    def count():
        for number in range(4):
            with c:
                state.append(number)
                c.notify()

    with ThreadPoolExecutor(1) as pool, c:
        other = pool.submit(count)
        t(c.wait_for, lambda: state[3:], 30)
    t(other.result)


def body_condition_with_a_lock(m, t):
    lock = m.Lock()
    c = m.Condition(lock)
    t(c.wait, 0)
    t(c.notify)
    t(c.acquire)
    t(lock.acquire, False)
    t(c.acquire, False)
    t(lock.locked)
    t(c.locked)
    t(c.wait, 0.01)
    t(lock.acquire, False)
    t(c.notify)
    t(elsewhere, c.notify)
    t(c.release)
    t(c.release)
    with lock:
        t(c.wait, 0)
        t(c.notify_all)
    t(lock.release)
    with c:
        t(lock.release)
        t(c.notify)
        t(lock.acquire)
    t(lock.acquire, False)


def body_conditions_that_share_a_lock(m, t):
    lock = m.Lock()
    one, two = m.Condition(lock), m.Condition(lock=lock)
    ready = threading.Event()

    def wait_for_it():
        with one:
            ready.set()
            return one.wait(30)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_it)
        ready.wait(30)
        with two:
            t(one.acquire, False)
            t(two.notify)
            t(two.wait, 0.01)
            t(one.notify)
        t(waiting.result)


# -- events


def body_event(m, t):
    e = m.Event()
    t(e.is_set)
    for timeout in (*NEGATIVE, *SHORT, *TOO_LONG, *BAD, Fraction(1, 100), math.nan):
        t(e.wait, timeout)
    t(e.wait, timeout=0.01)
    t(e.clear)
    t(e.set)
    t(e.set)
    t(e.is_set)
    t(e.wait)
    for timeout in GOOD:
        t(e.wait, timeout)
    t(e.clear)
    t(e.clear)
    t(e.is_set)
    t(e.wait, 0)
    t.type_only(e.wait, 0, 0)
    t.type_only(e.set, 1)
    t.type_only(enter, e)


def body_event_wakes_all(m, t):
    e = m.Event()
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(e.wait, timeout) for timeout in (None, 30, 30.5, 1e5)]
            t(e.set)
            t(lambda waiting=waiting: [each.result() for each in waiting])
        t(e.clear)


# -- barriers


def body_barrier_of_one(m, t):
    b = m.Barrier(1)
    for timeout in (None, 0, 0.0, -1, 0.01, 5):
        t(b.wait, timeout)
    t(b.wait)
    t(b.wait, timeout=1)
    t(lambda: (b.parties, b.n_waiting, b.broken))
    t(b.reset)
    t(b.wait)
    t(b.abort)
    t(lambda: (b.parties, b.n_waiting, b.broken))
    t(b.wait)
    t(b.wait, 0)
    t(b.abort)
    t(b.reset)
    t(lambda: (b.parties, b.n_waiting, b.broken))
    t(b.wait)
    t.type_only(b.wait, 0, 0)
    t.type_only(setattr, b, "parties", 2)


def body_barrier_arguments(m, t):
    for args, kwds in [
        ((2,), {}),
        ((2, None), {}),
        ((2, None, 0.01), {}),
        ((2,), {"timeout": 0.01}),
        ((), {"parties": 2, "action": None, "timeout": 0}),
        ((2,), {"timeout": -1}),
        ((1,), {}),
    ]:
        b = m.Barrier(*args, **kwds)
        t(lambda b=b: (b.parties, b.n_waiting, b.broken))
        if b.parties == 1 or len(args) == 3 or "timeout" in kwds:
            t(b.wait)
        else:
            t(b.wait, 0.01)
        t(lambda b=b: (b.parties, b.n_waiting, b.broken))


def body_an_action_that_cannot_be_pickled(m, t):
    t.type_only(m.Barrier, 1, lambda: 0)


def body_barrier_is_broken_by_impatience(m, t):
    for timeout in (0, 0.0, -1, -0.5, 1e-9, 0.01, -math.inf):
        b = m.Barrier(2)
        t(b.wait, timeout)
        t(lambda b=b: (b.n_waiting, b.broken))
        t(b.wait)
        t(b.wait, timeout)
        t(b.reset)
        t(lambda b=b: (b.n_waiting, b.broken))
        t(lambda b=b: sorted(together(b.wait, b.wait)))


def body_barrier_refuses_timeouts(m, t):
    b = m.Barrier(2)
    for timeout in TOO_LONG:
        t(b.wait, timeout)
    for timeout in BAD:
        t.type_only(b.wait, timeout)
        t(lambda: (b.n_waiting, b.broken))
    t(lambda: sorted(together(b.wait, b.wait)))


def body_barrier_rounds(m, t):
    b = m.Barrier(3)
    for _ in range(5):
        t(lambda: sorted(together(b.wait, b.wait, b.wait)))
        t(lambda: sorted(together(b.wait, lambda: b.wait(30), lambda: b.wait(timeout=30))))
        t(lambda: (b.n_waiting, b.broken))


def body_barrier_counts(m, t):
    b = m.Barrier(3)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(b.wait)
        wait_until(lambda: b.n_waiting == 1)
        second = pool.submit(b.wait)
        wait_until(lambda: b.n_waiting == 2)
        t(lambda: b.n_waiting)
        t(b.wait)
        t(lambda: [first.result(), second.result()])
    t(lambda: b.n_waiting)


def body_barrier_ends_early(m, t):
    b = m.Barrier(3)

    def leave():
        b.wait(0.01)

    for end in (b.abort, b.reset, leave):
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(b.wait) for _ in range(2 if end is not leave else 1)]
            wait_until(lambda: b.n_waiting == len(waiting))
            t(end)
            for each in waiting:
                t(each.result)
        t(lambda: (b.n_waiting, b.broken))
        t(b.reset)
        t(lambda: sorted(together(b.wait, b.wait, b.wait)))


class Append:
    """An action that another process can run."""

    def __init__(self, *args):
        self.args = args

    def __call__(self):
        l, what = self.args
        l.append(what)
        return "ignored"


class Fail:
    def __call__(self):
        raise KeyError("in the action")


def by_type(outcomes):
    return sorted(map(repr, outcomes))


def body_barrier_action(m, t):
    l = m.list()
    for args, kwds in [
        ((2, Append(l, "a")), {}),
        ((2,), {"action": Append(l, "b")}),
        ((1, Append(l, "c"), 5), {}),
    ]:
        b = m.Barrier(*args, **kwds)
        for _ in range(3):
            t(lambda b=b: sorted(together(*[b.wait] * b.parties)))
            t(l.copy)
        t(b.abort)
        t(lambda b=b: by_type(together(*[b.wait] * b.parties)))
        t(l.copy)


def body_barrier_action_that_fails(m, t):
    b = m.Barrier(3, Fail())
    t(lambda: by_type(together(b.wait, b.wait, b.wait)))
    t(lambda: (b.n_waiting, b.broken))
    t(b.wait)
    t(b.reset)
    t(lambda: by_type(together(b.wait, b.wait, b.wait)))
    t(lambda: b.broken)
    single = m.Barrier(1, Fail())
    t(single.wait)
    t(single.wait)


# -- in general


def one_of_each(m):
    return [
        m.Lock(),
        m.RLock(),
        m.Semaphore(2),
        m.BoundedSemaphore(2),
        m.Condition(),
        m.Event(),
        m.Barrier(2),
    ]


def body_text(m, t):
    lock, rlock, semaphore, bounded, condition, event, barrier = one_of_each(m)

    def start_of(lock):
        return str(lock).split()[0]

    def end_of(thing):
        return str(thing).rpartition(": ")[2]

    def pieces(condition):
        text = str(condition)
        return text.startswith("<Condition(<"), text.rpartition(">, ")[2]

    t(start_of, lock)
    t(start_of, rlock)
    lock.acquire()
    rlock.acquire()
    t(start_of, lock)
    t(start_of, rlock)
    for each in (semaphore, bounded):
        t(end_of, each)
        each.acquire()
        t(end_of, each)
        each.acquire()
        t(end_of, each)
    semaphore.release()
    semaphore.release()
    semaphore.release()
    t(end_of, semaphore)
    t(end_of, event)
    event.set()
    t(end_of, event)
    t(end_of, barrier)
    barrier.abort()
    t(end_of, barrier)
    t(pieces, condition)
    for proxy in (condition, event, barrier):
        t(repr, proxy)
        t(lambda proxy=proxy: f"{proxy!r:>60}")
        t(lambda proxy=proxy: type(proxy).__name__)


def body_text_of_those_who_wait(m, t):
    barrier, condition = m.Barrier(2), m.Condition()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(barrier.wait)
        wait_until(lambda: barrier.n_waiting == 1)
        t(lambda: str(barrier).rpartition(": ")[2])
        barrier.wait()
        waiting.result()

        ready = threading.Event()

        def wait_for_it():
            with condition:
                ready.set()
                condition.wait(30)

        waiting = pool.submit(wait_for_it)
        ready.wait(30)
        with condition:
            t(lambda: str(condition).rpartition(">, ")[2])
            condition.notify()
        waiting.result()


def body_identity(m, t):
    every = one_of_each(m)
    for p in every:
        t(lambda p=p: [p == q for q in every])
        t(lambda p=p: p == copy.copy(p))
        t(lambda p=p: p != p)
        t(lambda p=p: len({p, copy.copy(p), p}))
        t(bool, p)
        t.type_only(len, p)
        t.type_only(iter, p)
        t.type_only(operator.lt, p, p)
        t(lambda p=p: type(copy.copy(p)) is type(p))
        t.type_only(p._getvalue)
        t.type_only(copy.deepcopy, p)
        t.type_only(setattr, p, "anything", 1)


def body_callmethod(m, t):
    lock, rlock, semaphore, bounded, condition, event, barrier = one_of_each(m)
    for each in (lock, rlock, semaphore, bounded, condition):
        t(each._callmethod, "acquire")
        t(elsewhere, each._callmethod, "acquire", (False,))
        t(elsewhere, each._callmethod, "acquire", (True, 0.01))
        t(elsewhere, each._callmethod, "acquire", (), {"timeout": 0.01})
        t(each._callmethod, "release")
    with condition:
        t(condition._callmethod, "wait", (0,))
        t(condition._callmethod, "notify")
        t(condition._callmethod, "notify", (2,))
        t(condition._callmethod, "notify_all")
    t(event._callmethod, "is_set")
    t(event._callmethod, "set")
    t(event._callmethod, "wait")
    t(event._callmethod, "clear")
    t(event._callmethod, "wait", (0.01,))
    t(barrier._callmethod, "__getattribute__", ("parties",))
    t(barrier._callmethod, "__getattribute__", ("n_waiting",))
    t(barrier._callmethod, "wait", (0.01,))
    t(barrier._callmethod, "reset")
    t(barrier._callmethod, "abort")
    t(barrier._callmethod, "__getattribute__", ("broken",))
    for each in one_of_each(m):
        t(each._callmethod, "no such method")
        t(each._callmethod, "_private")


def body_what_is_not_there(m, t):
    for each in one_of_each(m):
        for name in ("isSet", "notifyAll", "get_value", "value", "acquire_lock", "get_lock"):
            t(hasattr, each, name)


def body_in_containers(m, t):
    every = one_of_each(m)
    l, d, ns = m.list(), m.dict(), m.Namespace()
    for number, p in enumerate(every):
        t(l.append, p)
        d[number] = [p]
        ns.p = {"here": p}
        t(lambda number=number: type(l[number]) is type(every[number]))
    t(l[0].acquire)
    t(every[0].acquire, False)
    t(lambda: d[0][0].release())
    t(l[1].acquire)
    t(d[1][0].acquire, False)
    t(l[1].release)
    t(l[1].release)
    t(l[2].acquire)
    t(d[5][0].set)
    t(every[5].is_set)
    t(lambda: ns.p["here"].parties)
    every.clear()
    t(l[5].is_set)
    with l[4]:
        t(taken, d[4][0])


# -- between processes


def use_all(lock, rlock, semaphore, bounded, condition, event, barrier):
    """What a child finds."""
    found = [
        lock.acquire(False),
        lock.acquire(True, 0.01),
        rlock.acquire(False),
        [semaphore.acquire(False) for _ in range(3)],
        [semaphore.release() for _ in range(2)],
        [bounded.acquire(False) for _ in range(3)],
        [bounded.release() for _ in range(1)],
        condition.acquire(True, 0.01),
        event.is_set(),
        event.wait(0.01),
        barrier.parties,
        barrier.broken,
    ]
    for release in (rlock.release, condition.release, condition.notify, bounded.release):
        try:
            found.append(release())
        except Exception as error:
            found.append(repr(error))
    found.append(lock.release())
    event.set()
    barrier.abort()
    return found


def in_a_child(ctx, m, t):
    lock, rlock, semaphore, bounded, condition, event, barrier = every = one_of_each(m)
    lock.acquire()
    rlock.acquire()
    semaphore.acquire()
    bounded.acquire()
    condition.acquire()
    t(run_all, ctx, use_all, [every])
    t(lock.acquire, False)
    t(rlock.release)
    t(rlock.release)
    t(lambda: [semaphore.acquire(False) for _ in range(3)])
    t(condition.wait, 0.01)
    t(condition.release)
    t(event.is_set)
    t(lambda: barrier.broken)


def body_in_a_forked_child(m, t):
    in_a_child(FORK, m, t)


def body_in_a_spawned_child(m, t):
    in_a_child(SPAWN, m, t)


def take_one(semaphore):
    return semaphore.acquire(False)


def body_signals(m, t):
    """What a child takes from a semaphore, or adds to it, stays so when it ends."""
    semaphore = m.Semaphore(2)
    t(run_all, FORK, take_one, [[semaphore]])
    t(semaphore.acquire, False)
    t(semaphore.acquire, False)
    t(run_all, FORK, add_some, [[semaphore], [semaphore]])
    for _ in range(5):
        t(semaphore.acquire, False)


def add_some(semaphore):
    semaphore.release()
    semaphore.release()


def add_one(lock, value, times):
    for _ in range(times):
        with lock:
            value.value += 1
    return value.value <= 4 * times


def body_locks_exclude(m, t):
    for typeid in (*LOCKS, *SEMAPHORES):
        value = m.Value("i", 0)
        t(run_all, FORK, add_one, [(getattr(m, typeid)(), value, 25)] * 4)
        t(value.get)


def meet(barrier, condition, event, turns):
    places = [barrier.wait(30) for _ in range(3)]
    with condition:
        turns.append(1)
        condition.notify_all()
        result = condition.wait_for(lambda: len(turns) == 3, 30)
    if barrier.wait(30) == 0:
        event.set()
    return result, event.wait(30), all(place in range(3) for place in places)


def body_children_meet(m, t):
    for ctx in (FORK, SPAWN):
        things = m.Barrier(3), m.Condition(), m.Event(), m.list()
        t(run_all, ctx, meet, [things] * 3)
        t(len, things[3])


@pytest.mark.parametrize("body", bodies(globals()))
def test_locks(body, same):
    same(body)
