"""Ways to die and to be noticed, besides tests/synchronisation/test_holder_crash.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire.script import Script, source
from tests.chaos.history import EventLog
from tests.chaos.invariants import blocked, nothing_left
from tests.chaos.killers import ProcessGroup, together
from tests.chaos.sizes import LONG_LEASE
from tests.support.procs import kill9
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

BOUND = 2.0  # seconds in which something would happen that must not
SLEEPER = "import signal; signal.pause()"


def hold(number: int, kinds: list[Any], url: str, way: str) -> None:
    """Take one, and live on, end, or leave somebody behind who inherited what a process has."""
    with EventLog(url, "death") as log:
        assert kinds[number].acquire(timeout=PATIENCE)
        pid = os.getpid()
        if way == "fork":
            if not (pid := os.fork()):
                signal.pause()
        elif way == "program":
            pid = subprocess.Popen([sys.executable, "-c", SLEEPER], close_fds=False).pid
        log.append("has it", pid=pid)
        if way == "exit":
            os._exit(0)
        signal.pause()


def wait_for_it(number: int, kinds: list[Any]) -> None:
    kinds[number].acquire()


def one_of_each(m: RedisManager, named: bool = False) -> list[Any]:
    return [getattr(m, kind)(kind if named else None) for kind in ["Lock", "RLock"]] + [
        getattr(m, kind)(*[kind] * named) for kind in ["Semaphore", "BoundedSemaphore"]
    ]


def take(held: Any) -> bool:
    """Whether it can be had."""
    taken = held.acquire(timeout=PATIENCE)
    if taken:
        held.release()
    return bool(taken)


def all_free(kinds: list[Any]) -> bool:
    """Ask each of them."""
    locked = [held.locked() for held in kinds]
    return not any(locked)


@pytest.mark.parametrize("way", ["fork", "program", "exit"])
def test_nobody_keeps_alive_what_the_dead_held(way: str, fresh_server: Server) -> None:
    with (
        RedisManager(fresh_server.url, lease=LONG_LEASE) as m,
        EventLog(fresh_server.url, "death") as log,
    ):
        kinds = one_of_each(m)
        with ProcessGroup(len(kinds), hold, kinds, fresh_server.url, way) as group:
            wait_until(lambda: len(log.read()) == len(kinds), PATIENCE)
            left = [entry.pid for entry in log.read()]
            try:
                if way == "exit":
                    group.finish()
                else:
                    group.kill(range(len(kinds)))
                assert all(together(lambda n: take(kinds[n]), len(kinds)))
            finally:
                if way != "exit":
                    for pid in left:
                        kill9(pid)
    nothing_left(fresh_server)


def test_who_only_looks_sees_it_too(fresh_server: Server) -> None:
    url = fresh_server.url
    with (
        RedisManager(url, lease=LONG_LEASE) as m,
        RedisManager(url, lease=LONG_LEASE) as observer,
        EventLog(url, "death") as log,
    ):
        kinds = one_of_each(m, named=True)
        with ProcessGroup(len(kinds), hold, kinds, url, "killed") as group:
            wait_until(lambda: len(log.read()) == len(kinds), PATIENCE)
            seen = one_of_each(observer, named=True)
            assert all(each.locked() for each in seen)
            group.kill(range(len(kinds)))
            wait_until(lambda: all_free(seen), PATIENCE)
        assert all(map(m.delete, m.names()))
    nothing_left(fresh_server)


def test_a_dead_waiter_keeps_nothing_locked(fresh_server: Server) -> None:
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        kinds = one_of_each(m)
        for held in kinds:
            assert held.acquire()
        with ProcessGroup(len(kinds), wait_for_it, kinds) as group:
            wait_until(lambda: blocked(fresh_server) == len(kinds), PATIENCE)
            group.kill(range(len(kinds)))
        for held in kinds:
            held.release()
        wait_until(lambda: all_free(kinds), PATIENCE)
        for held in kinds:
            assert held.acquire(blocking=False)
            held.release()
    nothing_left(fresh_server)


def test_a_lock_is_had_although_what_said_so_expired(fresh_server: Server) -> None:
    """A minute after the only waiter was killed its token has expired."""
    with RedisManager(fresh_server.url, lease=LONG_LEASE) as m:
        lock = m.Lock()
        assert lock.acquire()
        with ProcessGroup(1, wait_for_it, [lock]) as group:
            wait_until(lambda: blocked(fresh_server) == 1, PATIENCE)
            group.kill([0])
        lock.release()
        (token,) = fresh_server.keys("*:tokens")
        assert fresh_server.command("DEL", token)
        # Each attempt may see only that the lock is on its way to somebody.
        wait_until(lambda: lock.acquire(blocking=False), PATIENCE)
        lock.release()
    nothing_left(fresh_server)


# Semaphores as signals


def take_and_stay(number: int, semaphore: Any, url: str) -> None:
    with EventLog(url, "death") as log:
        assert semaphore.acquire()
        log.append("has it")
        signal.pause()


def test_a_signal_that_was_taken_does_not_come_back(fresh_server: Server) -> None:
    url = fresh_server.url
    with RedisManager(url, lease=LONG_LEASE) as m, EventLog(url, "death") as log:
        semaphore = m.Semaphore(0)
        with ProcessGroup(2, take_and_stay, semaphore, url) as group:
            semaphore.release(2)
            wait_until(lambda: len(log.read()) == 2, PATIENCE)
            group.kill([0, 1])
        assert not semaphore.acquire(timeout=BOUND)
        wait_until(lambda: semaphore.statistics()[2:] == (0, {}, 0))
    nothing_left(fresh_server)


def test_permits_do_not_come_back_beyond_the_initial_value(fresh_server: Server) -> None:
    url = fresh_server.url
    with RedisManager(url, lease=LONG_LEASE) as m, EventLog(url, "death") as log:
        semaphore = m.Semaphore(2)
        with ProcessGroup(2, take_and_stay, semaphore, url) as group:
            wait_until(lambda: len(log.read()) == 2, PATIENCE)
            semaphore.release()  # as a signal: one more than has been taken by us
            assert semaphore.acquire(timeout=PATIENCE)
            group.kill([0, 1])
            assert semaphore.acquire(timeout=PATIENCE)
            assert not semaphore.acquire(timeout=BOUND)
        semaphore.release(2)
        assert semaphore.statistics().permits == 2
    nothing_left(fresh_server)


# Forks


def test_forks_of_several_threads_at_once(url: str) -> None:
    """Each child has a session of its own, and the parent's goes on."""
    with RedisManager(url) as m:
        lock = m.RLock()
        assert lock.acquire()

        def fork_often(_: int) -> list[int]:
            return [child_status() for _ in range(25)]

        def child_status() -> int:
            pid = os.fork()
            if not pid:
                # It does not own the lock of the thread that has forked, nor of any other.
                os._exit(3 if lock.acquire(blocking=False) else 0)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        assert together(fork_often, 4) == [[0] * 25] * 4
        assert lock.acquire() and lock.fencing_token
        lock.release()
        lock.release()


def test_a_fork_while_another_thread_reads_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    some = Script("lock/create")
    reading, go_on = threading.Event(), threading.Event()
    parent, read = os.getpid(), source._read

    def slow(name: str) -> str:
        if os.getpid() == parent:
            reading.set()
            assert go_on.wait(PATIENCE)
        return read(name)

    monkeypatch.setattr(source, "_read", slow)
    thread = threading.Thread(target=lambda: some.source)
    thread.start()
    assert reading.wait(PATIENCE)
    pid = os.fork()
    if not pid:
        os._exit(0 if some.source else 1)
    try:
        wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), PATIENCE)
    finally:
        kill9(pid)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        go_on.set()
        thread.join()
