"""Queues against the standard library's."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from multihost import ShutDown
from tests.parity.transcript import bodies
from tests.support.procs import run_all

FORK = multiprocessing.get_context("fork")
SPAWN = multiprocessing.get_context("spawn")

KINDS = ("Queue", "JoinableQueue")
SHORT = [0, 0.0, -0.0, 1e-9, 0.001, 0.02, False]
NEGATIVE = [-1, -0.5, -1e-9, -math.inf]
ITEMS = [
    None,
    0,
    1,
    -1,
    True,
    2**70,
    1.5,
    math.inf,
    "",
    "a",
    "\udc80",
    b"",
    b"\0",
    (),
    (1, [2]),
    [],
    {},
]


def body_what_is_put_comes_out(m, t):
    for kind in KINDS:
        q = getattr(m, kind)()
        for item in ITEMS:
            t(q.put, item)
        t(q.qsize)
        for _ in ITEMS:
            t(q.get)
        t(q.empty)
        t(q.full)


def body_spellings(m, t):
    q = m.Queue()
    t(q.put, 1, True)
    t(q.put, 2, False)
    t(q.put, 3, True, 1)
    t(q.put, 4, block=True, timeout=None)
    t(q.put, item=5, timeout=1)
    t(q.put_nowait, 6)
    t(q.get, True)
    t(q.get, False)
    t(q.get, True, 1)
    t(q.get, block=False)
    t(q.get, timeout=0.5)
    t(q.get_nowait)
    t.type_only(q.put)
    t.type_only(q.put, 1, 2, 3, 4)
    t.type_only(q.get, 1, 2, 3)
    t.type_only(q.put_nowait, 1, 2)
    t.type_only(q.get_nowait, 1)


def body_an_empty_queue(m, t):
    q = m.Queue()
    t(q.get_nowait)
    t(q.get, False)
    for timeout in (*SHORT, *NEGATIVE):
        t(q.get, True, timeout)
        t(q.get, False, timeout)
    t.type_only(q.get, True, "1")
    t(q.get, False, "1")
    t(q.empty)
    t(q.qsize)


def body_a_full_queue(m, t):
    for kind in KINDS:
        q = getattr(m, kind)(2)
        t(q.put, 1)
        t(q.full)
        t(q.put, 2)
        t(q.full)
        t(q.put_nowait, 3)
        for timeout in (*SHORT, *NEGATIVE):
            t(q.put, 3, True, timeout)
            t(q.put, 3, False, timeout)
        t.type_only(q.put, 3, True, "1")
        t(q.put, 3, False, "1")
        t(q.qsize)
        t(q.get)
        t(q.put, 3)
        t(q.get)
        t(q.get)


def body_sizes(m, t):
    for size in (0, -1, 1, True):
        q = m.Queue(size)
        t(q.full)
        t(q.put_nowait, 1)
        t(q.full)
        t(q.put_nowait, 2)
    q = m.Queue(maxsize=1)
    t(q.put, 1)
    t(q.full)
    # A timeout counts only where there may be no room.
    q = m.Queue()
    t(q.put, 1, True, -1)
    t(q.put, 1, True, "1")


def body_tasks(m, t):
    for kind in KINDS:
        q = getattr(m, kind)()
        t(q.join)
        t(q.task_done)
        t(q.put, 1)
        t(q.put, 2)
        t(q.task_done)  # before anybody got it
        t(q.get)
        t(q.task_done)
        t(q.task_done)
        t(q.join)


def body_join_waits(m, t):
    q = m.JoinableQueue()
    for item in range(3):
        q.put(item)
    with ThreadPoolExecutor(1) as pool:
        joined = pool.submit(q.join)
        for _ in range(3):
            t(joined.done)
            t(q.get)
            t(q.task_done)
        t(joined.result)


def body_who_waits_gets_it(m, t):
    q = m.Queue()
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(q.get)
        t(q.put, "a")
        t(got.result)
        got = pool.submit(q.get, True, 20)
        t(q.put, "b")
        t(got.result)


def body_who_waits_for_room_gets_it(m, t):
    q = m.Queue(1)
    t(q.put, 1)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(q.put, 2, True, 20)
        t(q.get)
        t(put.result)
        t(q.get)


def body_what_cannot_be_pickled_is_not_put(m, t):
    q = m.Queue()
    t.type_only(q.put, threading.Lock())
    t.type_only(q.put, lambda: 0)
    t(q.qsize)


def body_proxies_are_always_true(m, t):
    q = m.Queue()
    t(bool, q)
    t.type_only(len, q)
    t.type_only(iter, q)


def body_a_proxy_is_an_item(m, t):
    q = m.Queue()
    inner = m.list([1, 2])
    q.put(inner)
    q.put({"inner": inner, "q": 1})
    got = q.get()
    got.append(3)
    t(inner.copy)
    t(lambda: q.get()["inner"].copy())


def body_a_queue_is_an_item(m, t):
    outer, inner = m.Queue(), m.Queue()
    outer.put(inner)
    outer.get().put("within")
    t(inner.get)
    d = m.dict()
    d["q"] = inner
    d["q"].put("by way of a dict")
    t(inner.get)


def put_some(q, items):
    for item in items:
        q.put(item)


def double(source, target):
    while (item := source.get()) is not None:
        target.put(2 * item)
        source.task_done()
    source.task_done()


def body_between_processes(m, t):
    for ctx in (FORK, SPAWN):
        source, target = m.JoinableQueue(), m.Queue()
        put_some(source, [*range(20), None, None])
        t(run_all, ctx, double, [(source, target)] * 2)
        t(source.join)
        t(lambda: sorted(target.get(timeout=60) for _ in range(20)))


def body_pickles_and_copies(m, t):
    q = m.Queue(3)
    again = pickle.loads(pickle.dumps(q))
    again.put(1)
    t(q.get)
    copy.copy(q).put(2)
    t(q.get)
    t(again.full)


def body_exceptions_are_those_of_the_module(m, t):
    q = m.Queue(1)
    t(q.get_nowait)
    assert t.lines[-1][1][0] == "raises _queue.Empty"
    q.put(1)
    t(q.put_nowait, 1)
    assert t.lines[-1][1][0] == "raises queue.Full"


if hasattr(queue, "ShutDown"):

    def body_shutdown(m, t):
        assert ShutDown is queue.ShutDown
        for kind in KINDS:
            q = getattr(m, kind)()
            for item in range(3):
                t(q.put, item)
            t(q.shutdown)
            t.type_only(q.put, 3)
            t(q.get)
            t(q.get)
            t(q.get)
            t.type_only(q.get)
            t.type_only(q.get_nowait)
            t(q.qsize)
            t(q.task_done)
            t(q.shutdown)

    def body_shutdown_at_once(m, t):
        for kind in KINDS:
            q = getattr(m, kind)(2)
            t(q.put, 1)
            t(q.put, 2)
            t(q.get)
            t(q.shutdown, immediate=True)
            t(q.qsize)
            t.type_only(q.get)
            t.type_only(q.put, 1)
            t(q.task_done)
            t.type_only(q.task_done)
            t(q.join)


@pytest.mark.parametrize("body", bodies(globals()))
def test_queues(body, same):
    same(body)
