"""Each body on the standard library's executor and on ours."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import CancelledError, ProcessPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from pickle import PicklingError

import pytest

import multihost
from multihost import WorkerLost
from tests.pool import work
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")
GATE = FORK.Event()  # forked workers have it


def wait_at_the_gate(_=None):
    GATE.wait()


@pytest.fixture
def gate():
    """A gate that is closed; who waits there is let through at the end."""
    GATE.clear()
    yield GATE
    GATE.set()


@pytest.fixture(params=["stdlib", "multihost"])
def make(request, manager, gate):
    made = []

    def make(*args, **kwds):
        if request.param == "stdlib":
            made.append(ProcessPoolExecutor(*args, mp_context=FORK, **kwds))
        else:
            made.append(multihost.Executor(*args, mp_context=FORK, manager=manager, **kwds))
        return made[-1]

    yield make
    gate.set()
    for executor in made:
        executor.shutdown()


def test_submit(make):
    executor = make(2)
    futures = [executor.submit(work.add, n, y=2) for n in range(20)]
    assert not wait(futures, timeout=10).not_done
    assert [future.result() for future in futures] == list(range(2, 22))


def test_exceptions(make):
    future = make(1).submit(work.fail, "no")
    error = future.exception(PATIENCE)
    assert type(error) is KeyError
    assert "raise KeyError(message)" in str(error.__cause__)


def test_callbacks(make):
    called = []
    future = make(1).submit(work.double, 2)
    future.add_done_callback(called.append)
    assert future.result(PATIENCE) == 4
    wait_until(lambda: called == [future])


def test_map(make):
    executor = make(2)
    assert list(executor.map(work.add, range(30), range(30))) == list(range(0, 60, 2))
    assert list(executor.map(work.double, range(30), chunksize=7)) == list(range(0, 60, 2))
    assert list(executor.map(work.double, [])) == []
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(work.double, [1], chunksize=0)
    with pytest.raises(FutureTimeout):
        list(executor.map(wait_at_the_gate, [1], timeout=0.01))


def test_initializer_and_tasks_of_a_child(make):
    executor = make(1, initializer=work.remember, initargs=("key", 5))
    assert executor.submit(work.recall, "key").result(PATIENCE) == 5


def test_after_shutdown(make):
    executor = make(1)
    future = executor.submit(work.double, 2)
    executor.shutdown()
    assert future.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(work.double, 2)
    executor.shutdown()


def test_shutdown_without_wait(make):
    executor = make(1)
    futures = [executor.submit(work.double, n) for n in range(30)]
    executor.shutdown(wait=False)
    assert [future.result(PATIENCE) for future in futures] == list(range(0, 60, 2))


def test_cancelled_futures(make, gate):
    executor = make(1)
    futures = [executor.submit(wait_at_the_gate) for _ in range(20)]
    wait_until(futures[0].running)
    assert futures[-1].cancel()
    executor.shutdown(wait=False, cancel_futures=True)
    wait_until(futures[-2].cancelled)
    gate.set()
    executor.shutdown()
    assert futures[0].result() is None
    with pytest.raises(CancelledError):
        futures[-2].result()


def test_unpicklable_result(make):
    executor = make(1)
    error = executor.submit(lambda: 1).exception(PATIENCE)
    assert isinstance(error, (AttributeError, PicklingError))
    assert executor.submit(work.double, 1).result(PATIENCE) == 2


def test_context_manager(make):
    with make(2) as executor:
        future = executor.submit(work.double, 1)
    assert future.result(0) == 2


def test_invalid_sizes(make):
    with pytest.raises(ValueError, match="max_workers"):
        make(0)


def test_executor_survives_its_workers(manager):
    with multihost.Executor(1, FORK, manager=manager) as executor:
        assert type(executor.submit(work.die).exception(PATIENCE)) is WorkerLost
        assert executor.submit(work.double, 1).result(PATIENCE) == 2
    marks = manager.dict()
    with multihost.Executor(1, FORK, manager=manager, attempts=2) as executor:
        assert executor.submit(work.die_once, marks, 3).result(PATIENCE) == 3


def test_named_executor(manager):
    with (
        manager.Pool(1, name="shared", context=FORK),
        multihost.Executor(0, manager=manager, name="shared") as executor,
    ):
        assert list(executor.map(work.double, range(50))) == list(range(0, 100, 2))
        assert executor.statistics().name == "shared"
    manager.delete("shared")
