"""Forks of a process whose threads hold, wait, call and map."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from multiprocessing.connection import wait
from typing import Any

import pytest

from multihost.pool import Pool
from tests.chaos.invariants import nothing_left
from tests.chaos.killers import FORK, together
from tests.hosted.hosted_classes import Our
from tests.pool import work
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

FORKERS = 3
ROUNDS = 2
COUNT = 10
LEASE = 10 * PATIENCE


def use(number: int, shared: dict[str, Any]) -> None:
    """What a child does with what its parent is in the middle of."""
    assert not shared["lock"].acquire(blocking=False)
    assert not shared["rlock"].acquire(blocking=False)
    with pytest.raises((RuntimeError, ValueError, AssertionError)):
        shared["rlock"].release()
    with shared["guard"]:
        before = shared["dict"]["guarded"]
        shared["dict"]["guarded"] = before + 1
    shared["queue"].put(number)
    for _ in range(COUNT):
        shared["hosted"].add()
    assert shared["pool"].map(work.double, range(COUNT), 1) == list(range(0, 2 * COUNT, 2))
    assert together(lambda _: shared["hosted"].add() > 0, 2) == [True, True]


def in_fork(number: int, shared: dict[str, Any]) -> int:
    """Use it in a child of os.fork(); its status."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            use(number, shared)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), PATIENCE)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_process(number: int, shared: dict[str, Any], processes: Any) -> int | None:
    """The same in one of multiprocessing, which ends in order."""
    with processes:
        process = FORK.Process(target=use, args=(number, shared))
        process.start()
    # No join() of several threads at once: it is made for one. Who starts one collects others.
    assert wait([process.sentinel], PATIENCE)
    with processes:
        process.join()
        return process.exitcode


def test_children_of_a_busy_process(fresh_server: Server) -> None:
    url = fresh_server.url
    with Our(url, ctx=FORK, lease=LEASE) as m, Pool(2, manager=m, context=FORK) as pool:
        shared = {
            "lock": m.Lock(),
            "rlock": m.RLock(),
            "guard": m.Lock(),
            "queue": m.Queue(),
            "dict": m.dict(guarded=0),
            "hosted": m.Counter(),
            "pool": pool,
        }
        ready, end = threading.Barrier(FORKERS + 5), threading.Event()
        came: list[int] = []
        mapped: list[int] = []
        added = [0]

        def hold() -> None:
            with shared["lock"], shared["rlock"], shared["rlock"]:
                tokens = shared["lock"].fencing_token, shared["rlock"].fencing_token
                ready.wait(PATIENCE)
                end.wait()
                assert tokens == (shared["lock"].fencing_token, shared["rlock"].fencing_token)

        def get() -> None:
            ready.wait(PATIENCE)
            while (number := shared["queue"].get()) is not None:
                came.append(number)

        def call() -> None:
            ready.wait(PATIENCE)
            assert shared["hosted"].wait()

        def call_often() -> None:
            ready.wait(PATIENCE)
            while not end.is_set():
                shared["hosted"].add()
                added[0] += 1

        def map_often() -> None:
            ready.wait(PATIENCE)
            while not end.is_set():
                mapped.extend(pool.map(work.double, range(100), 1))

        jobs = [hold, get, call, call_often, map_often]

        def fork_often(number: int) -> list[int | None]:
            if number >= FORKERS:
                job = jobs[number - FORKERS]
                job()
                return []
            try:
                ready.wait(PATIENCE)
                return [
                    in_fork(number, shared) if turn % 2 else in_process(number, shared, processes)
                    for turn in range(2 * ROUNDS)
                ]
            finally:
                with ending:
                    left[0] -= 1
                    if not left[0]:
                        end.set()
                        shared["hosted"].open()
                        shared["queue"].put(None)

        processes, ending, left = threading.Lock(), threading.Lock(), [FORKERS]
        statuses = together(fork_often, FORKERS + len(jobs))[:FORKERS]
        children = 2 * ROUNDS * FORKERS
        assert statuses == [[0] * 2 * ROUNDS] * FORKERS
        assert sorted(came) == sorted(list(range(FORKERS)) * 2 * ROUNDS)
        assert shared["dict"]["guarded"] == children
        assert mapped == list(range(0, 200, 2)) * (len(mapped) // 100) and mapped
        assert shared["hosted"].add(0) == added[0] + children * (COUNT + 2)
        assert shared["lock"].acquire(blocking=False)
        shared["lock"].release()
    nothing_left(fresh_server, LEASE)
