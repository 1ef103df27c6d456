"""Tasks, pools and executors, each cell on the standard library's and on ours."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.pool
import subprocess
import sys
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

import multihost
from multihost import WorkerLost
from tests.pool import work
from tests.pool.conventions import KINDS, ROWS, cell
from tests.support.procs import ROOT
from tests.support.waiting import PATIENCE

FORK = multiprocessing.get_context("fork")
SECONDS = PATIENCE


# -- what becomes of a task

LOST = ["raises", "WorkerLost", "the worker that ran this task died"]
READ_ERROR = ["raises", "OSError", "unreadable", "NoneType"]

#: What ours does where the standard library's pool never answers, or its executor breaks.
DIFFERENCES = {
    "Pool: raises asyncio.CancelledError": ["raises", "CancelledError", "no", "RemoteTraceback"],
    "Pool: raises SystemExit": ["raises", "SystemExit", "3", "RemoteTraceback"],
    "Pool: raises KeyboardInterrupt": ["raises", "KeyboardInterrupt", "", "RemoteTraceback"],
    "Pool: raises GeneratorExit": ["raises", "GeneratorExit", "", "RemoteTraceback"],
    "Pool: raises a BaseException": ["raises", "Gone", "1", "RemoteTraceback"],
    "Pool: calls pytest.skip": ["raises", "MaybeEncodingError"],
    "Pool: result exits when pickled": ["raises", "MaybeEncodingError", "SystemExit(4)"],
    # It says why, too.
    "Pool: result cannot be pickled": [
        *("raises", "MaybeEncodingError", "TypeError('not to be pickled')", "TypeError")
    ],
    "Pool: exception cannot be pickled": [
        *("raises", "MaybeEncodingError", "TypeError('not to be pickled')", "TypeError")
    ],
    # Its own traceback shows where it was raised, in the caller.
    "Executor: argument cannot be pickled": [
        *("raises", "TypeError", "not to be pickled", "NoneType")
    ],
}
for _kind, _cause in (("Pool", "RemoteTraceback"), ("Executor", "_RemoteTraceback")):
    DIFFERENCES |= {
        f"{_kind}: result cannot be unpickled": READ_ERROR,
        f"{_kind}: exception cannot be unpickled": ["raises", "TypeError"],
        f"{_kind}: argument cannot be unpickled": ["raises", "OSError", "unreadable", _cause],
        f"{_kind}: argument exits when unpickled": ["raises", "SystemExit", "5", _cause],
        f"{_kind}: function is missing in the worker": ["raises", "AttributeError", "only_here"],
        f"{_kind}: worker is killed": LOST,
        f"{_kind}: worker exits": LOST,
    }


@pytest.fixture(scope="module")
def expected():
    """The cells of the standard library."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.pool.conventions"], cwd=ROOT, capture_output=True, check=True
    )
    return json.loads(found.stdout)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_of_a_task(kind, row, expected, manager):
    made = []

    def make(size, context, initializer):
        if kind == "Pool":
            made.append(manager.Pool(size, initializer, context=context))
        else:
            made.append(multihost.Executor(size, context, initializer, manager=manager))
        return made[0]

    try:
        found = cell(kind, row, make)
    finally:
        if kind == "Executor":
            made[0].shutdown()
        else:
            made[0].terminate()
            made[0].join()
    theirs, name = expected[f"{kind}: {row}"], f"{kind}: {row}"
    if name not in DIFFERENCES:
        assert found == theirs
        return
    assert found != theirs
    outcome = DIFFERENCES[name]
    for said, wanted in zip(found["outcome"], outcome, strict=False):
        assert wanted in said
    assert len(found["outcome"]) >= len(outcome)
    assert found["goes on"]
    assert found["same worker"] == (outcome is not LOST)


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_raises_runs_once_whatever_attempts_allow(kind, error, manager):
    marks = manager.dict()
    with multihost.Executor(1, FORK, manager=manager, attempts=3) as executor:
        pool = executor._pool
        with pytest.raises({"SystemExit": SystemExit}.get(error, KeyboardInterrupt)):
            if kind == "Pool":
                pool.apply_async(work.mark_and_raise, (marks, error)).get(SECONDS)
            else:
                executor.submit(work.mark_and_raise, marks, error).result(SECONDS)
    assert marks.copy() == {error: 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_repr_of_a_result_that_cannot_be_pickled_is_shortened(kind, start_server):
    server = start_server(tcp=True, proto_max_bulk_len="1mb")
    with multihost.RedisManager(server.url) as manager:
        if kind == "Pool":
            with manager.Pool(1, context=FORK) as pool:
                with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:
                    pool.apply_async(work.large_and_unpicklable, (3 << 20,)).get(SECONDS)
                assert caught.value.value.startswith("['xxx")
                assert "...xxxx" in caught.value.value or "xxxx..." in caught.value.value
                assert pool.apply(work.double, (1,)) == 2
            assert len(str(caught.value)) < 10_000
            return
        with multihost.Executor(1, FORK, manager=manager) as executor:
            error = executor.submit(work.large_and_unpicklable, 3 << 20).exception(SECONDS)
            assert isinstance(error, (AttributeError, TypeError, ValueError))
            assert executor.submit(work.double, 1).result(SECONDS) == 2


def test_a_repr_that_raises_is_no_loss(manager):
    with manager.Pool(1, context=FORK) as pool:
        with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:
            pool.apply_async(work.without_repr).get(SECONDS)
        assert "whose repr raises ZeroDivisionError" in str(caught.value)
        assert pool.apply(work.double, (1,)) == 2


# -- arguments


EXECUTORS = {
    "max_workers": [2.5, "2", 0, -1, [1]],
    "max_tasks_per_child": ["2", 0, -1, 2.5],
    "initializer": [3, "f"],
}
POOLS = {
    "processes": [2.5, "2", 0, -1, [1]],
    "maxtasksperchild": ["2", 0, -1, 2.5],
    "initializer": [3, "f"],
}


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), cases(EXECUTORS))
def test_arguments_that_no_executor_takes(name, value):
    _, theirs = refused(ProcessPoolExecutor, **{name: value})
    text, ours = refused(multihost.Executor, **{name: value})
    assert ours is theirs
    if name != "max_workers" or ours is ValueError:
        assert text == refused(ProcessPoolExecutor, **{name: value})[0]


@pytest.mark.parametrize(("name", "value"), cases(POOLS))
def test_arguments_that_no_pool_takes(name, value):
    _, theirs = refused(multiprocessing.Pool, **{name: value})
    assert refused(multihost.Pool, **{name: value})[1] is theirs


def refused(make, *args, **kwds):
    with pytest.raises(Exception) as caught:
        make(*args, **kwds)
    return str(caught.value), caught.type


def test_workers_that_are_replaced_are_not_forked(manager):
    for make in (ProcessPoolExecutor, multihost.Executor):
        with pytest.raises(ValueError, match="'fork'"):
            make(1, FORK, max_tasks_per_child=2)
    with multihost.Executor(1, manager=manager, max_tasks_per_child=2) as executor:
        assert executor._mp_context.get_start_method() == "spawn"
        pids = list(executor.map(work.pid, range(4)))
        assert pids[0] == pids[1] != pids[2] == pids[3]


# -- errors and names that programs know


def test_a_lost_worker_is_a_broken_pool_for_those_who_catch_that(manager):
    with multihost.Executor(1, FORK, manager=manager) as executor:
        with pytest.raises(BrokenProcessPool) as caught:
            executor.submit(work.die).result(SECONDS)
        assert type(caught.value) is WorkerLost
        assert isinstance(caught.value, (BrokenExecutor, multihost.MultihostError))
        assert not executor._broken
        assert executor.submit(work.double, 2).result(SECONDS) == 4


def test_dir_has_what_is_imported_late():
    program = "import multihost; print(*set(multihost.__all__) - set(dir(multihost)))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert found.stdout.split() == []
    with pytest.raises(AttributeError, match="no attribute 'Pools'"):
        multihost.Pools
    with pytest.raises(AttributeError, match="no attribute 'WorkersLost'"):
        multihost.errors.WorkersLost


@pytest.mark.parametrize("make", [multiprocessing.Pool, multihost.Pool])
def test_private_names_of_pools_that_programs_probe(make, url):
    kwds = {"url": url} if make is multihost.Pool else {}
    context = {"context": FORK} if make is multihost.Pool else {}
    pool = make(2, work.remember, ("key", 1), 50, **kwds, **context)
    assert pool._processes == 2
    assert [process.is_alive() for process in pool._pool] == [True, True]
    assert pool._state == "RUN"
    assert (pool._initializer, pool._initargs) == (work.remember, ("key", 1))
    assert pool._maxtasksperchild == 50
    pool.close()
    assert pool._state == "CLOSE"
    pool.join()
    assert not any(process.is_alive() for process in pool._pool)


@pytest.mark.parametrize("kind", ["stdlib", "multihost"])
def test_private_names_of_executors_that_programs_probe(kind, manager):
    if kind == "stdlib":
        executor = ProcessPoolExecutor(2, mp_context=FORK)
    else:
        executor = multihost.Executor(2, mp_context=FORK, manager=manager)
    with executor:
        assert executor._max_workers == 2
        assert executor._mp_context is FORK
        assert executor._broken is False
        assert executor._shutdown_thread is False
        assert executor.submit(work.double, 2).result(SECONDS) == 4
        assert {pid: process.pid for pid, process in executor._processes.items()} == {
            pid: pid for pid in executor._processes
        }
        assert len(executor._processes) == 2
    assert executor._shutdown_thread is True


@pytest.mark.parametrize("kind", ["stdlib", "multihost"])
@pytest.mark.parametrize("initializer", [work.refuse, work.leave_at_once])
def test_an_initializer_that_raises_breaks_the_executor(kind, initializer, manager):
    if kind == "stdlib":
        executor = ProcessPoolExecutor(2, FORK, initializer)
    else:
        executor = multihost.Executor(2, FORK, initializer, manager=manager)
    futures = []
    try:
        futures.append(executor.submit(work.double, 1))
        futures.append(executor.submit(work.double, 2))
    except BrokenProcessPool:
        pass  # it was faster
    for future in futures:
        assert isinstance(future.exception(SECONDS), BrokenProcessPool)
    with pytest.raises(BrokenProcessPool):
        executor.submit(work.double, 3)
    assert executor._broken
    executor.shutdown()
