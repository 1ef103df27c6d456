"""Futures of an executor: what is begun, what can be cancelled, and how the executor ends."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import threading
from concurrent.futures import CancelledError, wait
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool

import pytest

from multihost import Executor, LinkError, RedisManager
from tests.pool import work
from tests.support.procs import is_alive, kill9, spawn_script
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")
SECONDS = PATIENCE


@pytest.fixture
def executor(manager):
    with Executor(1, FORK, manager=manager) as executor:
        yield executor


@pytest.fixture
def gate(manager):
    """What a task waits for, and by which it says that it has begun."""
    began, go_on = manager.Queue(), manager.Event()
    yield began, go_on
    go_on.set()  # a test that fails before it opens the gate must not keep the executor waiting


def test_what_is_not_begun_is_not_running_and_can_be_cancelled(executor, gate):
    began, go_on = gate
    first = executor.submit(work.say_and_wait, began, go_on, "first")
    began.get(timeout=SECONDS)
    others = [executor.submit(work.double, n) for n in range(20)]
    assert first.running()
    assert not first.cancel()
    assert not any(future.running() for future in others)
    wait_until(lambda: executor.statistics().waiting > 0)  # some of them are sent
    assert all(future.cancel() for future in others[:-1])
    assert all(future.cancelled() and future.done() for future in others[:-1])
    assert not wait(others[:-1], timeout=0).not_done  # those who wait are told at once
    wait_until(lambda: executor.statistics().waiting == 1)
    go_on.set()
    assert first.result(SECONDS) == "first"
    assert others[-1].result(SECONDS) == 38
    with pytest.raises(CancelledError):
        others[0].result()
    assert others[0].cancel()
    assert not others[-1].cancel()
    assert not others[-1].running()


def test_a_cancelled_task_makes_room_for_the_next(executor, gate):
    began, go_on = gate
    executor.submit(work.say_and_wait, began, go_on)
    began.get(timeout=SECONDS)
    ahead = [executor.submit(work.double, n) for n in range(30)]
    while ahead[0].cancel():
        ahead.pop(0)
        if len(ahead) == 5:
            break
    go_on.set()
    assert [future.result(SECONDS) for future in ahead] == [2 * n for n in range(25, 30)]


def test_a_future_is_running_for_those_who_ask_while_it_runs(manager, gate):
    began, go_on = gate
    with (
        Executor(0, manager=manager, name="shared") as executor,
        manager.Pool(1, name="shared", context=FORK),
    ):
        future = executor.submit(work.say_and_wait, began, go_on, 5)
        began.get(timeout=SECONDS)
        assert future.running()
        assert "running" in repr(future)
        go_on.set()
        assert future.result(SECONDS) == 5
    manager.delete("shared")


def test_without_workers_nothing_is_begun(manager):
    executor = Executor(0, manager=manager, name="deserted")
    futures = [executor.submit(work.double, n) for n in range(10)]
    assert not any(future.running() for future in futures)
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    manager.delete("deserted")


def test_shutdown_cancels_all_that_is_not_begun(manager, gate):
    began, go_on = gate
    executor = Executor(2, FORK, manager=manager)
    busy = [executor.submit(work.say_and_wait, began, go_on, n) for n in range(2)]
    for _ in busy:
        began.get(timeout=SECONDS)
    others = [executor.submit(work.double, n) for n in range(50)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in others)
    go_on.set()
    executor.shutdown()
    assert [future.result(0) for future in busy] == [0, 1]


def test_a_task_whose_worker_died_is_begun(manager):
    """It waits for another worker, and may have had an effect."""
    began = manager.Queue()
    with (
        Executor(0, manager=manager, name="shared", attempts=2) as executor,
        manager.Pool(1, name="shared", context=FORK) as pool,
    ):
        future = executor.submit(work.say_and_wait, began, manager.Event())
        worker = began.get(timeout=SECONDS)
        pool._supervisor.size = 0  # nobody replaces it
        kill9(worker)
        wait_until(lambda: executor.statistics().waiting == 1)
        assert future.running()
        assert not future.cancel()
        pool._supervisor.size = 1
        executor.kill_workers()
        assert isinstance(future.exception(SECONDS), BrokenProcessPool)
    manager.delete("shared")


def test_cancelling_while_workers_take_tasks_loses_none(manager):
    marks = manager.dict()
    with Executor(2, FORK, manager=manager) as executor:
        futures = [executor.submit(work.mark, (marks, n)) for n in range(300)]
        cancelled = [n for n, future in enumerate(futures) if future.cancel()]
        assert not wait(futures, SECONDS).not_done
    done = [n for n, future in enumerate(futures) if not future.cancelled()]
    assert sorted(cancelled + done) == list(range(300))
    assert marks.copy() == dict.fromkeys(done, 1)


@pytest.mark.parametrize("fault", ["cut_after_reply", "cut_mid_reply", "cut_before_request"])
def test_a_broken_connection_does_not_change_what_is_cancelled(manager, proxy, gate, fault):
    began, go_on = gate
    with (
        manager.Pool(1, name="shared", context=FORK),
        RedisManager(proxy.url, lease=PATIENCE) as behind,
        Executor(0, manager=behind, name="shared") as executor,
    ):
        first = executor.submit(work.say_and_wait, began, go_on, 1)
        began.get(timeout=SECONDS)
        second, third = (executor.submit(work.double, n) for n in range(2))
        wait_until(lambda: executor.statistics().waiting == 2)  # both are sent
        assert not third.running()  # so that its script is known
        rule = getattr(proxy, fault)(b"EVALSHA")
        assert second.cancel()
        assert rule.caught.is_set()
        rule = getattr(proxy, fault)(b"EVALSHA")
        assert not first.cancel()
        assert rule.caught.is_set()
        go_on.set()
        assert (first.result(SECONDS), third.result(SECONDS)) == (1, 2)
        assert second.cancelled()
    manager.delete("shared")


def test_a_lost_server_fails_all_futures_and_cancels_none(start_server):
    server = start_server(tcp=True)
    with RedisManager(server.url) as manager:
        executor = Executor(0, manager=manager, name="shared")
        manager.runtime.session.link.reconnect_timeout = 0.2
        futures = [executor.submit(work.double, n) for n in range(10)]
        server.close()
        assert not futures[0].cancel()
        for future in futures:
            assert isinstance(future.exception(SECONDS), LinkError)
        executor.shutdown()


def test_many_tasks_that_cannot_be_sent(executor):
    futures = [executor.submit(lambda: 1) for _ in range(2000)]
    called = []
    for future in futures:
        future.add_done_callback(called.append)
    assert all(future.exception(SECONDS) for future in futures)
    wait_until(lambda: len(called) == 2000)
    assert executor.submit(work.double, 1).result(SECONDS) == 2


def test_callbacks_may_wait_for_other_futures(executor):
    """Callbacks run without a lock that another thread needs to set the result of a future."""
    found = []

    def resubmit(future):
        waits = threading.Thread(
            target=lambda: found.append(executor.submit(work.double, 4).result(SECONDS))
        )
        waits.start()
        waits.join(SECONDS)
        found.append(type(future.exception()))

    unsent = executor.submit(lambda: 1)
    unsent.add_done_callback(resubmit)
    assert wait_until(lambda: found)[0] == 8
    wait_until(lambda: len(found) == 2)


def test_asyncio_cancels_what_is_not_begun(executor, gate):
    began, go_on = gate

    async def program():
        loop = asyncio.get_running_loop()
        busy = loop.run_in_executor(executor, work.say_and_wait, began, go_on, 1)
        await loop.run_in_executor(None, began.get)
        behind = loop.run_in_executor(executor, work.double, 1)
        behind.cancel()
        with pytest.raises(asyncio.CancelledError):
            await behind
        await asyncio.sleep(0)  # the loop passes the cancellation on
        assert executor.statistics().waiting == 0
        go_on.set()
        assert await busy == 1

    asyncio.run(program())


# -- map


def test_map_submits_no_more_than_the_buffer(executor):
    taken = []

    def numbers():
        for n in itertools.count():
            taken.append(n)
            yield n

    results = executor.map(work.double, numbers(), buffersize=3)
    assert len(taken) == 3
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(taken) == 8
    results.close()
    chunks = executor.map(work.double, numbers(), buffersize=2, chunksize=4)
    assert len(taken) == 16
    assert [next(chunks) for _ in range(5)] == [0, 2, 4, 6, 8]
    chunks.close()
    assert list(executor.map(work.double, range(4), buffersize=100)) == [0, 2, 4, 6]
    assert list(executor.map(work.double, [], buffersize=1)) == []
    assert list(executor.map(work.double)) == []


def test_arguments_that_map_refuses(executor):
    for size in ("1", 1.5):
        with pytest.raises(TypeError, match="buffersize must be an integer or None"):
            executor.map(work.double, [1], buffersize=size)
    for size in (0, -1):
        with pytest.raises(ValueError, match="buffersize must be None or > 0"):
            executor.map(work.double, [1], buffersize=size)
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            executor.map(work.double, [1], chunksize=size)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_that_is_not_done_in_time_cancels_the_rest(executor, gate, chunksize):
    began, go_on = gate
    n = itertools.repeat
    results = executor.map(
        work.say_and_wait, n(began, 30), n(go_on, 30), range(30), timeout=0.2, chunksize=chunksize
    )
    began.get(timeout=SECONDS)
    with pytest.raises(FutureTimeout):
        next(results)
    assert executor.statistics().waiting == 0
    go_on.set()


# -- the end of the workers


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_ended_workers(manager, gate, how):
    began, go_on = gate
    executor = Executor(1, FORK, manager=manager)
    busy = executor.submit(work.say_and_wait, began, go_on)
    worker = began.get(timeout=SECONDS)
    [process] = executor._processes.values()
    assert process.pid == worker
    behind = [executor.submit(work.double, n) for n in range(20)]
    getattr(executor, how)()
    with pytest.raises(BrokenProcessPool, match=how):
        busy.result(SECONDS)
    assert all(future.cancelled() for future in behind)
    wait_until(lambda: not is_alive(worker))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(work.double, 1)
    executor.shutdown()
    assert not any(process.is_alive() for process in executor._processes.values())
    getattr(executor, how)()


def test_workers_of_others_go_on(manager, gate):
    began, go_on = gate
    with manager.Pool(1, name="shared", context=FORK) as pool:
        theirs = pool.apply_async(work.say_and_wait, (began, go_on, 3))
        began.get(timeout=SECONDS)
        executor = Executor(0, manager=manager, name="shared")
        behind = executor.submit(work.double, 1)
        executor.kill_workers()
        assert behind.cancelled()
        go_on.set()
        assert theirs.get(SECONDS) == 3
        executor.shutdown()
    manager.delete("shared")


# -- processes of tasks


def test_tasks_may_start_processes(executor, manager):
    assert executor.submit(work.double_in_a_child, 4).result(SECONDS) == 8
    with manager.Pool(1, context=FORK) as pool:  # as with multiprocessing
        with pytest.raises(AssertionError, match="daemonic"):
            pool.apply(work.double_in_a_child, (4,))
    with manager.Pool(1, name="shared", context=FORK) as pool:  # which executors may use, too
        assert pool.apply(work.double_in_a_child, (4,)) == 8
    manager.delete("shared")


PROGRAM = """
import multiprocessing, signal, sys
from multihost import Executor, RedisManager
from tests.pool import work

if __name__ == "__main__":
    manager = RedisManager(sys.argv[1])
    pids = manager.Queue()
    executor = Executor(1, multiprocessing.get_context(sys.argv[2]), manager=manager)
    executor.submit(work.have_a_child, pids)
    print(pids.get(timeout=60), pids.get(timeout=60), flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_killed_program_leaves_no_process(fresh_server, method):
    with spawn_script(PROGRAM, args=[fresh_server.url, method]) as program:
        pids = [int(pid) for pid in program.line().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        program.kill()
        program.wait()
        wait_until(lambda: not any(map(is_alive, pids)))


IN_A_THREAD = """
import multiprocessing, sys, threading, time
from multihost import RedisManager
from multihost.pool import Workers

manager = RedisManager(sys.argv[1])
workers = Workers(manager, "ours", 2, context=multiprocessing.get_context("fork"))
thread = threading.Thread(target=workers.run, daemon=True)
thread.start()
with manager.Pool(0, name="ours") as pool:
    assert pool.apply(abs, (-1,)) == 1
while len(workers.pids) < 2:
    time.sleep(0.01)
print(*workers.pids, flush=True)
"""


def test_workers_in_a_daemon_thread_end_with_the_program(fresh_server):
    with spawn_script(IN_A_THREAD, args=[fresh_server.url]) as program:
        pids = [int(pid) for pid in program.line().split()]
        assert len(pids) == 2
        program.finish()
        assert not any(map(is_alive, pids))
