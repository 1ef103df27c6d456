"""What becomes of a hold when its process ends, sleeps, forks, or is taken for dead."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

from multihost import RedisManager
from tests.support.leaks import AnyServer
from tests.support.procs import ROOT, send_signal
from tests.support.server import Server
from tests.support.sessions import connections
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")

LONG, SHORT = 10 * PATIENCE, 0.6
"""Leases. Nobody is patient enough for a long one, so what comes soon came by other evidence. A
short one has only who is to be taken for dead: who stands still for other reasons loses nothing.
"""

MAKE: dict[str, Callable[[RedisManager], Any]] = {
    "Lock": lambda m: m.Lock("x"),
    "RLock": lambda m: m.RLock("x"),
    "Semaphore": lambda m: m.Semaphore("x", 1),
    "BoundedSemaphore": lambda m: m.BoundedSemaphore("x", 1),
    "Condition": lambda m: m.Condition("x"),
}


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=LONG) as manager:
        yield manager


@pytest.fixture
def short(url: str) -> Iterator[RedisManager]:
    """For processes that sleep past their lease."""
    with RedisManager(url, lease=SHORT) as manager:
        yield manager


class Child:
    """A forked process that does what it is told, call by call."""

    def __init__(self, held: Any) -> None:
        self._ours, theirs = fork.Pipe()
        self.process = fork.Process(target=self._serve, args=(held, theirs, self._ours))
        self.process.start()
        theirs.close()

    @staticmethod
    def _serve(held: Any, connection: Connection, other: Connection) -> None:
        other.close()
        for method, args in iter(connection.recv, None):
            try:
                attribute = getattr(held, method)
                connection.send(attribute(*args) if callable(attribute) else attribute)
            except Exception as error:
                connection.send(type(error).__name__)

    def tell(self, method: str, *args: Any) -> None:
        self._ours.send((method, args))

    def answer(self, seconds: float = PATIENCE) -> Any:
        assert self._ours.poll(seconds), "no answer"
        return self._ours.recv()

    def call(self, method: str, *args: Any) -> Any:
        self.tell(method, *args)
        return self.answer()

    def send(self, number: int) -> None:
        assert send_signal(self.process, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.join()

    def end(self) -> None:
        """In order: as every child of multiprocessing it leaves through os._exit."""
        with contextlib.suppress(BrokenPipeError):
            self._ours.send(None)
        self.process.join()
        self._ours.close()


@contextlib.contextmanager
def child(held: Any) -> Iterator[Child]:
    process = Child(held)
    try:
        yield process
    finally:
        process.end()


# -- the end


@pytest.mark.parametrize("kind", MAKE)
def test_what_a_killed_process_held_is_free_again_soon(kind: str, m: RedisManager) -> None:
    held = MAKE[kind](m)
    with child(held) as holder:
        assert holder.call("acquire")
        assert not held.acquire(False)
        holder.kill()
        assert held.acquire(True, PATIENCE)
        held.release()


def test_who_only_asks_gets_it_too(m: RedisManager) -> None:
    lock = m.Lock("x")
    with child(lock) as holder:
        assert holder.call("acquire")
        holder.kill()
        assert wait_until(lambda: lock.acquire(False))
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore", "Condition"])
def test_what_a_process_held_is_free_immediately_if_it_exits_normally(
    kind: str, m: RedisManager
) -> None:
    held = MAKE[kind](m)
    with child(held) as holder:
        assert holder.call("acquire")
    assert held.acquire(False)
    held.release()


@pytest.mark.parametrize(
    ("kind", "error"), [("Lock", RuntimeError), ("BoundedSemaphore", ValueError)]
)
def test_what_was_left_to_others_may_be_released_by_them(
    kind: str, error: type[Exception], m: RedisManager
) -> None:
    """As with the standard library, where it is not free before."""
    held = MAKE[kind](m)
    for _ in range(2):
        with child(held) as holder:
            assert holder.call("acquire")
        held.release()
        with pytest.raises(error):
            held.release()


def test_a_lock_that_was_taken_since_owes_nothing(m: RedisManager) -> None:
    lock = m.Lock()
    with child(lock) as holder:
        assert holder.call("acquire")
    assert lock.acquire(False)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_as_many_permits_as_were_left_to_others(m: RedisManager) -> None:
    permits = m.BoundedSemaphore(3)
    for _ in range(2):
        with child(permits) as holder:
            assert holder.call("acquire")
    permits.release(2)
    with pytest.raises(ValueError, match="too many"):
        permits.release()
    assert permits.statistics().permits == 3


def test_a_program_that_ends_frees_what_it_held(m: RedisManager, url: str) -> None:
    lock = m.Lock("x")
    code = (
        "import sys; from multihost import RedisManager;"
        "RedisManager(sys.argv[1]).Lock('x').acquire()"
    )
    subprocess.run(
        [sys.executable, "-c", code, url],
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert lock.acquire(False)
    lock.release()


def test_permits_used_as_signals_stay_taken_after_a_normal_exit(m: RedisManager) -> None:
    signals = m.Semaphore("x", 0)
    signals.release(3)
    with child(signals) as consumer:
        assert consumer.call("acquire")
    assert signals.statistics().permits == 2
    with child(signals) as consumer:
        assert consumer.call("acquire")
        consumer.kill()
        assert signals.acquire()
        assert not signals.acquire(True, 2.0), "what was consumed is consumed"
    assert signals.statistics().holders == {(os.uname().nodename, os.getpid()): 1}


def test_a_thread_that_ends_keeps_what_it_held(m: RedisManager) -> None:
    lock, rlock = m.Lock(), m.RLock()
    for held in (lock, rlock):
        thread = threading.Thread(target=held.acquire)
        thread.start()
        thread.join()
        assert held.locked()
    lock.release()  # a lock belongs to nobody
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        rlock.release()


# -- forking


def test_a_child_holds_nothing_of_its_parents(m: RedisManager) -> None:
    lock, rlock, bounded = m.Lock("lock"), m.RLock("rlock"), m.BoundedSemaphore("bounded", 1)
    for held in (lock, rlock, bounded):
        held.acquire()
        with child(held) as other:
            assert other.call("fencing_token") == "RuntimeError"
            assert other.call("acquire", False) is False
        assert held.locked(), "nor does its end release anything"
        held.release()
    with rlock:
        with child(rlock) as other:
            assert other.call("release") == "RuntimeError"


# -- sleeping


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_a_process_suspended_past_its_lease_learns_what_it_lost(
    kind: str, m: RedisManager, short: RedisManager
) -> None:
    held = MAKE[kind](m)
    with child(MAKE[kind](short)) as sleeper:
        assert sleeper.call("acquire")
        token = sleeper.call("fencing_token")
        sleeper.send(signal.SIGSTOP)
        assert held.acquire(True, PATIENCE)  # after the lease, a beat and a look
        assert held.fencing_token > token
        sleeper.send(signal.SIGCONT)
        assert wait_until(lambda: sleeper.call("fencing_token") == "LeaseLost")
        assert sleeper.call("release") == "LeaseLost"
        assert not held.acquire(False) or kind == "RLock", "and it did not release ours"
        if kind == "RLock":
            held.release()
        held.release()
        assert sleeper.call("acquire", True, PATIENCE) is True
        assert sleeper.call("release") is None


@pytest.mark.parametrize("kind", ["Lock", "BoundedSemaphore"])
def test_the_first_call_of_a_suspended_process_is_a_release(
    kind: str, m: RedisManager, short: RedisManager
) -> None:
    held, theirs = MAKE[kind](m), MAKE[kind](short)
    for _ in range(3):
        with child(theirs) as sleeper:
            assert sleeper.call("acquire")
            sleeper.send(signal.SIGSTOP)
            assert held.acquire(True, PATIENCE)
            sleeper.tell("release")  # it lies there when the process wakes up
            sleeper.send(signal.SIGCONT)
            assert sleeper.answer() == "LeaseLost"
            assert not held.acquire(False)
            held.release()


def test_a_process_suspended_for_less_than_its_lease_keeps_what_it_had(m: RedisManager) -> None:
    lock = m.Lock("x")
    with child(lock) as sleeper:
        assert sleeper.call("acquire")
        sleeper.send(signal.SIGSTOP)
        assert not lock.acquire(True, 1.5)
        sleeper.send(signal.SIGCONT)
        assert sleeper.call("fencing_token") > 0
        assert not lock.acquire(True, 1.5)
        assert sleeper.call("release") is None
        assert lock.acquire(True, PATIENCE)
        lock.release()


def places(server: AnyServer, proxy: Any) -> set[bytes]:
    """Who waits, as the server has it."""
    found = server.command("HKEYS", proxy._handle.keys.data)
    return {field for field in found if field[:2] in (b"q:", b"z:")}


def blocked(server: AnyServer, proxy: Any, count: int) -> set[bytes]:
    """Who waits, once so many do, and are blocked: one that has only begun may hold the lock."""
    connections = sum("b" in row["flags"] for row in server.clients())
    found = places(server, proxy)
    return found if connections == len(found) == count else set()


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_a_suspended_waiter_gets_its_turn(
    kind: str, m: RedisManager, short: RedisManager, server: AnyServer
) -> None:
    held = MAKE[kind](m)
    held.acquire()
    with child(MAKE[kind](short)) as sleeper, child(held) as other:
        sleeper.tell("acquire")
        asleep = wait_until(lambda: blocked(server, held, 1))
        sleeper.send(signal.SIGSTOP)
        other.tell("acquire")  # its looks forget dead waiters
        wait_until(lambda: (now := places(server, held)) and not asleep & now)
        sleeper.send(signal.SIGCONT)
        wait_until(lambda: len(places(server, held)) == 2)
        held.release()
        assert other.answer() is True
        assert other.call("release") is None
        assert sleeper.answer() is True
        assert sleeper.call("release") is None


def test_a_suspended_waiter_is_notified_later(
    m: RedisManager, short: RedisManager, server: AnyServer
) -> None:
    condition = m.Condition("x")
    with child(short.Condition("x")) as sleeper, child(condition) as other:
        assert sleeper.call("acquire")
        sleeper.tell("wait")
        asleep = wait_until(lambda: blocked(server, condition, 1))
        sleeper.send(signal.SIGSTOP)
        assert other.call("acquire")
        other.tell("wait")
        wait_until(lambda: (now := places(server, condition)) and not asleep & now)
        with condition:
            condition.notify()  # the one that sleeps was forgotten
        assert other.answer() is True
        assert other.call("release") is None
        sleeper.send(signal.SIGCONT)
        # It may come back under its old name before it knows that it was taken for dead.
        wait_until(lambda: blocked(server, condition, 1) - asleep)
        with condition:
            condition.notify()
        assert sleeper.answer() is True
        assert sleeper.call("release") is None


def test_a_party_suspended_past_its_lease_breaks_the_barrier(
    m: RedisManager, short: RedisManager
) -> None:
    barrier = m.Barrier("x", 3)
    with child(short.Barrier("x", 3)) as sleeper:
        sleeper.tell("wait")
        assert wait_until(lambda: barrier.n_waiting == 1)
        sleeper.send(signal.SIGSTOP)
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()
        sleeper.send(signal.SIGCONT)
        assert sleeper.answer() == "BrokenBarrierError"
        barrier.reset()
        assert not barrier.broken


def test_an_arrived_party_that_is_killed_breaks_the_barrier(m: RedisManager) -> None:
    barrier = m.Barrier("x", 3)
    for _ in range(3):
        with child(barrier) as party:
            party.tell("wait")
            assert wait_until(lambda: barrier.n_waiting == 1)
            party.kill()
            with pytest.raises(threading.BrokenBarrierError):
                barrier.wait()
        barrier.reset()
        assert barrier.n_waiting == 0


# -- false alarms


def test_a_killed_connection_is_not_a_dead_process(fresh_server: Server) -> None:
    def are_back() -> bool:
        there = {row["id"].encode() for row in fresh_server.clients()}
        return all(named & there for named in connections(fresh_server))

    with RedisManager(fresh_server.url, lease=LONG) as manager:
        lock = manager.Lock("x")
        with child(lock) as holder:
            assert holder.call("acquire")
            waiting = threading.Thread(target=lock.acquire)
            waiting.start()
            assert wait_until(lambda: lock.statistics().waiters == 1)
            for _ in range(50):
                named = connections(fresh_server)
                assert len(named) == 2
                for connection in set.union(*named):
                    fresh_server.command("CLIENT", "KILL", "ID", connection)
                assert wait_until(are_back)
                assert lock.holder().pid == holder.process.pid
            waiting.join(2.0)
            assert waiting.is_alive()
            assert holder.call("release") is None
            waiting.join()
            lock.release()


def test_an_idle_timeout_is_not_a_dead_process(fresh_server: Server) -> None:
    fresh_server.command("CONFIG", "SET", "timeout", "1")
    fresh_server.drop_controls()  # the server closes these, too
    with RedisManager(fresh_server.url, lease=LONG) as manager:
        lock = manager.Lock("x")
        with child(lock) as holder:
            assert holder.call("acquire")
            assert not lock.acquire(True, 3)
            assert lock.holder().pid == holder.process.pid
            assert holder.call("release") is None
            assert lock.acquire(True, PATIENCE)
            lock.release()
    fresh_server.command("CONFIG", "SET", "timeout", "0")


@pytest.mark.parametrize("living", [0, 1])
def test_a_notification_of_dead_waiters_is_not_for_who_waits_later(
    living: int, m: RedisManager
) -> None:
    """It passes to those who waited when it was sent."""
    condition = m.Condition("x")
    dead, alive = [Child(condition) for _ in range(2)], [Child(condition) for _ in range(living)]
    for child in (*dead, *alive):
        child.call("acquire")
        child.tell("wait")
    wait_until(lambda: condition.statistics().waiters == 2 + living)
    for child in dead:
        child.kill()
    with condition:
        condition.notify_all()
    for child in alive:
        assert child.answer() is True
        child.call("release")
    with condition:
        assert condition.wait(3.0) is False
