"""Workers of a named pool that are started outside of its clients."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import threading

import pytest

from multihost import Executor, RedisManager, WorkerLost
from multihost.pool import Workers, serve
from multihost.pooling import notices
from multihost.pooling.failures import FailurePipe
from tests.pool import work
from tests.support.procs import is_alive, send_signal, spawn_script
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")

SERVE = """
import sys
from multiprocessing import get_context
from multihost import RedisManager
from multihost.pool import serve

if __name__ == "__main__":
    report = lambda event: print(event.kind, event.pid or "", flush=True)
    with RedisManager(sys.argv[1]) as manager:
        progress = serve(manager, "ours", 2, context=get_context("fork"), on_event=report)
    print("done", progress.done, flush=True)
"""


@pytest.fixture
def pool(manager):
    with manager.Pool(0, name="ours") as pool:
        yield pool
    manager.delete("ours")


def wait_for(script, *kinds):
    found = []
    while len(found) < len(kinds):
        kind, *pid = script.line().split()
        if kind == kinds[len(found)]:
            found.append(int(pid[0]) if pid else None)
    return found


@pytest.fixture
def start_workers(manager):
    """Start workers whose supervisor is a thread of this process."""
    started = []

    def start(*args, **kwds):
        workers = Workers(manager, "ours", *args, context=FORK, **kwds)
        thread = threading.Thread(target=workers.run)
        thread.start()
        started.append((workers, thread))
        return workers, thread

    yield start
    for workers, thread in started:
        if thread.is_alive():
            workers.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_workers_join_and_leave_during_a_map(pool, url):
    result = pool.map_async(work.add, range(3000), 1)
    done = 0
    for _ in range(3):
        with spawn_script(SERVE, args=[url]) as script:
            workers = wait_for(script, "started", "started")
            wait_until(lambda pids=set(workers): pids <= {w.pid for w in pool.statistics().workers})
            assert send_signal(script, signal.SIGTERM)
            done += int(script.finish().split()[-1])
            assert not any(map(is_alive, workers))
        wait_until(lambda: not pool.statistics().workers)
    with spawn_script(SERVE, args=[url]) as script:
        assert result.get(PATIENCE) == list(range(1, 3001))
        assert send_signal(script, signal.SIGTERM)
        done += int(script.finish().split()[-1])
    assert done == 3000  # each task once


def test_first_signal_finishes_tasks_second_kills(pool, url, manager):
    began, go_on = manager.Queue(), manager.Event()
    with spawn_script(SERVE, args=[url]) as script:
        results = [pool.apply_async(work.say_and_wait, (began, go_on, n)) for n in range(2)]
        workers = [began.get(timeout=PATIENCE) for _ in range(2)]
        assert send_signal(script, signal.SIGTERM)
        wait_for(script, "stopping")
        assert all(map(is_alive, workers))
        go_on.set()
        assert [r.get(PATIENCE) for r in results] == [0, 1]
        assert "done 2" in script.finish()
    go_on.clear()
    with spawn_script(SERVE, args=[url]) as script:
        lost = pool.apply_async(work.say_and_wait, (began, go_on))
        began.get(timeout=PATIENCE)
        assert send_signal(script, signal.SIGINT)
        wait_for(script, "stopping")
        assert send_signal(script, signal.SIGTERM)
        assert "lost" in script.finish()
        with pytest.raises(WorkerLost):
            lost.get(PATIENCE)


def test_orphaned_workers_finish_their_task(pool, url, manager):
    began, go_on = manager.Queue(), manager.Event()
    with spawn_script(SERVE, args=[url]) as script:
        workers = wait_for(script, "started", "started")
        result = pool.apply_async(work.say_and_wait, (began, go_on, 7))
        busy = began.get(timeout=PATIENCE)
        script.kill()
        script.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in workers if pid != busy))
        assert is_alive(busy)
        go_on.set()
        assert result.get(PATIENCE) == 7
        wait_until(lambda: not is_alive(busy))


SERVE_HIT = """
import os, signal, sys
from multiprocessing import get_context
from multihost import RedisManager
from multihost.pool import serve

forks = []

def report(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # unbuffered: both processes write

def hit():
    if len(forks) == 1:
        report("forked", os.getpid())
        os.kill(os.getpid() if sys.argv[2] == "worker" else os.getppid(), int(sys.argv[3]))

os.register_at_fork(before=lambda: forks.append(1), after_in_child=hit)
on_event = lambda event: report(event.kind, event.pid or "", event.exitcode or "")
with RedisManager(sys.argv[1]) as manager:
    serve(manager, "ours", 1, context=get_context("fork"), on_event=on_event)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_a_starting_worker_does_not_stop_its_parent(pool, url, number):
    with spawn_script(SERVE_HIT, args=[url, "worker", str(int(number))]) as script:
        (_, worker), (_, same) = sorted(script.line().split() for _ in ("forked", "started"))
        assert worker == same
        if number == signal.SIGTERM:
            assert script.line().split() == ["ended", worker]
            assert script.line().split()[0] == "started"
        assert pool.apply_async(work.double, (3,)).get(PATIENCE) == 6
        assert send_signal(script, signal.SIGTERM)
        wait_for(script, "stopping", "ended")
        script.finish()


def test_worker_orphaned_while_it_starts_ends(pool, url):
    with spawn_script(SERVE_HIT, args=[url, "parent", str(int(signal.SIGKILL))]) as script:
        worker = int(script.line().split()[1])
        script.wait()
        wait_until(lambda: not is_alive(worker))


def test_killed_worker_is_replaced_and_reported(manager, start_workers):
    events = []
    workers, _ = start_workers(1, on_event=events.append)
    with manager.Pool(0, name="ours") as pool:
        with pytest.raises(WorkerLost):
            pool.apply_async(work.die).get(PATIENCE)
        assert pool.apply_async(work.double, (4,)).get(PATIENCE) == 8
        with pytest.raises(KeyError):
            pool.apply(work.fail, ("no",))
        wait_until(lambda: workers.progress == (3, 1, 1, 1))
        wait_until(lambda: events[-1].progress == (3, 1, 1, 1))
        assert events[-1].progress.running == 0
        kinds = [event.kind for event in events if event.kind != "progress"]
        assert kinds == ["started", "lost", "started", "failed"]
        [failure] = [event.failure for event in events if event.kind == "failed"]
        assert failure.task == "tests.pool.work.fail"
        assert "raise KeyError(message)" in failure.traceback
        assert failure.traceback.endswith("KeyError: 'no'\n")
        wait_until(lambda: len(pool.statistics().workers) == 1)
        [worker] = pool.statistics().workers
        assert (worker.pid, worker.running) == (workers.pids[0], 0)
        assert worker.host
    workers.stop()
    wait_until(lambda: events[-1].kind == "ended")
    manager.delete("ours")


def test_workers_start_before_the_pool_and_run_its_initializer(manager, start_workers):
    start_workers(2)
    with manager.Pool(0, work.remember, ("key", "value"), 3, name="ours") as pool:
        found = pool.map_async(work.recall, ["key"] * 20, 1).get(PATIENCE)
        assert found == ["value"] * 20
        assert len(set(pool.map(work.pid, range(20), 1))) >= 4  # each runs three tasks
        with pytest.raises(ValueError, match="another initializer"):
            manager.Pool(0, work.remember, ("key", "other"), name="ours")
        with manager.Pool(0, name="ours") as same:
            assert same.apply(work.recall, ("key",)) == "value"
        with pytest.raises(ValueError, match="named objects only"):
            manager.Pool(0, work.remember, ("key", manager.list()), name="theirs")
    manager.delete("ours")
    manager.delete("theirs")


def test_until_deleted_ends_workers_with_the_pool(manager, start_workers):
    workers, thread = start_workers(2, until_deleted=True)
    with manager.Pool(0, name="ours") as pool:
        assert pool.apply_async(work.double, (4,)).get(PATIENCE) == 8
        pool.delete()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert workers.progress.done == 1


def test_workers_outlive_a_deleted_pool(manager, start_workers):
    start_workers(1)
    for n in range(2):
        with manager.Pool(0, name="ours") as pool:
            assert pool.apply_async(work.double, (n,)).get(PATIENCE) == 2 * n
            pool.delete()
    manager.delete("ours")


def test_failing_initializer_raises_worker_lost(manager, url, capfd):
    with (
        manager.Pool(0, work.refuse, name="ours"),
        RedisManager(url) as other,
        pytest.raises(WorkerLost, match="initializer"),
    ):
        serve(other, "ours", 1, context=FORK)
    assert "no worker today" in capfd.readouterr().err
    manager.delete("ours")


def test_lost_server_ends_run_with_an_error(start_server):
    server = start_server(tcp=True)
    with RedisManager(server.url) as manager:
        manager.runtime.session.link.reconnect_timeout = 0.2
        workers = Workers(manager, "ours", 1, context=FORK)
        errors = []

        def run():
            try:
                workers.run()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: workers._counters.readiness(0))
        server.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert errors


def test_zero_workers_raise_valueerror(manager):
    with pytest.raises(ValueError, match="at least 1"):
        Workers(manager, "ours", 0)


class Unreadable:
    def __reduce__(self):
        return work.fail, ("unreadable",)


def test_failures_name_what_the_user_called(manager, start_workers):
    failures = []

    def report(event):
        if event.failure is not None:
            failures.append(event.failure)

    start_workers(1, on_event=report)
    with (
        manager.Pool(0, name="ours") as pool,
        Executor(0, manager=manager, name="ours") as executor,
    ):
        calls = [
            lambda: pool.map(work.fail, ["x"]),
            lambda: pool.starmap(work.fail, [("x",)]),
            lambda: list(executor.map(work.fail, ["x", "y"], chunksize=2)),
            lambda: executor.submit(functools.partial(work.fail, "x")).result(),
        ]
        for call in calls:
            with pytest.raises(KeyError):
                call()
        with pytest.raises(KeyError):
            pool.apply(work.double, (Unreadable(),))
        with pytest.raises(KeyError):
            pool.apply(work.fail, ("x" * 100_000,))
        wait_until(lambda: len(failures) == 6)
    assert [failure.task for failure in failures] == [
        *["tests.pool.work.fail"] * 4,
        "a task that cannot be unpickled",
        "tests.pool.work.fail",
    ]
    assert failures[-1].traceback.startswith("...")  # as much as a pipe takes at once
    assert failures[-1].traceback.endswith("xxx'\n")
    manager.delete("ours")


def test_failures_that_nobody_reads_do_not_block():
    failures = FailurePipe()
    for _ in range(1000):
        failures.sender.send("f", KeyError("x" * 500))
    found = failures.read()
    assert 10 < len(found) < 1000
    assert {(each.task, each.traceback) for each in found} == {("f", f"KeyError: '{'x' * 500}'\n")}
    failures.close()


def test_a_client_whose_pool_has_no_workers_says_so_once(
    manager, start_workers, caplog, monkeypatch
):
    monkeypatch.setattr(notices, "FIRST_LOOK", 0.05)
    monkeypatch.setattr(notices, "LONGEST", 0.1)

    def said():
        return [r.getMessage() for r in caplog.records if r.name == notices.__name__]

    with manager.Pool(0, name="ours") as pool:
        results = pool.map_async(work.double, range(3), 1)  # sent together
        wait_until(said)
        [text] = said()
        assert "'ours'" in text
        assert "3 wait" in text
        assert "multihost worker --pool ours" in text
        start_workers(1)
        assert results.get(PATIENCE) == [0, 2, 4]
        began, go_on = manager.Queue(), manager.Event()
        busy = pool.apply_async(work.say_and_wait, (began, go_on, 5))
        began.get(timeout=PATIENCE)
        assert not threading.Event().wait(0.5)  # it is looked for, and there is a worker
        go_on.set()
        assert busy.get(PATIENCE) == 5
    assert len(said()) == 1
    manager.delete("ours")
